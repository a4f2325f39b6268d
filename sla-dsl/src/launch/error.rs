//! Why a launch was refused, in the words of the kernel's signature.
//!
//! Every message says what was found and what was needed. Failures of a device are not here: these are decided before
//! anything runs.

use super::Space;
use crate::diag::Diagnostics;
use crate::ir::Elem;
use thiserror::Error;

/// A launch that was refused before anything ran.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{kernel}: {reason}")]
pub struct LaunchError {
    /// The kernel.
    pub kernel: &'static str,
    /// What is wrong with its arguments.
    pub reason: Box<Refusal>,
}

/// What is wrong with the arguments of a launch.
#[derive(Clone, Debug, PartialEq, Error)]
#[allow(missing_docs)] // the messages are the documentation of the fields
pub enum Refusal {
    /// Constants that do not fit the kernel's generics.
    #[error("{0}")]
    Consts(Diagnostics),
    /// Too few or too many arguments.
    #[error("takes {needed} arguments, {found} were given")]
    Count { found: usize, needed: usize },
    /// A tensor for a scalar or the reverse.
    #[error("'{param}' is {found}, it must be {needed}")]
    Kind { param: String, found: &'static str, needed: &'static str },
    /// Another element type.
    #[error("'{param}' has elements of {found}, they must be {needed}")]
    Element { param: String, found: Elem, needed: Elem },
    /// A number that the scalar parameter's type does not hold.
    #[error("'{param}' is {found}, it must be a value of {needed}")]
    Number { param: String, found: String, needed: Elem },
    /// Another number of axes.
    #[error("'{param}' has {found} axes, it must have {needed}: {shape}")]
    Rank { param: String, found: usize, needed: usize, shape: String },
    /// As many strides as axes are needed.
    #[error("'{param}' has {axes} axes but {strides} strides")]
    StrideCount { param: String, axes: usize, strides: usize },
    /// A size of 0.
    #[error("'{param}' is empty: its axis {axis} ({dim}) has size 0, it must be at least 1")]
    Empty { param: String, axis: usize, dim: String },
    /// A size beyond 31 bits.
    #[error("'{param}' has size {size} along axis {axis} ({dim}), at most 2147483647 is possible")]
    TooLong { param: String, axis: usize, dim: String, size: usize },
    /// One name, two sizes.
    #[error(
        "dim {dim} is {first} in '{first_param}' (axis {first_axis}) but {found} in '{param}' (axis {axis})"
    )]
    Conflict {
        dim: String,
        first: i64,
        first_param: String,
        first_axis: usize,
        found: i64,
        param: String,
        axis: usize,
    },
    /// A size that is not the value of its expression.
    #[error("'{param}' has size {found} along axis {axis}, it must be {needed}{because}")]
    Size { param: String, axis: usize, found: i64, needed: i64, because: String },
    /// A dim that no argument has as the whole size of an axis.
    #[error("no argument determines the dim {dim}")]
    Undetermined { dim: String },
    /// An expression that overflows or divides by zero.
    #[error("{expr} has no value with {values}: it overflows or divides by zero")]
    NoValue { expr: String, values: String },
    /// A size with a part below 0.
    #[error("{expr} is not a size: its part {part} is negative with {values}")]
    Negative { expr: String, part: String, values: String },
    /// A condition of the kernel's author.
    #[error("requires {text}, which does not hold with {values}")]
    Require { text: &'static str, values: String },
    /// A stride below 0.
    #[error("'{param}' has stride {stride} along axis {axis}, strides must not be negative")]
    NegativeStride { param: String, axis: usize, stride: i64 },
    /// Memory beyond the address space.
    #[error(
        "'{param}' reaches past the end of the address space with shape {shape:?} and strides {strides:?}"
    )]
    Span { param: String, shape: Vec<usize>, strides: Vec<i64> },
    /// Two elements of an output in one place.
    #[error(
        "'{param}' is written, but elements of it may share memory: its axis {axis} has stride {stride}, it must be at least {needed}"
    )]
    SelfOverlap { param: String, axis: usize, stride: i64, needed: i64 },
    /// An address that its elements cannot have.
    #[error("'{param}' is at address {address:#x}, which is not a multiple of {needed} bytes")]
    Misaligned { param: String, address: usize, needed: usize },
    /// No memory.
    #[error("'{param}' has no memory: its address is null")]
    Null { param: String },
    /// Tensors in two memories.
    #[error("'{param}' is in the memory of {found}, but '{other}' is in that of {needed}")]
    Spaces { param: String, found: Space, other: String, needed: Space },
    /// An output that was not lent for writing.
    #[error("'{param}' is written, but was lent for reading only or shares its memory with another tensor")]
    ReadOnly { param: String },
    /// An output over another argument.
    #[error("'{param}' is written, but its memory overlaps that of '{other}'")]
    Alias { param: String, other: String },
    /// A grid axis with a negative extent.
    #[error("the grid's axis {axis} has {extent} programs ({expr}) with {values}")]
    Grid { axis: String, extent: i64, expr: String, values: String },
    /// More programs than a launch can count.
    #[error("the grid has {programs} programs, at most 2147483647 are possible")]
    Programs { programs: u128 },
}
