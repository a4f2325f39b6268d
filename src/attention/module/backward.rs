//! The backward pass.

use super::buffers::Buffers;
use super::run::{float, read, run, run_with, size, switch, write};
use super::shapes::{rank_4, same};
use super::state_grads::StateGrads;
use super::{Forward, Sla, Workspace};
use crate::attention::config::Scope;
use crate::kernels::sla_backward;
use crate::tuned::pick::specialises;
use sla_codegen::Options;
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
        let mut consts = self.kernel_consts(t, state_elem, d, tiles, saved.state_blocks);
        consts.push(switch("WHOLE", specialises(&self.device) && lq % tiles.q == 0));
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
            let of_rows = [q, v, grad_out, &delta_linear, &rden];
            let StateGrads { state, sums, projection } = self.state_grads(buffers, of_rows, saved)?;
            let mut consts = consts.clone();
            let terms = state.shape()[4] / d;
            consts.push(size("SPLIT", terms));
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
                read(&state),
                read(&sums),
                write(&mut grad_k),
                write(&mut grad_v),
            ];
            // With one term two blocks of threads would fit a multiprocessor, but not their registers.
            let groups = (terms == 1 && state_elem != Elem::F32 && tiles.k == 64 && d > 64).then_some(2);
            let options = Options { groups, ..self.device.options() };
            run_with(&self.device, &options, &sla_backward::sla_bwd_linear, &consts, &args)?;
            drop(args);
            buffers.give("grad state", state);
            buffers.give("grad sums", sums);
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
}
