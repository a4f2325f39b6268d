//! Every mistake of a kernel in one compile, and each only once.

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
    let s = dot(q, k) * scale;
    let p = exp2(s - s.max(3));
    out.at(h).block::<BM>(m).store(p + 1.0);
    let x = zeros::<f32>([BM, D]).max(2);
    k2.store(x);
    lse.at(h).block::<BM>(m).store(zeros::<i32>([BM]));
}

fn main() {}
