//! What can go wrong at run time, as one type: each case keeps the typed error of the layer it came from.

use crate::bundle::BundleError;
use crate::device::{CudaError, DeviceName};
use crate::tensor::TensorError;
use sla_codegen::{CodegenError, Target};
use sla_dsl::diag::{Diagnostic, Diagnostics};
use sla_dsl::interp::InterpError;
use sla_dsl::ir::Elem;
use sla_dsl::launch::{LaunchError, Space};
use thiserror::Error;

/// A device, tensor or launch failed.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The arguments do not fit the kernel.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The kernel's body rejected the constants.
    #[error("{0}")]
    Kernel(#[from] Diagnostics),
    /// The interpreter stopped: the kernel is malformed, or one of its programs did what no program may.
    #[error(transparent)]
    Interp(InterpError),
    /// A program of a compiled kernel failed an assertion, divided an integer by zero, or would have touched what is outside a tensor.
    #[error(transparent)]
    Program(Diagnostic),
    /// What belongs to a kernel's code could not be made.
    #[error(transparent)]
    Compile(#[from] CodegenError),
    /// A kernel could not be compiled.
    #[error(
        "{source}{}; to see every step: SLA_DUMP=DIR, and then `sla emit --from DIR/{kernel}-…/00-built.tile --stage ptx {how}`",
        with(consts)
    )]
    Compiling {
        /// Why.
        source: Box<CodegenError>,
        /// The kernel.
        kernel: String,
        /// Its constants.
        consts: String,
        /// Target and settings, as `sla emit` takes them.
        how: String,
    },
    /// No bundle has the kernel, and there is no compiler.
    #[error(
        "{kernel} for {target} as this launch needs it is in no bundle of kernels, and this build has no compiler: needed a bundle that has it, or the feature `compile`"
    )]
    NoCompiler {
        /// The kernel.
        kernel: String,
        /// What it was to be compiled for.
        target: Target,
    },
    /// A device that cannot be without the compiler.
    #[error(
        "{device} runs code for the processor at hand, and this build has no compiler: needed a GPU, or the feature `compile`"
    )]
    NoHost {
        /// The device.
        device: DeviceName,
    },
    /// A bundle of compiled kernels is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A tensor could not be made, viewed or converted.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The CUDA driver or device failed.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// Tensors in another memory than the device's.
    #[error("{kernel}: the tensors are in the memory of {found}, but {device} runs on that of {needed}")]
    Elsewhere {
        /// The kernel.
        kernel: &'static str,
        /// Where the tensors are.
        found: Space,
        /// The device.
        device: String,
        /// Where it needs them.
        needed: Space,
    },
    /// A tensor of another rank than an operator takes.
    #[error("{what} has rank {found}, needed {needed}")]
    Rank {
        /// The operator's name for it.
        what: &'static str,
        /// Its rank.
        found: usize,
        /// The rank needed.
        needed: usize,
    },
    /// A tensor of another shape or element type than an operator takes.
    #[error("{what} is {found_elem} {found:?}, needed {needed_elem} {needed:?}")]
    Shape {
        /// The operator's name for it.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// Its element type.
        found_elem: Elem,
        /// The shape needed.
        needed: Vec<usize>,
        /// The element type needed.
        needed_elem: Elem,
    },
    /// Launches of a device that are not recorded.
    #[error("{device} cannot record launches: {why}")]
    NoGraph {
        /// The device.
        device: String,
        /// The reason.
        why: &'static str,
    },
    /// A stream or a mark of another device.
    #[error("{what} is not of {device}, nor of a handle made from it")]
    OtherDevice {
        /// What is.
        what: &'static str,
        /// The device.
        device: String,
    },
    /// Two points of time that cannot be compared.
    #[error("the marks are of different devices, needed two of one")]
    Marks,
    /// A device's name that is none.
    #[error("unknown device `{0}`; the devices are auto, cpu, cuda, cuda:N, interp")]
    DeviceName(String),
    /// The threads of the host device could not be started.
    #[error("the threads of the cpu device could not be started: {0}")]
    Threads(String),
}

fn with(consts: &str) -> String {
    if consts.is_empty() { String::new() } else { format!(" (with {consts})") }
}
