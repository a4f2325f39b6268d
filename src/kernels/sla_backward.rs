//! SLA backward: row sums by query blocks, the gradients of the linear branch's states, then `grad_q` by query blocks and `grad_k`, `grad_v` by
//! key blocks. Every result is deterministic: nothing is added atomically. States have one entry for every `RQ` query blocks
//! (`RK` key blocks), or one for all of them.
//!
//! With `r = 1 / (φ(Q) Z + eps)` (0 where that is 0), `Op = φ(Q) H' r` and `D^l = rowsum(dO ∘ Op)`:
//! `dH' = (φ(Q) r)ᵀ dO`, `dZ = -Σ_rows φ(Q) r D^l`, `dφ(Q) = (dO H'ᵀ - D^l Zᵀ) r`; and for a key block with the summed gradients `dH`, `dZ` of
//! the query blocks it serves, `dφ(K) = V dHᵀ + dZᵀ`, `dV += φ(K) dH`. The sparse part is that of [`flash_backward`](super::flash_backward), over lists.

use super::feature_map::{HEDGEHOG, feature, feature_grad};
use sla_dsl::prelude::*;

/// Per query block: `delta = rowsum(dO ∘ O^s)`, and with `LINEAR` also `delta_linear = D^l` and `rden = r`.
#[kernel(dims(B, H, LQ, SM), require(P <= 2), grid(m in LQ.div_ceil(BQ), h in H, b in B))]
pub fn sla_bwd_pre<
    T: Float,
    S: Float,
    const BQ: usize,
    const RQ: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const LINEAR: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    sparse_out: &Tensor<T, { [B, H, LQ, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    folded: &Tensor<f32, { [B, H, SM, P, D, D] }>,
    sums: &Tensor<f32, { [B, H, SM, P, D] }>,
    delta: &mut Tensor<f32, { [B, H, LQ] }>,
    delta_linear: &mut Tensor<f32, { [B, H, LQ] }>,
    rden: &mut Tensor<f32, { [B, H, LQ] }>,
    eps: f32,
) {
    let g = grad.at(b, h).block::<BQ>(m).load();
    let gf = g.cast::<f32>();
    let os = sparse_out.at(b, h).block::<BQ>(m).load().cast::<f32>();
    delta.at(b, h).block::<BQ>(m).store((os * gf).sum(1).squeeze(1));
    if LINEAR {
        let at = (m / RQ).min(SM - 1);
        let mut x = q.at(b, h).block::<BQ>(m).load().cast::<f32>();
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load());
        }
        let mut num = zeros::<f32>([BQ, D]);
        let mut den = full::<f32>([BQ, 1], 0.0) + eps;
        for p in unroll(0..P) {
            let f = feature(x * (1 - 2 * p), PHI);
            num += dot(f.cast::<S>(), folded.at(b, h, at, p).block::<D>(0).load().cast::<S>());
            den += (f * sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0)).sum(1);
        }
        let r = select(den == 0.0, 0.0, 1.0 / den);
        let dl = (num * r * gf).sum(1);
        delta_linear.at(b, h).block::<BQ>(m).store(dl.squeeze(1));
        rden.at(b, h).block::<BQ>(m).store(r.squeeze(1));
    }
}

/// Per query block and part of the features: `dH' = (φ(Q) r)ᵀ dO` and `dZ = -Σ_rows φ(Q) r D^l`.
#[kernel(dims(B, H, LQ), require(P <= 2), grid(mp in LQ.div_ceil(BQ) * P, h in H, b in B))]
pub fn sla_bwd_state<
    T: Float,
    S: Float,
    const BQ: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    delta_linear: &Tensor<f32, { [B, H, LQ] }>,
    rden: &Tensor<f32, { [B, H, LQ] }>,
    grad_folded: &mut Tensor<f32, { [B, H, LQ.div_ceil(BQ), P, D, D] }>,
    grad_sums: &mut Tensor<f32, { [B, H, LQ.div_ceil(BQ), P, D] }>,
) {
    let m = mp / P;
    let p = mp % P;
    let mut x = q.at(b, h).block::<BQ>(m).load().cast::<f32>();
    if PHI == HEDGEHOG {
        x = dot(x, w.at(h).block::<D>(0).load()) * (1 - 2 * p).cast::<f32>();
    }
    let g = grad.at(b, h).block::<BQ>(m).load();
    let dl = delta_linear.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let r = rden.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let f = feature(x, PHI) * r;
    grad_folded.at(b, h, m, p).block::<D>(0).store(dot(f.cast::<S>().t(), g.cast::<S>()));
    grad_sums.at(b, h, m, p).block::<D>(0).store(-(f * dl).sum(0).squeeze(0));
}

