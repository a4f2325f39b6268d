//! From MLIR text to PTX: conversion, LLVM's O3 pipeline, the NVPTX back end.

use crate::mlir::{LlvmSession, lower_to_llvm};
use crate::trace::Trace;
use crate::{Arch, CodegenError, Stage};
use inkwell::OptimizationLevel;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{CodeModel, FileType, InitializationConfig, RelocMode, Target, TargetTriple};
use sla_dsl::ir::Kernel;
use std::sync::Once;
use std::time::Instant;

/// The PTX version that every architecture here has, and CUDA 13.0 reads.
const PTX_VERSION: &str = "+ptx88";

/// PTX. `optimised` is shown what LLVM's passes make of the module before that.
pub fn assembly(
    kernel: &str,
    arch: Arch,
    mlir: &str,
    optimised: impl FnOnce(&Module<'_>),
    trace: &mut Trace<'_>,
) -> Result<String, CodegenError> {
    let session = LlvmSession::new()?;
    static INIT: Once = Once::new();
    INIT.call_once(|| Target::initialize_nvptx(&InitializationConfig::default()));
    let failed =
        |message: String| CodegenError::Internal { kernel: kernel.to_string(), stage: Stage::Ptx, message };
    let module = lower_to_llvm(&session, kernel, mlir, trace)?;
    let triple = TargetTriple::create("nvptx64-nvidia-cuda");
    let machine = Target::from_triple(&triple)
        .map_err(|e| failed(e.to_string()))?
        .create_target_machine(
            &triple,
            arch.name(),
            PTX_VERSION,
            OptimizationLevel::Aggressive,
            RelocMode::Default,
            CodeModel::Default,
        )
        .ok_or_else(|| failed(format!("LLVM has no machine for {}", arch.name())))?;
    module.set_triple(&triple);
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    // A GPU's threads have no vectors for these passes to make.
    let passes = PassBuilderOptions::create();
    passes.set_loop_vectorization(false);
    passes.set_loop_slp_vectorization(false);
    let start = Instant::now();
    module.run_passes("default<O3>", &machine, passes).map_err(|e| failed(e.to_string()))?;
    trace.text(Stage::Ll, "default<O3>", start.elapsed(), || module.print_to_string().to_string());
    optimised(&module);
    let start = Instant::now();
    let buffer =
        machine.write_to_memory_buffer(&module, FileType::Assembly).map_err(|e| failed(e.to_string()))?;
    let errors = session.take_errors();
    if !errors.is_empty() {
        return Err(failed(errors));
    }
    let took = start.elapsed();
    let text = String::from_utf8_lossy(buffer.as_slice()).trim_end_matches('\0').to_string();
    trace.text(Stage::Ptx, "select and print", took, || text.clone());
    Ok(text)
}

/// The entry's name: the kernel's, where MLIR and PTX can write it. No other symbol of a module is a Rust identifier.
pub fn entry(kernel: &Kernel) -> String {
    if kernel.name.is_ascii() { kernel.name.clone() } else { "kernel".to_string() }
}
