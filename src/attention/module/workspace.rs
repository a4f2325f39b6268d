//! Memory that a caller keeps from call to call.

use super::Sla;
use super::backward::Grads;
use super::buffers::Buffers;
use super::forward::{Forward, Inferred, Saved};
use sla_runtime::Device;

/// The memory of the forwards, or the backwards, of one [`Sla`], or of several that take turns: results and what lies between the kernels.
///
/// The first call of a shape allocates; later ones of that shape do not. See [`Sla::forward_in`] and [`Sla::backward_in`]. What a backward needs
/// stays in the workspace of its forward, so that it takes another.
#[derive(Debug)]
pub struct Workspace {
    buffers: Buffers,
    forward: Option<Forward>,
    inferred: Option<Inferred>,
    grads: Option<Grads>,
}

impl Workspace {
    /// Memory of a device, none yet.
    pub fn new(device: &Device) -> Workspace {
        Workspace { buffers: Buffers::new(device), forward: None, inferred: None, grads: None }
    }

    /// What the last call gave, if it was [`Sla::forward_in`].
    pub fn forward(&self) -> Option<&Forward> {
        self.forward.as_ref()
    }

    /// What the last call gave, if it was [`Sla::infer_in`].
    pub fn inferred(&self) -> Option<&Inferred> {
        self.inferred.as_ref()
    }

    /// What the last call gave, if it was [`Sla::backward_in`].
    pub fn grads(&self) -> Option<&Grads> {
        self.grads.as_ref()
    }

    /// How many tensors it has allocated so far: no more in a call that repeats.
    pub fn made(&self) -> usize {
        self.buffers.made()
    }

    /// The memory for a call, with that of the last one's results.
    pub(super) fn open(&mut self, sla: &Sla) -> &mut Buffers {
        self.buffers.serve(&sla.config);
        if let Some(Inferred { out, lse, mask }) = self.inferred.take() {
            self.give([("out", out), ("lse", lse), ("mask", mask)]);
        }
        if let Some(Forward { out, lse, mask, saved }) = self.forward.take() {
            self.give_saved(saved);
            self.give([("out", out), ("lse", lse), ("mask", mask)]);
        }
        if let Some(Grads { q, k, v, projection, bias }) = self.grads.take() {
            self.give([("grad q", q), ("grad k", k), ("grad v", v)]);
            self.give([("grad projection", projection), ("grad bias", bias)]);
        }
        &mut self.buffers
    }

    /// Keeps a call's gradients.
    pub(super) fn keep_grads(&mut self, grads: Grads) -> &Grads {
        self.grads.insert(grads)
    }

    /// Keeps a call's results.
    pub(super) fn keep(&mut self, forward: Forward) -> &Forward {
        self.forward.insert(forward)
    }

    /// Keeps a call's results without what a backward needs.
    pub(super) fn keep_inferred(&mut self, forward: Forward) -> &Inferred {
        let Forward { out, lse, mask, saved } = forward;
        self.give_saved(saved);
        self.inferred.insert(Inferred { out, lse, mask })
    }

    /// Where masks are one tensor, only the last of them to come has it alone and is kept: the one that was routed.
    fn give_saved(&mut self, saved: Saved) {
        let Saved { sparse_out, mask: fine, state_mask, lists, linear, .. } = saved;
        self.give([
            ("state mask", state_mask),
            ("fine mask", fine),
            ("index", lists.index),
            ("count", lists.count),
            ("state", linear.state),
            ("folded", linear.folded),
            ("sums", linear.sums),
            ("sparse out", sparse_out),
        ]);
    }

    fn give<const N: usize>(&mut self, tensors: [(&'static str, sla_runtime::DynTensor); N]) {
        for (name, tensor) in tensors {
            self.buffers.give(name, tensor);
        }
    }
}
