//! Gradients of the linear branch's states by query blocks: `dH' = (φ(Q) r)ᵀ dO` and `dZ = -Σ_rows φ(Q) r D^l`, with `r` and `D^l` of
//! [`sla_backward`](super::sla_backward). One kernel computes in f32, for every feature map, and one in halves for features of one part.
//!
//! What bounds either is memory: a state is written for each block of queries, as large as the rows that it is made of. The kernel in halves has the shape in which
//! warpgroups multiply what others copy for later programs: it wants the features turned, as first operand of a product that contracts tokens. A product with
//! the identity turns queries exactly, whose accumulators are then the first operand as they are; it costs as much as the product that follows, of instructions that such a kernel
//! has to spare. What features have of a whole row is then a number for each column, which whoever knows the rows left behind: `r`, or for a softmax the exponent that
//! both its sum and `r` went into.
//!
//! Both gradients are of the features as they are multiplied, rounded: `V dHᵀ + dZ` all but cancels where few keys have all weight, or values have much in common.
//! For the same reason what a state loses to 16 bits is not lost: `V` times it is close to the mean of the values ([`value_centre`](value_centre::Kernel)) times it, one number
//! for each feature, which goes into `dZ`. What remains is the rounding error of a value's distance from the mean, at the price of a sum along rows; a second term
//! in 16 bits would be half of all that the kernels of states read and write.

use super::feature_map::{HEDGEHOG, SOFTMAX, feature};
use sla_dsl::prelude::*;

/// Blocks of values that a mean is taken of: it need not be exact.
pub const SAMPLES: usize = 8;

/// Both gradients for each query block, for each part of the features, computed in f32 and stored in `E`. Heads are side by side in `A = B H`. `CENTRED`: `dZ` has what rounding takes
/// from `dH'`, times the projected mean of the values, the second one of `centre`.
#[kernel(
    dims(B, H, LQ, G, A),
    require(P <= 2, A == B * H, G == LQ.div_ceil(BQ)),
    grid(gp in G * P, h in H, b in B),
)]
pub fn sla_bwd_state<
    T: Float,
    E: Float,
    const BQ: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const CENTRED: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    delta_linear: &Tensor<f32, { [B, H, LQ] }>,
    rden: &Tensor<f32, { [B, H, LQ] }>,
    centre: &Tensor<f32, { [2, A, D] }>,
    grad_folded: &mut Tensor<E, { [A, G, P * D, D] }>,
    grad_sums: &mut Tensor<f32, { [A, G, P * D] }>,
) {
    let a = b * H + h;
    let i = gp / P;
    let p = gp % P;
    let sign = (1 - 2 * p).cast::<f32>();
    let mut x = q.at(b, h).block::<BQ>(i).load().cast::<f32>();
    if PHI == HEDGEHOG {
        x = dot(x, w.at(h).block::<D>(0).load()) * sign;
    }
    // Rows past the end have a quotient of 0.
    let f = feature(x, PHI) * rden.at(b, h).block::<BQ>(i).load().unsqueeze(1);
    let acc = dot(f.t(), grad.at(b, h).block::<BQ>(i).load().cast::<f32>());
    let delta = delta_linear.at(b, h).block::<BQ>(i).load().unsqueeze(1);
    let mut sum = -(f * delta).sum(0).squeeze(0);
    let rounded = acc.cast::<E>();
    grad_folded.at(a, i).block::<D>(p).store(rounded);
    if CENTRED {
        let mean = centre.at(1, a).block::<D>(0).load().unsqueeze(0);
        sum += ((acc - rounded.cast::<f32>()) * mean).sum(1).squeeze(1);
    }
    grad_sums.at(a, i).block::<D>(p).store(sum);
}

