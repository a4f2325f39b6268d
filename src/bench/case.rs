//! What a case is: what is computed in which direction, and the speed it must reach; the way to smaller sizes.
//!
//! The table of cases is in [`super::cases`], sizes in [`super::shape`]; which constants kernels are given is in [`super::choices`].

use std::fmt;

use serde::Serialize;

use super::shape::{Lists, Shape};
use crate::attention::{Blocks, Config, Scope, Share};

/// Tokens by which a ragged length is shorter than one that blocks divide.
pub(super) const RAGGED: usize = 8;

/// Shares of critical and, in scope marginal, of negligible blocks of the whole operator.
const CRITICAL: f64 = 0.05;
const NEGLIGIBLE: f64 = 0.10;

/// Which part of the operator is called, from `q`, `k`, `v` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The router, with the lists of both directions.
    Router,
    /// All of it in scope `all`.
    All,
    /// All of it in scope `marginal`.
    Marginal,
}

impl Call {
    /// The operator's configuration: 128/64 blocks, 5 % critical, of the others 10 % negligible where the scope has such a class.
    pub fn config(self) -> Config {
        let scope = if self == Call::Marginal { Scope::Marginal } else { Scope::All };
        let share = |share| Share::new(share).unwrap_or(Config::default().critical());
        Config::new(scope, share(CRITICAL), share(NEGLIGIBLE)).with_blocks(Blocks::default())
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
    /// The operator.
    Module(Shape, Call),
    /// A matrix product, M, N, K.
    Matmul([usize; 3]),
}

impl Work {
    /// The sizes of attention.
    pub fn shape(&self) -> Option<Shape> {
        match *self {
            Work::Dense(s) | Work::Sparse(s, _) | Work::Module(s, _) => Some(s),
            Work::Matmul(_) => None,
        }
    }
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
            Work::Module(shape, call) => {
                let blocks = call.config().blocks();
                let columns = shape.length.div_ceil(blocks.k());
                let counts = call.config().counts(columns);
                write!(f, "{shape} blocks {}x{} {}", blocks.q(), blocks.k(), counts.critical)?;
                match counts.negligible {
                    0 => write!(f, " of {columns}"),
                    n => write!(f, " and not {n} of {columns}"),
                }
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
    /// The whole operator, and its router.
    Module,
    /// Matrix products.
    Matmul,
}

/// The direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Forward.
    Fwd,
    /// Backward: gradients of what the forward was given, row sums included.
    Bwd,
}

/// The speed that a case must reach on an H100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At least so many TFLOP/s.
    Tflops(f64),
    /// At most so many milliseconds.
    Milliseconds(f64),
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
    /// The direction.
    pub pass: Pass,
    /// What is computed.
    pub work: Work,
    /// Whether one kernel makes all gradients, that of queries by adding to memory in any order; two make them else, the same bits every time.
    pub fused: bool,
    /// What it must reach, at the sizes of the table.
    pub goal: Option<Goal>,
}

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
            Work::Module(..) => What::Module,
            Work::Matmul(_) => What::Matmul,
        }
    }

    /// The same case at other sizes. A goal holds at the sizes of the table only.
    pub fn at(self, sizes: &Sizes) -> Case {
        let shape = |old: Shape| {
            let [batch, heads, length] = sizes.attention.unwrap_or([old.batch, old.heads, old.length]);
            let ragged = old.length % 64 == 64 - RAGGED && sizes.attention.is_some() && length > RAGGED;
            let length = if ragged { length - RAGGED } else { length };
            Shape { batch, heads, length, dim: sizes.dim.unwrap_or(old.dim) }
        };
        let work = match self.work {
            Work::Dense(old) => Work::Dense(shape(old)),
            Work::Sparse(old, lists) => Work::Sparse(shape(old), lists),
            Work::Module(old, call) => Work::Module(shape(old), call),
            Work::Matmul(old) => Work::Matmul(sizes.matmul.unwrap_or(old)),
        };
        Case { work, goal: self.goal.filter(|_| work == self.work), ..self }
    }
}
