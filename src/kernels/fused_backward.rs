//! All three gradients of attention in one kernel that owns blocks of keys: five products of blocks instead of the seven of two kernels.
//!
//! The formulas are those of [`flash_backward`](super::flash_backward). What a block of keys gives `dQ` is added to a sum in f32 in global memory,
//! [`clear_sums`](clear_sums::Kernel) before and [`scale_sums`](scale_sums::Kernel) after, so that **`dQ` is not reproducible bit by bit on a GPU**: blocks of
//! keys add in the order in which they come. `dK` and `dV` are.
//!
//! Scores are computed turned, keys along the rows: `Pᵀ` and `dSᵀ` are then first operands of `dV` and `dK` as they are, and only `dQ = dS K` contracts their
//! rows. A block of queries costs `4·D` bytes of additions a row for every block of keys, which pays off for blocks of 128 keys and more.

use sla_dsl::prelude::*;

/// `sum_q = 0`.
#[kernel(dims(B, H, LQ), grid(m in LQ.div_ceil(BQ), h in H, b in B))]
pub fn clear_sums<const BQ: usize, const D: usize>(sum_q: &mut Tensor<f32, { [B, H, LQ, D] }>) {
    sum_q.at(b, h).block::<BQ>(m).store(zeros::<f32>([BQ, D]));
}

/// `grad_q = scale · sum_q`.
#[kernel(dims(B, H, LQ), grid(m in LQ.div_ceil(BQ), h in H, b in B))]
pub fn scale_sums<T: Float, const BQ: usize, const D: usize>(
    sum_q: &Tensor<f32, { [B, H, LQ, D] }>,
    grad_q: &mut Tensor<T, { [B, H, LQ, D] }>,
    scale: f32,
) {
    let sum = sum_q.at(b, h).block::<BQ>(m).load();
    grad_q.at(b, h).block::<BQ>(m).store((sum * scale).cast::<T>());
}

/// `grad_k`, `grad_v`, and what is added to `sum_q`, for dense attention.
#[kernel(
    dims(B, H, LQ, LK),
    grid(n in LK.div_ceil(BK), h in H, b in B),
    tune(
        BQ in [32, 64, 128],
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
pub fn flash_bwd_fused<T: Float, const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    grad: &Tensor<T, { [B, H, LQ, D] }>,
    lse: &Tensor<f32, { [B, H, LQ] }>,
    delta: &Tensor<f32, { [B, H, LQ] }>,
    sum_q: &mut Tensor<f32, { [B, H, LQ, D] }>,
    grad_k: &mut Tensor<T, { [B, H, LK, D] }>,
    grad_v: &mut Tensor<T, { [B, H, LK, D] }>,
    scale: f32,
) {
    let keys = k.at(b, h).blocks::<BK>();
    let kt = keys[n];
    let vt = v.at(b, h).block::<BK>(n).load();
    let q = q.at(b, h).blocks::<BQ>();
    let g = grad.at(b, h).blocks::<BQ>();
    let lse = lse.at(b, h).blocks::<BQ>();
    let delta = delta.at(b, h).blocks::<BQ>();
    let c = -scale * LOG2E;
    // Keys past the end have no weight: `dQ` sums over them, and `2^-lse` may be infinite.
    let past = full::<f32>([BK, 1], 0.0).mask_rows(keys, n, INF);
    let mut dk = zeros::<f32>([BK, D]);
    let mut dv = zeros::<f32>([BK, D]);
    for i in 0..q.len() {
        let p = exp2(-(dot(kt, q[i].t()) * c + lse[i].unsqueeze(0)) - past);
        dv += dot(p.cast::<T>(), g[i]);
        let ds = (p * (dot(vt, g[i].t()) - delta[i].unsqueeze(0))).cast::<T>();
        let dq = dot(ds.t(), kt);
        dk += dot(ds, q[i]);
        sum_q.at(b, h).block::<BQ>(i).atomic_add(dq);
    }
    grad_k.at(b, h).block::<BK>(n).store((dk * scale).cast::<T>());
    grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
}

/// The same over each key block's list of query blocks, taken `SUB` rows at a time. `WHOLE`: blocks divide the queries, and no step asks whether its rows exist.
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
pub fn sparse_bwd_fused<
    T: Float,
    const BQ: usize,
    const SUB: usize,
    const BK: usize,
    const D: usize,
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
    sum_q: &mut Tensor<f32, { [B, H, LQ, D] }>,
    grad_k: &mut Tensor<T, { [B, H, LK, D] }>,
    grad_v: &mut Tensor<T, { [B, H, LK, D] }>,
    scale: f32,
) {
    let keys = k.at(b, h).blocks::<BK>();
    let kt = keys[n];
    let vt = v.at(b, h).block::<BK>(n).load();
    let q = q.at(b, h).blocks::<SUB>();
    let g = grad.at(b, h).blocks::<SUB>();
    let lse = lse.at(b, h).blocks::<SUB>();
    let delta = delta.at(b, h).blocks::<SUB>();
    let list = index.at(b, h, n);
    let c = -scale * LOG2E;
    // Keys past the end have no weight: `dQ` sums over them, and `2^-lse` may be infinite.
    let past = full::<f32>([BK, 1], 0.0).mask_rows(keys, n, INF);
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
        let p = exp2(-(dot(kt, q[i].t()) * c + l) - past);
        dv += dot(p.cast::<T>(), g[i]);
        let ds = (p * (dot(vt, g[i].t()) - delta[i].unsqueeze(0))).cast::<T>();
        let dq = dot(ds.t(), kt);
        dk += dot(ds, q[i]);
        sum_q.at(b, h).block::<SUB>(i).atomic_add(dq);
    }
    grad_k.at(b, h).block::<BK>(n).store((dk * scale).cast::<T>());
    grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
}
