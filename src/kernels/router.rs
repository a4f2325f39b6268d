//! The router: which key blocks each query block attends to.
//!
//! Three kernels in a row: mean of the rows of each block, products of the means, and a class for each pair by its rank in its row, with the list of the
//! critical ones. The mean of key blocks also comes out of [`linear_state`](super::linear_state), which reads the keys anyway.
//! Scaling, softmax and subtracting a common vector from all keys do not change ranks, so none of them is done.

use sla_dsl::prelude::*;

/// The mean of the rows of block `i` that exist.
#[func]
fn mean<T: Float, const BLOCK: usize, const D: usize>(
    x: &Tensor<T, { [L, D] }>,
    i: i32,
) -> Tile<f32, { [D] }> {
    let sum = x.block::<BLOCK>(i).load().cast::<f32>().sum(0);
    let rows = (L - i * BLOCK).min(BLOCK);
    (sum / rows.cast::<f32>()).squeeze(0)
}

/// `pooled[b, h, i, :]` is the mean of the rows of block `i` that exist, in f32.
#[kernel(dims(B, H, L), grid(i in L.div_ceil(BLOCK), h in H, b in B))]
pub fn pool_blocks<T: Float, const BLOCK: usize, const D: usize>(
    x: &Tensor<T, { [B, H, L, D] }>,
    pooled: &mut Tensor<f32, { [B, H, L.div_ceil(BLOCK), D] }>,
) {
    pooled.at(b, h, i).block::<D>(0).store(mean::<T, BLOCK, D>(x.at(b, h), i));
}

/// The same of queries and of keys, for all blocks of queries and then all of keys.
#[kernel(
    dims(B, H, LQ, LK),
    grid(n in LQ.div_ceil(BQ) + LK.div_ceil(BK), h in H, b in B)
)]
pub fn pool_queries_and_keys<T: Float, const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    queries: &mut Tensor<f32, { [B, H, LQ.div_ceil(BQ), D] }>,
    keys: &mut Tensor<f32, { [B, H, LK.div_ceil(BK), D] }>,
) {
    let rows = LQ.div_ceil(BQ);
    if n < rows {
        queries.at(b, h, n).block::<D>(0).store(mean::<T, BQ, D>(q.at(b, h), n));
    } else {
        keys.at(b, h, n - rows).block::<D>(0).store(mean::<T, BK, D>(k.at(b, h), n - rows));
    }
}

/// Features that a product of scores takes at a time, while the next are loaded.
const PART: usize = 32;

/// `scores[b, h, i, j] = q[b, h, i, :] · k[b, h, j, :]`, in f32.
#[kernel(dims(B, H, M, N), grid(j in N.div_ceil(TILE), i in M.div_ceil(TILE), bh in B * H))]
pub fn block_scores<const TILE: usize, const D: usize>(
    q: &Tensor<f32, { [B, H, M, D] }>,
    k: &Tensor<f32, { [B, H, N, D] }>,
    scores: &mut Tensor<f32, { [B, H, M, N] }>,
) {
    let b = bh / H;
    let h = bh % H;
    let mut s = zeros::<f32>([TILE, TILE]);
    for c in 0..D.div_ceil(PART) {
        let q = q.at(b, h).block::<TILE, PART>(i, c).load();
        s += dot(q, k.at(b, h).block::<TILE, PART>(j, c).load().t());
    }
    scores.at(b, h).block::<TILE, TILE>(i, j).store(s);
}

/// The bits of `-inf`, ordered as [`select_blocks`] orders them.
const LOWEST: i32 = f32::NEG_INFINITY.to_bits() as i32 ^ i32::MAX;

/// Whether an element of `[R, W]` is one of the `count` largest of its row, of equal ones those that come first.
///
/// The smallest of them is found bit by bit from the highest on: a bit is set if `count` elements are still as large. All bits but the last are those of halves, whose
/// differences do not overflow, so that signs count what is smaller. Of its equals, those belong that come no later than the one that completes the count.
#[func]
fn largest<const R: usize, const W: usize>(
    keys: Tile<i32, { [R, W] }>,
    count: i32,
) -> Tile<bool, { [R, W] }> {
    let at = iota([1, W], 1);
    let halves = keys >> 1;
    let mut half = full::<i32>([R, 1], i32::MIN / 2);
    for s in 0..31 {
        let next = half + (1 << (30 - s));
        let enough = ((halves - next) >> 31).sum(1) >= count - W;
        half = select(enough, next, half);
    }
    let odd = half * 2 + 1;
    let least = select(select(keys >= odd, 1, 0).sum(1) >= count, odd, odd - 1);
    let above = keys > least;
    let equal = keys == least;
    let left = count - select(above, 1, 0).sum(1);
    let last = select(at == left - 1, at.pack(equal), 0).sum(1);
    above | (equal & (at <= last) & (left > 0))
}

/// Ranks each row of scores from high to low, ties by lower index first, and stores 1 (critical) for ranks below `critical`, -1
/// (negligible) for the last `negligible` ranks, 0 (marginal) between. NaN ranks as `-inf`, and -0 as 0.
///
/// `scores` are the bits of f32, which compare as integers once those of negative numbers are turned round. `R` whole rows, of at most `W` scores, a
/// program. With `FORCED`, a 1 or -1 in `forced` replaces the class. `index` and `count` are the lists of the critical columns, as
/// [`mask_lists`](super::mask_lists) makes them.
#[kernel(dims(B, H, M, N), require(N <= W), grid(i in M.div_ceil(R), h in H, b in B))]
pub fn select_blocks<const R: usize, const W: usize, const LOW: bool, const FORCED: bool>(
    scores: &Tensor<i32, { [B, H, M, N] }>,
    forced: &Tensor<i8, { [B, H, M, N] }>,
    mask: &mut Tensor<i8, { [B, H, M, N] }>,
    index: &mut Tensor<i32, { [B, H, M, N] }>,
    count: &mut Tensor<i32, { [B, H, M] }>,
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
    let listed = (class == 1) & (iota([1, W], 1) < N);
    index.at(b, h).block::<R, W>(i, 0).store(iota([1, W], 1).pack(listed));
    count.at(b, h).block::<R>(i).store(select(listed, 1, 0).sum(1).squeeze(1));
}
