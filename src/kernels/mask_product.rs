//! Sums over the blocks of the linear branch of each row as a product with a 0/1 matrix.
//!
//! `out[m, :] = Σ_n [mask[m, n] = 0] x[n, :]` for every row at once: no cancellation, a cost independent of the shares, and no state matrix held
//! by the attention kernel. With the mask's last two axes exchanged it sums gradients back from rows to columns.
//!
//! In f32 the matrix is made of the mask as it goes. States in 16 bits have a matrix of their own type ([`mask_weights`]), so that matrix
//! instructions get both operands as they lie in memory, and the projection is folded into the sums before they are stored.
//!
//! Gradients of states go the same way back. Two rows of a state are summed beside each other, so that a step reads its part of the matrix once: what a multiprocessor gets
//! from L2 bounds such a kernel, not its products.

use sla_dsl::prelude::*;

/// `out[b, h] = A x[b, h]` with `A = [mask = 0]`, or `[mask ≠ 1]` for `COMPLEMENT`; to `ADD`, `start[b, h] + A x[b, h]`, and else `start` is anything.
#[kernel(
    dims(B, H, M, N, X, MS),
    require(!ADD || MS == M),
    grid(c in X.div_ceil(BX), m in M.div_ceil(BM), bh in B * H),
)]
pub fn mask_product<
    const BM: usize,
    const BN: usize,
    const BX: usize,
    const COMPLEMENT: bool,
    const ADD: bool,
>(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    x: &Tensor<f32, { [B, H, N, X] }>,
    start: &Tensor<f32, { [B, H, MS, X] }>,
    out: &mut Tensor<f32, { [B, H, M, X] }>,
) {
    let b = bh / H;
    let h = bh % H;
    let mut acc = zeros::<f32>([BM, BX]);
    if ADD {
        acc = start.at(b, h).block::<BM, BX>(m, c).load();
    }
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

/// `out[a, j] = (Σ_i weights[a, i, j] dH'[a, i]) W`: gradients of the states that rows saw, summed for each column and projected back. `projection` is what the
/// forward multiplied by, so that what cancels there cancels here; the sum goes through it in two terms of `S`. `BC` columns at a time leave a thread registers beside the sums.
/// `rest` is what rounding takes from `out`, times the mean of the values, the first one of `centre` (see [`state_backward`](super::state_backward)).
#[kernel(
    dims(A, M, N, NW),
    require(N <= NW, D % BC == 0),
    grid(j in N.div_ceil(BM), r in P * D / 2, a in A),
)]
pub fn weighted_state_grads<
    S: Half,
    const BM: usize,
    const BN: usize,
    const BC: usize,
    const D: usize,
    const P: usize,
>(
    weights: &Tensor<S, { [A, M, NW] }>,
    grads: &Tensor<S, { [A, M, P * D * D] }>,
    projection: &Tensor<S, { [D, D] }>,
    centre: &Tensor<f32, { [2, A, D] }>,
    out: &mut Tensor<S, { [A, N, P * D / 2, 2, D] }>,
    rest: &mut Tensor<f32, { [A, N, P * D / 2, 2] }>,
) {
    let mut even = zeros::<f32>([BM, D]);
    let mut odd = zeros::<f32>([BM, D]);
    for i in 0..M.div_ceil(BN) {
        let counts = weights.at(a).block::<BN, BM>(i, j).load().t();
        even += dot(counts, grads.at(a).block::<BN, D>(i, 2 * r).load());
        odd += dot(counts, grads.at(a).block::<BN, D>(i, 2 * r + 1).load());
    }
    let out = out.at(a).block::<BM>(j);
    let rest = rest.at(a).block::<BM>(j);
    for row in unroll(0..2) {
        let sum = if row == 0 { even } else { odd };
        let high = sum.cast::<S>();
        let low = (sum - high.cast::<f32>()).cast::<S>();
        let mut left = zeros::<f32>([BM, 1]);
        for c in unroll(0..D / BC) {
            let w = projection.block::<D, BC>(0, c).load();
            let grad = dot(high, w) + dot(low, w);
            let rounded = grad.cast::<S>();
            out.at(r, row).block::<BC>(c).store(rounded);
            let mean = centre.at(0, a).block::<BC>(c).load().unsqueeze(0);
            left += ((grad - rounded.cast::<f32>()) * mean).sum(1);
        }
        rest.at(r, row).store(left.squeeze(1));
    }
}
