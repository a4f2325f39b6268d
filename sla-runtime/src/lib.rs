//! Devices, tensors and launches for compiled tile kernels: where a kernel runs.
//!
//! * [`Device`] runs kernels: the host's cores, an NVIDIA GPU, or the interpreter. All state belongs to a device handle.
//! * [`Tensor`] and [`DynTensor`] own memory of a device, with element types known to Rust or not.
//! * [`env`](mod@env) is the only place that reads the environment.
//!
//! What is compiled, and how, is the code generator's business; libcuda is opened when a GPU is asked for and never before.

mod cache;
mod device;
pub mod env;
mod error;
mod memory;
mod slots;
mod tensor;
pub mod testing;

pub use device::{CudaError, Device, DeviceName};
pub use error::RuntimeError;
pub use tensor::{DynTensor, Tensor, TensorError};
