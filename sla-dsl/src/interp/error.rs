//! What can go wrong while a kernel is interpreted.

use super::EvalError;
use crate::diag::{Diagnostics, Loc};

/// Why a run stopped, or did not start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InterpError {
    /// The kernel does not verify.
    #[error("{0}")]
    Invalid(Diagnostics),
    /// An argument, the dims or the grid do not fit the kernel.
    #[error("{kernel}: {what}: found {found}, needed {needed}")]
    Argument {
        /// The kernel.
        kernel: String,
        /// Which argument.
        what: String,
        /// What it is.
        found: String,
        /// What it must be.
        needed: String,
    },
    /// A program did what no program may.
    #[error("{}{kernel}: program {program:?}: {fault}", place(*loc))]
    Fault {
        /// The kernel.
        kernel: String,
        /// Where, in the Rust source.
        loc: Loc,
        /// The first program that did it, by its place on each axis of the grid.
        program: [usize; 3],
        /// What it did.
        fault: Box<Fault>,
    },
    /// The sink of debug prints failed.
    #[error("a debug print could not be written: {0}")]
    Print(String),
}

/// What a program did that no program may.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// An arithmetic op outside its domain.
    #[error("{0}")]
    Eval(#[from] EvalError),
    /// An access outside a tensor.
    #[error("elements {first}..{end} of axis {axis} of `{tensor}` are accessed, its size is {size}")]
    OutOfBounds {
        /// The parameter.
        tensor: String,
        /// The axis.
        axis: usize,
        /// First index of the box.
        first: i64,
        /// One past the last index of the box.
        end: i64,
        /// Size of the tensor along the axis.
        size: i64,
    },
    /// An `assert` that did not hold.
    #[error("assertion failed: {0}")]
    Assert(String),
}

fn place(loc: Loc) -> String {
    if loc == Loc::UNKNOWN { String::new() } else { format!("{loc}: ") }
}
