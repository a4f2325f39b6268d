//! Dense attention, backward, in two deterministic kernels: one owns blocks of queries, one blocks of keys.
//!
//! With `P = 2^(S·log₂e·scale - lse)`, recomputed from the saved base-2 `lse`, and `delta = rowsum(dO ∘ O)`:
//! `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P ∘ (dP - delta)`, `dQ = scale · dS K`, `dK = scale · dSᵀ Q`.
//! Rows past a ragged end load as zeros (`dO` and `delta` too), so that they add nothing.

use sla_dsl::prelude::*;

/// `grad_q` for dense attention.
#[kernel(
    dims(B, H, LQ, LK),
    grid(m in LQ.div_ceil(BQ), h in H, b in B),
    tune(
        BQ in [64, 128, 192],
        BK in [32, 64, 80, 96, 128],
        stages in [2, 3],
        groups in [1, 2],
        order in [static, queue],
        ctas_per_sm in [1, 2],
        held_in_registers in [true, false],
        ping_pong in [true, false],
        key(LQ, LK),
    ),
)]
pub fn flash_bwd_dq<T: Float, const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    lse: &Tensor<f32, { [B, H, LQ] }>,
    delta: &Tensor<f32, { [B, H, LQ] }>,
    grad_q: &mut Tensor<T, { [B, H, LQ, D] }>,
    scale: f32,
) {
    let q = q.at(b, h).block::<BQ>(m).load();
    let g = grad.at(b, h).block::<BQ>(m).load();
    let lse = lse.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let delta = delta.at(b, h).block::<BQ>(m).load().unsqueeze(1);
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let c = scale * LOG2E;
    let mut acc = zeros::<f32>([BQ, D]);
    for j in 0..k.len() {
        let s = (dot(q, k[j].t()) * c).mask_tail(k, j, -INF);
        let p = exp2(s - lse);
        let ds = p * (dot(g, v[j].t()) - delta);
        acc += dot(ds.cast::<T>(), k[j]);
    }
    grad_q.at(b, h).block::<BQ>(m).store((acc * scale).cast::<T>());
}

/// `grad_k` and `grad_v` for dense attention.
#[kernel(
    dims(B, H, LQ, LK),
    grid(n in LK.div_ceil(BK), h in H, b in B),
    tune(
        BQ in [32, 64, 80, 128],
        BK in [64, 128, 192],
        stages in [2, 3],
        groups in [1, 2],
        order in [static, queue],
        ctas_per_sm in [1, 2],
        held_in_registers in [true, false],
        ping_pong in [true, false],
        key(LQ, LK),
    ),
)]
pub fn flash_bwd_dkdv<T: Float, const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    lse: &Tensor<f32, { [B, H, LQ] }>,
    delta: &Tensor<f32, { [B, H, LQ] }>,
    grad_k: &mut Tensor<T, { [B, H, LK, D] }>,
    grad_v: &mut Tensor<T, { [B, H, LK, D] }>,
    scale: f32,
) {
    let k = k.at(b, h).block::<BK>(n).load();
    let v = v.at(b, h).block::<BK>(n).load();
    let q = q.at(b, h).blocks::<BQ>();
    let g = grad.at(b, h).blocks::<BQ>();
    let lse = lse.at(b, h).blocks::<BQ>();
    let delta = delta.at(b, h).blocks::<BQ>();
    let c = -scale * LOG2E;
    let mut dk = zeros::<f32>([BK, D]);
    let mut dv = zeros::<f32>([BK, D]);
    for i in 0..q.len() {
        let p = exp2(-(dot(k, q[i].t()) * c + lse[i].unsqueeze(0)));
        dv += dot(p.cast::<T>(), g[i]);
        let ds = p * (dot(v, g[i].t()) - delta[i].unsqueeze(0));
        dk += dot(ds.cast::<T>(), q[i]);
    }
    grad_k.at(b, h).block::<BK>(n).store((dk * scale).cast::<T>());
    grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
}
