//! SLA backward: row sums by query blocks, `grad_q` by query blocks, the gradients of the linear branch's states
//! ([`state_backward`](super::state_backward)), then `grad_k` and `grad_v` by key blocks, first their linear part and then the sparse one. Every result is
//! deterministic: nothing is added atomically. States have one entry for every `RQ` query blocks (`RK` key blocks), or one for all of them.
//!
//! With `r = 1 / (φ(Q) Z + eps)` (0 where that is 0) and `G = dO H'ᵀ`, `D^l = rowsum(φ(Q) ∘ G) r`, which is `rowsum(dO ∘ Op)` for the linear part
//! `Op = φ(Q) H' r` of the output: one product serves `D^l` and `dφ(Q) = (G - D^l Zᵀ) r`. For a key block with the summed gradients `dH`, `dZ` of
//! the query blocks it serves, `dφ(K) = V dHᵀ + dZᵀ`, `dV += φ(K) dH`. The sparse part is that of [`flash_backward`](super::flash_backward), over lists.
//!
//! The linear part of `grad_k` and `grad_v` is a kernel of its own: beside the sparse part's accumulators, a thread of 64 key rows has no registers for `φ(K)`
//! and `V dHᵀ`, and a block of threads that serves two lists no shared memory for `dH`. The kernel of the sparse part reads what it adds to while its products run.
//!
//! `S` is the type in which the linear branch multiplies by states. In halves `V dHᵀ` and `dZ` all but cancel where few keys have all weight, so that one rounding of `dH` would
//! be seen. Where all blocks share one, `dH` comes as two terms (`SPLIT`), side by side in each row; else `dZ` makes up for it
//! (see [`state_backward`](super::state_backward)).

use super::feature_map::{HEDGEHOG, SOFTMAX, feature, feature_grad};
use sla_dsl::prelude::*;

/// Per query block: `delta = rowsum(dO ∘ O^s)`. With `LINEAR` the sums of the columns of `dO` too, whose total is the gradient of the projection's bias.
/// For features of two parts also `delta_linear = D^l` and `rden = r`, which [`sla_bwd_dq`](sla_bwd_dq::Kernel) else computes from what it has.
#[kernel(
    dims(B, H, LQ, SM, MB),
    require(P <= 2, !LINEAR || MB == LQ.div_ceil(BQ)),
    grid(m in LQ.div_ceil(BQ), h in H, b in B),
)]
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
    folded: &Tensor<S, { [B, H, SM, P * D, D] }>,
    sums: &Tensor<f32, { [B, H, SM, P, D] }>,
    delta: &mut Tensor<f32, { [B, H, LQ] }>,
    delta_linear: &mut Tensor<f32, { [B, H, LQ] }>,
    rden: &mut Tensor<f32, { [B, H, LQ] }>,
    grad_bias: &mut Tensor<f32, { [B, H, MB, D] }>,
    eps: f32,
) {
    let gf = grad.at(b, h).block::<BQ>(m).load().cast::<f32>();
    let os = sparse_out.at(b, h).block::<BQ>(m).load().cast::<f32>();
    delta.at(b, h).block::<BQ>(m).store((os * gf).sum(1).squeeze(1));
    if LINEAR {
        grad_bias.at(b, h, m).block::<D>(0).store(gf.sum(0).squeeze(0));
        if P > 1 {
            let at = (m / RQ).min(SM - 1);
            let mut x = q.at(b, h).block::<BQ>(m).load().cast::<f32>();
            if PHI == HEDGEHOG {
                x = dot(x, w.at(h).block::<D>(0).load());
            }
            let mut num = zeros::<f32>([BQ, D]);
            let mut den = full::<f32>([BQ, 1], 0.0) + eps;
            for p in unroll(0..P) {
                let f = feature(x * (1 - 2 * p), PHI);
                num += dot(f.cast::<S>(), folded.at(b, h, at).block::<D>(p).load());
                den += (f * sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0)).sum(1);
            }
            let r = select(den == 0.0, 0.0, 1.0 / den);
            let dl = (num * r * gf).sum(1);
            delta_linear.at(b, h).block::<BQ>(m).store(dl.squeeze(1));
            rden.at(b, h).block::<BQ>(m).store(r.squeeze(1));
        }
    }
}

