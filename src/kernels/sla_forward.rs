//! Fused SLA forward: exact attention over the critical blocks, the linear branch in the epilogue, one store.
//!
//! `O = O^s + φ(Q) H' / (φ(Q) Z + eps) + bias`, where `O^s` is the softmax attention over the row's list, `Z` the summed features of the keys that the
//! linear branch covers and `H'` their state with the projection folded in. A zero denominator gives a zero quotient.
//! `H'` and `Z` have one entry for every `RQ` query blocks, or one for all of them (`SM = 1`).
//!
//! `H'` comes in the type `S` that the branch multiplies in, so that a GPU can copy it to shared memory as it is. Rounding it to bf16 once changes
//! an output by as much as rounding `φ(Q)` or the output itself does.

use super::feature_map::{HEDGEHOG, feature};
use sla_dsl::prelude::*;

/// SLA for one block of queries. `S` is the type in which the linear branch multiplies by the state.
///
/// Without `LINEAR` the state, its sums and the bias are not read: sparse attention alone.
/// With `SAVE`, `sparse_out` gets `O^s`, which the backward needs, and has as many rows as `q`; else it is not written.
#[kernel(
    dims(B, H, LQ, LK, W, SM, LS),
    require(P <= 2, !SAVE || LS == LQ),
    grid(m in LQ.div_ceil(BQ), h in H, b in B),
)]
pub fn sla_fwd<
    T: Float,
    S: Float,
    const BQ: usize,
    const BK: usize,
    const RQ: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const LINEAR: bool,
    const SAVE: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    index: &Tensor<i32, { [B, H, LQ.div_ceil(BQ), W] }>,
    count: &Tensor<i32, { [B, H, LQ.div_ceil(BQ)] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    folded: &Tensor<S, { [B, H, SM, P * D, D] }>,
    sums: &Tensor<f32, { [B, H, SM, P, D] }>,
    bias: &Tensor<f32, { [D] }>,
    out: &mut Tensor<T, { [B, H, LQ, D] }>,
    sparse_out: &mut Tensor<T, { [B, H, LS, D] }>,
    lse: &mut Tensor<f32, { [B, H, LQ] }>,
    scale: f32,
    eps: f32,
) {
    let q = q.at(b, h).block::<BQ>(m).load();
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let c = scale * LOG2E;
    let mut acc = zeros::<f32>([BQ, D]);
    let mut st = OnlineSoftmax::new(BQ);
    for j in index.at(b, h, m).gather(count.at(b, h, m).load()) {
        let s = (dot(q, k[j].t()) * c).mask_tail(k, j, -INF);
        let (p, alpha) = st.step(s);
        acc = acc * alpha + dot(p.cast::<T>(), v[j]);
    }
    let (inv, l2) = st.finish();
    let mut o = acc * inv;
    lse.at(b, h).block::<BQ>(m).store(l2.squeeze(1));
    if SAVE {
        sparse_out.at(b, h).block::<BQ>(m).store(o.cast::<T>());
    }
    if LINEAR {
        let at = (m / RQ).min(SM - 1);
        // Read before what takes time, so that nothing waits for them.
        let shift = bias.block::<D>(0).load().unsqueeze(0);
        let mut x = q.cast::<f32>();
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load());
        }
        let mut num = zeros::<f32>([BQ, D]);
        let mut den = full::<f32>([BQ, 1], 0.0) + eps;
        for p in unroll(0..P) {
            let z = sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0);
            let f = feature(x * (1 - 2 * p), PHI);
            den += (f * z).sum(1);
            num += dot(f.cast::<S>(), folded.at(b, h, at).block::<D>(p).load());
        }
        let rden = select(den == 0.0, 0.0, 1.0 / den);
        o = o + num * rden + shift;
    }
    out.at(b, h).block::<BQ>(m).store(o.cast::<T>());
}
