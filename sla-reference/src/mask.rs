//! The block mask `[B, H, M, N]`: what each query block does with each key block.
//!
//! The router makes one, or the user gives one. The lists that kernels loop over are made from it in [`lists`](super::lists).

use serde::Serialize;
use thiserror::Error;

use super::config::Scope;
use super::dims::Grid;

/// A block of the softmax branch.
pub const CRITICAL: i8 = 1;
/// A block that is neither critical nor negligible.
pub const MARGINAL: i8 = 0;
/// A block that scope `marginal` leaves out altogether.
pub const NEGLIGIBLE: i8 = -1;

impl Scope {
    /// Whether the linear branch sums over a block that the mask gives `class`.
    pub fn is_linear(self, class: i8) -> bool {
        match self {
            Scope::Marginal => class == MARGINAL,
            Scope::Complement => class != CRITICAL,
            Scope::All => true,
            Scope::None => false,
        }
    }
}

/// A block mask of [`CRITICAL`], [`MARGINAL`] and [`NEGLIGIBLE`], row-major `[B, H, M, N]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMask {
    grid: Grid,
    data: Vec<i8>,
}

impl BlockMask {
    /// A mask from its values.
    ///
    /// # Errors
    /// [`MaskError`] when the number of values is not the grid's, a value is not one of the three classes, or the number of
    /// blocks does not fit the int32 indices of the lists.
    pub fn new(grid: Grid, data: Vec<i8>) -> Result<Self, MaskError> {
        let needed = Self::checked_len(grid)?;
        if data.len() != needed {
            return Err(MaskError::Length { found: data.len(), grid: grid.shape(), needed });
        }
        if let Some(index) = data.iter().position(|class| !(NEGLIGIBLE..=CRITICAL).contains(class)) {
            let (rest, n) = (index / grid.cols, index % grid.cols);
            let (bh, m) = (rest / grid.rows, rest % grid.rows);
            let at = [bh / grid.heads, bh % grid.heads, m, n];
            return Err(MaskError::Value { found: data[index], at });
        }
        Ok(BlockMask { grid, data })
    }

    /// A mask of one class.
    ///
    /// # Errors
    /// As [`BlockMask::new`].
    pub fn filled(grid: Grid, class: i8) -> Result<Self, MaskError> {
        Self::new(grid, vec![class; Self::checked_len(grid)?])
    }

    fn checked_len(grid: Grid) -> Result<usize, MaskError> {
        let fits = |blocks: usize| i32::try_from(blocks).is_ok();
        let len = grid.len().filter(|_| fits(grid.rows) && fits(grid.cols));
        len.ok_or(MaskError::TooLarge { grid: grid.shape() })
    }

    /// The mask's shape.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// All values, row-major.
    pub fn data(&self) -> &[i8] {
        &self.data
    }

    /// The `N` classes of query block `row` of `bh = b * H + h`.
    pub fn row(&self, bh: usize, row: usize) -> &[i8] {
        let at = (bh * self.grid.rows + row) * self.grid.cols;
        &self.data[at..at + self.grid.cols]
    }

    /// The same, to be changed. Only the three classes may be written.
    pub(crate) fn row_mut(&mut self, bh: usize, row: usize) -> &mut [i8] {
        let at = (bh * self.grid.rows + row) * self.grid.cols;
        &mut self.data[at..at + self.grid.cols]
    }

    /// How often each class occurs, over all rows and per row.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally { critical: 0, marginal: 0, negligible: 0, row_min: usize::MAX, row_max: 0 };
        for row in self.data.chunks(self.grid.cols.max(1)) {
            let critical = row.iter().filter(|&&class| class == CRITICAL).count();
            let marginal = row.iter().filter(|&&class| class == MARGINAL).count();
            tally.critical += critical;
            tally.marginal += marginal;
            tally.negligible += row.len() - critical - marginal;
            tally.row_min = tally.row_min.min(critical);
            tally.row_max = tally.row_max.max(critical);
        }
        tally.row_min = tally.row_min.min(tally.row_max);
        tally
    }
}

/// Realised counts of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Critical blocks of all rows.
    pub critical: usize,
    /// Marginal blocks of all rows.
    pub marginal: usize,
    /// Negligible blocks of all rows.
    pub negligible: usize,
    /// Critical blocks of the row that has fewest.
    pub row_min: usize,
    /// Critical blocks of the row that has most.
    pub row_max: usize,
}

impl Tally {
    /// Critical blocks over all blocks, 0 for an empty mask: the density of the sparse branch.
    pub fn density(&self) -> f64 {
        let all = self.critical + self.marginal + self.negligible;
        if all == 0 { 0.0 } else { self.critical as f64 / all as f64 }
    }
}

/// A block mask that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MaskError {
    /// The number of values does not match the shape.
    #[error("the block mask has {found} values, needed {needed} for {grid:?}")]
    Length {
        /// Values given.
        found: usize,
        /// `[B, H, M, N]`.
        grid: [usize; 4],
        /// Values of that shape.
        needed: usize,
    },
    /// A value other than the three classes.
    #[error("the block mask has {found} at {at:?}, needed 1 (critical), 0 (marginal) or -1 (negligible)")]
    Value {
        /// The value.
        found: i8,
        /// `[b, h, m, n]`.
        at: [usize; 4],
    },
    /// More blocks than int32 indices can name.
    #[error("a block mask of {grid:?} is too large: needed block numbers that fit int32")]
    TooLarge {
        /// `[B, H, M, N]`.
        grid: [usize; 4],
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { batch: 1, heads: 2, rows: 2, cols: 3 };

    #[test]
    fn other_values_and_lengths_are_rejected_with_their_place() {
        let mut data = vec![0i8; 12];
        data[10] = 2;
        let error = BlockMask::new(GRID, data).unwrap_err();
        assert_eq!(error, MaskError::Value { found: 2, at: [0, 1, 1, 1] });
        let error = BlockMask::new(GRID, vec![0; 11]).unwrap_err();
        assert_eq!(error, MaskError::Length { found: 11, grid: [1, 2, 2, 3], needed: 12 });
        let huge = Grid { rows: usize::MAX, ..GRID };
        assert!(matches!(BlockMask::filled(huge, 0), Err(MaskError::TooLarge { .. })));
    }

    #[test]
    fn the_tally_counts_classes_and_rows() {
        let mask = BlockMask::new(GRID, vec![1, 1, 0, -1, -1, -1, 1, 0, 0, 1, 1, 1]).unwrap();
        let tally = Tally { critical: 6, marginal: 3, negligible: 3, row_min: 0, row_max: 3 };
        assert_eq!(mask.tally(), tally);
        assert_eq!(tally.density(), 0.5);
    }

    #[test]
    fn scopes_read_the_mask_as_the_paper_and_the_code_do() {
        let linear = |scope: Scope| [CRITICAL, MARGINAL, NEGLIGIBLE].map(|class| scope.is_linear(class));
        assert_eq!(linear(Scope::Marginal), [false, true, false]);
        assert_eq!(linear(Scope::Complement), [false, true, true]);
        assert_eq!(linear(Scope::All), [true; 3]);
        assert_eq!(linear(Scope::None), [false; 3]);
    }
}
