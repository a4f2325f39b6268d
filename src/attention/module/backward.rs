//! The backward pass.

use super::buffers::Buffers;
use super::forward::STATE_ELEM;
use super::run::{elem, float, read, run, size, write};
use super::shapes::{rank_4, same};
use super::{Forward, Sla};
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

/// States per partial sum of the projection's gradient.
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
        let (p, t) = (self.parts(), q.elem());
        // What the forward saved belongs to tensors of these shapes, or its lists point elsewhere.
        let n = k.shape()[2].div_ceil(saved.tiles.k);
        same("the saved mask", &saved.mask, Elem::I8, &[b, h, lq.div_ceil(saved.tiles.q), n])?;
        same("the saved output", &saved.sparse_out, t, q.shape())?;
        same("grad_out", grad_out, t, q.shape())?;
        let linear = self.config.scope() != Scope::None;
        let buffers = &mut Buffers::once(&self.device);
        let tiles = self.tiles(d);
        // The forward may have worked on larger tiles, and with a rounded state.
        let (mask, lists) = if tiles == saved.tiles {
            (saved.mask.clone(), saved.lists.clone())
        } else {
            let mask = self.refine(buffers, "mask", &forward.mask, tiles, lq, k.shape()[2])?;
            let lists = self.lists_in(buffers, &mask)?;
            (mask, lists)
        };
        let folded = if saved.linear.folded.elem() == Elem::F32 {
            saved.linear.folded.reshape(saved.linear.state.shape())?
        } else {
            self.fold(buffers, "folded", &saved.linear.state, &saved.weights, false, Elem::F32)?
        };
        let consts = self.kernel_consts(t, Elem::F32, d, tiles, saved.state_blocks);
        let w = self.phi_weight(buffers, h, d, &saved.weights)?;
        let (eps, scale) = (float(self.config.eps()), float(1.0 / (d as f64).sqrt()));

        let [mut delta, mut delta_linear, mut rden] =
            [self.zeros(&[b, h, lq])?, self.zeros(&[b, h, lq])?, self.zeros(&[b, h, lq])?];
        let args = [
            read(q),
            read(&saved.sparse_out),
            read(grad_out),
            read(&w),
            read(&folded),
            read(&saved.linear.sums),
            write(&mut delta),
            write(&mut delta_linear),
            write(&mut rden),
            eps,
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
            read(&folded),
            read(&saved.linear.sums),
            read(&delta_linear),
            read(&rden),
            write(&mut grad_q),
            scale.clone(),
        ];
        run(&self.device, &sla_backward::sla_bwd_dq, &consts, &args)?;
        drop(args);

        let (grad_state, grad_sums, projection, bias) = if linear {
            let m = saved.state_mask.shape()[2];
            let mut grad_folded = self.zeros(&[b, h, m, p, d, d])?;
            let mut grad_sums = self.zeros(&[b, h, m, p, d])?;
            let mut consts = self.linear_consts(t, d);
            consts.extend([STATE_ELEM, size("BQ", saved.state_blocks.q)]);
            let args = [
                read(q),
                read(grad_out),
                read(&w),
                read(&delta_linear),
                read(&rden),
                write(&mut grad_folded),
                write(&mut grad_sums),
            ];
            run(&self.device, &sla_backward::sla_bwd_state, &consts, &args)?;
            drop(args);
            let columns = saved.state_mask.transpose(2, 3)?;
            let (grad_folded, grad_sums_all) = if self.config.scope() == Scope::All {
                (
                    self.gather_states(buffers, "grad_folded", &grad_folded, &columns)?,
                    self.gather_states(buffers, "sums", &grad_sums, &columns)?,
                )
            } else {
                (grad_folded, grad_sums)
            };
            let grad_h = self.fold(buffers, "grad_h", &grad_folded, &saved.weights, true, Elem::F32)?;
            let projection = self.weight_grad(buffers, &grad_folded, &saved.linear.state)?;
            let bias = self.bias_grad(buffers, grad_out)?;
            if self.config.scope() == Scope::All {
                (grad_h, grad_sums_all, projection, bias)
            } else {
                let state = self.gather_states(buffers, "state", &grad_h, &columns)?;
                (state, self.gather_states(buffers, "sums", &grad_sums_all, &columns)?, projection, bias)
            }
        } else {
            (
                self.zeros(&[b, h, 1, p, d, d])?,
                self.zeros(&[b, h, 1, p, d])?,
                self.zeros(&[d, d])?,
                self.zeros(&[d])?,
            )
        };

        let lists = self.lists(&mask.transpose(2, 3)?)?;
        let (mut grad_k, mut grad_v) = (self.of(t, k.shape())?, self.of(t, v.shape())?);
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
            read(&grad_state),
            read(&grad_sums),
            write(&mut grad_k),
            write(&mut grad_v),
            scale,
        ];
        run(&self.device, &sla_backward::sla_bwd_dkdv, &consts, &args)?;
        drop(args);
        Ok(Grads { q: grad_q, k: grad_k, v: grad_v, projection, bias })
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
        let chunks = count.div_ceil(CHUNK);
        let mut partial = self.zeros(&[chunks, d, d])?;
        let (grad, state) = (grad_folded.reshape(&[count, d, d])?, state.reshape(&[count, d, d])?);
        let consts = [elem("E", state.elem()), size("D", d), size("CHUNK", CHUNK)];
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
        Ok(self.total(buffers, "bias", &partial.reshape(&[1, b * h * m, d])?)?.reshape(&[d])?)
    }
}
