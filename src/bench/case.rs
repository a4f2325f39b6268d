//! What is measured: the table of cases with the speed each must reach, and the way to smaller sizes.
//!
//! Sizes, lists and targets are here; which constants a kernel is given is in [`super::choices`].

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Blocks of 64 keys in the length that counts of kept blocks are given for.
const OF: usize = 512;

/// Tokens by which a ragged length is shorter than one that blocks divide.
const RAGGED: usize = 8;

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

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Attention of every query over every key.
    Dense(Shape),
    /// Attention over lists of blocks.
    Sparse(Shape, Lists),
    /// A matrix product, M, N, K.
    Matmul([usize; 3]),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Dense(shape) => shape.fmt(f),
            Work::Sparse(shape, lists) => {
                let blocks = shape.length.div_ceil(lists.bk);
                let (few, many) = lists.counts(blocks);
                let kept = if few == many { few.to_string() } else { format!("{few} or {many}") };
                write!(f, "{shape} blocks {}x{} {kept} of {blocks}", lists.bq, lists.bk)
            }
            Work::Matmul([m, n, k]) => write!(f, "{m}x{n}x{k}"),
        }
    }
}

/// A group of cases, as `--what` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Dense attention.
    Dense,
    /// Block-sparse attention.
    Sparse,
    /// Matrix products.
    Matmul,
}

/// The speed that a case must reach on an H100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At least so many TFLOP/s.
    Tflops(f64),
    /// No more than so many percent slower than another case, per unit of work.
    Within {
        /// The other case.
        of: &'static str,
        /// Percent.
        percent: f64,
    },
}

/// One thing to measure, in bf16.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What is computed.
    pub work: Work,
    /// What it must reach, at the sizes of the table.
    pub goal: Option<Goal>,
}

const D128: Shape = Shape { batch: 1, heads: 12, length: 32768, dim: 128 };
const D64: Shape = Shape { heads: 24, dim: 64, ..D128 };
const RAGGED_D128: Shape = Shape { length: D128.length - RAGGED, ..D128 };

const fn lists(bq: usize, bk: usize, kept: Kept) -> Lists {
    Lists { bq, bk, kept }
}

const fn case(name: &'static str, work: Work, goal: Goal) -> Case {
    Case { name, work, goal: Some(goal) }
}

const fn within(of: &'static str, percent: f64) -> Goal {
    Goal::Within { of, percent }
}

/// Every case, with what it must reach on an H100.
pub const ALL: &[Case] = &[
    case("dense", Work::Dense(D128), Goal::Tflops(700.0)),
    case("dense-ragged", Work::Dense(RAGGED_D128), within("dense", 3.0)),
    case("dense-d64", Work::Dense(D64), Goal::Tflops(550.0)),
    case("sparse", Work::Sparse(D128, lists(128, 64, Kept::Equal(25))), Goal::Tflops(600.0)),
    case("sparse-51", Work::Sparse(D128, lists(128, 64, Kept::Equal(51))), Goal::Tflops(630.0)),
    case("sparse-uneven", Work::Sparse(D128, lists(128, 64, Kept::Halves(5, 45))), within("sparse", 7.0)),
    case("sparse-ragged", Work::Sparse(RAGGED_D128, lists(128, 64, Kept::Equal(25))), within("sparse", 3.0)),
    case("sparse-64x64", Work::Sparse(D128, lists(64, 64, Kept::Equal(25))), Goal::Tflops(465.0)),
    case("sparse-d64", Work::Sparse(D64, lists(128, 64, Kept::Equal(25))), Goal::Tflops(465.0)),
    case("matmul", Work::Matmul([8192, 8192, 8192]), Goal::Tflops(600.0)),
];

/// Sizes in place of those of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Batch entries, heads and tokens of attention; ragged lengths are 8 tokens shorter.
    pub attention: Option<[usize; 3]>,
    /// The head dimension.
    pub dim: Option<usize>,
    /// M, N, K of a matrix product.
    pub matmul: Option<[usize; 3]>,
}

impl Case {
    /// The group it belongs to.
    pub fn what(&self) -> What {
        match self.work {
            Work::Dense(_) => What::Dense,
            Work::Sparse(..) => What::Sparse,
            Work::Matmul(_) => What::Matmul,
        }
    }

    /// The same case at other sizes. A goal holds at the sizes of the table only.
    pub fn at(self, sizes: &Sizes) -> Case {
        let shape = |old: Shape| {
            let [batch, heads, length] = sizes.attention.unwrap_or([old.batch, old.heads, old.length]);
            let ragged = !old.length.is_multiple_of(64) && sizes.attention.is_some() && length > RAGGED;
            let length = if ragged { length - RAGGED } else { length };
            Shape { batch, heads, length, dim: sizes.dim.unwrap_or(old.dim) }
        };
        let work = match self.work {
            Work::Dense(old) => Work::Dense(shape(old)),
            Work::Sparse(old, lists) => Work::Sparse(shape(old), lists),
            Work::Matmul(old) => Work::Matmul(sizes.matmul.unwrap_or(old)),
        };
        Case { work, goal: self.goal.filter(|_| work == self.work), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_scale_the_lists_and_drop_the_goals() {
        let sizes = Sizes { attention: Some([1, 2, 1024]), dim: Some(64), matmul: Some([8, 16, 32]) };
        let at = |name: &str| {
            let case = ALL.iter().find(|c| c.name == name).unwrap().at(&sizes);
            (case.work.to_string(), case.goal)
        };
        assert_eq!(at("dense"), ("1x2x1024x64".into(), None));
        assert_eq!(at("dense-ragged"), ("1x2x1016x64".into(), None));
        assert_eq!(at("sparse"), ("1x2x1024x64 blocks 128x64 1 of 16".into(), None));
        assert_eq!(at("matmul"), ("8x16x32".into(), None));
        for case in ALL {
            assert_eq!(case.at(&Sizes::default()), *case);
            let names = ALL.iter().filter(|c| c.name == case.name).count();
            assert_eq!(names, 1, "{}", case.name);
            if let Some(Goal::Within { of, .. }) = case.goal {
                assert!(ALL.iter().any(|c| c.name == of), "{of}");
            }
        }
        let uneven = ALL.iter().find(|c| c.name == "sparse-uneven").unwrap().work.to_string();
        assert_eq!(uneven, "1x12x32768x128 blocks 128x64 5 or 45 of 512");
    }

    #[test]
    fn shapes_parse_and_print() {
        assert_eq!("1,12,32760,128".parse::<Shape>().unwrap().to_string(), "1x12x32760x128");
        for text in ["", "1,2,3", "1,2,3,4,5", "1,2,3,0", "1,2,3,x", "1,2,3,-4", "1,2,3,4294967296"] {
            let e = text.parse::<Shape>().unwrap_err();
            assert_eq!(e, format!("found `{text}`, needed four positive sizes B,H,L,D"));
        }
    }
}
