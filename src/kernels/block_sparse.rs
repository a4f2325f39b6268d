//! Attention of each block of queries over a list of blocks of keys.

use sla_dsl::prelude::*;

/// Softmax attention over the key blocks that `index[b, h, m, ..count[b, h, m]]` names; the sparse part of SLA.
///
/// Indices are in `0..LK.div_ceil(BK)`, distinct, in any order. A row without entries stores zeros and an `lse` of `-inf`.
#[kernel(
    dims(B, H, LQ, LK, W),
    grid(m in LQ.div_ceil(BQ), h in H, b in B),
    tune(
        stages in [2, 3, 4, 5],
        groups in [1, 2],
        order in [static, queue],
        pair in [true, false],
        ctas_per_sm in [1, 2],
        held_in_registers in [true, false],
        ping_pong in [true, false],
        schedule in [self, baseline],
        key(LQ, LK),
    ),
)]
pub fn sparse_fwd<T: Float, const BQ: usize, const BK: usize, const D: usize>(
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
