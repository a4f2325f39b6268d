//! Attention: dense, by lists, backward, and the linear branch's state.

use super::{Case, Fill::*};
use sla_dsl::prelude::*;

/// Dense forward.
#[kernel(dims(B, H, LQ, LK), grid(m in LQ.div_ceil(BQ), h in H, b in B))]
fn flash<T: Float, const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    out: &mut Tensor<T, { [B, H, LQ, D] }>,
    lse: &mut Tensor<f32, { [B, H, LQ] }>,
    scale: f32,
) {
    let q = q.at(b, h).block::<BQ>(m).load();
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let c = scale * LOG2E;
    let mut acc = zeros::<f32>([BQ, D]);
    let mut st = OnlineSoftmax::new(BQ);
    for j in 0..k.len() {
        let s = (dot(q, k[j].t()) * c).mask_tail(k, j, -INF);
        let (p, alpha) = st.step(s);
        acc = acc * alpha + dot(p.cast::<T>(), v[j]);
    }
    let (inv, l2) = st.finish();
    out.at(b, h).block::<BQ>(m).store((acc * inv).cast::<T>());
    lse.at(b, h).block::<BQ>(m).store(l2.squeeze(1));
}

/// Forward over lists of key blocks.
#[kernel(dims(B, H, LQ, LK, W), grid(m in LQ.div_ceil(BQ), h in H, b in B))]
fn sparse<T: Float, const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    index: &Tensor<i32, { [B, H, LQ.div_ceil(BQ), W] }>,
    count: &Tensor<i32, { [B, H, LQ.div_ceil(BQ)] }>,
    out: &mut Tensor<T, { [B, H, LQ, D] }>,
    lse: &mut Tensor<f32, { [B, H, LQ] }>,
    scale: f32,
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
    out.at(b, h).block::<BQ>(m).store((acc * inv).cast::<T>());
    lse.at(b, h).block::<BQ>(m).store(l2.squeeze(1));
}

/// Gradients of keys and values, with both orientations of a computed operand.
#[kernel(dims(B, H, LQ, LK), grid(n in LK.div_ceil(BK), h in H, b in B))]
fn gradients<T: Float, const BQ: usize, const BK: usize, const D: usize>(
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
    let c = scale * LOG2E;
    let mut dk = zeros::<f32>([BK, D]);
    let mut dv = zeros::<f32>([BK, D]);
    for i in 0..q.len() {
        let p = exp2(dot(k, q[i].t()) * c - lse[i].unsqueeze(0));
        dv += dot(p.cast::<T>(), g[i]);
        let ds = p * (dot(v, g[i].t()) - delta[i].unsqueeze(0));
        dk += dot(ds.cast::<T>(), q[i]);
    }
    grad_k.at(b, h).block::<BK>(n).store((dk * scale).cast::<T>());
    grad_v.at(b, h).block::<BK>(n).store(dv.cast::<T>());
}

/// `state = sum of softmax(k)ᵀ v` over blocks, with the sum of the weights.
#[kernel(dims(B, H, L), grid(h in H, b in B))]
fn key_state<T: Float, const BK: usize, const D: usize>(
    k: &Tensor<T, { [B, H, L, D] }>,
    v: &Tensor<T, { [B, H, L, D] }>,
    state: &mut Tensor<f32, { [B, H, D, D] }>,
    sums: &mut Tensor<f32, { [B, H, D] }>,
) {
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let mut acc = zeros::<f32>([D, D]);
    let mut sum = zeros::<f32>([1, D]);
    for n in 0..k.len() {
        let x = k[n].cast::<f32>();
        let e = exp(x - x.max(1));
        let f = (e / e.sum(1)).mask_rows(k, n, 0.0);
        acc += dot(f.cast::<T>().t(), v[n]);
        sum += f.sum(0);
    }
    state.at(b, h).block::<D>(0).store(acc);
    sums.at(b, h).block::<D>(0).store(sum.squeeze(0));
}

pub fn cases() -> Vec<Case> {
    let forward = [Random, Random, Random, Zero, Zero, Scalar(0.125)];
    let lists = |blocks| [Random, Random, Random, Below(blocks), Below(4), Zero, Zero, Scalar(0.125)];
    let backward = [Random, Random, Random, Random, Random, Random, Zero, Zero, Scalar(0.125)];
    let mut all = Vec::new();
    for (c, l, name) in [
        (flash::<bf16, 128, 64, 128>::consts(), 256, "flash_bf16_128x64_d128"),
        (flash::<f16, 128, 128, 128>::consts(), 256, "flash_f16_128x128_d128"),
        (flash::<bf16, 64, 64, 64>::consts(), 192, "flash_bf16_64x64_d64"),
        (flash::<bf16, 128, 64, 64>::consts(), 200, "flash_bf16_ragged"),
        (flash::<f32, 64, 64, 64>::consts(), 192, "flash_f32_64x64_d64"),
    ] {
        let exact = name.contains("f32");
        let case =
            Case::new(name, &flash, c, &[2, 2, l, l], &forward).tolerance(if exact { 1e-5 } else { 8e-3 });
        all.push(case.lean());
    }
    for (c, lq, lk, name) in [
        (sparse::<bf16, 128, 64, 128>::consts(), 256, 512, "sparse_bf16_128x64_d128"),
        (sparse::<f16, 64, 64, 64>::consts(), 200, 450, "sparse_f16_64x64_d64"),
    ] {
        let blocks = (lk as i32 + 63) / 64;
        let case = Case::new(name, &sparse, c, &[1, 2, lq, lk, 4], &lists(blocks)).tolerance(8e-3);
        all.push(case.lean());
    }
    for (c, l, name, tolerance) in [
        (gradients::<bf16, 64, 64, 64>::consts(), 200, "gradients_bf16_d64", 2e-2),
        (gradients::<bf16, 32, 128, 128>::consts(), 256, "gradients_bf16_d128", 2e-2),
        (gradients::<f32, 32, 64, 64>::consts(), 128, "gradients_f32_d64", 1e-5),
    ] {
        let case = Case::new(name, &gradients, c, &[1, 2, l, l], &backward).tolerance(tolerance);
        all.push(case.lean());
    }
    for (c, l, name, tolerance) in [
        (key_state::<bf16, 64, 64>::consts(), 300, "state_bf16_d64", 2e-2),
        (key_state::<f16, 64, 128>::consts(), 256, "state_f16_d128", 2e-2),
        (key_state::<f32, 64, 64>::consts(), 300, "state_f32_d64", 1e-5),
    ] {
        all.push(
            Case::new(name, &key_state, c, &[2, 2, l], &[Random, Random, Zero, Zero]).tolerance(tolerance),
        );
    }
    all
}
