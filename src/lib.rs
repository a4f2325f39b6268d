//! Sparse-linear attention: softmax attention over the blocks that matter, linear attention over others, as one operator.
//!
//! [`attention`] is the operator, [`files`] the tensor files it reads and writes, [`cli`] the program `sla`.

pub mod attention;
pub mod cli;
pub mod files;

pub use attention::{
    Answer, Array, BlockMask, Blocks, Config, Device, Dtype, FeatureMap, Forced, Inputs, Operator, Request,
    Scope, Share, run,
};
