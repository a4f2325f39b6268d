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

/// `x` as two terms of `S`, one `D` by `D` matrix above the other: what rounding to `S` gives, and what it leaves.
#[kernel(dims(X), grid(i in X))]
pub fn split_state<S: Float, const D: usize>(
    x: &Tensor<f32, { [X, D, D] }>,
    out: &mut Tensor<S, { [X, 2 * D, D] }>,
) {
    let x = x.at(i).block::<D>(0).load();
    let high = x.cast::<S>();
    out.at(i).block::<D>(0).store(high);
    out.at(i).block::<D>(1).store((x - high.cast::<f32>()).cast::<S>());
}

/// `out[c] = Σ_i dh'[i]ᵀ h[i]` over the `CHUNK` states of chunk `c`; their total is the gradient of `W`.
#[kernel(dims(X), grid(c in X.div_ceil(CHUNK)))]
pub fn weight_grad<E: Float, const D: usize, const CHUNK: usize>(
    grad_folded: &Tensor<f32, { [X, D, D] }>,
    state: &Tensor<E, { [X, D, D] }>,
    out: &mut Tensor<f32, { [X.div_ceil(CHUNK), D, D] }>,
) {
    let mut acc = zeros::<f32>([D, D]);
    for i in c * CHUNK..((c + 1) * CHUNK).min(X) {
        // In parts of 32 rows, which fit shared memory everywhere.
        for r in 0..D / 32 {
            let state = state.at(i).block::<32>(r).load().cast::<f32>();
            acc += dot(grad_folded.at(i).block::<32>(r).load().t(), state);
        }
    }
    out.at(c).block::<D>(0).store(acc);
}

/// Column sums of each block of rows of `grad`; their total is the gradient of the bias.
#[kernel(dims(B, H, L), grid(m in L.div_ceil(BQ), h in H, b in B))]
pub fn bias_grad<T: Float, const BQ: usize, const D: usize>(
    grad: &Tensor<T, { [B, H, L, D] }>,
    out: &mut Tensor<f32, { [B, H, L.div_ceil(BQ), D] }>,
) {
    let sum = grad.at(b, h).block::<BQ>(m).load().cast::<f32>().sum(0);
    out.at(b, h, m).block::<D>(0).store(sum.squeeze(0));
}
