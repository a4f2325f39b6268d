//! Only tensors taken as `&mut` are written.

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
    let t = q.at(h).block::<BM>(m).load();
    k.at(h).block::<BM>(m).store(t);
    out.at(h).block::<BM>(m).store(t);
}

fn main() {}
