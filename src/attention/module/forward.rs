//! The forward pass.

use super::blocks::{Keys, Routed, Tiles};
use super::buffers::Buffers;
use super::linear::LinearState;
use super::run::{elem, float, read, run, size, switch, write};
use super::shapes::{rank_4, same};
use super::{Lists, Sla, Weights, Workspace};
use crate::attention::config::{FeatureMap, Scope};
use crate::kernels::sla_forward;
use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;
use sla_runtime::{DynTensor, RuntimeError};

/// What the operator is called with.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// `[B, H, Lq, D]`.
    pub q: &'a DynTensor,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub k: &'a DynTensor,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub v: &'a DynTensor,
    /// The learned parameters.
    pub weights: &'a Weights,
    /// `[B, H, M, N]` i8, in place of the router's.
    pub mask: Option<&'a DynTensor>,
}

/// What the forward gives.
#[derive(Clone, Debug)]
pub struct Forward {
    /// `[B, H, Lq, D]`, of the type of `q`.
    pub out: DynTensor,
    /// `[B, H, Lq]` f32: base-2 log-sum-exp over the critical blocks; `-inf` in rows without one.
    pub lse: DynTensor,
    /// `[B, H, M, N]` i8: the mask that was used.
    pub mask: DynTensor,
    /// What the backward needs.
    pub saved: Saved,
}

/// What the forward gives where no backward follows.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// `[B, H, Lq, D]`, of the type of `q`.
    pub out: DynTensor,
    /// `[B, H, Lq]` f32: base-2 log-sum-exp over the critical blocks; `-inf` in rows without one.
    pub lse: DynTensor,
    /// `[B, H, M, N]` i8: the mask that was used.
    pub mask: DynTensor,
}

/// What the backward needs of the forward.
#[derive(Clone, Debug)]
pub struct Saved {
    pub(super) sparse_out: DynTensor,
    /// The mask over the tiles that the kernels of attention work on.
    pub(super) mask: DynTensor,
    pub(super) tiles: Tiles,
    /// The mask over the blocks that have a state each.
    pub(super) state_mask: DynTensor,
    pub(super) state_blocks: Tiles,
    pub(super) lists: Lists,
    pub(super) linear: LinearState,
    pub(super) weights: Weights,
}

impl Sla {
    /// Attention of `q` `[B, H, Lq, D]` over `k`, `v` `[B, H, Lk, D]` (any strides, one element type); routes unless a `mask` is given. Keeps what
    /// [`backward`](Sla::backward) needs; where none follows, [`infer`](Sla::infer) writes half as much.
    ///
    /// # Errors
    /// What a launch reports: shapes or types that do not fit, or a device that fails.
    pub fn forward(
        &self,
        q: &DynTensor,
        k: &DynTensor,
        v: &DynTensor,
        weights: &Weights,
        mask: Option<&DynTensor>,
    ) -> Result<Forward, RuntimeError> {
        self.attend(&mut Buffers::once(&self.device), Operands { q, k, v, weights, mask }, true)
    }

    /// The same without what a backward needs.
    ///
    /// # Errors
    /// As [`Sla::forward`].
    pub fn infer(
        &self,
        q: &DynTensor,
        k: &DynTensor,
        v: &DynTensor,
        weights: &Weights,
        mask: Option<&DynTensor>,
    ) -> Result<Inferred, RuntimeError> {
        let buffers = &mut Buffers::once(&self.device);
        let Forward { out, lse, mask, .. } =
            self.attend(buffers, Operands { q, k, v, weights, mask }, false)?;
        Ok(Inferred { out, lse, mask })
    }

