//! NVIDIA GPUs from sm_80 on: warps, mma.sync, cp.async.

use crate::{Arch, CodegenError, GpuImage, Options, Stage, Tools};
use sla_dsl::ir::Kernel;

/// Compiles a kernel to PTX.
///
/// # Errors
/// A kernel that this architecture cannot run.
pub fn compile(_kernel: &Kernel, _arch: Arch, _options: &Options) -> Result<GpuImage, CodegenError> {
    Err(CodegenError::Tool("the GPU target is not built in".into()))
}

/// The text of a stage (bytes for `Cubin`).
///
/// # Errors
/// As [`compile`], or a missing tool.
pub fn emit(
    _kernel: &Kernel,
    arch: Arch,
    _options: &Options,
    _tools: &Tools,
    stage: Stage,
) -> Result<Vec<u8>, CodegenError> {
    Err(CodegenError::NoStage { target: arch.name().to_string(), stage })
}
