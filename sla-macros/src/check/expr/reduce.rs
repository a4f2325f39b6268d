//! Reductions along an axis, which stays with size 1.

use super::operand::ARITH;
use crate::check::Checker;
use crate::check::kind::{Kind, Shape};
use crate::check::poly::Poly;
use proc_macro2::Span;
use syn::Expr;

impl Checker {
    /// `x.sum(axis)`, `x.max(axis)`, `x.min(axis)` of a tile; `max` and `min` of scalars take the other scalar.
    pub fn reduce(&mut self, name: &str, at: Span, x: (Kind, &Expr), arg: (Kind, &Expr)) -> Kind {
        match (&x.0, &arg.0) {
            (Kind::Unknown, _) => Kind::Unknown,
            (Kind::Tile(e, s), Kind::Int(_) | Kind::Unknown) => {
                if !self.defined(name, &x.0, x.1, ARITH) {
                    return Kind::Unknown;
                }
                let Some(axis) = self.axis(&arg.0, arg.1, s.rank(), &format!("a tile of shape {s}")) else {
                    return match arg.0 {
                        Kind::Int(None) => Kind::Tile(e.clone(), Shape(vec![None; s.rank()])),
                        _ => Kind::Unknown,
                    };
                };
                let mut s = s.clone();
                s.0[axis] = Some(Poly::from(1));
                Kind::Tile(e.clone(), s)
            }
            (Kind::Tile(..), other) => {
                let hint = match name {
                    "max" => "; element by element it is `maximum(a, b)`",
                    "min" => "; element by element it is `minimum(a, b)`",
                    _ => "",
                };
                self.error(
                    arg.1,
                    format!("`{name}` reduces along an axis, this is {}{hint}", other.describe()),
                )
            }
            (_, _) if name == "sum" => {
                let what = x.0.describe();
                self.error_at(at, format!("`sum` reduces a tile along an axis, this is {what}"))
            }
            _ => self.elementwise(name, at, &[x, arg], ARITH),
        }
    }

    /// An axis out of `rank`; `None` if it is not known or was reported.
    pub fn axis(&mut self, kind: &Kind, at: &Expr, rank: usize, of: &str) -> Option<usize> {
        match kind {
            Kind::Int(d) => {
                let n = d.as_ref().and_then(Poly::as_int)?;
                match usize::try_from(n) {
                    Ok(axis) if axis < rank => Some(axis),
                    _ => {
                        self.error(at, format!("axis {n} is out of range for {of}"));
                        None
                    }
                }
            }
            Kind::Unknown => None,
            k => {
                self.error(at, format!("an axis is an integer constant, this is {}", k.describe()));
                None
            }
        }
    }
}
