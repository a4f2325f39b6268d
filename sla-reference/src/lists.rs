//! Block lists: for each query block the key blocks it attends to, and the inverse, for each key block the query blocks.
//!
//! Made here in plain Rust from a mask, for the reference, for tests and for lists that a user brings. The kernels build
//! theirs on the device in the same layout.

use thiserror::Error;

use super::dims::Grid;
use super::mask::{BlockMask, CRITICAL, MARGINAL, MaskError};

/// Lists of ascending block numbers, one per row, of differing lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLists {
    batch: usize,
    heads: usize,
    rows: usize,
    width: usize,
    counts: Vec<i32>,
    indices: Vec<i32>,
}

impl BlockLists {
    /// Critical key blocks of each query block: `counts` `[B, H, M]`, `indices` `[B, H, M, width]`.
    pub fn q_to_k(mask: &BlockMask) -> Self {
        let Grid { rows, cols, .. } = mask.grid();
        Self::collect(mask.grid(), rows, cols, |bh, row, col| mask.row(bh, row)[col] == CRITICAL)
    }

    /// Query blocks to which each key block is critical: `counts` `[B, H, N]`, `indices` `[B, H, N, width]`.
    pub fn k_to_q(mask: &BlockMask) -> Self {
        let Grid { rows, cols, .. } = mask.grid();
        Self::collect(mask.grid(), cols, rows, |bh, col, row| mask.row(bh, row)[col] == CRITICAL)
    }

    fn collect(grid: Grid, rows: usize, cols: usize, listed: impl Fn(usize, usize, usize) -> bool) -> Self {
        let lists: Vec<Vec<i32>> = (0..grid.bh() * rows)
            .map(|at| {
                (0..cols).filter(|&col| listed(at / rows, at % rows, col)).map(|col| col as i32).collect()
            })
            .collect();
        let width = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut indices = vec![0; lists.len() * width];
        for (slots, list) in indices.chunks_exact_mut(width).zip(&lists) {
            slots[..list.len()].copy_from_slice(list);
        }
        let counts = lists.iter().map(|list| list.len() as i32).collect();
        BlockLists { batch: grid.batch, heads: grid.heads, rows, width, counts, indices }
    }

    /// Lists brought from elsewhere, for a mask of shape `grid`; the order inside a row is free and is sorted here.
    ///
    /// # Errors
    /// [`ListError`] when a length, a count or an index is out of range, or a row names a block twice.
    pub fn new(grid: Grid, width: usize, counts: Vec<i32>, mut indices: Vec<i32>) -> Result<Self, ListError> {
        let rows = grid.bh() * grid.rows;
        if counts.len() != rows || rows.checked_mul(width) != Some(indices.len()) {
            return Err(ListError::Length { counts: counts.len(), indices: indices.len(), rows, width });
        }
        for (row, &count) in counts.iter().enumerate() {
            let length = usize::try_from(count).ok().filter(|&length| length <= width);
            let length = length.ok_or(ListError::Count { found: count, row, width })?;
            let (listed, padding) = indices[row * width..(row + 1) * width].split_at_mut(length);
            listed.sort_unstable();
            padding.fill(0);
            let outside = |&&index: &&i32| usize::try_from(index).map_or(true, |index| index >= grid.cols);
            if let Some(&found) = listed.iter().find(outside) {
                return Err(ListError::Index { found, row, blocks: grid.cols });
            }
            if let Some(pair) = listed.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(ListError::Duplicate { found: pair[0], row });
            }
        }
        Ok(BlockLists { batch: grid.batch, heads: grid.heads, rows: grid.rows, width, counts, indices })
    }

    /// The mask of `cols` key blocks whose critical blocks are the listed ones; the others are marginal.
    ///
    /// # Errors
    /// [`MaskError::TooLarge`] when such a mask cannot be.
    pub fn to_mask(&self, cols: usize) -> Result<BlockMask, MaskError> {
        let grid = Grid { batch: self.batch, heads: self.heads, rows: self.rows, cols };
        let mut mask = BlockMask::filled(grid, MARGINAL)?;
        for bh in 0..grid.bh() {
            for row in 0..grid.rows {
                let classes = mask.row_mut(bh, row);
                for &index in self.row(bh, row).iter().filter(|&&index| (index as usize) < cols) {
                    classes[index as usize] = CRITICAL;
                }
            }
        }
        Ok(mask)
    }

    /// Slots of a row: the longest list, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Lengths of the lists, `[B, H, rows]`.
    pub fn counts(&self) -> &[i32] {
        &self.counts
    }

    /// The lists `[B, H, rows, width]`, ascending; slots past a row's count hold 0, a valid number that means nothing.
    pub fn indices(&self) -> &[i32] {
        &self.indices
    }

    /// The list of one row of `bh = b * H + h`.
    pub fn row(&self, bh: usize, row: usize) -> &[i32] {
        let at = bh * self.rows + row;
        &self.indices[at * self.width..][..self.counts[at] as usize]
    }
}

