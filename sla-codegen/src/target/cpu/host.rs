//! The machine this process runs on, as LLVM sees it, and the back end for it: optimisation, object code, assembly.
//!
//! It knows nothing of kernels. What a lowering asks of it are the vector length and the few instructions that it must not assume.

use crate::mlir::LlvmSession;
use crate::{CodegenError, Stage};
use inkwell::OptimizationLevel;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{CodeModel, FileType, InitializationConfig, RelocMode, Target, TargetMachine};

/// A processor to compile for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    cpu: String,
    features: String,
    /// Lanes of a vector register that holds f32: 16, 8 or 4.
    pub lanes: usize,
    /// Vector registers.
    pub registers: usize,
    /// Fused multiply-add in one instruction.
    pub fma: bool,
    /// Conversions between f16 and f32.
    pub f16c: bool,
    /// `vscalefps`, which multiplies by a power of two with correct ends of the range.
    pub scalef: bool,
}

impl Host {
    /// The processor of this machine.
    ///
    /// # Errors
    /// [`CodegenError::Tool`] where LLVM, which knows it, cannot be loaded.
    pub fn native() -> Result<Host, CodegenError> {
        crate::mlir::load()?;
        let cpu = TargetMachine::get_host_cpu_name().to_string();
        let features = TargetMachine::get_host_cpu_features().to_string();
        Ok(Host::new(&cpu, &features))
    }

    /// A processor by LLVM's names; `features` is a list such as `+avx2,+fma`. Code for it runs here only if this machine has them all.
    pub fn new(cpu: &str, features: &str) -> Host {
        let has = |name: &str| features.split(',').any(|f| f.strip_prefix('+') == Some(name));
        let wide = has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
        let lanes = match () {
            _ if wide => 16,
            _ if has("avx2") => 8,
            _ => 4,
        };
        Host {
            cpu: cpu.to_string(),
            features: features.to_string(),
            lanes,
            registers: if wide { 32 } else { 16 },
            fma: has("fma"),
            f16c: has("f16c"),
            scalef: wide,
        }
    }

    /// Optimises a module for this processor.
    ///
    /// # Errors
    /// [`CodegenError::Internal`] if LLVM has no such target or rejects the module.
    pub fn optimise(&self, kernel: &str, module: &Module<'_>) -> Result<TargetMachine, CodegenError> {
        let failed =
            |message: String| CodegenError::Internal { kernel: kernel.into(), stage: Stage::Ll, message };
        Target::initialize_native(&InitializationConfig::default()).map_err(failed)?;
        let triple = TargetMachine::get_default_triple();
        let target = Target::from_triple(&triple).map_err(|e| failed(e.to_string()))?;
        let machine = target
            .create_target_machine(
                &triple,
                &self.cpu,
                &self.features,
                OptimizationLevel::Aggressive,
                RelocMode::PIC,
                CodeModel::Small,
            )
            .ok_or_else(|| failed(format!("LLVM has no machine for {triple:?} {}", self.cpu)))?;
        module.set_triple(&triple);
        module.set_data_layout(&machine.get_target_data().get_data_layout());
        // The loops are vectors already: what LLVM's vectorisers would find are the scalar tails.
        let options = PassBuilderOptions::create();
        options.set_loop_vectorization(false);
        options.set_loop_slp_vectorization(false);
        options.set_loop_unrolling(false);
        module.run_passes("default<O3>", &machine, options).map_err(|e| failed(e.to_string()))?;
        Ok(machine)
    }
}

/// Machine code of an optimised module: an object file, or assembly text.
///
/// # Errors
/// [`CodegenError::Internal`] with what LLVM reported.
pub fn write(
    kernel: &str,
    session: &LlvmSession,
    machine: &TargetMachine,
    module: &Module<'_>,
    kind: FileType,
) -> Result<MemoryBuffer<'static>, CodegenError> {
    let failed =
        |message: String| CodegenError::Internal { kernel: kernel.into(), stage: Stage::Ptx, message };
    let buffer = machine.write_to_memory_buffer(module, kind).map_err(|e| failed(e.to_string()))?;
    let errors = session.take_errors();
    if errors.is_empty() { Ok(buffer) } else { Err(failed(errors)) }
}
