//! State of the linear branch: `h_j = φ(K_j)ᵀ V_j` and `z_j = Σ_rows φ(K_j)` for groups of key blocks.

use super::feature_map::{HEDGEHOG, feature};
use sla_dsl::prelude::*;

/// States of groups of `GROUP` consecutive key blocks, one part of the features a program, in f32: per block (`GROUP` 1) where rows choose their blocks, coarser where all
/// blocks are summed anyway.
///
/// Rows past the end of a ragged block count as absent (φ of a zero row is not zero).
#[kernel(dims(B, H, L), require(P <= 2), grid(jp in L.div_ceil(BK * GROUP) * P, h in H, b in B))]
pub fn linear_state<
    T: Float,
    const BK: usize,
    const D: usize,
    const PHI: usize,
    const P: usize,
    const GROUP: usize,
>(
    k: &Tensor<T, { [B, H, L, D] }>,
    v: &Tensor<T, { [B, H, L, D] }>,
    w: &Tensor<f32, { [H, D, D] }>,
    state: &mut Tensor<f32, { [B, H, L.div_ceil(BK * GROUP), P, D, D] }>,
    sums: &mut Tensor<f32, { [B, H, L.div_ceil(BK * GROUP), P, D] }>,
) {
    let k = k.at(b, h).blocks::<BK>();
    let v = v.at(b, h).blocks::<BK>();
    let j = jp / P;
    let p = jp % P;
    let sign = (1 - 2 * p).cast::<f32>();
    let mut acc = zeros::<f32>([D, D]);
    let mut sum = zeros::<f32>([1, D]);
    for n in j * GROUP..((j + 1) * GROUP).min(k.len()) {
        let mut x = k[n].cast::<f32>();
        if PHI == HEDGEHOG {
            x = dot(x, w.at(h).block::<D>(0).load()) * sign;
        }
        let f = feature(x, PHI).mask_rows(k, n, 0.0);
        acc += dot(f.cast::<T>().t(), v[n]);
        sum += f.sum(0);
    }
    state.at(b, h, j, p).block::<D>(0).store(acc);
    sums.at(b, h, j, p).block::<D>(0).store(sum.squeeze(0));
}
