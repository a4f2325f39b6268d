//! What the driver can refuse, with what was being done at the time.

use super::maps::MapRefusal;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUresult;
use thiserror::Error;

/// A GPU could not be used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages are the documentation of the fields
pub enum CudaError {
    /// No libcuda.
    #[error("no GPU can be used: libcuda was not found; it comes with NVIDIA's driver")]
    NoDriver,
    /// libcuda is there but does not start.
    #[error("no GPU can be used: the driver does not start: {0}")]
    NoStart(String),
    /// A driver without what the runtime calls.
    #[error("the GPU driver supports CUDA {found}, at least {needed} is needed")]
    OldDriver { found: String, needed: String },
    /// An ordinal beyond the GPUs there are.
    #[error("there is no cuda:{ordinal}: this machine has {count} GPUs")]
    NoDevice { ordinal: usize, count: usize },
    /// A GPU from before Ampere.
    #[error("{name} has compute capability {major}.{minor}, at least 8.0 is needed")]
    TooOld { name: String, major: u32, minor: u32 },
    /// No device memory left.
    #[error("no memory for {bytes} bytes on cuda:{ordinal}, {free} of {total} bytes are free")]
    OutOfMemory { bytes: usize, ordinal: usize, free: usize, total: usize },
    /// Code that the driver rejects.
    #[error("{kernel}: the driver does not load the code: {message}")]
    Image { kernel: String, message: String },
    /// More shared memory than the GPU has.
    #[error(
        "{kernel}: a program needs {needed} bytes of shared memory, cuda:{ordinal} has {available}; smaller blocks need less"
    )]
    Shared { kernel: String, needed: usize, available: usize, ordinal: usize },
    /// More threads than fit with their registers.
    #[error(
        "{kernel}: a program has {needed} threads, with {registers} registers each at most {available} fit; smaller blocks or fewer warps need less"
    )]
    Threads { kernel: String, needed: u32, registers: u32, available: u32 },
    /// A tensor that the kernel's bulk copies cannot read or write.
    #[error("{kernel}: '{param}' cannot have a tensor map: {reason}")]
    Map { kernel: String, param: String, reason: MapRefusal },
    /// Any other failure.
    #[error("{what}: {name}: {message}")]
    Driver { what: String, name: String, message: String },
}

impl CudaError {
    /// Whether it means that this machine has no GPU that can be used, rather than that a GPU failed.
    pub fn is_absence(&self) -> bool {
        use CudaError::*;
        matches!(self, NoDriver | NoStart(_) | OldDriver { .. } | NoDevice { .. } | TooOld { .. })
    }

    /// A failed call, with what it was for.
    pub(super) fn driver(what: impl Into<String>, e: DriverError) -> CudaError {
        let text = |s: Result<&std::ffi::CStr, DriverError>| match s {
            Ok(s) => s.to_string_lossy().into_owned(),
            Err(_) => format!("error {}", e.0 as u32),
        };
        let mut message = text(e.error_string());
        if is_sticky(e.0) {
            message += "; an earlier kernel failed, and this process can no longer use the GPU";
        }
        CudaError::Driver { what: what.into(), name: text(e.error_name()), message }
    }
}

/// Errors of a running kernel, after which the context is of no use.
fn is_sticky(code: CUresult) -> bool {
    use CUresult::*;
    matches!(
        code,
        CUDA_ERROR_ILLEGAL_ADDRESS
            | CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUDA_ERROR_MISALIGNED_ADDRESS
            | CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUDA_ERROR_INVALID_PC
            | CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUDA_ERROR_ASSERT
            | CUDA_ERROR_LAUNCH_FAILED
            | CUDA_ERROR_LAUNCH_TIMEOUT
    )
}
