//! Sparse-linear attention: softmax attention over the blocks that matter, linear attention over others, as one operator.
//!
//! [`attention`] is the operator.

pub mod attention;

pub use attention::{
    Answer, Array, BlockMask, Blocks, Config, Device, Dtype, FeatureMap, Forced, Inputs, Operator, Request,
    Scope, Share, run,
};