/// Both gradients for `G` groups of consecutive query blocks that are as long as each other or one longer, `SUB` rows at a time, in `E`. `identity` is the identity, `rden` is `r`, or
/// for a softmax its exponent (`SHIFTED` of [`sla_bwd_dq`](super::sla_backward::sla_bwd_dq::Kernel)). `CENTRED` as
/// above. A copy has five axes at most, which is why heads are side by side.
#[kernel(
    dims(B, H, LQ, G, A),
    require(PHI <= 3, BQ % SUB == 0, A == B * H, G <= LQ.div_ceil(BQ)),
    grid(i in G, h in H, b in B),
)]
pub fn sla_bwd_turned_state<
    T: Float,
    E: Float,
    const BQ: usize,
    const SUB: usize,
    const D: usize,
    const PHI: usize,
    const CENTRED: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    identity: &Tensor<T, { [D, D] }>,
    delta_linear: &Tensor<f32, { [B, H, LQ] }>,
    rden: &Tensor<f32, { [B, H, LQ] }>,
    centre: &Tensor<f32, { [2, A, D] }>,
    grad_folded: &mut Tensor<E, { [A, G, D, D] }>,
    grad_sums: &mut Tensor<f32, { [A, G, D] }>,
) {
    let a = b * H + h;
    let turn = identity.block::<D>(0).load();
    let q = q.at(b, h).blocks::<SUB>();
    let grad = grad.at(b, h).blocks::<SUB>();
    let delta_linear = delta_linear.at(b, h).blocks::<SUB>();
    let rden = rden.at(b, h).blocks::<SUB>();
    let blocks = LQ.div_ceil(BQ);
    let mut acc = zeros::<f32>([D, D]);
    let mut sum = zeros::<f32>([D, 1]);
    // Rows past the end are all 0, `dO` and `D^l` among them: they add nothing, whatever their features.
    for n in i * blocks / G * (BQ / SUB)..((i + 1) * blocks / G * (BQ / SUB)).min(q.len()) {
        let x = dot(turn, q[n].t());
        let r = rden[n].unsqueeze(0);
        let mut f = zeros::<f32>([D, SUB]);
        if PHI == SOFTMAX {
            f = exp2(x * LOG2E - r);
        } else {
            f = feature(x, PHI) * r;
        }
        let f = f.cast::<T>();
        acc += dot(f, grad[n]);
        sum = sum - (f.cast::<f32>() * delta_linear[n].unsqueeze(0)).sum(1);
    }
    let rounded = acc.cast::<E>();
    grad_folded.at(a, i).block::<D>(0).store(rounded);
    if CENTRED {
        let mean = centre.at(1, a).block::<D>(0).load().unsqueeze(0);
        sum += ((acc - rounded.cast::<f32>()) * mean).sum(1);
    }
    grad_sums.at(a, i).block::<D>(0).store(sum.squeeze(1));
}

/// For each head the mean `c` of the values, or of as many blocks of them as [`SAMPLES`], evenly spread, and its product `W c` with the projection, in this order.
#[kernel(dims(B, H, L, A), require(A == B * H), grid(h in H, b in B))]
pub fn value_centre<T: Float, S: Float, const BK: usize, const D: usize>(
    v: &Tensor<T, { [B, H, L, D] }>,
    projection: &Tensor<S, { [D, D] }>,
    centre: &mut Tensor<f32, { [2, A, D] }>,
) {
    let a = b * H + h;
    let v = v.at(b, h).blocks::<BK>();
    let mut sum = zeros::<f32>([1, D]);
    let mut rows = 0;
    for i in unroll(0..SAMPLES) {
        let n = i * v.len() / SAMPLES;
        sum += v[n].cast::<f32>().sum(0);
        rows += (L - n * BK).min(BK);
    }
    let mean = sum / rows.cast::<f32>();
    // Any centre is right, but infinite values have none, and nothing times infinity is no number.
    let mean = select(abs(mean) < INF, mean, 0.0);
    centre.at(0, a).block::<D>(0).store(mean.squeeze(0));
    let projected = (projection.block::<D>(0).load().cast::<f32>() * mean).sum(1);
    centre.at(1, a).block::<D>(0).store(projected.squeeze(1));
}
