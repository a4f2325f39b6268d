//! Devices, tensors and launches for compiled tile kernels: where a kernel runs.
//!
//! * [`Device`] runs kernels: the host's cores, an NVIDIA GPU, or the interpreter. All state belongs to a device handle.
//! * [`Tensor`] and [`DynTensor`] own memory of a device, with element types known to Rust or not.
//! * [`env`](mod@env) is the only place that reads the environment.
//!
//! ```
//! use sla_dsl::prelude::*;
//! use sla_runtime::{Device, Tensor};
//!
//! /// `y = 2 x`
//! #[kernel(dims(L), grid(p in L.div_ceil(N)))]
//! fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
//!     y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
//! }
//!
//! # fn main() -> Result<(), sla_runtime::RuntimeError> {
//! let device = Device::interp();
//! let x = Tensor::from_vec(&device, &[3], [1.0f32, 2.0, 3.0])?;
//! let mut y = Tensor::<f32>::zeros(&device, &[3])?;
//! double::<2>::launch(&device, &x, &mut y)?;
//! assert_eq!(y.to_vec()?, [2.0, 4.0, 6.0]);
//! # Ok(())
//! # }
//! ```
//!
//! * [`bundle`] is compiled kernels in a file, for programs without a compiler: that is this crate without its feature `compile`, which is on by default.
//!
//! What is compiled, and how, is the code generator's business; libcuda is opened when a GPU is asked for and never before.

pub mod bundle;
mod cache;
mod compiler;
mod device;
mod disk;
mod dump;
pub mod env;
mod error;
mod memory;
mod slots;
mod tensor;
pub mod testing;

pub use device::{
    CudaError, Device, DeviceName, Graph, MapRefusal, Mark, MemoryUse, Resources, Scrubber, Stream,
};
pub use disk::{DiskCache, Kept};
pub use dump::Dumps;
pub use error::RuntimeError;
pub use tensor::{DynTensor, Tensor, TensorError};
