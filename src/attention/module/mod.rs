//! The operator on a device: the kernels of [`crate::kernels`] in the order that the formulas ask for.
//!
//! [`Sla`] holds a device and a configuration. [`Sla::forward`] routes (unless a mask is given), builds lists and the linear state, and runs the fused
//! kernel; [`Sla::backward`] takes what the forward saved, and [`Sla::infer`] is the forward where no backward follows. A [`Workspace`] keeps the memory
//! of calls that repeat. Tensors are the device's own; nothing here copies to the host.
//! It does not check values: [`Inputs::check`](super::Inputs::check) does, and launches check shapes and types.

mod backward;
mod blocks;
mod buffers;
mod forward;
mod fused;
mod linear;
mod operator;
mod run;
mod shapes;
mod state_grads;
mod workspace;

pub use backward::Grads;
pub use blocks::{Lists, Routed};
pub use forward::{Forward, Inferred, Operands, Saved};
pub use operator::Compiled;
pub use workspace::Workspace;

use super::config::{Config, FeatureMap};
use crate::kernels::feature_map;
use crate::shipped;
use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;
use sla_runtime::{Device, DynTensor};

/// The operator for one device and configuration.
#[derive(Clone, Debug)]
pub struct Sla {
    device: Device,
    config: Config,
    half_states: Option<bool>,
    fused_gradients: Option<bool>,
}

/// The learned parameters, in f32 on the device. Absent ones are zero (identity for `phi`).
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// `[D, D]`: `W` of the projection `x Wᵀ + b`.
    pub projection: Option<DynTensor>,
    /// `[D]`: `b` of the projection.
    pub bias: Option<DynTensor>,
    /// `[H, D, D]`: the projection inside hedgehog features.
    pub phi: Option<DynTensor>,
}

impl Sla {
    /// The operator for `config` on `device`.
    pub fn new(device: &Device, config: Config) -> Sla {
        let device = shipped::equipped(device);
        Sla { device, config, half_states: None, fused_gradients: None }
    }

    /// Whether the linear branch multiplies bf16 inputs by states rounded to bf16 rather than in f32. Without this it does on Hopper, whose fused kernels are
    /// then faster; elsewhere nothing is gained. Features of two parts stay in f32, and so does a
    /// problem of fewer than 64 keys, whose gradients all but cancel.
    pub fn with_half_states(self, yes: bool) -> Sla {
        Sla { half_states: Some(yes), ..self }
    }

    /// Whether one kernel makes all gradients where there is no linear branch, and adds those of queries in any order. These are then not the same bits every time
    /// on a GPU; `false` keeps them so, by two kernels that compute seven products of blocks instead of five. Without this it does on Hopper for halves with 128
    /// features and blocks of 128 keys, where it is faster.
    pub fn with_fused_gradients(self, yes: bool) -> Sla {
        Sla { fused_gradients: Some(yes), ..self }
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What it computes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Constants that every kernel with a linear branch takes.
    fn linear_consts(&self, elem: Elem, d: usize) -> Vec<(&'static str, Const)> {
        let (phi, parts) = match self.config.phi() {
            FeatureMap::Softmax => (feature_map::SOFTMAX, 1),
            FeatureMap::Elu => (feature_map::ELU, 1),
            FeatureMap::Relu => (feature_map::RELU, 1),
            FeatureMap::Hedgehog => (feature_map::HEDGEHOG, 2),
        };
        vec![
            ("T", Const::Elem(elem)),
            ("D", Const::Int(d as i64)),
            ("PHI", Const::Int(phi)),
            ("P", Const::Int(parts)),
        ]
    }

    fn parts(&self) -> usize {
        if self.config.phi() == FeatureMap::Hedgehog { 2 } else { 1 }
    }
}