/// `grad_q`: the sparse part over the row's list, the linear part in the epilogue.
#[kernel(dims(B, H, LQ, LK, W, SM), require(P <= 2), grid(m in LQ.div_ceil(BQ), h in H, b in B))]
pub fn sla_bwd_dq<
    T: Float,
    S: Float,
    const BQ: usize,
    const BK: usize,
    const RQ: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const LINEAR: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    lse: &Tensor<f32, { [B, H, LQ] }>,
    delta: &Tensor<f32, { [B, H, LQ] }>,
    index: &Tensor<i32, { [B, H, LQ.div_ceil(BQ), W] }>,
    count: &Tensor<i32, { [B, H, LQ.div_ceil(BQ)] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    folded: &Tensor<f32, { [B, H, SM, P, D, D] }>,
    sums: &Tensor<f32, { [B, H, SM, P, D] }>,
    delta_linear: &Tensor<f32, { [B, H, LQ] }>,
    rden: &Tensor<f32, { [B, H, LQ] }>,
    grad_q: &mut Tensor<T, { [B, H, LQ, D] }>,
    scale: f32,
) {
    let qt = q.at(b, h).block::<BQ>(m).load();
    let g = grad.at(b, h).block::<BQ>(m).load();
    let l = lse.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let d = delta.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let c = scale * LOG2E;
    let mut acc = zeros::<f32>([BQ, D]);
    for j in index.at(b, h, m).gather(count.at(b, h, m).load()) {
        let s = (dot(qt, k[j].t()) * c).mask_tail(k, j, -INF);
        let p = exp2(s - l);
        let ds = p * (dot(g, v[j].t()) - d);
        acc += dot(ds.cast::<T>(), k[j]);
    }
    let mut dq = acc * scale;
    if LINEAR {
        let at = (m / RQ).min(SM - 1);
        let dl = delta_linear.at(b, h).block::<BQ>(m).load().unsqueeze(1);
        let r = rden.at(b, h).block::<BQ>(m).load().unsqueeze(1);
        let mut x = q.at(b, h).block::<BQ>(m).load().cast::<f32>();
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load());
        }
        let mut dx = zeros::<f32>([BQ, D]);
        for p in unroll(0..P) {
            let hp = folded.at(b, h, at, p).block::<D>(0).load().cast::<S>();
            let z = sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0);
            let df = (dot(g.cast::<S>(), hp.t()) - dl * z) * r;
            dx += feature_grad(x * (1 - 2 * p), df, PHI) * (1 - 2 * p);
        }
        if PHI == HEDGEHOG {
            dx = dot(dx, w.at(h).block::<D>(0).load().t());
        }
        dq += dx;
    }
    grad_q.at(b, h).block::<BQ>(m).store(dq.cast::<T>());
}

/// `grad_k` and `grad_v`: the sparse part over the key block's list of query blocks, taken `SUB` rows at a time; the linear part in the epilogue.
///
/// `grad_state` and `grad_sums` have one entry for every `RK` key blocks, or one for all of them (`SN = 1`).
#[kernel(
    dims(B, H, LQ, LK, W, SN),
    require(BQ % SUB == 0, P <= 2),
    grid(n in LK.div_ceil(BK), h in H, b in B),
)]
pub fn sla_bwd_dkdv<
    T: Float,
    S: Float,
    const BQ: usize,
    const SUB: usize,
    const BK: usize,
    const RK: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const LINEAR: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    lse: &Tensor<f32, { [B, H, LQ] }>,
    delta: &Tensor<f32, { [B, H, LQ] }>,
    index: &Tensor<i32, { [B, H, LK.div_ceil(BK), W] }>,
    count: &Tensor<i32, { [B, H, LK.div_ceil(BK)] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    grad_state: &Tensor<f32, { [B, H, SN, P, D, D] }>,
    grad_sums: &Tensor<f32, { [B, H, SN, P, D] }>,
    grad_k: &mut Tensor<T, { [B, H, LK, D] }>,
    grad_v: &mut Tensor<T, { [B, H, LK, D] }>,
    scale: f32,
) {
    let kt = k.at(b, h).block::<BK>(n).load();
    let vt = v.at(b, h).block::<BK>(n).load();
    let q = q.at(b, h).blocks::<SUB>();
    let g = grad.at(b, h).blocks::<SUB>();
    let lse = lse.at(b, h).blocks::<SUB>();
    let delta = delta.at(b, h).blocks::<SUB>();
    let list = index.at(b, h, n);
    let c = scale * LOG2E;
    let mut dk = zeros::<f32>([BK, D]);
    let mut dv = zeros::<f32>([BK, D]);
    for t in 0..count.at(b, h, n).load() * (BQ / SUB) {
        let mut i = list.at(t / (BQ / SUB)).load() * (BQ / SUB) + t % (BQ / SUB);
        let mut exists = i >= 0;
        if BQ > SUB {
            // The last query block may have no rows in its later parts.
            exists = i < q.len();
            i = i.min(q.len() - 1);
        }
        let mut p = exp2(dot(kt, q[i].t()) * c - lse[i].unsqueeze(0));
        if BQ > SUB {
            p = select(exists, p, 0.0);
        }
        dv += dot(p.cast::<T>(), g[i]);
        let ds = p * (dot(vt, g[i].t()) - delta[i].unsqueeze(0));
        dk += dot(ds.cast::<T>(), q[i]);
    }
    dk = dk * scale;
    if LINEAR {
        let at = (n / RK).min(SN - 1);
        let mut x = kt.cast::<f32>();
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load());
        }
        let mut dx = zeros::<f32>([BK, D]);
        for p in unroll(0..P) {
            let dh = grad_state.at(b, h, at, p).block::<D>(0).load().cast::<S>();
            dv += dot(feature(x * (1 - 2 * p), PHI).cast::<S>(), dh);
            let dz = grad_sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0);
            let df = dot(vt.cast::<S>(), dh.t()) + dz;
            dx += feature_grad(x * (1 - 2 * p), df, PHI) * (1 - 2 * p);
        }
        if PHI == HEDGEHOG {
            dx = dot(dx, w.at(h).block::<D>(0).load().t());
        }
        dk += dx;
    }
    grad_k.at(b, h).block::<BK>(n).store(dk.cast::<T>());
    grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
}
