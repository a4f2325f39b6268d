//! Tests of the float64 reference: what it means in corner cases, and its gradients against finite differences.

mod gradients;
mod semantics;

use super::{Forward, Gradients, Problem, backward, forward};
use crate::random::Random;
use crate::{BlockMask, Blocks, Config, Dims, FeatureMap, Scope, Share};

/// Owned inputs of one problem, all random.
#[derive(Clone)]
struct Case {
    dims: Dims,
    blocks: Blocks,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    proj_weight: Option<Vec<f64>>,
    proj_bias: Option<Vec<f64>>,
    phi_weight: Option<Vec<f64>>,
    grad_out: Vec<f64>,
}

impl Case {
    fn new(dims: Dims, blocks: Blocks, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let d = dims.head_dim;
        let (queries, keys) = (dims.bh() * dims.queries * d, dims.bh() * dims.keys * d);
        Case {
            dims,
            blocks,
            q: random.normals(queries, 1.0),
            k: random.normals(keys, 1.0),
            v: random.normals(keys, 1.0),
            proj_weight: Some(random.normals(d * d, 1.0)),
            proj_bias: Some(random.normals(d, 1.0)),
            phi_weight: Some(random.normals(dims.heads * d * d, 1.0)),
            grad_out: random.normals(queries, 1.0),
        }
    }

    /// Ragged in every direction, more queries than keys, several batch entries and heads.
    fn small(seed: u64) -> Self {
        let dims = Dims { batch: 2, heads: 3, queries: 13, keys: 10, head_dim: 8 };
        Case::new(dims, Blocks::any(4, 3), seed)
    }

    fn config(&self, scope: Scope, phi: FeatureMap) -> Config {
        let shares = (Share::new(0.3).unwrap(), Share::new(0.3).unwrap());
        Config::new(scope, shares.0, shares.1).with_phi(phi).with_blocks(self.blocks)
    }

    fn problem(&self) -> Problem<'_> {
        Problem {
            dims: self.dims,
            q: &self.q,
            k: &self.k,
            v: &self.v,
            proj_weight: self.proj_weight.as_deref(),
            proj_bias: self.proj_bias.as_deref(),
            phi_weight: self.phi_weight.as_deref(),
        }
    }

    fn forward(&self, config: &Config, mask: &BlockMask) -> Forward {
        forward(&self.problem(), config, mask)
    }

    fn backward(&self, config: &Config, mask: &BlockMask) -> Gradients {
        backward(&self.problem(), config, mask, &self.forward(config, mask), &self.grad_out)
    }

    /// A mask of random classes; `row_of` may replace whole rows.
    fn mask(&self, seed: u64, row_of: impl Fn(usize) -> Option<i8>) -> BlockMask {
        let grid = self.dims.grid(self.blocks);
        let mut random = Random::new(seed);
        let mut classes = Vec::new();
        for row in 0..grid.bh() * grid.rows {
            let drawn = (0..grid.cols).map(|_| (random.bits() % 3) as i8 - 1).collect::<Vec<_>>();
            classes.extend(row_of(row % grid.rows).map_or(drawn, |class| vec![class; grid.cols]));
        }
        BlockMask::new(grid, classes).unwrap()
    }

    fn uniform_mask(&self, class: i8) -> BlockMask {
        BlockMask::filled(self.dims.grid(self.blocks), class).unwrap()
    }
}

/// The largest difference between two arrays.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, x| if x > worst || x.is_nan() { x } else { worst })
}
