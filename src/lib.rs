//! Sparse-linear attention: softmax attention over the blocks that matter, linear attention over others, as one operator.
//!
//! [`attention`] is the operator, [`files`] the tensor files it reads and writes, [`cli`] the program `sla`,
//! [`demo`] its main job on a real clip, [`bench`](mod@bench) measures its kernels.
//!
//! ```
//! use sla::{Array, Config, DeviceName, Dtype, Inputs, Request, run};
//!
//! // One batch entry, two heads, 300 tokens, head dimension 64.
//! let wave = |step: f64| (0..2 * 300 * 64).map(|i| (f64::from(i) * step).sin()).collect::<Vec<_>>();
//! let tensor = |step| Array::from_f64(Dtype::Bf16, vec![1, 2, 300, 64], &wave(step));
//! let inputs = Inputs::new(tensor(0.7)?, tensor(1.1)?, tensor(1.9)?);
//!
//! let request = Request::new(Config::default(), inputs, false)?;
//! let (answer, _operator) = run(DeviceName::Auto, &request)?;
//! assert_eq!(answer.out.shape(), [1, 2, 300, 64]);
//! assert_eq!(answer.mask.tally().row_min, 1, "every query block attends to at least one key block");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod attention;
#[cfg(feature = "program")]
pub mod bench;
#[cfg(feature = "program")]
pub mod cli;
#[cfg(feature = "program")]
pub mod demo;
pub mod files;
pub mod kernels;
#[cfg(feature = "program")]
pub mod progress;
pub mod shipped;
#[cfg(feature = "program")]
pub mod tune;
pub mod tuned;

pub use attention::{
    Answer, Array, BlockMask, Blocks, Config, Dtype, FeatureMap, Forced, Inputs, Operator, Request, Scope,
    Share, run,
};
#[cfg(feature = "compile")]
pub use sla_codegen::snapshot;
pub use sla_codegen::{Arch, Options, Stage, Target};
pub use sla_runtime::{Device, DeviceName, DynTensor, Tensor};

/// The example of the README is tested like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
