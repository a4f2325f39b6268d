//! Sizes of problems of attention, and of the block masks over them, as people write them.
//!
//! Which sizes are measured is in [`super::cases`].

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Blocks of 64 keys in the length that counts of kept blocks are given for.
const OF: usize = 512;

/// Sizes of an attention problem with as many keys as queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Shape {
    /// Batch entries.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Tokens.
    pub length: usize,
    /// The head dimension.
    pub dim: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}x{}", self.batch, self.heads, self.length, self.dim)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let [batch, heads, length, dim] =
            numbers(text).ok_or_else(|| format!("found `{text}`, needed four positive sizes B,H,L,D"))?;
        Ok(Shape { batch, heads, length, dim })
    }
}

/// Positive numbers with commas between, as many as asked for.
pub fn numbers<const N: usize>(text: &str) -> Option<[usize; N]> {
    let parsed: Option<Vec<usize>> =
        text.split(',').map(|n| n.trim().parse().ok().filter(|&n| n > 0 && n < 1 << 31)).collect();
    parsed?.try_into().ok()
}

/// How many blocks of keys each row of a block mask keeps, out of 512; with another number of blocks, as many in proportion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The same in each.
    Equal(usize),
    /// So many in one half of the rows and in the other, mixed at random.
    Halves(usize, usize),
}

/// A block mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Lists {
    /// Queries in a block.
    pub bq: usize,
    /// Keys in a block.
    pub bk: usize,
    /// Blocks kept.
    pub kept: Kept,
}

impl Lists {
    /// Blocks kept in a row, the fewest and the most, of `blocks`.
    pub fn counts(&self, blocks: usize) -> (usize, usize) {
        let scaled = |n: usize| ((n * blocks + OF / 2) / OF).clamp(1, blocks.max(1));
        match self.kept {
            Kept::Equal(n) => (scaled(n), scaled(n)),
            Kept::Halves(few, many) => (scaled(few), scaled(many)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_parse_and_print() {
        assert_eq!("1,12,32760,128".parse::<Shape>().unwrap().to_string(), "1x12x32760x128");
        for text in ["", "1,2,3", "1,2,3,4,5", "1,2,3,0", "1,2,3,x", "1,2,3,-4", "1,2,3,4294967296"] {
            let e = text.parse::<Shape>().unwrap_err();
            assert_eq!(e, format!("found `{text}`, needed four positive sizes B,H,L,D"));
        }
    }
}
