//! Lowers tile IR through MLIR and LLVM to host code and PTX: what a kernel becomes.
//!
//! A function of its arguments: (kernel, options) to an [`Artifact`], or the text of any [`Stage`] on the way. It reads no environment,
//! keeps no cache and opens no driver. Only `mlir` and `target` know MLIR and LLVM.

pub mod analysis;
mod artifact;
mod dump;
mod error;
pub mod explain;
pub mod mlir;
mod options;
pub mod passes;
mod pipeline;
pub mod ptxas;
mod setting;
mod stage;
pub mod target;
mod toolchain;

pub use artifact::{Artifact, GpuImage, GridKind, TensorMap};
pub use dump::dump;
pub use error::CodegenError;
pub use options::{Arch, Options, ProgramOrder, ScheduleKind, Target, Tools};
pub use pipeline::{compile, emit, optimise};
pub use setting::SettingError;
pub use stage::Stage;
pub use target::nvptx::{DeviceLog, DeviceReport};
pub use toolchain::toolchain;
