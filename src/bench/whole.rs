//! The operator measured as a user calls it: one call from `q`, `k`, `v` (and the gradient of the output) to results.
//!
//! What a call makes is kept until the next one begins, so that it can be looked at. A forward runs in a workspace and keeps nothing for a backward, which
//! has one of its own; what a call of the router allocates is part of the time.

use std::collections::HashMap;

use sla_dsl::ir::Elem;
use sla_runtime::{Device, DynTensor, RuntimeError};

use super::case::{Call, Pass};
use super::shape::Shape;
use crate::attention::module::{Forward, Lists, Operands, Routed, Sla, Weights, Workspace};
use crate::attention::random::Random;

/// Tensors by name.
type Tensors = HashMap<&'static str, DynTensor>;

/// What the last call made.
enum Made {
    Nothing,
    Routed(DynTensor, Box<[Lists; 2]>),
}

/// A call of the operator.
pub struct Whole {
    /// What is called.
    pub call: Call,
    sla: Sla,
    shape: Shape,
    pass: Pass,
    weights: Weights,
    /// For gradients, the forward that they belong to.
    saved: Option<Box<Forward>>,
    made: Made,
    /// The memory of forwards or backwards, and what the last one gave.
    workspace: Workspace,
}

impl Whole {
    /// Prepares a call; the weights of the projection are drawn from a seed.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn new(
        device: &Device,
        shape: Shape,
        call: Call,
        pass: Pass,
        seed: u64,
    ) -> Result<Whole, RuntimeError> {
        let mut random = Random::new(seed);
        let mut weight = |shape: &[usize], deviation| {
            let values = random.normals(shape.iter().product(), deviation);
            let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
            DynTensor::from_f32(device, Elem::F32, shape, &values)
        };
        let weights = Weights {
            projection: Some(weight(&[shape.dim; 2], (shape.dim as f64).sqrt().recip())?),
            bias: Some(weight(&[shape.dim], 1.0)?),
            phi: None,
        };
        let sla = Sla::new(device, call.config());
        let (made, workspace) = (Made::Nothing, Workspace::new(device));
        Ok(Whole { call, sla, shape, pass, weights, saved: None, made, workspace })
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        self.sla.device()
    }

    /// Tokens.
    pub fn length(&self) -> usize {
        self.shape.length
    }

    /// Critical blocks of a row.
    pub fn critical(&self) -> usize {
        let config = self.sla.config();
        config.counts(self.shape.length.div_ceil(config.blocks().k())).critical
    }

    /// The head dimension.
    pub fn dim(&self) -> usize {
        self.shape.dim
    }

    /// Runs the forward that the gradients start from.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn forward(&mut self, tensors: &Tensors) -> Result<(), RuntimeError> {
        self.saved = Some(self.attend(tensors)?);
        Ok(())
    }

    fn attend(&self, tensors: &Tensors) -> Result<Box<Forward>, RuntimeError> {
        let [q, k, v] = ["q", "k", "v"].map(|name| &tensors[name]);
        self.sla.forward(q, k, v, &self.weights, None).map(Box::new)
    }

    /// The call that is measured.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn call(&mut self, tensors: &Tensors) -> Result<(), RuntimeError> {
        self.made = Made::Nothing;
        let [q, k, v] = ["q", "k", "v"].map(|name| &tensors[name]);
        self.made = match (self.call, &self.saved) {
            (Call::Router, _) => {
                let Routed { mask, lists } = self.sla.route(q, k)?;
                let columns = self.sla.lists(&mask.transpose(2, 3)?)?;
                Made::Routed(mask, Box::new([lists, columns]))
            }
            (_, Some(saved)) if self.pass == Pass::Bwd => {
                self.sla.backward_in(&mut self.workspace, q, k, v, saved, &tensors["grad"])?;
                Made::Nothing
            }
            _ => {
                let operands = Operands { q, k, v, weights: &self.weights, mask: None };
                self.sla.infer_in(&mut self.workspace, operands)?;
                Made::Nothing
            }
        };
        Ok(())
    }

    /// Bytes that a forward and a backward take at most beyond their inputs and what they give (the output and all gradients), on a GPU. What earlier
    /// calls made must have been forgotten.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn extra_bytes(&self, tensors: &Tensors) -> Result<Option<u64>, RuntimeError> {
        let device = self.device();
        let Some(before) = device.memory() else { return Ok(None) };
        device.reset_peak();
        let [q, k, v, grad] = ["q", "k", "v", "grad"].map(|name| &tensors[name]);
        let forward = self.attend(tensors)?;
        let grads = self.sla.backward(q, k, v, &forward, grad)?;
        let given = [&forward.out, &grads.q, &grads.k, &grads.v, &grads.projection, &grads.bias];
        let given: usize = given.iter().map(|t| t.count() * t.elem().bytes()).sum();
        let peak = device.memory().map_or(before.now, |memory| memory.peak);
        Ok(Some((peak - before.now).saturating_sub(given as u64)))
    }

    /// Forgets what the last call made, and the forward that gradients start from.
    pub fn forget(&mut self) {
        self.saved = None;
        self.clear();
    }

    /// Forgets what the last call made.
    pub fn clear(&mut self) {
        self.made = Made::Nothing;
        self.workspace = Workspace::new(self.sla.device());
    }

    /// The names of what a call makes.
    pub fn outputs(&self) -> &'static [&'static str] {
        match (self.call, self.pass) {
            (Call::Router, _) => &["row_count", "column_count"],
            (_, Pass::Fwd) => &["out", "lse"],
            (_, Pass::Bwd) => &["grad_q", "grad_k", "grad_v", "grad_projection", "grad_bias"],
        }
    }

    /// An output by name, once there is one.
    pub fn output(&self, name: &str) -> Option<&DynTensor> {
        match (&self.made, name) {
            (Made::Routed(mask, _), "mask") => Some(mask),
            (Made::Routed(_, lists), "row_count") => Some(&lists[0].count),
            (Made::Routed(_, lists), "row_index") => Some(&lists[0].index),
            (Made::Routed(_, lists), "column_count") => Some(&lists[1].count),
            (Made::Routed(_, lists), "column_index") => Some(&lists[1].index),
            (_, "out") => self.workspace.inferred().map(|i| &i.out),
            (_, "lse") => self.workspace.inferred().map(|i| &i.lse),
            (_, "grad_q") => self.workspace.grads().map(|g| &g.q),
            (_, "grad_k") => self.workspace.grads().map(|g| &g.k),
            (_, "grad_v") => self.workspace.grads().map(|g| &g.v),
            (_, "grad_projection") => self.workspace.grads().map(|g| &g.projection),
            (_, "grad_bias") => self.workspace.grads().map(|g| &g.bias),
            _ => None,
        }
    }

    /// Pairs of a query and a key of critical blocks, in all heads; the last block of keys counts as a whole one. Nothing for the router.
    pub fn pairs(&self) -> u64 {
        let (blocks, s) = (self.sla.config().blocks(), self.shape);
        let keys = (self.critical() * blocks.k()).min(s.length);
        if self.call == Call::Router { 0 } else { (s.batch * s.heads * s.length * keys) as u64 }
    }
}
