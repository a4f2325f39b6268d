//! The router: which key blocks each query block attends to.
//!
//! Three kernels in a row: mean of the rows of each block, products of the means, and a class for each pair by its rank in its row.
//! Scaling, softmax and subtracting a common vector from all keys do not change ranks, so none of them is done.

use sla_dsl::prelude::*;

/// `pooled[b, h, i, :]` is the mean of the rows of block `i` that exist, in f32.
#[kernel(dims(B, H, L), grid(i in L.div_ceil(BLOCK), h in H, b in B))]
pub fn pool_blocks<T: Float, const BLOCK: usize, const D: usize>(
    x: &Tensor<T, { [B, H, L, D] }>,
    pooled: &mut Tensor<f32, { [B, H, L.div_ceil(BLOCK), D] }>,
) {
    let sum = x.at(b, h).block::<BLOCK>(i).load().cast::<f32>().sum(0);
    let rows = (L - i * BLOCK).min(BLOCK);
    pooled.at(b, h, i).block::<D>(0).store((sum / rows.cast::<f32>()).squeeze(0));
}

/// `scores[b, h, i, j] = q[b, h, i, :] · k[b, h, j, :]`, in f32.
#[kernel(dims(B, H, M, N), grid(j in N.div_ceil(TILE), i in M.div_ceil(TILE), bh in B * H))]
pub fn block_scores<const TILE: usize, const D: usize>(
    q: &Tensor<f32, { [B, H, M, D] }>,
    k: &Tensor<f32, { [B, H, N, D] }>,
    scores: &mut Tensor<f32, { [B, H, M, N] }>,
) {
    let b = bh / H;
    let h = bh % H;
    let s = dot(q.at(b, h).block::<TILE>(i).load(), k.at(b, h).block::<TILE>(j).load().t());
    scores.at(b, h).block::<TILE, TILE>(i, j).store(s);
}

/// Ranks each row of scores from high to low, ties by lower index first, and stores 1 (critical) for ranks below `critical`, -1
/// (negligible) for the last `negligible` ranks, 0 (marginal) between. NaN ranks as `-inf`.
///
/// With `FORCED`, a 1 or -1 in `forced` replaces the class. The rank of a block is the number of blocks before it, so that no
/// sorting is needed: `N²` comparisons a row.
#[kernel(dims(B, H, M, N), grid(j in N.div_ceil(TILE), i in M, bh in B * H))]
pub fn select_blocks<const TILE: usize, const FORCED: bool>(
    scores: &Tensor<f32, { [B, H, M, N] }>,
    forced: &Tensor<i8, { [B, H, M, N] }>,
    mask: &mut Tensor<i8, { [B, H, M, N] }>,
    critical: i32,
    negligible: i32,
) {
    let b = bh / H;
    let h = bh % H;
    let row = scores.at(b, h, i);
    let raw = row.block::<TILE>(j).load().unsqueeze(0);
    let mine = select(raw == raw, raw, -INF);
    let place = iota([1, TILE], 1) + j * TILE;
    let mut rank = full::<i32>([1, TILE], 0);
    for t in 0..N.div_ceil(TILE) {
        let raw = row.block::<TILE>(t).load().unsqueeze(1);
        let other = select(raw == raw, raw, -INF);
        let at = iota([TILE, 1], 0) + t * TILE;
        let before = (other > mine) | ((other == mine) & (at < place));
        rank += select(before & (at < N), 1, 0).sum(0);
    }
    let low = select(rank >= N - negligible, -1, 0);
    let mut class = select(rank < critical, 1, low);
    if FORCED {
        let f = forced.at(b, h, i).block::<TILE>(j).load().unsqueeze(0).cast::<i32>();
        class = select(f == 0, class, f);
    }
    mask.at(b, h, i).block::<TILE>(j).store(class.squeeze(0).cast::<i8>());
}
