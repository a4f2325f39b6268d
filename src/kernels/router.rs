//! The router: which key blocks each query block attends to.
//!
//! Three kernels in a row: mean of the rows of each block, products of the means, and a class for each pair by its rank in its row. The mean of
//! key blocks also comes out of [`linear_state`](super::linear_state), which reads the keys anyway.
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

/// The bits of `-inf`, ordered as [`select_blocks`] orders them.
const LOWEST: i32 = f32::NEG_INFINITY.to_bits() as i32 ^ i32::MAX;

/// Whether an element of `[R, W]` is one of the `count` largest of its row, of equal ones those that come first.
///
/// The smallest of them is found bit by bit from the highest on: a bit is set if `count` elements are still as large. How far its equals belong
/// is found in the same way among places.
#[func]
fn largest<const R: usize, const W: usize>(
    keys: Tile<i32, { [R, W] }>,
    count: i32,
) -> Tile<bool, { [R, W] }> {
    let at = iota([1, W], 1);
    let mut least = full::<i32>([R, 1], i32::MIN);
    for s in 0..32 {
        let bit = 1 << (31 - s);
        let next = least ^ bit;
        let enough = select(keys >= next, 1, 0).sum(1) >= count;
        least = select(enough, next, least);
    }
    let above = keys > least;
    let equal = keys == least;
    let left = count - select(above, 1, 0).sum(1);
    let mut last = full::<i32>([R, 1], 0);
    let mut bit = W / 2;
    for _ in unroll(0..24) {
        if bit > 0 {
            let next = last + bit;
            let few = select(equal & (at < next), 1, 0).sum(1) < left;
            last = select(few, next, last);
        }
        bit = bit / 2;
    }
    above | (equal & (at <= last) & (left > 0))
}

/// Ranks each row of scores from high to low, ties by lower index first, and stores 1 (critical) for ranks below `critical`, -1
/// (negligible) for the last `negligible` ranks, 0 (marginal) between. NaN ranks as `-inf`, and -0 as 0.
///
/// `scores` are the bits of f32, which compare as integers once those of negative numbers are turned round. `R` whole rows, of at most `W` scores, a
/// program. With `FORCED`, a 1 or -1 in `forced` replaces the class.
#[kernel(dims(B, H, M, N), require(N <= W), grid(i in M.div_ceil(R), h in H, b in B))]
pub fn select_blocks<const R: usize, const W: usize, const LOW: bool, const FORCED: bool>(
    scores: &Tensor<i32, { [B, H, M, N] }>,
    forced: &Tensor<i8, { [B, H, M, N] }>,
    mask: &mut Tensor<i8, { [B, H, M, N] }>,
    critical: i32,
    negligible: i32,
) {
    let raw = scores.at(b, h).block::<R, W>(i, 0).load();
    let ordered = select(raw < 0, raw ^ i32::MAX, raw);
    let number = select(raw == i32::MIN, 0, ordered);
    let keys = select((raw & i32::MAX) > 0x7f80_0000, LOWEST, number);
    // What lies past the end of a row is below everything in it.
    let keys = select(iota([1, W], 1) < N, keys, i32::MIN);
    let top = largest(keys, critical);
    let mut class = select(top, 1, 0);
    if LOW {
        class = select(top | largest(keys, N - negligible), class, -1);
    }
    if FORCED {
        let f = forced.at(b, h).block::<R, W>(i, 0).load().cast::<i32>();
        class = select(f == 0, class, f);
    }
    mask.at(b, h).block::<R, W>(i, 0).store(class.cast::<i8>());
}
