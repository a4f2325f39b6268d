//! A list of indices has one axis and holds i32.

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
    for j in list.gather(4) {
        let y = zeros::<f32>([BM]);
    }
    for j in lse.at(h).gather(4) {
        let y = zeros::<f32>([BM]);
    }
}

fn main() {}