/// Block lists that are none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// The arrays do not have the shape of the lists.
    #[error("block lists have {counts} counts and {indices} indices, needed {rows} rows of {width}")]
    Length {
        /// Counts given.
        counts: usize,
        /// Indices given.
        indices: usize,
        /// Rows of the mask.
        rows: usize,
        /// Slots of a row.
        width: usize,
    },
    /// A count outside `0..=width`.
    #[error("block list {row} has the count {found}, needed 0 to {width}")]
    Count {
        /// The count.
        found: i32,
        /// The row, over batch, heads and blocks.
        row: usize,
        /// Slots of a row.
        width: usize,
    },
    /// An index that names no block.
    #[error("block list {row} names block {found}, needed one of the {blocks} blocks from 0")]
    Index {
        /// The index.
        found: i32,
        /// The row, over batch, heads and blocks.
        row: usize,
        /// Key blocks.
        blocks: usize,
    },
    /// A block listed twice.
    #[error("block list {row} names block {found} twice, needed distinct blocks")]
    Duplicate {
        /// The index.
        found: i32,
        /// The row, over batch, heads and blocks.
        row: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { batch: 1, heads: 2, rows: 3, cols: 4 };

    fn mask() -> BlockMask {
        let first = [1, 0, 1, -1, /**/ 1, 0, 0, 0, /**/ 1, -1, 1, 1];
        let second = [-1, -1, -1, -1, /**/ 0, 0, 0, 0, /**/ 0, 1, 0, 0];
        BlockMask::new(GRID, [first, second].concat()).unwrap()
    }

    #[test]
    fn rows_of_differing_length_are_sorted_and_padded() {
        let lists = BlockLists::q_to_k(&mask());
        assert_eq!((lists.width(), lists.counts()), (3, &[2, 1, 3, 0, 0, 1][..]));
        assert_eq!(lists.indices(), [0, 2, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(lists.row(1, 2), [1]);
    }

    #[test]
    fn the_inverse_is_the_transpose_also_for_blocks_chosen_by_all_and_by_none() {
        let (mask, inverse) = (mask(), BlockLists::k_to_q(&mask()));
        assert_eq!(inverse.row(0, 0), [0, 1, 2], "chosen by all");
        assert_eq!(inverse.row(0, 1), [0i32; 0], "chosen by none");
        let lists = BlockLists::q_to_k(&mask);
        for bh in 0..2 {
            for (row, col) in (0..3).flat_map(|row| (0..4).map(move |col| (row, col))) {
                let forward = lists.row(bh, row).contains(&(col as i32));
                assert_eq!(forward, inverse.row(bh, col).contains(&(row as i32)), "{bh} {row} {col}");
            }
        }
    }

    #[test]
    fn lists_are_independent_of_the_order_they_come_in() {
        let lists = BlockLists::q_to_k(&mask());
        let mut shuffled = lists.indices().to_vec();
        shuffled.swap(0, 1);
        shuffled[6..9].reverse();
        shuffled[2] = 99;
        let again = BlockLists::new(GRID, 3, lists.counts().to_vec(), shuffled).unwrap();
        assert_eq!(again, lists);
        let critical = |mask: &BlockMask| mask.data().iter().map(|&class| class == 1).collect::<Vec<_>>();
        assert_eq!(critical(&again.to_mask(4).unwrap()), critical(&mask()));
    }

    #[test]
    fn bad_lists_are_refused() {
        let grid = Grid { batch: 1, heads: 1, rows: 1, cols: 4 };
        let lists = |count, indices: [i32; 3]| BlockLists::new(grid, 3, vec![count], indices.to_vec());
        assert!(matches!(lists(3, [1, 2, 1]), Err(ListError::Duplicate { found: 1, row: 0 })));
        assert!(matches!(lists(2, [1, 4, 0]), Err(ListError::Index { found: 4, blocks: 4, .. })));
        assert!(matches!(lists(1, [-1, 0, 0]), Err(ListError::Index { found: -1, .. })));
        assert!(matches!(lists(4, [0, 1, 2]), Err(ListError::Count { found: 4, width: 3, .. })));
        assert!(matches!(lists(-1, [0, 1, 2]), Err(ListError::Count { found: -1, .. })));
        assert!(matches!(BlockLists::new(grid, 3, vec![1, 1], vec![0; 3]), Err(ListError::Length { .. })));
    }
}
