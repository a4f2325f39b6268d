//! Matrix product with blocks of both operands streamed along the contracted axis.

use sla_dsl::prelude::*;

/// `c[M, N] = a[M, K] b[K, N]`, accumulated in f32 and rounded once.
#[kernel(
    dims(M, N, K),
    grid(n in N.div_ceil(BN), m in M.div_ceil(BM)),
    tune(
        BM in [64, 128, 192, 256],
        BN in [64, 128, 192, 256],
        BK in [32, 64, 128],
        stages in [2, 3, 4, 5, 6],
        groups in [1, 2],
        order in [static, queue],
        ctas_per_sm in [1, 2],
        schedule in [self, baseline],
        key(M, N, K),
    ),
)]
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
