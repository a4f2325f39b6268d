//! The kernels behind the signature of a back end: host arrays in, host arrays out.

use super::{Sla, Weights};
use crate::attention::mask::BlockMask;
use crate::attention::operator::{Answer, Gradients, Operator, OperatorError};
use crate::attention::request::Request;
use crate::attention::tensors::{Array, Dtype};
use sla_dsl::ir::Elem;
use sla_runtime::{Device, DynTensor, RuntimeError};
use std::time::{Duration, Instant};

/// The operator on a device, compiled or interpreted.
#[derive(Clone, Debug)]
pub struct Compiled {
    device: Device,
    half_states: Option<bool>,
    fused_gradients: Option<bool>,
}

impl Compiled {
    /// The operator on `device`.
    pub fn new(device: Device) -> Compiled {
        Compiled { device, half_states: None, fused_gradients: None }
    }

    /// The same with states in halves or not: [`Sla::with_half_states`].
    pub fn with_half_states(self, yes: bool) -> Compiled {
        Compiled { half_states: Some(yes), ..self }
    }

    /// The same with one kernel for all gradients or not: [`Sla::with_fused_gradients`].
    pub fn with_fused_gradients(self, yes: bool) -> Compiled {
        Compiled { fused_gradients: Some(yes), ..self }
    }

    fn upload(&self, array: &Array) -> Result<DynTensor, RuntimeError> {
        DynTensor::from_bytes(&self.device, elem(array.dtype()), array.shape(), &array.to_le_bytes())
    }

    /// As f32, whatever it is given in.
    fn upload_f32(&self, array: &Option<Array>) -> Result<Option<DynTensor>, RuntimeError> {
        let Some(array) = array else { return Ok(None) };
        let values: Vec<f32> = array.to_f64().iter().map(|&x| x as f32).collect();
        sla_runtime::Tensor::<f32>::from_vec(&self.device, array.shape(), values).map(|t| Some(t.into()))
    }

    fn attend(&self, request: &Request) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let inputs = request.inputs();
        let mut sla = Sla::new(&self.device, request.config().clone());
        if let Some(yes) = self.half_states {
            sla = sla.with_half_states(yes);
        }
        if let Some(yes) = self.fused_gradients {
            sla = sla.with_fused_gradients(yes);
        }
        let (q, k, v) = (self.upload(&inputs.q)?, self.upload(&inputs.k)?, self.upload(&inputs.v)?);
        let weights = Weights {
            projection: self.upload_f32(&inputs.proj_weight)?,
            bias: self.upload_f32(&inputs.proj_bias)?,
            phi: self.upload_f32(&inputs.phi_weight)?,
        };
        let mask = inputs.mask.as_ref().map(|m| self.upload(m)).transpose()?;

        let grad_out = inputs.grad_out.as_ref().filter(|_| request.backward());
        let start = Instant::now();
        let Some(grad_out) = grad_out else {
            let inferred = sla.infer(&q, &k, &v, &weights, mask.as_ref())?;
            self.device.synchronize()?;
            let forward_time = start.elapsed();
            let classes = inferred.mask.to_bytes()?.into_iter().map(|b| b as i8).collect();
            return Ok(Answer {
                out: download(&inferred.out)?,
                lse: download(&inferred.lse)?,
                mask: BlockMask::new(request.grid(), classes)?,
                gradients: None,
                forward_time,
                backward_time: Duration::ZERO,
            });
        };
        let forward = sla.forward(&q, &k, &v, &weights, mask.as_ref())?;
        self.device.synchronize()?;
        let forward_time = start.elapsed();

        let grad_out = self.upload(grad_out)?;
        let start = Instant::now();
        let grads = sla.backward(&q, &k, &v, &forward, &grad_out)?;
        self.device.synchronize()?;
        let backward_time = start.elapsed();
        let classes = forward.mask.to_bytes()?.into_iter().map(|b| b as i8).collect();
        Ok(Answer {
            out: download(&forward.out)?,
            lse: download(&forward.lse)?,
            mask: BlockMask::new(request.grid(), classes)?,
            gradients: Some(Gradients {
                q: download(&grads.q)?,
                k: download(&grads.k)?,
                v: download(&grads.v)?,
                proj_weight: download(&grads.projection)?,
                proj_bias: download(&grads.bias)?,
            }),
            forward_time,
            backward_time,
        })
    }
}

impl Operator for Compiled {
    fn name(&self) -> String {
        self.device.to_string()
    }

    fn run(&self, request: &Request) -> Result<Answer, OperatorError> {
        self.attend(request).map_err(|source| OperatorError::Failed { operator: self.name(), source })
    }
}

fn elem(dtype: Dtype) -> Elem {
    match dtype {
        Dtype::Bf16 => Elem::BF16,
        Dtype::F16 => Elem::F16,
        Dtype::F32 => Elem::F32,
        Dtype::I8 => Elem::I8,
    }
}

fn download(tensor: &DynTensor) -> Result<Array, Box<dyn std::error::Error + Send + Sync>> {
    let dtype = match tensor.elem() {
        Elem::BF16 => Dtype::Bf16,
        Elem::F16 => Dtype::F16,
        Elem::I8 => Dtype::I8,
        _ => Dtype::F32,
    };
    Ok(Array::from_le_bytes(dtype, tensor.shape().to_vec(), &tensor.to_bytes()?)?)
}
