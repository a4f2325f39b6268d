//! The learned projection of the linear branch, folded into its state.
//!
//! `Proj(φ(Q) H / den) = φ(Q) (H Wᵀ) / den + bias`, so the projection costs one D x D product per state instead of one per row block, and
//! its gradients come from D x D matrices: with `dH'` the gradient of `H' = H Wᵀ`, `dH = dH' W` and `dW = Σ dH'ᵀ H`.

use sla_dsl::prelude::*;

/// A matrix in another type.
#[kernel(grid(r in D.div_ceil(16)))]
pub fn round_matrix<S: Float, const D: usize>(x: &Tensor<f32, { [D, D] }>, out: &mut Tensor<S, { [D, D] }>) {
    out.block::<16>(r).store(x.block::<16>(r).load().cast::<S>());
}

/// `out[i] = x[i] Wᵀ`, or `x[i] W` for `BACK`, in tiles of `BM` by `BN`; multiplied in f32, stored as `S`.
#[kernel(dims(X), grid(c in D.div_ceil(BN), r in D.div_ceil(BM), i in X))]
pub fn fold_projection<
    E: Float,
    S: Float,
    const D: usize,
    const BM: usize,
    const BN: usize,
    const BACK: bool,
>(
    x: &Tensor<E, { [X, D, D] }>,
    weight: &Tensor<f32, { [D, D] }>,
    out: &mut Tensor<S, { [X, D, D] }>,
) {
    let x = x.at(i).block::<BM>(r).load().cast::<f32>();
    let y = if BACK {
        dot(x, weight.block::<D, BN>(0, c).load())
    } else {
        dot(x, weight.block::<BN>(c).load().t())
    };
    out.at(i).block::<BM, BN>(r, c).store(y.cast::<S>());
}

/// `x` as two terms of `S`, one `D` by `D` matrix beside the other: what rounding to `S` gives, and what it leaves.
#[kernel(dims(X), grid(i in X))]
pub fn split_state<S: Float, const D: usize>(
    x: &Tensor<f32, { [X, D, D] }>,
    out: &mut Tensor<S, { [X, D, 2 * D] }>,
) {
    let x = x.at(i).block::<D>(0).load();
    let high = x.cast::<S>();
    out.at(i).block::<D, D>(0, 0).store(high);
    out.at(i).block::<D, D>(0, 1).store((x - high.cast::<f32>()).cast::<S>());
}

/// `out[g] = Σ_i dh'[i]ᵀ h[i]` over the states of group `g` of `G` that are as long as each other or one longer, `ROWS` rows of them at a time, multiplied
/// in `M`; the total is the gradient of `W`.
#[kernel(dims(X, G), require(D % ROWS == 0, G <= X), grid(g in G))]
pub fn weight_grad<E: Float, F: Float, M: Float, const D: usize, const ROWS: usize>(
    grad_folded: &Tensor<E, { [X, D, D] }>,
    state: &Tensor<F, { [X, D, D] }>,
    out: &mut Tensor<f32, { [G, D, D] }>,
) {
    let mut acc = zeros::<f32>([D, D]);
    for t in g * X / G * (D / ROWS)..(g + 1) * X / G * (D / ROWS) {
        let grad = grad_folded.at(t / (D / ROWS)).block::<ROWS>(t % (D / ROWS)).load();
        let state = state.at(t / (D / ROWS)).block::<ROWS>(t % (D / ROWS)).load();
        acc += dot(grad.cast::<M>().t(), state.cast::<M>());
    }
    out.at(g).block::<D>(0).store(acc);
}
