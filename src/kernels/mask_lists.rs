//! Lists of the critical blocks of each row of a mask, and the same mask over smaller blocks.
//!
//! The same kernel makes the lists of query blocks per key block, from the mask with its last two axes exchanged.

use sla_dsl::prelude::*;

/// `index[b, h, i, ..count[b, h, i]]` are the columns `j` with `mask[b, h, i, j] == 1`, ascending. The rest of `index` is not written.
#[kernel(dims(B, H, M, N), grid(i in M, h in H, b in B))]
pub fn mask_lists(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    index: &mut Tensor<i32, { [B, H, M, N] }>,
    count: &mut Tensor<i32, { [B, H, M] }>,
) {
    let mut n = 0;
    for j in 0..N {
        let class = mask.at(b, h, i, j).load().cast::<i32>();
        if class == 1 {
            index.at(b, h, i, n).store(j);
            n += 1;
        }
    }
    count.at(b, h, i).store(n);
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
