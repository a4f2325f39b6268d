//! The backward pass.

use super::buffers::Buffers;
use super::linear::PROGRAMS;
use super::run::{elem, float, read, run, size, switch, write};
use super::shapes::{rank_4, same};
use super::{Forward, Saved, Sla};
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

/// States per partial sum of the projection's gradient, where there are many.
const CHUNK: usize = 8;

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
        let buffers = &mut Buffers::once(&self.device);
        let w = self.phi_weight(buffers, h, d, &saved.weights)?;
        let (eps, scale) = (float(self.config.eps()), float(1.0 / (d as f64).sqrt()));

        let [mut delta, mut delta_linear, mut rden] =
            [self.zeros(&[b, h, lq])?, self.zeros(&[b, h, lq])?, self.zeros(&[b, h, lq])?];
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
            eps.clone(),
        ];
        run(&self.device, &sla_backward::sla_bwd_pre, &consts, &args)?;
        drop(args);

        let mut grad_q = self.of(t, q.shape())?;
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

        let (mut grad_k, mut grad_v) = (self.of(t, k.shape())?, self.of(t, v.shape())?);
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
            (projection, self.bias_grad(buffers, grad_out)?)
        } else {
            (self.zeros(&[d, d])?, self.zeros(&[d])?)
        };

        let lists = self.lists(&saved.mask.transpose(2, 3)?)?;
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
        // In f32 a state leaves a thread no registers for a loop.
        let grouped = all && s != Elem::F32;
        let groups = if grouped { (PROGRAMS / (b * h * p).max(1)).clamp(1, m.max(1)) } else { m };
        let mut grad_folded = self.zeros(&[b, h, groups, p, d, d])?;
        let mut grad_sums = self.zeros(&[b, h, groups, p, d])?;
        let mut consts = self.linear_consts(q.elem(), d);
        consts.extend([elem("S", s), size("BQ", saved.state_blocks.q), switch("GROUPED", grouped)]);
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
        run(&self.device, &sla_backward::sla_bwd_state, &consts, &args)?;
        drop(args);
        let columns = saved.state_mask.transpose(2, 3)?;
        if all {
            grad_folded = self.gather_states(buffers, "grad folded", &grad_folded, &columns)?;
        }
        let projection = self.weight_grad(buffers, &grad_folded, &saved.linear.state)?;
        let mut grad_h = self.fold(buffers, "grad state", &grad_folded, &saved.weights, true, Elem::F32)?;
        if !all {
            grad_h = self.gather_states(buffers, "summed grad state", &grad_h, &columns)?;
        }
        let grad_sums = self.gather_states(buffers, "grad sums", &grad_sums, &columns)?;
        let (n, count) = (grad_h.shape()[2], grad_h.count() / (d * d));
        if s == Elem::F32 {
            return Ok((grad_h.reshape(&[b, h, n, p * d, d])?, grad_sums, projection));
        }
        let mut terms = self.of(s, &[count, 2 * d, d])?;
        let grad_h = grad_h.reshape(&[count, d, d])?;
        let args = [read(&grad_h), write(&mut terms)];
        run(&self.device, &projection::split_state, &[elem("S", s), size("D", d)], &args)?;
        drop(args);
        Ok((terms.reshape(&[b, h, n, p * 2 * d, d])?, grad_sums, projection))
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
        let chunk = if count < PROGRAMS { 1 } else { CHUNK };
        let chunks = count.div_ceil(chunk);
        let mut partial = self.zeros(&[chunks, d, d])?;
        let (grad, state) = (grad_folded.reshape(&[count, d, d])?, state.reshape(&[count, d, d])?);
        let consts = [elem("E", state.elem()), size("D", d), size("CHUNK", chunk)];
        run(
            &self.device,
            &projection::weight_grad,
            &consts,
            &[read(&grad), read(&state), write(&mut partial)],
        )?;
        Ok(self.total(buffers, "projection", &partial.reshape(&[1, chunks, d * d])?)?.reshape(&[d, d])?)
    }

    /// Sum of the rows of `grad_out`.
    fn bias_grad(&self, buffers: &mut Buffers, grad_out: &DynTensor) -> Result<DynTensor, RuntimeError> {
        let (b, h, l, d) =
            (grad_out.shape()[0], grad_out.shape()[1], grad_out.shape()[2], grad_out.shape()[3]);
        let bq = self.config.blocks().q();
        let m = l.div_ceil(bq);
        let mut partial = self.zeros(&[b, h, m, d])?;
        let consts = [elem("T", grad_out.elem()), size("BQ", bq), size("D", d)];
        run(&self.device, &projection::bias_grad, &consts, &[read(grad_out), write(&mut partial)])?;
        // In two steps, as one program for all rows would be long.
        let heads = self.total(buffers, "bias of heads", &partial.reshape(&[b * h, m, d])?)?;
        Ok(self.total(buffers, "bias", &heads.reshape(&[1, b * h, d])?)?.reshape(&[d])?)
    }
}
