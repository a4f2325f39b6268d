//! The operator: sparse-linear attention as configuration, block masks, lists, checked inputs, and the back ends behind
//! one signature.
//!
//! A [`Config`] says what is computed, [`Inputs`] hold the tensors, a [`Request`] is the two together once they are known to
//! fit. [`run`] gives the request to the [`Operator`] of a [device](sla_runtime::DeviceName) and returns its [`Answer`]. The float64
//! [`reference`] is one such operator, and the measure of the others.
//!
//! Two branches make the output: softmax attention over the critical blocks, and linear attention over the blocks that the
//! [`Scope`] names, the latter through a learnable projection: `O = O^s + O^l W^T + b`.

pub mod cases;
pub mod compare;
pub mod config;
pub mod dims;
pub mod forced;
pub mod inputs;
pub mod lists;
pub mod mask;
pub mod module;
pub mod operator;
pub mod random;
pub mod reference;
pub mod request;
pub mod run;
pub mod tensors;

pub use config::{Blocks, Config, ConfigError, Counts, FeatureMap, Scope, Share};
pub use dims::{Dims, Grid};
pub use forced::Forced;
pub use inputs::{InputError, Inputs};
pub use lists::{BlockLists, ListError};
pub use mask::{BlockMask, MaskError, Tally};
pub use operator::{Answer, Gradients, Operator, OperatorError};
pub use request::Request;
pub use run::run;
pub use tensors::{Array, Data, Dtype};
