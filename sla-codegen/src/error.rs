//! What can go wrong between a kernel and its machine code.

use sla_dsl::diag::{Diagnostic, Diagnostics};
use thiserror::Error;

/// A kernel could not be compiled.
#[derive(Debug, Error)]
pub enum CodegenError {
    /// The IR is malformed: a mistake of whoever made it, reported with places.
    #[error("{0}")]
    Invalid(#[from] Diagnostics),
    /// A text that is no kernel.
    #[error("{0}")]
    Text(#[from] sla_dsl::ir::ParseErrors),
    /// The target cannot run this kernel: an op or a size it does not support, or a resource it does not have.
    #[error("{target} cannot run this kernel: {diagnostic}")]
    Unsupported {
        /// The target's name.
        target: String,
        /// Where and why.
        diagnostic: Diagnostic,
    },
    /// MLIR or LLVM rejected what we made: our mistake, with the kernel's name and the compiler's own words.
    #[error("internal error compiling `{kernel}` at {stage}: {message}")]
    Internal {
        /// The kernel's name.
        kernel: String,
        /// The stage that failed.
        stage: crate::Stage,
        /// What the library said.
        message: String,
    },
    /// A stage that this target does not have was asked for.
    #[error("{target} has no stage `{stage}`")]
    NoStage {
        /// The target's name.
        target: String,
        /// The stage.
        stage: crate::Stage,
    },
    /// A snapshot of a text that is not the same everywhere was asked for.
    #[error("stage `{stage}` of {target} has no snapshot: {why}")]
    NoSnapshot {
        /// The target's name.
        target: String,
        /// The stage.
        stage: crate::Stage,
        /// What it depends on.
        why: &'static str,
    },
    /// An external tool is missing or failed.
    #[error("{0}")]
    Tool(String),
}
