//! How a value surely differs from what it has to be, and how to say so.

use super::Checker;
use super::kind::{Elem, Kind};

/// A sure difference between two kinds, in the user's words.
pub enum Diff {
    /// Of shape.
    Shape(String, String),
    /// Of element type.
    Elem(Elem, Elem),
    /// Of anything else.
    Kind(String, String),
}

impl Diff {
    /// For a place that states what a value is: `says` is a subject and a verb.
    pub fn against(&self, says: &str) -> String {
        match self {
            Diff::Shape(want, got) => format!("{says} {want}, the expression has shape {got}"),
            Diff::Elem(want, got) => {
                format!(
                    "{says} {want}, the expression has element type {got}; cast it with `.cast::<{want}>()`"
                )
            }
            Diff::Kind(want, got) => format!("{says} {want}, the expression is {got}"),
        }
    }

    /// For a variable that must keep its type; `is` says why.
    pub fn assigned(&self, is: &str) -> String {
        match self {
            Diff::Shape(old, new) => format!("{is} with shape {old}, this assigns {new}"),
            Diff::Elem(old, new) => {
                format!("{is} with element type {old}, this assigns {new}; cast it with `.cast::<{old}>()`")
            }
            Diff::Kind(old, new) => format!("{is} as {old}, this assigns {new}"),
        }
    }

    /// For two values that must be alike.
    pub fn pair(&self) -> String {
        match self {
            Diff::Shape(a, b) | Diff::Kind(a, b) => format!("{a} and {b}"),
            Diff::Elem(a, b) => format!("{a} and {b}; cast one of them"),
        }
    }
}

impl Checker {
    /// How `new` surely differs from `old`. Constants may take the place of scalars that can hold them.
    pub fn diff(&self, old: &Kind, new: &Kind) -> Option<Diff> {
        let other = |differ: bool| differ.then(|| Diff::Kind(old.describe(), new.describe()));
        match (old, new) {
            (Kind::Unknown, _) | (_, Kind::Unknown) => None,
            (Kind::Tile(e, s), Kind::Tile(f, t)) => {
                if self.differ(s, t) {
                    return Some(Diff::Shape(s.to_string(), t.to_string()));
                }
                self.different(e, f).then(|| Diff::Elem(e.clone(), f.clone()))
            }
            (Kind::Scalar(e), Kind::Scalar(f)) => {
                self.different(e, f).then(|| Diff::Elem(e.clone(), f.clone()))
            }
            (Kind::Scalar(e), Kind::Int(_)) => other(*e == Elem::Bool),
            (Kind::Scalar(e), Kind::Float) => other(!e.may_be_float()),
            (Kind::Scalar(e), Kind::Bool) => other(!e.may_be(&[Elem::Bool])),
            (Kind::Int(_) | Kind::Float | Kind::Bool, Kind::Scalar(_)) => {
                self.diff(&old.clone().at_run_time(), new)
            }
            (Kind::Int(_), Kind::Int(_)) | (Kind::Float, Kind::Int(_)) => None,
            (Kind::Tuple(a), Kind::Tuple(b)) if a.len() == b.len() => {
                a.iter().zip(b).find_map(|(x, y)| self.diff(x, y))
            }
            (Kind::View(_), Kind::View(_)) | (Kind::Blocks(..), Kind::Blocks(..)) => None,
            (a, b) => other(std::mem::discriminant(a) != std::mem::discriminant(b)),
        }
    }

    /// Whether two element types surely differ.
    pub fn different(&self, a: &Elem, b: &Elem) -> bool {
        a != b && ![a, b].into_iter().any(|e| *e == Elem::Unknown || self.assumed(e))
    }

    /// Whether the source compares a generic type with something, so that it may be known by more than its bound.
    pub fn assumed(&self, e: &Elem) -> bool {
        matches!(e, Elem::Generic(n, _) if self.doubted.contains(n))
    }
}
