//! Making tiles, and giving them other shapes.

use super::operand::{ANY, beside_unknown};
use crate::check::Checker;
use crate::check::kind::{Dim, Elem, Kind, Shape, is_one, size_text};
use crate::check::poly::{Equal, Poly};
use crate::check::types::rank_error;
use proc_macro2::Span;
use syn::Expr;

impl Checker {
    /// The shape that an argument `[M, N]` gives; reported and `None` where it is none.
    pub fn shape(&mut self, kind: &Kind, at: &Expr) -> Option<Shape> {
        let sizes = match kind {
            Kind::Array(sizes) => sizes,
            Kind::Unknown => return None,
            k => {
                self.error(
                    at,
                    format!("a shape is a list of sizes such as `[M, N]`, this is {}", k.describe()),
                );
                return None;
            }
        };
        let before = self.errors.len();
        let dims: Vec<Dim> = match at {
            Expr::Array(a) => sizes.iter().zip(&a.elems).map(|(k, e)| self.size_of(k, e)).collect(),
            _ => sizes.iter().map(|k| self.size_of(k, at)).collect(),
        };
        let shape = Shape(dims);
        if let Some(message) = rank_error(&shape) {
            self.error(at, message);
        }
        (self.errors.len() == before).then_some(shape)
    }

    /// `zeros::<E>([M, N])` and `full::<E>([M, N], value)`.
    pub fn filled(&mut self, elem: Elem, args: &[(Kind, &Expr)]) -> Kind {
        let shape = self.shape(&args[0].0, args[0].1);
        if let Some((value, at)) = args.get(1) {
            match self.loaded(value, at) {
                Some(Kind::Scalar(e) | Kind::Tile(e, _)) if self.different(e, &elem) => {
                    self.error(
                        at,
                        format!(
                            "this is {}, the tile holds {elem}: cast it with `.cast::<{elem}>()`",
                            value.describe()
                        ),
                    );
                }
                Some(k) => {
                    self.constant_fits(k, &elem, at);
                }
                None => {}
            }
        }
        shape.map_or(Kind::Unknown, |s| Kind::Tile(elem, s))
    }

    /// `iota([M, N], axis)`.
    pub fn iota(&mut self, args: &[(Kind, &Expr)]) -> Kind {
        let Some(shape) = self.shape(&args[0].0, args[0].1) else { return Kind::Unknown };
        self.axis(&args[1].0, args[1].1, shape.rank(), &format!("a tile of shape {shape}"));
        Kind::Tile(Elem::I32, shape)
    }

    /// `select(c, a, b)`.
    pub fn select(&mut self, op: Span, args: &[(Kind, &Expr)]) -> Kind {
        let values = self.elementwise("select", op, &args[1..], ANY);
        let (cond, at) = &args[0];
        let Some(cond) = self.loaded(cond, at).cloned() else { return Kind::Unknown };
        match &cond {
            Kind::Scalar(e) | Kind::Tile(e, _) if !e.may_be(&[Elem::Bool]) => {
                return self
                    .error(at, format!("the condition of `select` is a bool, this is {}", cond.describe()));
            }
            Kind::Int(_) | Kind::Float => {
                return self
                    .error(at, format!("the condition of `select` is a bool, this is {}", cond.describe()));
            }
            _ => {}
        }
        match (&cond, &values) {
            (Kind::Unknown, Kind::Tile(e, s)) => beside_unknown(e.clone(), s),
            (Kind::Unknown, _) | (_, Kind::Unknown) => Kind::Unknown,
            (Kind::Tile(_, c), Kind::Tile(e, v)) => match self.broadcast(c, v) {
                Ok(joint) => Kind::Tile(e.clone(), joint),
                Err(axis) => self.error_at(
                    op,
                    format!("a condition of shape {c} and values of shape {v} do not broadcast: {axis}"),
                ),
            },
            (Kind::Tile(_, c), v) => match v.clone().at_run_time() {
                Kind::Scalar(e) => Kind::Tile(e, c.clone()),
                _ => Kind::Unknown,
            },
            (_, v) => v.clone().at_run_time(),
        }
    }

    /// `x.pack(keep)`.
    pub fn pack(&mut self, at: Span, x: &Kind, (keep, place): (Kind, &Expr)) -> Kind {
        let Kind::Tile(e, s) = x else {
            return self.error_at(at, format!("`pack` takes a tile, this is {}", x.describe()));
        };
        let Some(keep) = self.loaded(&keep, place).cloned() else { return Kind::Unknown };
        match &keep {
            Kind::Unknown => Kind::Unknown,
            Kind::Tile(c, k) if c.may_be(&[Elem::Bool]) => match self.broadcast(s, k) {
                Ok(joint) => Kind::Tile(e.clone(), joint),
                Err(axis) => self.error_at(
                    at,
                    format!("a condition of shape {k} and a tile of shape {s} do not broadcast: {axis}"),
                ),
            },
            k => {
                self.error(place, format!("`pack` keeps what a tile of bools says, this is {}", k.describe()))
            }
        }
    }