/// `grad_q`: the sparse part over the row's list, `SUB` keys at a time, the linear part in the epilogue. With `LINEAR`, `delta_linear = D^l` and `rden = r` are written, or read for
/// features of two parts. `SHIFTED`, for a softmax of one part, writes `rden` as the exponent `s` of `φ(q) r = 2^(q log₂e - s)`, infinite where `r` is 0.
#[kernel(
    dims(B, H, LQ, LK, W, SM),
    require(P <= 2, BK % SUB == 0, !SHIFTED || PHI == 1 && P == 1),
    grid(m in LQ.div_ceil(BQ), h in H, b in B),
    tune(
        SUB in [32, 64, 128],
        stages in [2, 3],
        groups in [1, 2],
        order in [static, queue],
        ctas_per_sm in [1, 2],
        held_in_registers in [true, false],
        ping_pong in [true, false],
        key(LQ, LK),
    ),
)]
pub fn sla_bwd_dq<
    T: Float,
    S: Float,
    const BQ: usize,
    const BK: usize,
    const SUB: usize,
    const RQ: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const LINEAR: bool,
    const SHIFTED: bool,
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
    folded: &Tensor<S, { [B, H, SM, P * D, D] }>,
    sums: &Tensor<f32, { [B, H, SM, P, D] }>,
    delta_linear: &mut Tensor<f32, { [B, H, LQ] }>,
    rden: &mut Tensor<f32, { [B, H, LQ] }>,
    grad_q: &mut Tensor<T, { [B, H, LQ, D] }>,
    scale: f32,
    eps: f32,
) {
    let qt = q.at(b, h).block::<BQ>(m).load();
    let g = grad.at(b, h).block::<BQ>(m).load();
    let l = lse.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let d = delta.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let k = k.at(b, h).blocks::<SUB>();
    let v = v.at(b, h).blocks::<SUB>();
    let c = scale * LOG2E;
    let mut acc = zeros::<f32>([BQ, D]);
    let list = index.at(b, h, m);
    for t in 0..count.at(b, h, m).load() * (BK / SUB) {
        let mut j = list.at(t / (BK / SUB)).load() * (BK / SUB) + t % (BK / SUB);
        let mut exists = j >= 0;
        if BK > SUB {
            // The last key block may have no rows in its later parts.
            exists = j < k.len();
            j = j.min(k.len() - 1);
        }
        let s = (dot(qt, k[j].t()) * c).mask_tail(k, j, -INF);
        let mut p = exp2(s - l);
        if BK > SUB {
            p = select(exists, p, 0.0);
        }
        let ds = p * (dot(g, v[j].t()) - d);
        acc += dot(ds.cast::<T>(), k[j]);
    }
    let mut dq = acc * scale;
    if LINEAR {
        // In halves it leaves a thread the registers for `φ(Q)` and `G`.
        let sparse = dq.cast::<T>();
        let at = (m / RQ).min(SM - 1);
        let mut x = qt.cast::<f32>();
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load());
        }
        let mut dl = zeros::<f32>([BQ, 1]);
        let mut r = zeros::<f32>([BQ, 1]);
        let mut shift = zeros::<f32>([BQ, 1]);
        if P > 1 {
            dl = delta_linear.at(b, h).block::<BQ>(m).load().unsqueeze(1);
            r = rden.at(b, h).block::<BQ>(m).load().unsqueeze(1);
        }
        let mut dx = zeros::<f32>([BQ, D]);
        for p in unroll(0..P) {
            let z = sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0);
            let f = feature(x * (1 - 2 * p), PHI);
            if P == 1 {
                let den = (f * z).sum(1) + eps;
                r = select(den == 0.0, 0.0, 1.0 / den);
                if SHIFTED {
                    let top = x.max(1);
                    let all = exp2((x - top) * LOG2E).sum(1);
                    shift = select(den == 0.0, INF, top * LOG2E + log2(all * den));
                }
            }
            // As the forward multiplied them.
            let y = f.cast::<S>().cast::<f32>();
            let gh = dot(g.cast::<S>(), folded.at(b, h, at).block::<D>(p).load().t());
            if P == 1 {
                dl = (y * gh).sum(1) * r;
            }
            if PHI == SOFTMAX {
                // `Σ y dφ`, which the gradient of a softmax takes away, is `D^l eps r`.
                dx = y * ((gh - dl * (z + eps)) * r);
            } else {
                dx += feature_grad(y, (gh - dl * z) * r, PHI) * (1 - 2 * p);
            }
        }
        if P == 1 {
            delta_linear.at(b, h).block::<BQ>(m).store(dl.squeeze(1));
            if SHIFTED {
                rden.at(b, h).block::<BQ>(m).store(shift.squeeze(1));
            } else {
                rden.at(b, h).block::<BQ>(m).store(r.squeeze(1));
            }
        }
        if PHI == HEDGEHOG {
            dx = dot(dx, w.at(h).block::<D>(0).load().t());
        }
        dq = sparse.cast::<f32>() + dx;
    }
    grad_q.at(b, h).block::<BQ>(m).store(dq.cast::<T>());
}

