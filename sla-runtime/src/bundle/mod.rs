//! Compiled kernels in one file: for programs that run kernels without a compiler, and for measurements on machines that have none.
//!
//! * [`Plan`] notes what a program would launch on a GPU, and compiles that.
//! * [`BundleWriter`] and [`Bundle`] are the file: a manifest, and one packed [`Entry`] for each kernel, all under checksums.
//! * [`BundleKey`] names a kernel by what it is and for which options it was compiled; the version of the compiler has no part in it.
//! * [`Device::with_bundle`](crate::Device::with_bundle) makes a GPU look there before anything is compiled.
//!
//! Nothing here searches for files, and nothing is kept between processes: that is [`crate::DiskCache`]'s.
//!
//! ## The kernels of a crate of one's own
//!
//! A program of the crate, which has the compiler, plans what the others launch, for tensors of the shapes that matter:
//!
//! ```no_run
//! # #[cfg(feature = "compile")] {
//! # use sla_dsl::prelude::*;
//! # #[kernel(dims(L), grid(p in L.div_ceil(N)))]
//! # fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
//! #     y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
//! # }
//! use sla_codegen::Arch;
//! use sla_runtime::bundle::Plan;
//! use sla_runtime::{Tensor, env};
//!
//! let plan = Plan::new(Arch::Sm90a);
//! let device = plan.device();
//! let x = Tensor::<f32>::zeros(&device, &[1000])?;
//! let mut y = Tensor::<f32>::zeros(&device, &[1000])?;
//! double::<128>::launch(&device, &x, &mut y)?; // noted, not run
//! plan.compile(&env::tools(), "kernels of mine", &|_, _| {})?.write("kernels.slab")?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The others have `default-features = false` in their `Cargo.toml`, and with it no LLVM:
//!
//! ```ignore
//! static KERNELS: &[u8] = include_bytes!("../kernels.slab");
//! let device = Device::cuda(0)?.with_bundle(Bundle::open(KERNELS)?.into());
//! ```

mod error;
mod file;
mod find;
mod key;
mod plan;

pub use crate::disk::Entry;
pub use error::BundleError;
pub use file::{Bundle, BundleWriter, Row};
pub(crate) use find::{Found, Wanted, find};
pub use key::BundleKey;
pub use plan::Plan;
pub(crate) use plan::PlanDevice;

#[cfg(test)]
mod tests;
