//! Totals over blocks.

use sla_dsl::prelude::*;

/// `out[a, :] = Σ_n x[a, n, :]`, in order of `n`.
#[kernel(dims(A, N, X), grid(c in X.div_ceil(BX), a in A))]
pub fn block_total<const BX: usize>(x: &Tensor<f32, { [A, N, X] }>, out: &mut Tensor<f32, { [A, X] }>) {
    let mut acc = zeros::<f32>([BX]);
    for n in 0..N {
        acc += x.at(a, n).block::<BX>(c).load();
    }
    out.at(a).block::<BX>(c).store(acc);
}
