//! The router in float64: pooled means, their products, and a selection by rank.

use rayon::prelude::*;

use super::super::mask::{CRITICAL, MARGINAL, NEGLIGIBLE};
use super::super::{BlockMask, Blocks, Config, Dims, MaskError};
use super::vectors::{add_scaled, dot};

/// The routed mask of `q` and `k`.
///
/// Blocks are pooled to the mean of the tokens they really hold, and scored by the product of the pooled query block and key
/// block. Scaling by `1 / sqrt(D)`, the softmax over a row and a shift of all keys change no ranking, so none is done.
/// A row is ranked by descending score, equal scores by ascending block number. The first `critical` of
/// [`Config::counts`] become critical and the last `negligible` negligible; then [`Config::forced`] applies.
///
/// # Errors
/// [`MaskError::TooLarge`] when the mask has more blocks than int32 can number.
pub fn route(q: &[f64], k: &[f64], dims: Dims, config: &Config) -> Result<BlockMask, MaskError> {
    let grid = dims.grid(config.blocks());
    let mut mask = BlockMask::filled(grid, MARGINAL)?;
    let counts = config.counts(grid.cols);
    for (at, row) in scores(q, k, dims, config.blocks()).chunks_exact(grid.cols).enumerate() {
        let classes = select(row, counts.critical, counts.negligible);
        mask.row_mut(at / grid.rows, at % grid.rows).copy_from_slice(&classes);
    }
    config.forced().apply(&mut mask);
    Ok(mask)
}

/// The score of every pair of blocks, `[B, H, M, N]`: the product of the pooled query block and the pooled key block.
pub fn scores(q: &[f64], k: &[f64], dims: Dims, blocks: Blocks) -> Vec<f64> {
    let d = dims.head_dim;
    let of_head = |bh: usize| -> Vec<f64> {
        let pooled_q = pool(&q[bh * dims.queries * d..][..dims.queries * d], blocks.q(), d);
        let pooled_k = pool(&k[bh * dims.keys * d..][..dims.keys * d], blocks.k(), d);
        pooled_q.iter().flat_map(|q| pooled_k.iter().map(|k| dot(q, k))).collect()
    };
    (0..dims.bh()).into_par_iter().flat_map_iter(of_head).collect()
}

/// The mean of every block of `block` tokens of `x` `[tokens, d]`; the last block's over the tokens it has.
fn pool(x: &[f64], block: usize, d: usize) -> Vec<Vec<f64>> {
    let mean = |tokens: &[f64]| {
        let mut sum = vec![0.0; d];
        tokens.chunks_exact(d).for_each(|token| add_scaled(&mut sum, 1.0, token));
        let count = (tokens.len() / d) as f64;
        sum.iter().map(|x| x / count).collect()
    };
    x.chunks(block * d).map(mean).collect()
}

/// Classes of one row of scores. The sort is stable, so equal scores keep the order of their block numbers.
fn select(scores: &[f64], critical: usize, negligible: usize) -> Vec<i8> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(std::cmp::Ordering::Equal));
    let mut classes = vec![MARGINAL; scores.len()];
    order.iter().take(critical).for_each(|&j| classes[j] = CRITICAL);
    order.iter().rev().take(negligible).for_each(|&j| classes[j] = NEGLIGIBLE);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forced, Scope, Share};

    #[test]
    fn ties_go_to_the_lower_block_number() {
        assert_eq!(select(&[1.0; 6], 2, 3), [1, 1, 0, -1, -1, -1]);
        assert_eq!(select(&[0.0, 3.0, 3.0, -1.0, -1.0], 1, 1), [0, 1, 0, 0, -1]);
    }

    #[test]
    fn a_ragged_block_is_pooled_over_the_tokens_it_has() {
        assert_eq!(pool(&[2.0, 4.0, 6.0, 8.0, 5.0, 7.0], 2, 2), [[4.0, 6.0], [5.0, 7.0]]);
    }

    #[test]
    fn shifting_all_keys_changes_no_mask() {
        let dims = Dims { batch: 1, heads: 2, queries: 50, keys: 70, head_dim: 4 };
        let wave = |n: usize, f: f64| (0..n).map(|i| (i as f64 * f).sin()).collect::<Vec<_>>();
        let (q, k) = (wave(2 * 50 * 4, 0.7), wave(2 * 70 * 4, 1.3));
        let shifted: Vec<f64> = k.iter().enumerate().map(|(i, x)| x + [5.0, -3.0, 2.0, 9.0][i % 4]).collect();
        let shares = (Share::new(0.3).unwrap(), Share::new(0.3).unwrap());
        let config = Config::new(Scope::Marginal, shares.0, shares.1).with_blocks(Blocks::any(16, 8));
        let mask = route(&q, &k, dims, &config).unwrap();
        assert_eq!(mask, route(&q, &shifted, dims, &config).unwrap());
        let tally = mask.tally();
        assert_eq!((tally.row_min, tally.row_max, tally.negligible), (2, 2, 2 * 2 * 4));
        let forced = config.with_forced(Forced { sink_keys: 2, dense_queries: 1, ..Forced::default() });
        let forced = route(&q, &k, dims, &forced).unwrap();
        for bh in 0..2 {
            assert_eq!(forced.row(bh, 0), [1; 9]);
            assert_eq!(forced.row(bh, 1)[..2], [1, 1]);
            assert_eq!(forced.row(bh, 1)[2..], mask.row(bh, 1)[2..]);
        }
    }
}
