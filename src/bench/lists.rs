//! Random lists of blocks: for each row of a block mask distinct blocks in rising order.

use std::ops::Range;

use sla_dsl::ir::Elem;
use sla_runtime::{Device, DynTensor, RuntimeError};

use super::shape::{Lists, Shape};
use crate::attention::random::Random;

/// Lists of an attention problem, on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLists {
    shape: Shape,
    lists: Lists,
    width: usize,
    counts: Vec<i32>,
    /// `width` places a row; those beyond its count are 0.
    index: Vec<i32>,
}

impl BlockLists {
    /// Draws lists.
    pub fn random(shape: Shape, lists: Lists, seed: u64) -> BlockLists {
        let (rows, blocks) = (shape.length.div_ceil(lists.bq), shape.length.div_ceil(lists.bk));
        let (few, width) = lists.counts(blocks);
        let mut random = Random::new(seed);
        let (mut counts, mut index) = (Vec::new(), Vec::new());
        let mut all: Vec<i32> = (0..blocks as i32).collect();
        for _ in 0..shape.batch * shape.heads {
            let mut sizes: Vec<usize> = (0..rows).map(|r| if r < rows / 2 { few } else { width }).collect();
            shuffle(&mut sizes, rows, &mut random);
            for size in sizes {
                shuffle(&mut all, size, &mut random);
                let mut row = all[..size].to_vec();
                row.sort_unstable();
                row.resize(width, 0);
                index.extend(row);
                counts.push(size as i32);
            }
        }
        BlockLists { shape, lists, width, counts, index }
    }

    /// The lists of the transposed mask: for each block of keys, the blocks of queries that attend to it.
    pub fn turned(&self) -> BlockLists {
        let (rows, columns) = (self.rows(), self.shape.length.div_ceil(self.lists.bk));
        let heads = self.shape.batch * self.shape.heads;
        let mut turned: Vec<Vec<i32>> = vec![Vec::new(); heads * columns];
        for head in 0..heads {
            for row in 0..rows {
                for &block in self.row(head, row) {
                    turned[head * columns + block as usize].push(row as i32);
                }
            }
        }
        let width = turned.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let counts = turned.iter().map(|list| list.len() as i32).collect();
        let padded = turned.into_iter().flat_map(|mut list| {
            list.resize(width, 0);
            list
        });
        let lists = Lists { bq: self.lists.bk, bk: self.lists.bq, kept: self.lists.kept };
        BlockLists { shape: self.shape, lists, width, counts, index: padded.collect() }
    }

    /// Places of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of a head.
    pub fn rows(&self) -> usize {
        self.shape.length.div_ceil(self.lists.bq)
    }

    /// The blocks of row `row` of head `head`, heads of all batch entries counted on.
    pub fn row(&self, head: usize, row: usize) -> &[i32] {
        let at = head * self.rows() + row;
        &self.index[at * self.width..][..self.counts[at] as usize]
    }

    /// The blocks that a query of a head attends to.
    pub fn of_query(&self, head: usize, query: usize) -> &[i32] {
        self.row(head, query / self.lists.bq)
    }

    /// Whether any row of a head has a block.
    pub fn has_block(&self, head: usize, block: usize) -> bool {
        (0..self.rows()).any(|row| self.row(head, row).binary_search(&(block as i32)).is_ok())
    }

    /// The queries of a head that attend to a key.
    pub fn queries_of(&self, head: usize, key: usize) -> impl Iterator<Item = usize> {
        let block = (key / self.lists.bk) as i32;
        let rows = (0..self.rows()).filter(move |&row| self.row(head, row).binary_search(&block).is_ok());
        rows.flat_map(|row| row * self.lists.bq..((row + 1) * self.lists.bq).min(self.shape.length))
    }

    /// The keys of a block.
    pub fn keys(&self, block: i32) -> Range<usize> {
        let start = block as usize * self.lists.bk;
        start..(start + self.lists.bk).min(self.shape.length)
    }

    /// Pairs of a query and a key that are attended to, in all heads.
    pub fn pairs(&self) -> u64 {
        let mut pairs = 0;
        for head in 0..self.shape.batch * self.shape.heads {
            for row in 0..self.rows() {
                let start = row * self.lists.bq;
                let queries = self.lists.bq.min(self.shape.length - start);
                let keys: usize = self.row(head, row).iter().map(|&b| self.keys(b).len()).sum();
                pairs += (queries * keys) as u64;
            }
        }
        pairs
    }

    /// `index[B, H, M, W]` and `count[B, H, M]` on a device.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn tensors(&self, device: &Device) -> Result<[DynTensor; 2], RuntimeError> {
        let shape = [self.shape.batch, self.shape.heads, self.rows(), self.width];
        let bytes = |values: &[i32]| values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
        Ok([
            DynTensor::from_bytes(device, Elem::I32, &shape, &bytes(&self.index))?,
            DynTensor::from_bytes(device, Elem::I32, &shape[..3], &bytes(&self.counts))?,
        ])
    }
}

/// Gives the first `count` places values drawn from all, without replacement.
fn shuffle<T>(values: &mut [T], count: usize, random: &mut Random) {
    for i in 0..count.min(values.len()) {
        let j = random.between(i, values.len() - 1);
        values.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Kept;
    use super::*;

    #[test]
    fn rows_are_distinct_sorted_and_as_long_as_asked() {
        let shape = Shape { batch: 2, heads: 3, length: 4096 - 8, dim: 64 };
        let lists = Lists { bq: 128, bk: 64, kept: Kept::Halves(40, 360) };
        let made = BlockLists::random(shape, lists, 1);
        let mut lengths = Vec::new();
        for head in 0..6 {
            for row in 0..32 {
                let blocks = made.row(head, row);
                assert!(blocks.windows(2).all(|w| w[0] < w[1]) && blocks.iter().all(|b| (0..64).contains(b)));
                lengths.push(blocks.len());
            }
        }
        assert_eq!(lengths.iter().filter(|&&n| n == 5).count(), 6 * 16);
        assert_eq!(lengths.iter().filter(|&&n| n == 45).count(), 6 * 16);
        assert_ne!(lengths[..32], lengths[32..64], "the halves are mixed");
        assert_eq!(made.keys(63), 4032..4088);
    }

    #[test]
    fn turned_lists_have_the_same_pairs() {
        let shape = Shape { batch: 1, heads: 2, length: 1000, dim: 64 };
        let made = BlockLists::random(shape, Lists { bq: 128, bk: 64, kept: Kept::Halves(100, 200) }, 1);
        let turned = made.turned();
        assert_eq!((turned.rows(), turned.pairs()), (16, made.pairs()));
        for head in 0..2 {
            for block in 0..16 {
                let rows: Vec<i32> = (0..8)
                    .filter(|&row| made.row(head, row).contains(&(block as i32)))
                    .map(|r| r as i32)
                    .collect();
                assert_eq!(turned.row(head, block), rows);
            }
        }
        assert_eq!(turned.turned().index, made.index);
    }

    #[test]
    fn pairs_are_counted_with_ragged_edges() {
        let shape = Shape { batch: 1, heads: 1, length: 100, dim: 64 };
        let all = Lists { bq: 64, bk: 64, kept: Kept::Equal(512) };
        assert_eq!(BlockLists::random(shape, all, 1).pairs(), 100 * 100);
    }
}
