//! Lowers tile IR through MLIR and LLVM to host code and PTX: what a kernel becomes.
//!
//! A function of its arguments: (kernel, options) to an [`Artifact`], or the text of any [`Stage`] on the way. It reads no environment,
//! keeps no cache and opens no driver. Only `mlir` and `target` know MLIR and LLVM.
//!
//! Without the feature `llvm` (on by default) there is no compiler, only what describes one and its products: [`Options`], [`Artifact`], [`ptxas`]. That is for
//! programs that run kernels compiled before.

#[cfg(feature = "llvm")]
pub mod analysis;
mod artifact;
mod device_log;
#[cfg(feature = "llvm")]
mod dump;
mod error;
#[cfg(feature = "llvm")]
pub mod explain;
#[cfg(feature = "llvm")]
pub mod mlir;
mod options;
#[cfg(feature = "llvm")]
pub mod passes;
#[cfg(feature = "llvm")]
mod pipeline;
pub mod ptxas;
#[cfg(feature = "llvm")]
mod report;
mod setting;
#[cfg(feature = "llvm")]
mod snapshot;
mod stage;
pub mod target;
mod toolchain;
#[cfg(feature = "llvm")]
mod trace;

pub use artifact::{Artifact, GpuImage, GridKind, TensorMap};
pub use device_log::{DeviceLog, DeviceReport};
#[cfg(feature = "llvm")]
pub use dump::dump;
pub use error::CodegenError;
pub use options::{Arch, Options, ProgramOrder, ScheduleKind, Target, Tools, Watch};
#[cfg(feature = "llvm")]
pub use pipeline::{compile, emit, emit_from, optimise};
#[cfg(feature = "llvm")]
pub use report::Report;
pub use setting::SettingError;
#[cfg(feature = "llvm")]
pub use snapshot::snapshot;
pub use stage::Stage;
pub use toolchain::{llvm_file, toolchain};
#[cfg(feature = "llvm")]
pub use trace::{Step, trace};
