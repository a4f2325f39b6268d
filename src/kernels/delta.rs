//! Row sums of `dO ∘ O`, which the backward of a softmax needs.

use sla_dsl::prelude::*;

/// `delta[b, h, i] = Σ_d grad[b, h, i, d] · out[b, h, i, d]`, in f32.
#[kernel(dims(B, H, L), grid(m in L.div_ceil(BQ), h in H, b in B))]
pub fn row_delta<T: Float, const BQ: usize, const D: usize>(
    out: &Tensor<T, { [B, H, L, D] }>,
    grad: &Tensor<T, { [B, H, L, D] }>,
    delta: &mut Tensor<f32, { [B, H, L] }>,
) {
    let o = out.at(b, h).block::<BQ>(m).load().cast::<f32>();
    let g = grad.at(b, h).block::<BQ>(m).load().cast::<f32>();
    delta.at(b, h).block::<BQ>(m).store((o * g).sum(1).squeeze(1));
}
