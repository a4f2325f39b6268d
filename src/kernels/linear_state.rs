//! What one reading of the keys and values gives: the state of the linear branch, `h_j = φ(K_j)ᵀ V_j` and `z_j = Σ_rows φ(K_j)` for groups of key
//! blocks, and the mean of each key block, which the router scores.
//!
//! Sums over rows are products with a column of ones, so that they cost a matrix instruction and no exchange between threads. `z_j` sums the
//! rounded features that `h_j` is made of.

use super::feature_map::{HEDGEHOG, feature};
use sla_dsl::prelude::*;

/// States of `G` groups of consecutive key blocks that are as long as each other or one longer, one part of the features a program, in `S`: as many
/// groups as blocks where rows choose their blocks, fewer where all blocks are summed anyway. `pooled[b, h, j, :]` is the mean of the rows of
/// block `j` that exist; features of two parts (`P` = 2) leave it alone.
///
/// Rows past the end of a ragged block count as absent (φ of a zero row is not zero).
#[kernel(dims(B, H, L, G), require(P <= 2, G <= L.div_ceil(BK)), grid(gp in G * P, h in H, b in B))]
pub fn linear_state<T: Float, S: Float, const BK: usize, const D: usize, const PHI: usize, const P: usize>(
    k: &Tensor<T, { [B, H, L, D] }>,
    v: &Tensor<T, { [B, H, L, D] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    pooled: &mut Tensor<f32, { [B, H, L.div_ceil(BK), D] }>,
    state: &mut Tensor<S, { [B, H, G, P, D, D] }>,
    sums: &mut Tensor<f32, { [B, H, G, P, D] }>,
) {
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let g = gp / P;
    let p = gp % P;
    let sign = (1 - 2 * p).cast::<f32>();
    let ones = full::<T>([BK, 8], 1.0);
    let mut acc = zeros::<f32>([D, D]);
    let mut sum = zeros::<f32>([D, 8]);
    for n in g * k.len() / G..(g + 1) * k.len() / G {
        let rows = k[n];
        let mut x = rows.cast::<f32>();
        if P == 1 {
            // A product has at least eight columns; these are equal.
            let count = 8.0 * (L - n * BK).min(BK).cast::<f32>();
            let mean = dot(rows.t(), ones).sum(1) / count;
            pooled.at(b, h, n).block::<D>(0).store(mean.squeeze(1));
        }
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load()) * sign;
        }
        let f = feature(x, PHI).mask_rows(k, n, 0.0).cast::<T>();
        acc += dot(f.t(), v[n]);
        sum += dot(f.t(), ones);
    }
    state.at(b, h, g, p).block::<D>(0).store(acc.cast::<S>());
    sums.at(b, h, g, p).block::<D>(0).store((sum.sum(1) * 0.125).squeeze(1));
}
