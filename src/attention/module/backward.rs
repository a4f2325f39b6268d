//! The backward pass.

use super::buffers::Buffers;
use super::linear::{PROGRAMS, WARPS};
use super::run::{elem, float, read, run, run_in_warps, size, switch, write};
use super::shapes::{rank_4, same};
use super::{Forward, Saved, Sla, Workspace};
use crate::attention::config::Scope;
use crate::kernels::{projection, sla_backward};
use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};

/// Gradients of the sum of `out ∘ grad_out`.
#[derive(Clone, Debug)]
pub struct Grads {
    /// `[B, H, Lq, D]`, of the type of `q`.
    pub q: DynTensor,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub k: DynTensor,
    /// `[B, H, Lk, D]`, of the type of `q`.
    pub v: DynTensor,
    /// `[D, D]` f32, summed over batch and heads; zero in scope `none`.
    pub projection: DynTensor,
    /// `[D]` f32, summed over batch and heads; zero in scope `none`.
    pub bias: DynTensor,
}

/// Rows that states are made of at a time, where that is in halves: beside a state, a thread has registers for the features of so many.
const ROWS: usize = 64;

impl Sla {
    /// Gradients for the inputs that `forward` was made from.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn backward(
        &self,
        q: &DynTensor,
        k: &DynTensor,
        v: &DynTensor,
        forward: &Forward,
        grad_out: &DynTensor,
    ) -> Result<Grads, RuntimeError> {
        self.gradients(&mut Buffers::once(&self.device), q, k, v, forward, grad_out)
    }

    /// [`Sla::backward`] in memory of `workspace`, which is another than that of the forward: a call that repeats the shapes of the one before
    /// allocates nothing, copies nothing from the host and waits for nothing. What it returns stays until the next call in that workspace, which
    /// leaves alone the memory of tensors that were cloned from it. Layers can take turns with one.
    ///
    /// # Errors
    /// As [`Sla::backward`]; the workspace then has no result.
    pub fn backward_in<'w>(
        &self,
        workspace: &'w mut Workspace,
        q: &DynTensor,
        k: &DynTensor,
        v: &DynTensor,
        forward: &Forward,
        grad_out: &DynTensor,
    ) -> Result<&'w Grads, RuntimeError> {
        let grads = self.gradients(workspace.open(self), q, k, v, forward, grad_out)?;
        Ok(workspace.keep_grads(grads))
    }

    fn gradients(
        &self,
        buffers: &mut Buffers,
        q: &DynTensor,
        k: &DynTensor,
        v: &DynTensor,
        forward: &Forward,
        grad_out: &DynTensor,
    ) -> Result<Grads, RuntimeError> {
        let saved = &forward.saved;
        rank_4(&[("q", q), ("k", k), ("v", v)])?;
        let (b, h, lq, d) = (q.shape()[0], q.shape()[1], q.shape()[2], q.shape()[3]);
        let t = q.elem();
        // What the forward saved belongs to tensors of these shapes, or its lists point elsewhere.
        let n = k.shape()[2].div_ceil(saved.tiles.k);
        same("the saved mask", &saved.mask, Elem::I8, &[b, h, lq.div_ceil(saved.tiles.q), n])?;
        same("the saved output", &saved.sparse_out, t, q.shape())?;
        same("grad_out", grad_out, t, q.shape())?;
        let linear = self.config.scope() != Scope::None;
        let (tiles, lists, folded) = (saved.tiles, &saved.lists, &saved.linear.folded);
        let state_elem = folded.elem();
        let consts = self.kernel_consts(t, state_elem, d, tiles, saved.state_blocks);
        let w = self.phi_weight(buffers, h, d, &saved.weights)?;
        let (eps, scale) = (float(self.config.eps()), float(1.0 / (d as f64).sqrt()));

        let mut delta = buffers.take("delta", Elem::F32, &[b, h, lq])?;
        let mut delta_linear = buffers.take("linear delta", Elem::F32, &[b, h, lq])?;
        let mut rden = buffers.take("rden", Elem::F32, &[b, h, lq])?;
        let row_blocks = if linear { lq.div_ceil(tiles.q) } else { 1 };
        let mut grad_bias = buffers.take("bias of blocks", Elem::F32, &[b, h, row_blocks, d])?;
        let args = [
            read(q),
            read(&saved.sparse_out),
            read(grad_out),
            read(&w),
            read(folded),
            read(&saved.linear.sums),
            write(&mut delta),
            write(&mut delta_linear),
            write(&mut rden),
            write(&mut grad_bias),
            eps.clone(),
        ];
        run(&self.device, &sla_backward::sla_bwd_pre, &consts, &args)?;
        drop(args);

        if self.fuses(t, d, tiles) {
            let [q, k, v] = self.fused_grads(buffers, [q, k, v], grad_out, forward, &delta, &consts)?;
            let projection = buffers.zeros("no grad projection", Elem::F32, &[d, d])?;
            let bias = buffers.zeros("no grad bias", Elem::F32, &[d])?;
            buffers.give("bias of blocks", grad_bias);
            buffers.give("linear delta", delta_linear);
            buffers.give("rden", rden);
            buffers.give("delta", delta);
            return Ok(Grads { q, k, v, projection, bias });
        }

        let mut grad_q = buffers.take("grad q", t, q.shape())?;
        let args = [
            read(q),
            read(k),
            read(v),
            read(grad_out),
            read(&forward.lse),
            read(&delta),
            read(&lists.index),
            read(&lists.count),
            read(&w),
            read(folded),
            read(&saved.linear.sums),
            write(&mut delta_linear),
            write(&mut rden),
            write(&mut grad_q),
            scale.clone(),
            eps,
        ];
        run(&self.device, &sla_backward::sla_bwd_dq, &consts, &args)?;
        drop(args);

        let mut grad_k = buffers.take("grad k", t, k.shape())?;
        let mut grad_v = buffers.take("grad v", t, v.shape())?;
        let (projection, bias) = if linear {
            let (grad_h, grad_sums, projection) =
                self.state_grads(buffers, q, grad_out, [&delta_linear, &rden], saved, state_elem)?;
            let mut consts = consts.clone();
            consts.push(size("SPLIT", if state_elem == Elem::F32 { 1 } else { 2 }));
            // Where all blocks share a state, tiles need not be those of the sparse part.
            let tall = state_elem != Elem::F32 && self.config.scope() == Scope::All;
            if tall {
                consts.retain(|(name, _)| *name != "BK");
                consts.push(size("BK", 128));
            }
            let args = [
                read(k),
                read(v),
                read(&w),
                read(&grad_h),
                read(&grad_sums),
                write(&mut grad_k),
                write(&mut grad_v),
            ];
            run(&self.device, &sla_backward::sla_bwd_linear, &consts, &args)?;
            drop(args);
            buffers.give("grad state", grad_h);
            buffers.give("grad sums", grad_sums);
            // In two steps, as one program for all rows would be long.
            let heads = self.total(buffers, "bias of heads", &grad_bias.reshape(&[b * h, row_blocks, d])?)?;
            let bias = self.total(buffers, "grad bias", &heads.reshape(&[1, b * h, d])?)?;
            buffers.give("bias of heads", heads);
            (projection, bias.reshape(&[d])?)
        } else {
            let zeros = buffers.zeros("no grad projection", Elem::F32, &[d, d])?;
            (zeros, buffers.zeros("no grad bias", Elem::F32, &[d])?)
        };
        buffers.give("bias of blocks", grad_bias);
        buffers.give("linear delta", delta_linear);
        buffers.give("rden", rden);

        let columns = saved.mask.transpose(2, 3)?;
        let lists = self.lists_in(buffers, ["column index", "column count"], &columns)?;
        let args = [
            read(q),
            read(k),
            read(v),
            read(grad_out),
            read(&forward.lse),
            read(&delta),
            read(&lists.index),
            read(&lists.count),
            write(&mut grad_k),
            write(&mut grad_v),
            scale,
        ];
        run(&self.device, &sla_backward::sla_bwd_dkdv, &consts, &args)?;
        drop(args);
        buffers.give("delta", delta);
        buffers.give("column index", lists.index);
        buffers.give("column count", lists.count);
        Ok(Grads { q: grad_q, k: grad_k, v: grad_v, projection, bias })
    }

    /// The gradients of the states that key blocks get, `dH` (in `s`, halves as two terms) and `dZ`, and that of the projection.
    #[allow(clippy::too_many_arguments)]
    fn state_grads(
        &self,
        buffers: &mut Buffers,
        q: &DynTensor,
        grad_out: &DynTensor,
        [delta_linear, rden]: [&DynTensor; 2],
        saved: &Saved,
        s: Elem,
    ) -> Result<(DynTensor, DynTensor, DynTensor), RuntimeError> {
        let (b, h, d) = (q.shape()[0], q.shape()[1], q.shape()[3]);
        let (p, all) = (self.parts(), self.config.scope() == Scope::All);
        let m = saved.state_mask.shape()[2];
        // In f32 a state leaves a thread no registers for a loop, nor do features of two parts.
        let looped = s != Elem::F32 && p == 1;
        let groups = if all && looped { (PROGRAMS / (b * h).max(1)).clamp(1, m.max(1)) } else { m };
        // States that a forward summed in 16 bits get their gradients by matrix instructions too.
        let split = saved.weights.projection.as_ref().filter(|_| !all && s != Elem::F32);
        let (e, terms) = if split.is_some() { (s, 2) } else { (Elem::F32, 1) };
        let mut grad_folded = buffers.take("grad folded of rows", e, &[terms, b, h, groups, p, d, d])?;
        let mut grad_sums = buffers.take("grad sums of rows", Elem::F32, &[b, h, groups, p, d])?;
        let mut consts = self.linear_consts(q.elem(), d);
        consts.extend([
            elem("S", s),
            elem("E", e),
            size("BQ", saved.state_blocks.q),
            size("SUB", ROWS.min(saved.state_blocks.q)),
            switch("LOOP", looped),
            size("TERMS", terms),
        ]);
        let w = self.phi_weight(buffers, h, d, &saved.weights)?;
        let args = [
            read(q),
            read(grad_out),
            read(&w),
            read(delta_linear),
            read(rden),
            write(&mut grad_folded),
            write(&mut grad_sums),
        ];
        let warps = (looped && d > 64).then_some(WARPS);
        run_in_warps(&self.device, warps, &sla_backward::sla_bwd_state, &consts, &args)?;
        drop(args);
        let columns = saved.state_mask.transpose(2, 3)?;
        let rows = grad_sums;
        let grad_sums = self.gather_states(buffers, "grad sums", &rows, &columns)?;
        buffers.give("grad sums of rows", rows);
        // The first term alone is as exact as the state that it is multiplied by.
        let high = grad_folded.slice(0, 0..1)?.reshape(&[b, h, groups, p, d, d])?;
        if let Some(projection) = split {
            let grad_h = self.weighted_state_grads(buffers, &grad_folded, &saved.state_mask, projection)?;
            let projection = self.weight_grad(buffers, &high, &saved.linear.state)?;
            drop(high);
            buffers.give("grad folded of rows", grad_folded);
            return Ok((grad_h, grad_sums, projection));
        }
        let summed = if all {
            let total = self.gather_states(buffers, "grad folded", &high, &columns)?;
            drop(high);
            total
        } else {
            high
        };
        let projection = self.weight_grad(buffers, &summed, &saved.linear.state)?;
        let exact = if s == Elem::F32 { "grad state" } else { "exact grad state" };
        let name = if all { exact } else { "grad state of rows" };
        let folded = self.fold(buffers, name, &summed, &saved.weights, true, Elem::F32)?;
        buffers.give("grad folded", summed);
        buffers.give("grad folded of rows", grad_folded);
        let grad_h = if all {
            folded
        } else {
            let gathered = self.gather_states(buffers, exact, &folded, &columns)?;
            buffers.give(name, folded);
            gathered
        };
        let (n, count) = (grad_h.shape()[2], grad_h.count() / (d * d));
        if s == Elem::F32 {
            return Ok((grad_h.reshape(&[b, h, n, p * d, d])?, grad_sums, projection));
        }
        let mut terms = buffers.take("grad state", s, &[count, d, 2 * d])?;
        let flat = grad_h.reshape(&[count, d, d])?;
        let args = [read(&flat), write(&mut terms)];
        run(&self.device, &projection::split_state, &[elem("S", s), size("D", d)], &args)?;
        drop(args);
        drop(flat);
        buffers.give(exact, grad_h);
        Ok((terms.reshape(&[b, h, n, p * d, 2 * d])?, grad_sums, projection))
    }

    /// `Σ dH'ᵀ H` over every state.
    fn weight_grad(
        &self,
        buffers: &mut Buffers,
        grad_folded: &DynTensor,
        state: &DynTensor,
    ) -> Result<DynTensor, RuntimeError> {
        let d = state.shape()[state.shape().len() - 1];
        let count = state.count() / (d * d);
        let groups = count.min(PROGRAMS / 2);
        let mut partial = buffers.take("projection of groups", Elem::F32, &[groups, d, d])?;
        let (grad, state) = (grad_folded.reshape(&[count, d, d])?, state.reshape(&[count, d, d])?);
        // In f32 in parts of 32 rows, which fit shared memory everywhere.
        let halves = grad.elem() == state.elem() && state.elem() != Elem::F32;
        let (m, rows) = if halves { (state.elem(), d) } else { (Elem::F32, 32) };
        let consts =
            [elem("E", grad.elem()), elem("F", state.elem()), elem("M", m), size("D", d), size("ROWS", rows)];
        let args = [read(&grad), read(&state), write(&mut partial)];
        run(&self.device, &projection::weight_grad, &consts, &args)?;
        drop(args);
        let sum = self.total(buffers, "grad projection", &partial.reshape(&[1, groups, d * d])?)?;
        buffers.give("projection of groups", partial);
        Ok(sum.reshape(&[d, d])?)
    }
}
