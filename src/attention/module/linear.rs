//! The linear branch's states: per block, summed for each row or for all, with the projection folded in.

use super::blocks::{FEW_KEYS, rows};
use super::buffers::Buffers;
use super::run::{elem, read, run, run_with, size, switch, write};
use super::{Sla, Weights};
use crate::attention::config::Scope;
use crate::kernels::{linear_state, mask_product, projection, totals};
use sla_codegen::Options;
use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};

/// What the linear branch of the forward and backward kernels reads. `SM` is 1 in scope `all`, else the number of query blocks.
#[derive(Clone, Debug)]
pub(super) struct LinearState {
    /// `[B, H, SM, P, D, D]`: `H`, in f32 or, as the sum of states in 16 bits, in their type; one number where no backward needs it.
    pub state: DynTensor,
    /// `[B, H, SM, P D, D]`: `H Wᵀ`, in the type that the forward multiplies in.
    pub folded: DynTensor,
    /// `[B, H, SM, P, D]`: `Z`.
    pub sums: DynTensor,
}

/// What one reading of keys and values gives, before a mask says what belongs to which row.
pub(super) struct KeyStates {
    /// `[B, H, N, D]` f32: the mean of each of `N` blocks, unless features have two parts.
    pub pooled: DynTensor,
    /// `[B, H, G, P, D, D]`: `h` of groups of blocks, in f32 or the type that products of states are made in.
    state: DynTensor,
    /// `[B, H, G, P, D]`: `z` of groups of blocks.
    sums: DynTensor,
}

/// Programs that the states of all blocks are summed in: two for each multiprocessor of an H100. The same everywhere, so that results are.
pub(super) const PROGRAMS: usize = 264;

/// Warps of a program that makes a state on a GPU: as few as hold its registers, so that two fit a multiprocessor.
pub(super) const WARPS: u32 = 4;

impl Sla {
    /// The projection inside the features; anything of the right shape where the feature map has none.
    pub(super) fn phi_weight(
        &self,
        buffers: &mut Buffers,
        h: usize,
        d: usize,
        weights: &Weights,
    ) -> Result<DynTensor, RuntimeError> {
        match &weights.phi {
            Some(w) => Ok(w.clone()),
            None => {
                let identity = || {
                    (0..d * d).flat_map(|i| if i / d == i % d { 1f32 } else { 0.0 }.to_ne_bytes()).collect()
                };
                Ok(buffers.fixed("identity", Elem::F32, &[1, d, d], identity)?.expand(0, h)?)
            }
        }
    }

    /// States and means of key blocks of `bk` tokens, one state for each block or, where all are summed, for a group of them.
    pub(super) fn key_states(
        &self,
        buffers: &mut Buffers,
        k: &DynTensor,
        v: &DynTensor,
        bk: usize,
        weights: &Weights,
    ) -> Result<KeyStates, RuntimeError> {
        let (b, h, l, d) = (k.shape()[0], k.shape()[1], k.shape()[2], k.shape()[3]);
        let (p, n) = (self.parts(), l.div_ceil(bk));
        let groups = if self.config.scope() == Scope::All {
            (PROGRAMS / (b * h * p).max(1)).clamp(1, n.max(1))
        } else {
            n
        };
        let mut pooled = buffers.take("pooled keys", Elem::F32, &[b, h, n, d])?;
        let s = self.block_state_elem(k.elem(), l, weights);
        let w = &self.phi_weight(buffers, h, d, weights)?;
        let mut state = buffers.take("block states", s, &[b, h, groups, p, d, d])?;
        let mut sums = buffers.take("block sums", Elem::F32, &[b, h, groups, p, d])?;
        let mut consts = self.linear_consts(k.elem(), d);
        consts.extend([elem("S", s), size("BK", bk)]);
        let args = [read(k), read(v), read(w), write(&mut pooled), write(&mut state), write(&mut sums)];
        // Products of f32, and of more rows, work on more registers than four warps have.
        let warps = (k.elem() != Elem::F32 && p == 1 && d > 64 && bk <= 64).then_some(WARPS);
        let options = Options { warps, ..self.device.options() };
        run_with(&self.device, &options, &linear_state::linear_state, &consts, &args)?;
        drop(args);
        Ok(KeyStates { pooled, state, sums })
    }

