//! A request's tensors in float64. Every input type widens exactly.

use super::super::{Array, Dims, Request};
use super::Problem;

/// The inputs of a [`Request`] in float64.
#[derive(Clone, Debug)]
pub struct Exact {
    dims: Dims,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    proj_weight: Option<Vec<f64>>,
    proj_bias: Option<Vec<f64>>,
    phi_weight: Option<Vec<f64>>,
    grad_out: Option<Vec<f64>>,
}

impl Exact {
    /// Widens the inputs of `request`.
    pub fn of(request: &Request) -> Self {
        let inputs = request.inputs();
        let widen = |array: &Option<Array>| array.as_ref().map(Array::to_f64);
        Exact {
            dims: request.dims(),
            q: inputs.q.to_f64(),
            k: inputs.k.to_f64(),
            v: inputs.v.to_f64(),
            proj_weight: widen(&inputs.proj_weight),
            proj_bias: widen(&inputs.proj_bias),
            phi_weight: widen(&inputs.phi_weight),
            grad_out: widen(&inputs.grad_out),
        }
    }

    /// The inputs of the forward pass.
    pub fn problem(&self) -> Problem<'_> {
        Problem {
            dims: self.dims,
            q: &self.q,
            k: &self.k,
            v: &self.v,
            proj_weight: self.proj_weight.as_deref(),
            proj_bias: self.proj_bias.as_deref(),
            phi_weight: self.phi_weight.as_deref(),
        }
    }

    /// The gradient of the output, `[B, H, Lq, D]`.
    pub fn grad_out(&self) -> Option<&[f64]> {
        self.grad_out.as_deref()
    }
}
