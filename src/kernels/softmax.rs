//! Softmax of the rows of a matrix whose row length is known when the kernel is built.

use sla_dsl::prelude::*;

/// `out[r, :] = exp(x[r, :] - max) / sum(exp(x[r, :] - max))`, computed in f32 and rounded once.
///
/// A program owns `ROWS` rows. Rows of all `-inf` give zeros.
#[kernel(dims(R), grid(r in R.div_ceil(ROWS)))]
pub fn row_softmax<T: Float, const ROWS: usize, const N: usize>(
    x: &Tensor<T, { [R, N] }>,
    out: &mut Tensor<T, { [R, N] }>,
) {
    let x = x.block::<ROWS>(r).load().cast::<f32>();
    let top = x.max(1);
    let top = select(top == -INF, 0.0, top);
    let e = exp2((x - top) * LOG2E);
    let sum = e.sum(1);
    out.block::<ROWS>(r).store((e / select(sum == 0.0, 1.0, sum)).cast::<T>());
}
