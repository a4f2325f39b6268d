//! Forms of Rust that no device runs.

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
    let f = |x| x;
    let y = match m {
        _ => s,
    };
    let z = m as f32;
    let w = &s;
    let v = [0.0; 4];
}

fn main() {}
