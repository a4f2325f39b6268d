//! A product contracts the last axis of the first tile with the first axis of the second.

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
    let q = q.at(h).block::<BM>(m).load();
    let k = k.at(h).block::<BN>(m).load();
    let s = dot(q, k);
    lse.at(h).block::<BM>(m).store(s.sum(1));
}

fn main() {}
