//! The host as a target: loops over vectors, one program of the grid a task.

mod function;

use crate::{CodegenError, Options, Stage};
use sla_dsl::ir::Kernel;

pub use function::{Entry, HostFunction};

/// Compiles a kernel for the host.
///
/// # Errors
/// A kernel that the host cannot run.
pub fn compile(_kernel: &Kernel, _options: &Options) -> Result<HostFunction, CodegenError> {
    Err(CodegenError::Tool("the host target is not built in".into()))
}

/// The text of a stage.
///
/// # Errors
/// As [`compile`].
pub fn emit(_kernel: &Kernel, options: &Options, stage: Stage) -> Result<Vec<u8>, CodegenError> {
    Err(CodegenError::NoStage { target: options.target.to_string(), stage })
}
