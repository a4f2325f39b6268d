//! Sums over the blocks of the linear branch of each row as a product with a 0/1 matrix.
//!
//! `out[m, :] = Σ_n [mask[m, n] = 0] x[n, :]` for every row at once: no cancellation, a cost independent of the shares, and no state matrix held
//! by the attention kernel. With the mask's last two axes exchanged it sums gradients back from rows to columns.
//!
//! In f32 the matrix is made of the mask as it goes. States in 16 bits have a matrix of their own type ([`mask_weights`]), so that matrix
//! instructions get both operands as they lie in memory, and the projection is folded into the sums before they are stored.

use sla_dsl::prelude::*;

/// `out[b, h] = A x[b, h]` with `A = [mask = 0]`, or `[mask ≠ 1]` for `COMPLEMENT`.
#[kernel(dims(B, H, M, N, X), grid(c in X.div_ceil(BX), m in M.div_ceil(BM), bh in B * H))]
pub fn mask_product<const BM: usize, const BN: usize, const BX: usize, const COMPLEMENT: bool>(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    x: &Tensor<f32, { [B, H, N, X] }>,
    out: &mut Tensor<f32, { [B, H, M, X] }>,
) {
    let b = bh / H;
    let h = bh % H;
    let mut acc = zeros::<f32>([BM, BX]);
    for n in 0..N.div_ceil(BN) {
        let class = mask.at(b, h).block::<BM, BN>(m, n).load().cast::<i32>();
        let mut counts = class == 0;
        if COMPLEMENT {
            counts = class != 1;
        }
        acc += dot(select(counts, full::<f32>([BM, BN], 1.0), 0.0), x.at(b, h).block::<BN, BX>(n, c).load());
    }
    out.at(b, h).block::<BM, BX>(m, c).store(acc);
}

/// `weights[b, h, i, j]` is 1 where `mask` gives block `j` to the linear branch of row `i` (class 0, or not 1 for `COMPLEMENT`), and 0 elsewhere,
/// past the mask's end too: rows of `weights` may be longer.
#[kernel(dims(B, H, M, N, NW), require(N <= NW, NW <= W), grid(i in M.div_ceil(R), h in H, b in B))]
pub fn mask_weights<S: Float, const R: usize, const W: usize, const COMPLEMENT: bool>(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    weights: &mut Tensor<S, { [B, H, M, NW] }>,
) {
    let class = mask.at(b, h).block::<R, W>(i, 0).load().cast::<i32>();
    let mut counts = class == 0;
    if COMPLEMENT {
        counts = class != 1;
    }
    let counts = counts & (iota([1, W], 1) < N);
    weights.at(b, h).block::<R, W>(i, 0).store(select(counts, full::<f32>([R, W], 1.0), 0.0).cast::<S>());
}

/// `folded[b, h] = (weights x[b, h]) Wᵀ` for states of rows of `D` numbers, and without the projection `state[b, h] = weights x[b, h]`, which is left
/// alone unless it is to be saved (`SAVE`).
#[kernel(dims(B, H, M, N, NW, X, XS), require(N <= NW), grid(m in M.div_ceil(BM), c in X.div_ceil(D), bh in B * H))]
pub fn weighted_states<S: Half, const BM: usize, const BN: usize, const D: usize, const SAVE: bool>(
    weights: &Tensor<S, { [B, H, M, NW] }>,
    x: &Tensor<S, { [B, H, N, X] }>,
    projection: &Tensor<S, { [D, D] }>,
    state: &mut Tensor<S, { [B, H, M, XS] }>,
    folded: &mut Tensor<S, { [B, H, M, X] }>,
) {
    let b = bh / H;
    let h = bh % H;
    let mut acc = zeros::<f32>([BM, D]);
    for n in 0..N.div_ceil(BN) {
        acc += dot(weights.at(b, h).block::<BM, BN>(m, n).load(), x.at(b, h).block::<BN, D>(n, c).load());
    }
    let sum = acc.cast::<S>();
    if SAVE {
        state.at(b, h).block::<BM, D>(m, c).store(sum);
    }
    let projected = dot(sum, projection.block::<D>(0).load().t());
    folded.at(b, h).block::<BM, D>(m, c).store(projected.cast::<S>());
}