    /// The state of each row, or of all, from those of blocks, whose memory goes back.
    pub(super) fn linear_state(
        &self,
        buffers: &mut Buffers,
        keys: KeyStates,
        mask: &DynTensor,
        weights: &Weights,
        s: Elem,
        save: bool,
    ) -> Result<LinearState, RuntimeError> {
        let KeyStates { pooled, state: blocks, sums: block_sums } = keys;
        let [b, h, p, d] = [0, 1, 3, 4].map(|axis| blocks.shape()[axis]);
        let sums = self.gather_states(buffers, "sums", &block_sums, mask)?;
        let (state, folded) = match (&weights.projection, blocks.elem()) {
            (Some(projection), elem) if elem != Elem::F32 => {
                self.weighted_states(buffers, &blocks, mask, projection, save)?
            }
            _ => {
                let state = self.gather_states(buffers, "state", &blocks, mask)?;
                let folded = self.fold(buffers, "folded", &state, weights, false, s)?;
                (state, folded)
            }
        };
        buffers.give("pooled keys", pooled);
        buffers.give("block states", blocks);
        buffers.give("block sums", block_sums);
        let m = sums.shape()[2];
        Ok(LinearState { folded: folded.reshape(&[b, h, m, p * d, d])?, state, sums })
    }

    /// The type of the states of single blocks, where rows choose theirs: halves where matrix instructions then sum them. Their roundings
    /// are as many as blocks, and average out. Few keys make few blocks.
    fn block_state_elem(&self, elem: Elem, keys: usize, weights: &Weights) -> Elem {
        let chosen = self.config.scope() != Scope::All && weights.projection.is_some();
        if chosen && elem == Elem::BF16 && keys >= FEW_KEYS { elem } else { Elem::F32 }
    }

    /// Sums of states in 16 bits for each row of the mask (one number unless they are to `save`), and the same with the projection folded in.
    fn weighted_states(
        &self,
        buffers: &mut Buffers,
        blocks: &DynTensor,
        mask: &DynTensor,
        projection: &DynTensor,
        save: bool,
    ) -> Result<(DynTensor, DynTensor), RuntimeError> {
        let [b, h, n, p, d] = [0, 1, 2, 3, 4].map(|axis| blocks.shape()[axis]);
        let (m, s) = (mask.shape()[2], elem("S", blocks.elem()));
        let (weights, matrix) = self.product_operands(buffers, blocks.elem(), mask, projection)?;
        let flat = blocks.reshape(&[b, h, n, p * d * d])?;
        let saved = if save { p * d * d } else { 1 };
        let mut state = buffers.take("state", blocks.elem(), &[b, h, m, saved])?;
        let mut folded = buffers.take("folded", blocks.elem(), &[b, h, m, p * d * d])?;
        let consts = [s, size("BM", 128), size("BN", 64), size("D", d), switch("SAVE", save)];
        let args = [read(&weights), read(&flat), read(&matrix), write(&mut state), write(&mut folded)];
        run(&self.device, &mask_product::weighted_states, &consts, &args)?;
        drop(args);
        buffers.give("mask weights", weights);
        buffers.give("rounded projection", matrix);
        let state = if save { state.reshape(&[b, h, m, p, d, d])? } else { state };
        Ok((state, folded))
    }

    /// What products of states in 16 bits with a mask take beside them: the mask as a 0/1 matrix, and the projection in their type.
    pub(super) fn product_operands(
        &self,
        buffers: &mut Buffers,
        s: Elem,
        mask: &DynTensor,
        projection: &DynTensor,
    ) -> Result<(DynTensor, DynTensor), RuntimeError> {
        let [b, h, m, n] = [0, 1, 2, 3].map(|axis| mask.shape()[axis]);
        let d = projection.shape()[0];
        // Rows whose length is a multiple of 16 bytes can be copied by the hardware.
        let padded = n.next_multiple_of(8);
        let mut weights = buffers.take("mask weights", s, &[b, h, m, padded])?;
        let [r, w] = rows(padded, 1);
        let complement = switch("COMPLEMENT", self.config.scope() == Scope::Complement);
        let args = [read(mask), write(&mut weights)];
        run(&self.device, &mask_product::mask_weights, &[elem("S", s), r, w, complement], &args)?;
        drop(args);
        let mut matrix = buffers.take("rounded projection", s, &[d, d])?;
        let args = [read(projection), write(&mut matrix)];
        run(&self.device, &projection::round_matrix, &[elem("S", s), size("D", d)], &args)?;
        drop(args);
        Ok((weights, matrix))
    }

