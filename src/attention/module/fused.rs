//! All gradients by one kernel, where there is no linear branch: five products of blocks instead of the seven of two kernels.
//!
//! The gradient of queries is added to in f32, by blocks of keys in any order. Where the linear branch gives queries a gradient too, that is in
//! the epilogue of the kernel that this replaces, and two kernels make them.

use super::blocks::Tiles;
use super::buffers::Buffers;
use super::run::{float, read, run, write};
use super::{Forward, Sla};
use crate::attention::config::Scope;
use crate::kernels::fused_backward::{clear_sums, scale_sums, sparse_bwd_fused};
use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;
use sla_runtime::{DynTensor, RuntimeError};

/// Rows of a block of queries that a step takes; blocks of keys that repay the additions; features of a row, of which each of two warpgroups adds half.
const STEP: usize = 64;
const KEYS: usize = 128;
const FEATURES: usize = 128;

impl Sla {
    /// Whether one kernel makes all gradients.
    pub(super) fn fuses(&self, elem: Elem, d: usize, tiles: Tiles) -> bool {
        let faster = || self.on_hopper() && elem.is_half() && d == FEATURES && tiles.k == KEYS;
        self.config.scope() == Scope::None && self.fused_gradients.unwrap_or_else(faster)
    }

    /// Gradients of queries, keys and values.
    ///
    /// # Errors
    /// What a launch reports.
    pub(super) fn fused_grads(
        &self,
        buffers: &mut Buffers,
        [q, k, v]: [&DynTensor; 3],
        grad_out: &DynTensor,
        forward: &Forward,
        delta: &DynTensor,
        consts: &[(&'static str, Const)],
    ) -> Result<[DynTensor; 3], RuntimeError> {
        let scale = float(1.0 / (q.shape()[3] as f64).sqrt());
        let columns = forward.saved.mask.transpose(2, 3)?;
        let lists = self.lists_in(buffers, ["column index", "column count"], &columns)?;
        let steps: Vec<_> = consts.iter().copied().filter(|(name, _)| *name != "BQ").collect();
        let steps = [&steps[..], &[("BQ", Const::Int(STEP as i64))]].concat();
        let mut sum_q = buffers.take("sum q", Elem::F32, q.shape())?;
        run(&self.device, &clear_sums, &steps, &[write(&mut sum_q)])?;
        let mut grad_k = buffers.take("grad k", q.elem(), k.shape())?;
        let mut grad_v = buffers.take("grad v", q.elem(), v.shape())?;
        let args = [
            read(q),
            read(k),
            read(v),
            read(grad_out),
            read(&forward.lse),
            read(delta),
            read(&lists.index),
            read(&lists.count),
            write(&mut sum_q),
            write(&mut grad_k),
            write(&mut grad_v),
            scale.clone(),
        ];
        run(&self.device, &sparse_bwd_fused, consts, &args)?;
        drop(args);
        let mut grad_q = buffers.take("grad q", q.elem(), q.shape())?;
        run(&self.device, &scale_sums, &steps, &[read(&sum_q), write(&mut grad_q), scale])?;
        buffers.give("sum q", sum_q);
        buffers.give("column index", lists.index);
        buffers.give("column count", lists.count);
        Ok([grad_q, grad_k, grad_v])
    }
}
