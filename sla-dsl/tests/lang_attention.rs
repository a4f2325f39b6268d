//! A kernel as its author writes it, built: flash attention.

use sla_dsl::ir::{Facts, OpCode};
use sla_dsl::lang::{Const, Consts};
use sla_dsl::prelude::*;

/// Flash attention.
#[kernel(
    dims(B, H, LQ, LK),
    require(D % 16 == 0),
    grid(m in LQ.div_ceil(BM), h in H, b in B),
)]
pub fn flash_fwd<T: Float, const BM: usize, const BN: usize, const D: usize, const CAUSAL: bool>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    out: &mut Tensor<T, { [B, H, LQ, D] }>,
    lse: &mut Tensor<f32, { [B, H, LQ] }>,
    scale: f32,
) {
    let q = q.at(b, h).block::<BM>(m).load();
    let k = k.at(b, h).blocks::<BN>();
    let v = v.at(b, h).blocks::<BN>();
    let mut acc = zeros::<f32>([BM, D]);
    let mut st = OnlineSoftmax::new(BM);
    for j in 0..k.len() {
        let s = dot(q, k[j].t()) * (scale * LOG2E);
        let s = s.mask_tail(k, j, -INF);
        let s = if CAUSAL { mask_causal(s, m * BM, j * BN) } else { s };
        let (p, alpha) = st.step(s);
        acc = acc * alpha + dot(p.cast::<T>(), v[j]);
    }
    let (inv, l2) = st.finish();
    out.at(b, h).block::<BM>(m).store((acc * inv).cast::<T>());
    lse.at(b, h).block::<BM>(m).store(l2.squeeze(1));
}

#[func]
fn mask_causal<const M: usize, const N: usize>(
    s: Tile<f32, { [M, N] }>,
    row0: i32,
    col0: i32,
) -> Tile<f32, { [M, N] }> {
    select(iota([M, 1], 0) + row0 >= iota([1, N], 1) + col0, s, -INF)
}

#[test]
fn flash_builds() {
    let kernel = flash_fwd::<bf16, 64, 32, 64, true>::build(&Facts::default()).unwrap();
    let mut codes = Vec::new();
    kernel.walk(&mut |k, _, id| codes.push(k.op(id).code));
    let count = |c| codes.iter().filter(|&&x| x == c).count();
    assert_eq!(count(OpCode::Dot), 2);
    assert_eq!(count(OpCode::For), 1);
    assert_eq!(count(OpCode::Store), 2);
    assert_eq!(count(OpCode::Transpose), 1);
}

#[test]
fn wrong_constants_are_told() {
    let mut c = flash_fwd::<f32, 64, 32, 64, true>::consts();
    c.0[3].1 = Const::Int(20);
    let e = flash_fwd.build(&c, &Facts::default()).unwrap_err().to_string();
    assert!(e.contains("requires D % 16 == 0"), "{e}");
    assert!(flash_fwd.build(&Consts::default(), &Facts::default()).is_err());
}
