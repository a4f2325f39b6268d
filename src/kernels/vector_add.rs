//! `out = a + b`, element by element: the first step of the staircase.

use sla_dsl::prelude::*;

/// `out[i] = a[i] + b[i]`.
#[kernel(dims(N), grid(i in N.div_ceil(BLOCK)))]
pub fn vector_add<const BLOCK: usize>(
    a: &Tensor<f32, { [N] }>,
    b: &Tensor<f32, { [N] }>,
    out: &mut Tensor<f32, { [N] }>,
) {
    let sum = a.block::<BLOCK>(i).load() + b.block::<BLOCK>(i).load();
    out.block::<BLOCK>(i).store(sum);
}
