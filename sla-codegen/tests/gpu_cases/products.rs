//! Matrix products: element types, transpositions, sources of the operands, pipelined and not.

use super::{Case, Fill::*};
use sla_dsl::prelude::*;

/// `c = a b`
#[kernel(dims(M, N, K), grid(j in N.div_ceil(BN), i in M.div_ceil(BM)))]
fn matmul<T: Float, const BM: usize, const BN: usize, const BK: usize>(
    a: &Tensor<T, { [M, K] }>,
    b: &Tensor<T, { [K, N] }>,
    c: &mut Tensor<f32, { [M, N] }>,
) {
    let mut acc = zeros::<f32>([BM, BN]);
    for k in 0..K.div_ceil(BK) {
        acc += dot(a.block::<BM, BK>(i, k).load(), b.block::<BK, BN>(k, j).load());
    }
    c.block::<BM, BN>(i, j).store(acc);
}

/// `c = aᵀ bᵀ`
#[kernel(dims(M, N, K), grid(j in N.div_ceil(BN), i in M.div_ceil(BM)))]
fn matmul_tt<T: Float, const BM: usize, const BN: usize, const BK: usize>(
    a: &Tensor<T, { [K, M] }>,
    b: &Tensor<T, { [N, K] }>,
    c: &mut Tensor<f32, { [M, N] }>,
) {
    let mut acc = zeros::<f32>([BM, BN]);
    for k in 0..K.div_ceil(BK) {
        acc += dot(a.block::<BK, BM>(k, i).load().t(), b.block::<BN, BK>(j, k).load().t());
    }
    c.block::<BM, BN>(i, j).store(acc);
}

/// Operands that are computed: `c = (2 a) (3 b) + (2 a)ᵀ (3 b) + (2 a) (3 b)ᵀ + (b + 1)ᵀ a`, of square tiles.
#[kernel(dims(L), grid(p in L))]
fn computed<T: Float, const N: usize>(
    a: &Tensor<T, { [L, N, N] }>,
    b: &Tensor<T, { [L, N, N] }>,
    c: &mut Tensor<f32, { [L, N, N] }>,
) {
    let x = a.at(p).block::<N>(0).load();
    let x2 = (x.cast::<f32>() * 2.0).cast::<T>();
    let y = b.at(p).block::<N>(0).load().cast::<f32>();
    let y3 = (y * 3.0).cast::<T>();
    let mut s = dot(x2, y3);
    s += dot(x2.t(), y3);
    s += dot(x2, y3.t());
    s += dot((y + 1.0).cast::<T>().t(), x);
    c.at(p).block::<N>(0).store(s);
}

pub fn cases() -> Vec<Case> {
    let io = [Random, Random, Zero];
    let mut all = vec![
        Case::new("matmul_bf16", &matmul, matmul::<bf16, 128, 128, 32>::consts(), &[256, 384, 512], &io),
        Case::new("matmul_f16_64", &matmul, matmul::<f16, 64, 64, 64>::consts(), &[128, 64, 192], &io),
        Case::new("matmul_f32", &matmul, matmul::<f32, 64, 64, 32>::consts(), &[128, 192, 256], &io),
        Case::new("matmul_ragged", &matmul, matmul::<bf16, 64, 32, 32>::consts(), &[100, 72, 200], &io),
        Case::new("matmul_unaligned", &matmul, matmul::<bf16, 64, 32, 32>::consts(), &[99, 71, 199], &io)
            .unaligned(),
        Case::new("matmul_narrow", &matmul, matmul::<f16, 16, 8, 16>::consts(), &[32, 16, 64], &io),
        Case::new("matmul_48", &matmul, matmul::<bf16, 48, 24, 48>::consts(), &[96, 48, 144], &io),
        Case::new(
            "matmul_tt_bf16",
            &matmul_tt,
            matmul_tt::<bf16, 128, 64, 32>::consts(),
            &[256, 128, 256],
            &io,
        ),
        Case::new(
            "matmul_tt_f16_tall",
            &matmul_tt,
            matmul_tt::<f16, 256, 32, 16>::consts(),
            &[256, 64, 80],
            &io,
        ),
        Case::new("matmul_tt_f32", &matmul_tt, matmul_tt::<f32, 64, 32, 16>::consts(), &[128, 64, 96], &io),
        Case::new(
            "matmul_tt_ragged",
            &matmul_tt,
            matmul_tt::<f32, 64, 32, 16>::consts(),
            &[120, 60, 92],
            &io,
        ),
    ];
    for (c, name) in [
        (computed::<bf16, 64>::consts(), "computed_bf16"),
        (computed::<f16, 32>::consts(), "computed_f16"),
        (computed::<f32, 64>::consts(), "computed_f32"),
        // Too large for scratch at once.
        (computed::<f32, 128>::consts(), "computed_f32_in_parts"),
    ] {
        let tolerance = if name.contains("f32") { 1e-5 } else { 1e-4 };
        all.push(Case::new(name, &computed, c, &[3], &io).tolerance(tolerance));
    }
    all
}