    /// Sums per-block states `[B, H, N, P, …]` over all blocks (scope `all`, giving `[B, H, 1, P, …]`), or over the blocks that each
    /// row of `mask` gives to the linear branch (`[B, H, M, P, …]`). A mask with its axes exchanged sums over rows for each column.
    pub(super) fn gather_states(
        &self,
        buffers: &mut Buffers,
        name: &'static str,
        x: &DynTensor,
        mask: &DynTensor,
    ) -> Result<DynTensor, RuntimeError> {
        self.gather_onto(buffers, name, None, x, mask)
    }

    /// The same, added to what rows start with, if they do. Where all blocks are summed they do not.
    pub(super) fn gather_onto(
        &self,
        buffers: &mut Buffers,
        name: &'static str,
        start: Option<&DynTensor>,
        x: &DynTensor,
        mask: &DynTensor,
    ) -> Result<DynTensor, RuntimeError> {
        let (b, h, n) = (x.shape()[0], x.shape()[1], x.shape()[2]);
        let width: usize = x.shape()[3..].iter().product();
        let mut shape = x.shape().to_vec();
        if self.config.scope() == Scope::All {
            shape[2] = 1;
            let total = self.total(buffers, name, &x.reshape(&[b * h, n, width])?)?;
            return total.reshape(&shape).map_err(Into::into);
        }
        let m = mask.shape()[2];
        shape[2] = m;
        let mut out = buffers.take(name, Elem::F32, &[b, h, m, width])?;
        let complement = self.config.scope() == Scope::Complement;
        let add = switch("ADD", start.is_some());
        let consts = [size("BM", 64), size("BN", 64), size("BX", 64), switch("COMPLEMENT", complement), add];
        let flat = x.reshape(&[b, h, n, width])?;
        let start = start.map_or_else(|| Ok(flat.clone()), |start| start.reshape(&[b, h, m, width]))?;
        let args = [read(mask), read(&flat), read(&start), write(&mut out)];
        run(&self.device, &mask_product::mask_product, &consts, &args)?;
        drop(args);
        Ok(out.reshape(&shape)?)
    }

    /// `[A, N, X]` summed over `N`.
    pub(super) fn total(
        &self,
        buffers: &mut Buffers,
        name: &'static str,
        x: &DynTensor,
    ) -> Result<DynTensor, RuntimeError> {
        let mut out = buffers.take(name, Elem::F32, &[x.shape()[0], x.shape()[2]])?;
        let consts = [size("BN", 32), size("BX", 128)];
        run(&self.device, &totals::block_total, &consts, &[read(x), write(&mut out)])?;
        Ok(out)
    }

    /// Every D x D matrix of `x` times `Wᵀ` (or `W`, going `back`), stored as `s`; zeros without a projection.
    pub(super) fn fold(
        &self,
        buffers: &mut Buffers,
        name: &'static str,
        x: &DynTensor,
        weights: &Weights,
        back: bool,
        s: Elem,
    ) -> Result<DynTensor, RuntimeError> {
        /// Matrices from which there are programs enough without parts.
        const MANY: usize = 64;
        let d = x.shape()[x.shape().len() - 1];
        let count = x.count() / (d * d);
        let Some(w) = &weights.projection else { return buffers.zeros(name, s, x.shape()) };
        let mut out = buffers.take(name, s, &[count, d, d])?;
        let (bm, bn) = if count < MANY { (16, 32) } else { (d, d) };
        let x_flat = x.reshape(&[count, d, d])?;
        let consts = [
            elem("E", x.elem()),
            elem("S", s),
            size("D", d),
            size("BM", bm),
            size("BN", bn),
            switch("BACK", back),
        ];
        run(&self.device, &projection::fold_projection, &consts, &[read(&x_flat), read(w), write(&mut out)])?;
        Ok(out.reshape(x.shape())?)
    }
}
