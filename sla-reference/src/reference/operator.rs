//! The float64 reference behind the signature of a back end: inputs widened exactly, outputs rounded once.

use std::time::{Duration, Instant};

use super::super::tensors::{Array, ArrayError, Dtype};
use super::super::{Answer, Gradients, Operator, OperatorError, Request};
use super::{Exact, backward, forward, route};

/// The float64 reference as an [`Operator`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Operator for Reference {
    fn name(&self) -> String {
        "reference (float64)".into()
    }

    fn run(&self, request: &Request) -> Result<Answer, OperatorError> {
        let failed = |source| OperatorError::Failed { operator: self.name(), source };
        let (config, dims, inputs) = (request.config(), request.dims(), request.inputs());
        let exact = Exact::of(request);
        let problem = exact.problem();

        let start = Instant::now();
        let mask = match request.mask() {
            Some(mask) => mask.clone(),
            None => route(problem.q, problem.k, dims, config).map_err(|error| failed(error.into()))?,
        };
        let result = forward(&problem, config, &mask);
        let forward_time = start.elapsed();

        let array =
            |like: &Array, values: &[f64]| Array::from_f64(like.dtype(), like.shape().to_vec(), values);
        let single = |shape: &[usize], values: &[f64]| Array::from_f64(Dtype::F32, shape.to_vec(), values);
        let (d, mut backward_time) = (dims.head_dim, Duration::ZERO);
        let mut gradients = None;
        if let Some(grad_out) = exact.grad_out().filter(|_| request.backward()) {
            let start = Instant::now();
            let grads = backward(&problem, config, &mask, &result, grad_out);
            backward_time = start.elapsed();
            let round = || -> Result<Gradients, ArrayError> {
                Ok(Gradients {
                    q: array(&inputs.q, &grads.q)?,
                    k: array(&inputs.k, &grads.k)?,
                    v: array(&inputs.v, &grads.v)?,
                    proj_weight: single(&[d, d], &grads.proj_weight)?,
                    proj_bias: single(&[d], &grads.proj_bias)?,
                })
            };
            gradients = Some(round().map_err(|error| failed(error.into()))?);
        }
        let out = array(&inputs.q, &result.out).map_err(|error| failed(error.into()))?;
        let lse = single(&[dims.batch, dims.heads, dims.queries], &result.lse)
            .map_err(|error| failed(error.into()))?;
        Ok(Answer { out, lse, mask, gradients, forward_time, backward_time })
    }
}
