//! The context of an expanded body: the builder, and the place in the user's source that is being written.

use super::{Opd, Val};
use crate::diag::Loc;
use crate::ir::{Builder, Elem};

/// How deep device functions may call each other.
const MAX_DEPTH: u32 = 64;
/// How deep they may once a mistake was found.
const MAX_DEPTH_FAILED: u32 = 8;

/// Where ops go and where they come from. Every function an expanded body calls takes one first.
#[derive(Clone, Copy)]
pub struct Cx<'b> {
    pub(super) b: &'b Builder,
    pub(super) loc: Loc,
    depth: u32,
}

impl<'b> Cx<'b> {
    /// The context of a kernel's body in `file`.
    pub fn new(b: &'b Builder, file: &'static str) -> Cx<'b> {
        Cx { b, loc: Loc::new(file, 0, 0), depth: 0 }
    }

    /// The same, at another place of the file.
    pub fn at(self, line: u32, col: u32) -> Cx<'b> {
        Cx { loc: Loc::new(self.loc.file, line, col), ..self }
    }

    /// The context inside a function that this one calls.
    pub fn enter(self, file: &'static str) -> Cx<'b> {
        Cx { loc: Loc::new(file, 0, 0), depth: self.depth + 1, ..self }
    }

    /// Whether calls nest so deep that they must be endless; reported here. After a mistake the limit is lower, so that functions
    /// that call themselves twice come to an end.
    pub fn endless(self) -> bool {
        if self.depth >= MAX_DEPTH {
            let message = format!(
                "device functions call each other more than {MAX_DEPTH} deep; recursion is not possible"
            );
            self.error(message);
            return true;
        }
        self.depth >= MAX_DEPTH_FAILED && self.b.failed()
    }

    /// Reports a mistake here.
    pub fn error(self, message: impl Into<String>) -> Val {
        Val(self.b.error(self.loc, message))
    }

    /// The result of something that was rejected and reported.
    pub fn invalid(self) -> Val {
        Val(self.b.invalid())
    }
}

/// A generic argument of a device function at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenericArg {
    /// `_`: found from the arguments.
    Infer,
    /// A size.
    Int(i64),
    /// A switch.
    Bool(bool),
    /// An element type.
    Elem(Elem),
}

impl std::fmt::Display for GenericArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GenericArg::Infer => f.write_str("_"),
            GenericArg::Int(i) => write!(f, "{i}"),
            GenericArg::Bool(b) => write!(f, "{b}"),
            GenericArg::Elem(e) => write!(f, "{e}"),
        }
    }
}

impl From<i64> for GenericArg {
    fn from(v: i64) -> Self {
        GenericArg::Int(v)
    }
}

impl From<bool> for GenericArg {
    fn from(v: bool) -> Self {
        GenericArg::Bool(v)
    }
}

impl From<Elem> for GenericArg {
    fn from(v: Elem) -> Self {
        GenericArg::Elem(v)
    }
}

/// A list of sizes as a shape; a mistake is reported.
pub(super) fn shape(cx: Cx<'_>, dims: &[i64]) -> Option<Vec<usize>> {
    let shape: Option<Vec<usize>> =
        dims.iter().map(|&d| usize::try_from(d).ok().filter(|&d| d > 0)).collect();
    if shape.is_none() {
        cx.error(format!("a tile's dimensions are positive, this is {dims:?}"));
    }
    shape
}

/// A constant axis; a mistake is reported.
pub(super) fn axis(cx: Cx<'_>, axis: impl super::Operand) -> Option<usize> {
    match axis.opd() {
        Opd::Int(a) if a >= 0 => return Some(a as usize),
        Opd::Int(a) => cx.error(format!("an axis is counted from 0, this is {a}")),
        _ => cx.error("an axis is a whole number known when the kernel is built"),
    };
    None
}
