//! Blocks that are critical, or never are, whatever the router thinks: attention sinks, protected prefixes, padding.
//!
//! Applied to a routed mask after the selection, so forced blocks come on top of the row's critical count and rows may
//! differ in length. It does nothing to a mask that the user gives.

use serde::Serialize;

use super::mask::{BlockMask, CRITICAL, NEGLIGIBLE};

/// What is forced in every batch entry and head. Where both ask for a block, forced in wins over forced out.
/// Positions beyond the mask are without effect, so that one configuration serves every length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forced {
    /// The first key blocks that every query block attends to: attention sinks.
    pub sink_keys: usize,
    /// The first query blocks, which attend to every key block: a protected prefix.
    pub dense_queries: usize,
    /// `(query block, key block)` pairs made critical (1).
    pub critical: Vec<(usize, usize)>,
    /// `(query block, key block)` pairs made negligible (-1): out of the softmax branch, and out of the linear branch of
    /// scope `marginal`. Scopes `complement` and `all` count them among their linear blocks, as they do every -1.
    pub excluded: Vec<(usize, usize)>,
}

impl Forced {
    /// Whether nothing is forced.
    pub fn is_empty(&self) -> bool {
        *self == Forced::default()
    }

    /// The classes that are forced in a mask of `rows` x `cols` blocks, row by row: 1, -1, or 0 where nothing is forced.
    pub fn classes(&self, rows: usize, cols: usize) -> Vec<i8> {
        let mut classes = vec![0; rows * cols];
        let inside = |&&(row, col): &&(usize, usize)| row < rows && col < cols;
        for &(row, col) in self.excluded.iter().filter(inside) {
            classes[row * cols + col] = NEGLIGIBLE;
        }
        for (row, line) in classes.chunks_mut(cols.max(1)).enumerate() {
            let first = if row < self.dense_queries { cols } else { self.sink_keys.min(cols) };
            line[..first].fill(CRITICAL);
        }
        for &(row, col) in self.critical.iter().filter(inside) {
            classes[row * cols + col] = CRITICAL;
        }
        classes
    }

    /// Changes a routed mask.
    pub fn apply(&self, mask: &mut BlockMask) {
        if self.is_empty() {
            return;
        }
        let grid = mask.grid();
        let classes = self.classes(grid.rows, grid.cols);
        for bh in 0..grid.bh() {
            for row in 0..grid.rows {
                let forced = &classes[row * grid.cols..][..grid.cols];
                for (class, &forced) in mask.row_mut(bh, row).iter_mut().zip(forced) {
                    if forced != 0 {
                        *class = forced;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    #[test]
    fn sinks_prefixes_and_pairs_are_laid_over_the_mask() {
        let grid = Grid { batch: 1, heads: 2, rows: 3, cols: 4 };
        let mut mask = BlockMask::filled(grid, 0).unwrap();
        let forced = Forced {
            sink_keys: 1,
            dense_queries: 1,
            critical: vec![(2, 3), (9, 9)],
            excluded: vec![(0, 2), (1, 2), (2, 3), (1, 44)],
        };
        forced.apply(&mut mask);
        for bh in 0..2 {
            assert_eq!(mask.row(bh, 0), [1, 1, 1, 1]);
            assert_eq!(mask.row(bh, 1), [1, 0, -1, 0]);
            assert_eq!(mask.row(bh, 2), [1, 0, 0, 1]);
        }
    }
}