    /// `x.t()`.
    pub fn transpose(&mut self, at: Span, x: &Kind) -> Kind {
        match x {
            Kind::Tile(e, s) if s.rank() == 2 => {
                Kind::Tile(e.clone(), Shape(vec![s.0[1].clone(), s.0[0].clone()]))
            }
            k => {
                let what = match k {
                    Kind::Tile(_, s) => format!("this has shape {s}"),
                    k => format!("this is {}", k.describe()),
                };
                self.error_at(at, format!("`t` exchanges the two axes of a tile, {what}"))
            }
        }
    }

    /// `x.reshape([M, N])`.
    pub fn reshape(&mut self, at: Span, x: &Kind, arg: (Kind, &Expr)) -> Kind {
        let to = self.shape(&arg.0, arg.1);
        let Kind::Tile(e, from) = x else {
            return self.error_at(at, format!("`reshape` takes a tile, this is {}", x.describe()));
        };
        let Some(to) = to else { return Kind::Unknown };
        let (a, b) = (count(from), count(&to));
        if self.equal(&a, &b) == Equal::No {
            let (a, b) = (size_text(&a), size_text(&b));
            return self
                .error(arg.1, format!("reshape keeps the element count: {from} has {a}, {to} has {b}"));
        }
        Kind::Tile(e.clone(), to)
    }

    /// `x.broadcast([M, N])`.
    pub fn broadcast_to(&mut self, x: &Kind, arg: (Kind, &Expr)) -> Kind {
        let Some(to) = self.shape(&arg.0, arg.1) else { return Kind::Unknown };
        let (elem, from) = match x.clone().at_run_time() {
            Kind::Tile(e, s) => (e, s),
            Kind::Scalar(e) => (e, Shape(Vec::new())),
            _ => return Kind::Unknown,
        };
        let grows = |i: usize| {
            let (d, n) = (&from.0[i], &to.0[i + to.rank() - from.rank()]);
            is_one(d) || self.equal(d, n) != Equal::No
        };
        if from.rank() > to.rank() || !(0..from.rank()).all(grows) {
            let rule = "sizes stay, or grow from 1";
            return self.error(arg.1, format!("a tile of shape {from} does not broadcast to {to}: {rule}"));
        }
        Kind::Tile(elem, to)
    }

    /// `x.unsqueeze(axis)`.
    pub fn unsqueeze(&mut self, at: Span, x: &Kind, arg: (Kind, &Expr)) -> Kind {
        let (e, s) = match x {
            Kind::Tile(e, s) => (e, s.clone()),
            Kind::Scalar(e) => (e, Shape(Vec::new())),
            k => return self.error_at(at, format!("`unsqueeze` takes a tile, this is {}", k.describe())),
        };
        if s.rank() == 2 {
            return self.error_at(at, format!("a tile has one or two axes, {s} cannot get another"));
        }
        let axis = self.axis(&arg.0, arg.1, s.rank() + 1, &format!("{s} with an axis more"));
        let Some(axis) = axis else { return Kind::Unknown };
        let mut s = s;
        s.0.insert(axis, Some(Poly::from(1)));
        Kind::Tile(e.clone(), s)
    }

    /// `x.squeeze(axis)`.
    pub fn squeeze(&mut self, at: Span, x: &Kind, arg: (Kind, &Expr)) -> Kind {
        let Kind::Tile(e, s) = x else {
            return self.error_at(at, format!("`squeeze` takes a tile, this is {}", x.describe()));
        };
        let axis = self.axis(&arg.0, arg.1, s.rank(), &format!("a tile of shape {s}"));
        let Some(axis) = axis else { return Kind::Unknown };
        if self.equal(&s.0[axis], &Some(Poly::from(1))) == Equal::No {
            let size = size_text(&s.0[axis]);
            return self.error(
                arg.1,
                format!("`squeeze` leaves out an axis of size 1, axis {axis} of {s} is `{size}`"),
            );
        }
        if s.rank() == 1 {
            return self.error_at(at, "the only axis of a tile cannot be left out");
        }
        let mut s = s.clone();
        s.0.remove(axis);
        Kind::Tile(e.clone(), s)
    }
}

/// The number of elements.
fn count(s: &Shape) -> Dim {
    s.0.iter().try_fold(Poly::from(1), |n, d| n.mul(d.as_ref()?))
}
