//! The signature that every back end of the operator has, and what it answers.

use std::time::Duration;

use thiserror::Error;

use super::mask::BlockMask;
use super::request::Request;
use super::tensors::Array;

/// A back end: the float64 reference, the interpreter, compiled host code, a GPU.
pub trait Operator {
    /// What computes, for reports.
    fn name(&self) -> String;

    /// Routes unless the request has a mask, attends, and differentiates if asked to.
    ///
    /// # Errors
    /// [`OperatorError`] when the back end cannot do what is asked.
    fn run(&self, request: &Request) -> Result<Answer, OperatorError>;
}

/// What the operator gives for a [`Request`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// `[B, H, Lq, D]`, of the type of `q`.
    pub out: Array,
    /// `[B, H, Lq]` in f32: base-2 log-sum-exp of the scaled scores `S log2 e` over the critical blocks, minus infinity in
    /// a row that has none.
    pub lse: Array,
    /// The mask that was used: the user's as it was given, or the router's.
    pub mask: BlockMask,
    /// Present when they were asked for.
    pub gradients: Option<Gradients>,
    /// Time of routing and the forward pass, without reading or checking the inputs.
    pub forward_time: Duration,
    /// Time of the backward pass; zero when it was not asked for.
    pub backward_time: Duration,
}

/// Gradients of the sum of `out * grad_out`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `[B, H, Lq, D]`, of the type of `q`.
    pub q: Array,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub k: Array,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub v: Array,
    /// `[D, D]` in f32, summed over batch and heads; also without a `proj_weight`, which then is zero.
    pub proj_weight: Array,
    /// `[D]` in f32, summed over batch and heads.
    pub proj_bias: Array,
}

/// A back end that cannot do what it was asked.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// There is no such device.
    #[error("device is `{found}`, needed one that is here: {reason}")]
    NoDevice {
        /// The device asked for.
        found: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The back end failed.
    #[error("{operator}: {source}")]
    Failed {
        /// Its name.
        operator: String,
        /// Its reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
