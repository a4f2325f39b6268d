//! The shape checker: symbolic shapes, element types and directions of a whole function, before anything is emitted.
//!
//! It reads the user's function as `syn` parsed it and returns every mistake it is sure of, each on its token and in the
//! user's words. An expression that was reported, or that cannot be judged here, is [`Kind::Unknown`] and silences all that
//! depends on it; the builder checks again with numbers. Nothing here changes or emits code.

mod diff;
mod env;
mod expr;
mod func;
mod kind;
mod poly;
mod stmt;
mod types;
mod walk;

#[cfg(test)]
mod tests;

pub use func::{check_func, check_impl, check_kernel};

use env::Env;
use kind::{Dim, Kind, Shape};
use poly::Equal;
use proc_macro2::Span;
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};

/// The state of one function's check.
#[derive(Default)]
struct Checker {
    env: Env,
    /// Generic element types, and whether each is bound to be a float.
    elems: BTreeMap<String, bool>,
    /// Sizes that only a launch knows.
    dims: BTreeSet<String>,
    /// Names that a condition in the source compares, so that unequal spellings may be equal sizes.
    doubted: BTreeSet<String>,
    /// What the function returns.
    ret: Option<Kind>,
    errors: Vec<syn::Error>,
}

impl Checker {
    /// Reports a mistake over all tokens of `at`.
    fn error(&mut self, at: &dyn ToTokens, message: impl std::fmt::Display) -> Kind {
        self.errors.push(syn::Error::new_spanned(at.to_token_stream(), message));
        Kind::Unknown
    }

    /// Reports a mistake at a place.
    fn error_at(&mut self, at: Span, message: impl std::fmt::Display) -> Kind {
        self.errors.push(syn::Error::new(at, message));
        Kind::Unknown
    }

    /// Whether two sizes are equal.
    fn equal(&self, a: &Dim, b: &Dim) -> Equal {
        match (a, b) {
            (Some(a), Some(b)) => a.equal(b, &self.doubted),
            _ => Equal::Maybe,
        }
    }

    /// Whether two shapes surely differ.
    fn differ(&self, a: &Shape, b: &Shape) -> bool {
        a.rank() != b.rank() || a.0.iter().zip(&b.0).any(|(x, y)| self.equal(x, y) == Equal::No)
    }

    /// Whether two blocks of memory surely differ, axes of size 1 left out.
    fn differ_in_core(&self, a: &Shape, b: &Shape) -> bool {
        if a.0.iter().chain(&b.0).any(Option::is_none) {
            return false;
        }
        let (x, y) = (a.core(), b.core());
        x.len() != y.len() || x.iter().zip(&y).any(|(p, q)| self.equal(p, q) == Equal::No)
    }
}
