//! Lists of the critical blocks of each row of a mask, and the same mask over smaller blocks.
//!
//! The same kernel makes the lists of query blocks per key block, from the mask with its last two axes exchanged.

use sla_dsl::prelude::*;

/// `index[b, h, i, ..count[b, h, i]]` are the columns `j` with `mask[b, h, i, j] == 1`, ascending. What lies behind them is not defined.
///
/// A program takes `R` whole rows, of at most `W` columns: each step finds the next column of every row.
#[kernel(dims(B, H, M, N), require(N <= W), grid(i in M.div_ceil(R), h in H, b in B))]
pub fn mask_lists<const R: usize, const W: usize>(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    index: &mut Tensor<i32, { [B, H, M, N] }>,
    count: &mut Tensor<i32, { [B, H, M] }>,
) {
    // What lies past the end of a row reads 0.
    let critical = mask.at(b, h).block::<R, W>(i, 0).load().cast::<i32>() == 1;
    count.at(b, h).block::<R>(i).store(select(critical, 1, 0).sum(1).squeeze(1));
    let mut most = 0;
    for r in i * R..((i + 1) * R).min(M) {
        most = most.max(count.at(b, h, r).load());
    }
    let mut left = select(critical, iota([1, W], 1), W);
    for n in 0..most {
        let next = left.min(1);
        index.at(b, h).block::<R, 1>(i, n).store(next);
        left = select(left == next, W, left);
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
