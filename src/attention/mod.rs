//! The operator on devices: what [`sla_reference`] specifies, by the kernels.
//!
//! A [`Config`] says what is computed, [`Inputs`] hold the tensors, a [`Request`] is the two together once they are known to
//! fit. [`run`] gives the request to the [`Operator`] of a [device](sla_runtime::DeviceName) and returns its [`Answer`]. The float64
//! [`reference`] is one such operator, and the measure of the others.
//!
//! Two branches make the output: softmax attention over the critical blocks, and linear attention over the blocks that the
//! [`Scope`] names, the latter through a learnable projection: `O = O^s + O^l W^T + b`.

pub mod module;
pub mod run;

pub use run::run;
pub use sla_reference::{
    Answer, Array, BlockLists, BlockMask, Blocks, Config, ConfigError, Counts, Data, Dims, Dtype, FeatureMap,
    Forced, Gradients, Grid, InputError, Inputs, ListError, MaskError, Operator, OperatorError, Request,
    Scope, Share, Tally,
};
pub use sla_reference::{
    cases, compare, config, dims, forced, inputs, lists, mask, operator, random, reference, request, tensors,
};
