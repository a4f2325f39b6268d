//! How good a result is, and how much work it took.

use crate::attention::{Config, Dims, FeatureMap, Scope, Tally};

/// Peak signal-to-noise ratio in decibels, for values whose peak is 1; infinite when nothing differs.
pub fn psnr(found: &[f32], clean: &[f32]) -> f64 {
    let squares = found.iter().zip(clean).map(|(a, b)| f64::from(a - b).powi(2));
    -10.0 * (squares.sum::<f64>() / clean.len().max(1) as f64).log10()
}

/// `|found - needed| / |needed|` in the L2 norm.
pub fn relative_error(found: &[f32], needed: &[f32]) -> f64 {
    let differences = found.iter().zip(needed).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    (differences / needed.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>()).sqrt()
}

/// Multiplications and additions of dense attention: both matrix products.
pub fn dense_work(dims: Dims) -> f64 {
    4.0 * (dims.bh() * dims.queries * dims.keys * dims.head_dim) as f64
}

/// Multiplications and additions of the operator's forward pass: matrix products only, over whole blocks.
///
/// The critical blocks; routing; and for scopes with a linear branch the features' own projection, the states of the
/// key blocks, their sums over each row's blocks, the projection folded into them, and their use by the queries.
pub fn operator_work(config: &Config, dims: Dims, tally: &Tally, routed: bool) -> f64 {
    let grid = dims.grid(config.blocks());
    let d = dims.head_dim as f64;
    let pairs = (config.blocks().q() * config.blocks().k()) as f64;
    let blocks = (grid.bh() * grid.rows * grid.cols) as f64;
    let sparse = 4.0 * tally.critical as f64 * pairs * d;
    let routing = if routed { 2.0 * blocks * d } else { 0.0 };
    let linear = match config.scope() {
        Scope::None => 0.0,
        scope => {
            let bh = grid.bh() as f64;
            let (queries, keys) = (bh * dims.queries as f64, bh * dims.keys as f64);
            let width = config.phi().width(dims.head_dim) as f64;
            let inside =
                if config.phi() == FeatureMap::Hedgehog { 2.0 * (queries + keys) * d * d } else { 0.0 };
            let states = if scope == Scope::All { bh } else { bh * grid.rows as f64 };
            let sums = if scope == Scope::All { 0.0 } else { 2.0 * blocks * width * (d + 1.0) };
            let folding = 2.0 * states * width * d * d;
            inside + 2.0 * (queries + keys) * width * (d + 1.0) + sums + folding
        }
    };
    sparse + routing + linear
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::mask::{CRITICAL, MARGINAL};
    use crate::attention::{BlockMask, Blocks, Share};

    #[test]
    fn psnr_of_known_differences() {
        assert!((psnr(&[0.1; 9], &[0.0; 9]) - 20.0).abs() < 1e-6);
        assert!((psnr(&[0.5, 0.0], &[0.0, 0.0]) - -10.0 * 0.125f64.log10()).abs() < 1e-6);
        assert_eq!(psnr(&[0.3; 4], &[0.3; 4]), f64::INFINITY);
        assert!((relative_error(&[3.0, 5.0], &[3.0, 4.0]) - 0.2).abs() < 1e-6);
    }

    #[test]
    fn all_critical_blocks_are_the_work_of_dense_attention_and_few_are_a_share_of_it() {
        let dims = Dims { batch: 1, heads: 1, queries: 64 * 20, keys: 64 * 20, head_dim: 64 };
        let config = |scope| {
            let share = Share::new(0.05).unwrap();
            Config::new(scope, share, share).with_blocks(Blocks::new(64, 64).unwrap())
        };
        let grid = dims.grid(config(Scope::None).blocks());
        let all = BlockMask::filled(grid, CRITICAL).unwrap().tally();
        assert_eq!(operator_work(&config(Scope::None), dims, &all, false), dense_work(dims));
        let none = BlockMask::filled(grid, MARGINAL).unwrap().tally();
        let linear = |scope| operator_work(&config(scope), dims, &none, false) / dense_work(dims);
        assert_eq!(linear(Scope::None), 0.0);
        // Two products with the state of every token, and one fold.
        let products = 4.0 * 64.0 * 20.0 * 64.0 * 65.0 + 2.0 * 64f64.powi(3);
        assert!((linear(Scope::All) - products / dense_work(dims)).abs() < 1e-12);
        assert!(linear(Scope::Complement) > linear(Scope::All));
    }
}
