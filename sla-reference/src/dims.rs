//! The sizes of one attention problem, and the grid of blocks that they make.
//!
//! Everything in the operator that speaks of `B`, `H`, `Lq`, `Lk`, `D`, `M` or `N` takes them from here. It knows no data.

use std::fmt;

use serde::Serialize;

use super::config::Blocks;

/// Sizes of `q` `[B, H, Lq, D]`, `k` and `v` `[B, H, Lk, D]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dims {
    /// `B`.
    pub batch: usize,
    /// `H`.
    pub heads: usize,
    /// `Lq`, tokens of `q`, `out` and `lse`.
    pub queries: usize,
    /// `Lk`, tokens of `k` and `v`.
    pub keys: usize,
    /// `D`.
    pub head_dim: usize,
}

impl Dims {
    /// `B * H`, the number of independent problems.
    pub fn bh(&self) -> usize {
        self.batch * self.heads
    }

    /// The block mask's shape for these sizes.
    pub fn grid(&self, blocks: Blocks) -> Grid {
        Grid {
            batch: self.batch,
            heads: self.heads,
            rows: self.queries.div_ceil(blocks.q()),
            cols: self.keys.div_ceil(blocks.k()),
        }
    }

    /// `1 / sqrt(D)`, what the scores are multiplied by.
    pub fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dims { batch, heads, queries, keys, head_dim } = self;
        write!(f, "B={batch} H={heads} Lq={queries} Lk={keys} D={head_dim}")
    }
}

/// Shape `[B, H, M, N]` of a block mask: `M = ceil(Lq / bq)` rows of `N = ceil(Lk / bk)` key blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// `B`.
    pub batch: usize,
    /// `H`.
    pub heads: usize,
    /// `M`, query blocks.
    pub rows: usize,
    /// `N`, key blocks.
    pub cols: usize,
}

impl Grid {
    /// `[B, H, M, N]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.batch, self.heads, self.rows, self.cols]
    }

    /// `B * H`.
    pub fn bh(&self) -> usize {
        self.batch * self.heads
    }

    /// `B * H * M * N`, or `None` when it does not fit a `usize`.
    pub fn len(&self) -> Option<usize> {
        self.shape().into_iter().try_fold(1usize, usize::checked_mul)
    }

    /// Whether the mask has no element at all.
    pub fn is_empty(&self) -> bool {
        self.shape().contains(&0)
    }
}