    /// [`Sla::forward`] in memory of `workspace`: a call that repeats the shapes of the one before allocates nothing, copies nothing from the host
    /// and waits for nothing. What it returns stays until the next call, which leaves alone the memory of tensors that were cloned from it.
    ///
    /// # Errors
    /// As [`Sla::forward`]; the workspace then has no result.
    pub fn forward_in<'w>(
        &self,
        workspace: &'w mut Workspace,
        operands: Operands<'_>,
    ) -> Result<&'w Forward, RuntimeError> {
        let forward = self.attend(workspace.open(self), operands, true)?;
        Ok(workspace.keep(forward))
    }

    /// [`Sla::infer`] in memory of `workspace`, as [`Sla::forward_in`].
    ///
    /// # Errors
    /// As [`Sla::forward`]; the workspace then has no result.
    pub fn infer_in<'w>(
        &self,
        workspace: &'w mut Workspace,
        operands: Operands<'_>,
    ) -> Result<&'w Inferred, RuntimeError> {
        let forward = self.attend(workspace.open(self), operands, false)?;
        Ok(workspace.keep_inferred(forward))
    }

    /// The forward. Unless it is to `save` for the backward, what it keeps is of no use to that.
    fn attend(
        &self,
        buffers: &mut Buffers,
        operands: Operands<'_>,
        save: bool,
    ) -> Result<Forward, RuntimeError> {
        let Operands { q, k, v, weights, mask } = operands;
        let shape = q.shape();
        rank_4(&[("q", q), ("k", k), ("v", v)])?;
        let (b, h, d, p) = (shape[0], shape[1], shape[3], self.parts());
        let keys_len = k.shape()[2];
        let s = self.folded_elem(q.elem(), keys_len);
        // Made once for every kernel of this pass and of the backward.
        let w = self.phi_weight(buffers, h, d, weights)?;
        let weights = Weights { phi: Some(w.clone()), ..weights.clone() };
        let (blocks, state_blocks) = (self.config.blocks(), self.state_blocks(q.elem(), d, keys_len));
        let has_linear = self.config.scope() != Scope::None;
        let keys = match has_linear {
            true => Some(self.key_states(buffers, k, v, state_blocks.k, &weights)?),
            false => None,
        };
        let tiles = self.tiles(q.elem(), d, keys_len);
        // The router's lists are those of its blocks.
        let own = tiles == Tiles { q: blocks.q(), k: blocks.k() };
        let names = if own { ["index", "count"] } else { ["block index", "block count"] };
        let (mask, routed) = match (mask, &keys) {
            (Some(mask), _) => {
                let (m, n) = (shape[2].div_ceil(blocks.q()), k.shape()[2].div_ceil(blocks.k()));
                same("the mask", mask, Elem::I8, &[b, h, m, n])?;
                (mask.clone(), None)
            }
            (None, keys) => {
                let keys = match keys {
                    Some(keys) if p == 1 && state_blocks.k == blocks.k() => Keys::Means(&keys.pooled),
                    _ => Keys::Tokens(k),
                };
                let Routed { mask, lists } = self.route_in(buffers, names, q, keys)?;
                (mask, Some(lists))
            }
        };
        let fine = self.refine(buffers, "fine mask", &mask, tiles, q.shape()[2], k.shape()[2])?;
        let state_mask = if tiles == state_blocks {
            fine.clone()
        } else {
            self.refine(buffers, "state mask", &mask, state_blocks, q.shape()[2], k.shape()[2])?
        };
        let lists = match routed {
            Some(lists) if own => lists,
            routed => {
                if let Some(Lists { index, count }) = routed {
                    buffers.give(names[0], index);
                    buffers.give(names[1], count);
                }
                self.lists_in(buffers, ["index", "count"], &fine)?
            }
        };
        let linear = match keys {
            Some(keys) => self.linear_state(buffers, keys, &state_mask, &weights, s, save)?,
            None => LinearState {
                state: buffers.zeros("state", Elem::F32, &[b, h, 1, p, d, d])?,
                folded: buffers.zeros("folded", s, &[b, h, 1, p * d, d])?,
                sums: buffers.zeros("sums", Elem::F32, &[b, h, 1, p, d])?,
            },
        };
        let bias = match &weights.bias {
            Some(bias) => bias.clone(),
            None => buffers.zeros("bias", Elem::F32, &[d])?,
        };
        let mut out = buffers.take("out", q.elem(), shape)?;
        let rows = if save { shape[2] } else { 1 };
        let mut sparse_out = buffers.take("sparse out", q.elem(), &[b, h, rows, d])?;
        let mut lse = buffers.take("lse", Elem::F32, &shape[..3])?;
        let args = [
            read(q),
            read(k),
            read(v),
            read(&lists.index),
            read(&lists.count),
            read(&w),
            read(&linear.folded),
            read(&linear.sums),
            read(&bias),
            write(&mut out),
            write(&mut sparse_out),
            write(&mut lse),
            float(1.0 / (d as f64).sqrt()),
            float(self.config.eps()),
        ];
        let mut consts = self.kernel_consts(q.elem(), linear.folded.elem(), d, tiles, state_blocks);
        consts.push(switch("SAVE", save));
        run(&self.device, &sla_forward::sla_fwd, &consts, &args)?;
        drop(args);
        let saved = Saved { sparse_out, mask: fine, tiles, state_mask, state_blocks, lists, linear, weights };
        Ok(Forward { out, lse, mask, saved })
    }

    /// Constants of the fused kernels.
    pub(super) fn kernel_consts(
        &self,
        t: Elem,
        s: Elem,
        d: usize,
        tiles: Tiles,
        states: Tiles,
    ) -> Vec<(&'static str, Const)> {
        let mut consts = self.linear_consts(t, d);
        let linear = self.config.scope() != Scope::None;
        consts.extend([
            elem("S", s),
            size("BQ", tiles.q),
            size("SUB", 64),
            size("BK", tiles.k),
            size("RQ", states.q / tiles.q),
            size("RK", states.k / tiles.k),
            switch("LINEAR", linear),
            // What gradients of states in halves are made from.
            switch("SHIFTED", linear && s != Elem::F32 && self.config.phi() == FeatureMap::Softmax),
        ]);
        consts
    }
}
