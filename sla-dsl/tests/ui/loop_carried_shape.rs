//! A variable that a loop carries keeps its shape.

use sla_dsl::prelude::*;

#[kernel(dims(H, L), grid(m in L.div_ceil(BM), h in H))]
fn example<T: Float, const BM: usize, const BN: usize, const D: usize, const CAUSAL: bool>(
    q: &Tensor<T, { [H, L, D] }>,
    k: &Tensor<T, { [H, L, D] }>,
    list: &Tensor<i32, { [H, L] }>,
    out: &mut Tensor<T, { [H, L, D] }>,
    lse: &mut Tensor<f32, { [H, L] }>,
    scale: f32,
) {
    let s = zeros::<f32>([BM, BN]);
    let mut m = full::<f32>([BM, 1], -INF);
    for j in 0..4 {
        m = s.max(0);
    }
    lse.at(h).block::<BM>(0).store(m);
}

fn main() {}
