//! Matrix product with blocks of both operands streamed along the contracted axis.

use sla_dsl::prelude::*;

/// `c[M, N] = a[M, K] b[K, N]`, accumulated in f32 and rounded once.
#[kernel(dims(M, N, K), grid(n in N.div_ceil(BN), m in M.div_ceil(BM)))]
pub fn matmul<T: Float, const BM: usize, const BN: usize, const BK: usize>(
    a: &Tensor<T, { [M, K] }>,
    b: &Tensor<T, { [K, N] }>,
    c: &mut Tensor<T, { [M, N] }>,
) {
    let mut acc = zeros::<f32>([BM, BN]);
    for k in 0..K.div_ceil(BK) {
        acc += dot(a.block::<BM, BK>(m, k).load(), b.block::<BK, BN>(k, n).load());
    }
    c.block::<BM, BN>(m, n).store(acc.cast::<T>());
}
