//! Dense attention, forward: FlashAttention's online softmax over blocks of keys.
//!
//! For a block of `BQ` queries, `S = Q Kᵀ · scale`, `P = softmax(S)`, `O = P V`. The scale and `log₂ e` are one factor, so that
//! exponentials are base 2; `lse` is base 2 as well: `m + log₂ Σ 2^(S - m)`.

use sla_dsl::prelude::*;

/// Attention of every query over every key (`CAUSAL`: over keys at or before its own place).
///
/// `scale` multiplies the logits, usually `1/√D`.
#[kernel(
    dims(B, H, LQ, LK),
    grid(m in LQ.div_ceil(BQ), h in H, b in B),
    tune(
        BQ in [64, 128, 192],
        BK in [64, 80, 96, 128, 176],
        stages in [2, 3, 4],
        groups in [1, 2],
        order in [static, queue],
        ctas_per_sm in [1, 2],
        held_in_registers in [true, false],
        ping_pong in [true, false],
        schedule in [self, baseline],
        key(LQ, LK),
    ),
)]
pub fn flash_fwd<T: Float, const BQ: usize, const BK: usize, const D: usize, const CAUSAL: bool>(
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
    let mut end = k.len();
    if CAUSAL {
        end = end.min(((m + 1) * BQ).div_ceil(BK));
    }
    for j in 0..end {
        let mut s = (dot(q, k[j].t()) * c).mask_tail(k, j, -INF);
        if CAUSAL {
            let row = iota([BQ, 1], 0) + m * BQ;
            let col = iota([1, BK], 1) + j * BK;
            s = select(row >= col, s, -INF);
        }
        let (p, alpha) = st.step(s);
        acc = acc * alpha + dot(p.cast::<T>(), v[j]);
    }
    let (inv, l2) = st.finish();
    out.at(b, h).block::<BQ>(m).store((acc * inv).cast::<T>());
    lse.at(b, h).block::<BQ>(m).store(l2.squeeze(1));
}
