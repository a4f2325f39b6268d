//! Lists of the critical blocks of each row of a mask, and the same mask over smaller blocks.
//!
//! The same kernel makes the lists of query blocks per key block, from the mask with its last two axes exchanged.

use sla_dsl::prelude::*;

/// `index[b, h, s, i, ..count[b, h, s, i]]` are the columns `j` at which the class of row `S i + s` is 1, ascending. Zeros lie behind them.
///
/// A number of `mask` holds the classes of `S` rows, a byte each from the lowest on: where rows of a mask are neighbours in memory, as those of a transposed
/// one, a thread reads four at once. A program takes `R` whole rows of `mask`, of at most `W` columns.
#[kernel(dims(B, H, M, N), require(N <= W, S <= 4), grid(i in M.div_ceil(R), h in H, b in B))]
pub fn mask_lists<T: Element, const S: usize, const R: usize, const W: usize>(
    mask: &Tensor<T, { [B, H, M, N] }>,
    index: &mut Tensor<i32, { [B, H, S, M, N] }>,
    count: &mut Tensor<i32, { [B, H, S, M] }>,
) {
    // What lies past the end of a row reads 0.
    let classes = mask.at(b, h).block::<R, W>(i, 0).load().cast::<i32>();
    for s in unroll(0..S) {
        let critical = ((classes >> (8 * s)) & 255) == 1;
        count.at(b, h, s).block::<R>(i).store(select(critical, 1, 0).sum(1).squeeze(1));
        index.at(b, h, s).block::<R, W>(i, 0).store(iota([1, W], 1).pack(critical));
    }
}

/// `fine[b, h, i, j] = mask[b, h, i / RQ, j / RK]`: the classes of a mask for blocks `RQ` and `RK` times smaller.
#[kernel(dims(B, H, M, N, MF, NF), require(MF <= M * RQ, NF <= N * RK), grid(i in MF, h in H, b in B))]
pub fn refine_mask<const RQ: usize, const RK: usize>(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    fine: &mut Tensor<i8, { [B, H, MF, NF] }>,
) {
    for j in 0..NF {
        fine.at(b, h, i, j).store(mask.at(b, h, i / RQ, j / RK).load());
    }
}
