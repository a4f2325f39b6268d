//! The operator as a specification: configuration, block masks, lists, checked inputs, and the float64 [`reference`] that every back end is measured with.
//!
//! A [`Config`] says what is computed, [`Inputs`] hold the tensors, a [`Request`] is the two together once they are known to fit. Whatever computes it is
//! an [`Operator`], and returns an [`Answer`]. Kernels, devices and files are not here: this crate knows no other crate of the house.
//!
//! ```
//! use sla_reference::reference::Reference;
//! use sla_reference::{Config, Operator, cases};
//!
//! let problem = cases::case(7)?;
//! let answer = Reference.run(&problem)?;
//! assert_eq!(answer.out.shape(), problem.inputs().q.shape());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cases;
pub mod compare;
pub mod config;
pub mod dims;
pub mod forced;
pub mod inputs;
pub mod lists;
pub mod mask;
pub mod operator;
pub mod random;
pub mod reference;
pub mod request;
pub mod tensors;

pub use config::{Blocks, Config, ConfigError, Counts, FeatureMap, Scope, Share};
pub use dims::{Dims, Grid};
pub use forced::Forced;
pub use inputs::{InputError, Inputs};
pub use lists::{BlockLists, ListError};
pub use mask::{BlockMask, MaskError, Tally};
pub use operator::{Answer, Gradients, Operator, OperatorError};
pub use request::Request;
pub use tensors::{Array, Data, Dtype};
