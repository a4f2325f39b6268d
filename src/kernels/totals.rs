//! Totals over blocks.

use sla_dsl::prelude::*;

/// `out[a, :] = Σ_n x[a, n, :]`, `BN` blocks at a time.
#[kernel(dims(A, N, X), grid(c in X.div_ceil(BX), a in A))]
pub fn block_total<const BN: usize, const BX: usize>(
    x: &Tensor<f32, { [A, N, X] }>,
    out: &mut Tensor<f32, { [A, X] }>,
) {
    let mut acc = zeros::<f32>([1, BX]);
    for t in 0..N.div_ceil(BN) {
        acc += x.at(a).block::<BN, BX>(t, c).load().sum(0);
    }
    out.at(a).block::<BX>(c).store(acc.squeeze(0));
}