/// The linear part of `grad_k` and `grad_v`, by key blocks.
///
/// `grad_state` and `grad_sums` have one entry for every `RK` key blocks, or one for all of them (`SN = 1`).
#[kernel(
    dims(B, H, LK, SN),
    require(P <= 2, SPLIT == 1 || SPLIT == 2),
    grid(n in LK.div_ceil(BK), h in H, b in B),
)]
pub fn sla_bwd_linear<
    T: Float,
    S: Float,
    const BK: usize,
    const RK: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const SPLIT: usize,
>(
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    grad_state: &Tensor<S, { [B, H, SN, P * D, SPLIT * D] }>,
    grad_sums: &Tensor<f32, { [B, H, SN, P, D] }>,
    grad_k: &mut Tensor<T, { [B, H, LK, D] }>,
    grad_v: &mut Tensor<T, { [B, H, LK, D] }>,
) {
    let kt = k.at(b, h).block::<BK>(n).load();
    let vt = v.at(b, h).block::<BK>(n).load();
    let at = (n / RK).min(SN - 1);
    let mut x = kt.cast::<f32>();
    if PHI == HEDGEHOG {
        x = dot(x, w.at(h).block::<D>(0).load());
    }
    let mut dv = zeros::<f32>([BK, D]);
    let mut dx = zeros::<f32>([BK, D]);
    for p in unroll(0..P) {
        let dz = grad_sums.at(b, h, at, p).block::<D>(0).load().unsqueeze(0);
        let f = feature(x * (1 - 2 * p), PHI);
        let dh = grad_state.at(b, h, at).block::<D, D>(p, 0).load();
        dv += dot(f.cast::<S>(), dh);
        if p + 1 == P {
            grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
        }
        let mut df = dot(vt.cast::<S>(), dh.t());
        if SPLIT == 2 {
            df += dot(vt.cast::<S>(), grad_state.at(b, h, at).block::<D, D>(p, 1).load().t());
        }
        dx += feature_grad(f, df + dz, PHI) * (1 - 2 * p);
    }
    if PHI == HEDGEHOG {
        dx = dot(dx, w.at(h).block::<D>(0).load().t());
    }
    grad_k.at(b, h).block::<BK>(n).store(dx.cast::<T>());
}

/// `grad_k` and `grad_v`: the sparse part over the key block's list of query blocks, taken `SUB` rows at a time. With `LINEAR` it is added to what
/// `grad_k` and `grad_v` hold. `WHOLE`: blocks divide the queries, and no step asks whether its rows exist.
#[kernel(
    dims(B, H, LQ, LK, W),
    require(BQ % SUB == 0, !WHOLE || LQ % BQ == 0),
    grid(n in LK.div_ceil(BK), h in H, b in B),
    tune(
        SUB in [32, 64, 128],
        stages in [2, 3],
        groups in [1, 2],
        order in [static, queue],
        ctas_per_sm in [1, 2],
        held_in_registers in [true, false],
        ping_pong in [true, false],
        key(LQ, LK),
    ),
)]
pub fn sla_bwd_dkdv<
    T: Float,
    const BQ: usize,
    const SUB: usize,
    const BK: usize,
    const D: usize,
    const LINEAR: bool,
    const WHOLE: bool,
>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    lse: &Tensor<f32, { [B, H, LQ] }>,
    delta: &Tensor<f32, { [B, H, LQ] }>,
    index: &Tensor<i32, { [B, H, LK.div_ceil(BK), W] }>,
    count: &Tensor<i32, { [B, H, LK.div_ceil(BK)] }>,
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
    let c = -scale * LOG2E;
    let mut dk = zeros::<f32>([BK, D]);
    let mut dv = zeros::<f32>([BK, D]);
    for t in 0..count.at(b, h, n).load() * (BQ / SUB) {
        let mut i = list.at(t / (BQ / SUB)).load() * (BQ / SUB) + t % (BQ / SUB);
        let mut exists = i >= 0;
        if BQ > SUB && !WHOLE {
            // The last query block may have no rows in its later parts.
            exists = i < q.len();
            i = i.min(q.len() - 1);
        }
        let mut l = lse[i].unsqueeze(0);
        if BQ > SUB && !WHOLE {
            l = select(exists, l, INF);
        }
        let p = exp2(-(dot(kt, q[i].t()) * c + l));
        dv += dot(p.cast::<T>(), g[i]);
        let ds = p * (dot(vt, g[i].t()) - delta[i].unsqueeze(0));
        dk += dot(ds.cast::<T>(), q[i]);
    }
    dk = dk * scale;
    if LINEAR {
        dk += grad_k.at(b, h).block::<BK>(n).load().cast::<f32>();
        dv += grad_v.at(b, h).block::<BK>(n).load().cast::<f32>();
    }
    grad_k.at(b, h).block::<BK>(n).store(dk.cast::<T>());
    grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
}
