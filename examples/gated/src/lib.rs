//! A kernel of my own.

use sla_dsl::prelude::*;

/// `out = silu(x) * gate`, row by row, with rows of any length.
#[kernel(
    dims(R, L),
    grid(l in L.div_ceil(BLOCK), r in R),
    tune(BLOCK in [256, 512, 1024, 2048], warps in [2, 4, 8], key(R, L))
)]
pub fn gated<T: Float, const BLOCK: usize>(
    x: &Tensor<T, { [R, L] }>,
    gate: &Tensor<f32, { [L] }>,
    out: &mut Tensor<T, { [R, L] }>,
) {
    let x = x.at(r).block::<BLOCK>(l).load().cast::<f32>();
    let y = x / (1.0 + exp(-x)) * gate.block::<BLOCK>(l).load();
    out.at(r).block::<BLOCK>(l).store(y.cast::<T>());
}
