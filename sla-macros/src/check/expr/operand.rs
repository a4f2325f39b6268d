//! Operands of element-wise ops: which element types an op is defined on, and what operands have in common.

use crate::check::Checker;
use crate::check::kind::{Elem, Kind, Shape, is_one, size_text};
use crate::check::poly::Equal;
use proc_macro2::Span;
use syn::Expr;

/// Arithmetic and order.
pub const ARITH: &[Elem] = &[Elem::F32, Elem::I32];
/// Remainders and shifts.
pub const INT: &[Elem] = &[Elem::I32];
/// Bits and truth.
pub const BITS: &[Elem] = &[Elem::I32, Elem::Bool];
/// Functions of real numbers.
pub const REAL: &[Elem] = &[Elem::F32];
/// Equality.
pub const EQUALITY: &[Elem] = &[Elem::F32, Elem::I32, Elem::Bool];
/// Moving values without computing on them.
pub const ANY: &[Elem] = &[Elem::F32, Elem::F16, Elem::BF16, Elem::I32, Elem::I8, Elem::Bool];

impl Checker {
    /// A value that can be computed with, or a report of what has to be done to get one.
    pub fn loaded<'a>(&mut self, kind: &'a Kind, at: &Expr) -> Option<&'a Kind> {
        let hint = match kind {
            Kind::View(m) if !m.axes.is_empty() && m.whole().len() == m.axes.len() => {
                "load a block of it, with `.block::<N>(i).load()`"
            }
            Kind::View(_) => "load it first, with `.load()`",
            Kind::Blocks(..) => "take one of them, as `list[j]`",
            Kind::Tuple(_) => "name its parts with `let (a, b) = ..`",
            Kind::Unit => "this expression has no value",
            Kind::Text => "texts stand only in `assert!` and `print!`",
            Kind::Array(_) => "a constant tile is `full::<f32>([M, N], x)`",
            _ => return Some(kind),
        };
        self.error(at, format!("this is {}: {hint}", kind.describe()));
        None
    }

    /// An element-wise op `what` at `op` on operands of one type, with broadcasting, defined on `allowed`. The joint kind.
    pub fn elementwise(&mut self, what: &str, op: Span, args: &[(Kind, &Expr)], allowed: &[Elem]) -> Kind {
        for (kind, at) in args {
            if self.loaded(kind, at).is_none() || !self.defined(what, kind, at, allowed) {
                return Kind::Unknown;
            }
        }
        if args.iter().all(|(k, _)| k.is_const()) {
            return if args.iter().any(|(k, _)| *k == Kind::Float) {
                Kind::Float
            } else if args.iter().all(|(k, _)| *k == Kind::Bool) {
                Kind::Bool
            } else {
                Kind::Int(None)
            };
        }
        let Some(elem) = self.joint_elem(op, args) else { return Kind::Unknown };
        let mut shape = Shape(Vec::new());
        for (kind, _) in args {
            if let Kind::Tile(_, s) = kind {
                match self.broadcast(&shape, s) {
                    Ok(joint) => shape = joint,
                    Err(axis) => {
                        return self.error_at(
                            op,
                            format!("tiles of shape {shape} and {s} do not broadcast: {axis}"),
                        );
                    }
                }
            }
        }
        if args.iter().any(|(k, _)| *k == Kind::Unknown) {
            beside_unknown(elem, &shape)
        } else {
            Kind::of(elem, shape)
        }
    }

    /// Whether an op may be defined on an operand's element type; reported if not.
    pub fn defined(&mut self, what: &str, kind: &Kind, at: &Expr, allowed: &[Elem]) -> bool {
        let elem = match kind {
            Kind::Scalar(e) | Kind::Tile(e, _) => e.clone(),
            Kind::Bool if !allowed.contains(&Elem::Bool) => Elem::Bool,
            _ => return true,
        };
        if elem.may_be(allowed) || self.assumed(&elem) || elem.is_storage() && allowed == ANY {
            return true;
        }
        let name = super::calls::short(at).unwrap_or_default();
        let write = |to: &str| format!("`{name}.cast::<{to}>()`");
        let hint = match &elem {
            Elem::Generic(..) => format!(", which may be f16 or bf16: cast it first, {}", write("f32")),
            e if e.is_storage() && allowed.contains(&Elem::F32) => {
                format!(": cast it first, {}", write(e.compute()))
            }
            Elem::Bool => ": choose by it, with `select(c, a, b)`".to_string(),
            Elem::I32 if allowed == REAL => format!(": cast it first, {}", write("f32")),
            _ if allowed == INT || allowed == BITS => format!(": cast it first, {}", write("i32")),
            _ if allowed == [Elem::Bool] => ": compare it with something".to_string(),
            _ => String::new(),
        };
        self.error(at, format!("`{what}` is not defined on {elem}{hint}"));
        false
    }

    /// The element type that operands have in common; reported if there is none.
    fn joint_elem(&mut self, op: Span, args: &[(Kind, &Expr)]) -> Option<Elem> {
        let mut joint: Option<Elem> = None;
        for (kind, _) in args {
            let Some(e) = elem_of(kind) else { continue };
            match &joint {
                Some(j) if self.different(j, e) => {
                    self.error_at(
                        op,
                        format!(
                            "operands have types {j} and {e}: cast one of them, as in `x.cast::<{}>()`",
                            wider(j, e)
                        ),
                    );
                    return None;
                }
                Some(Elem::Unknown) | None => joint = Some(e.clone()),
                Some(_) => {}
            }
        }
        let elem = joint.unwrap_or(Elem::Unknown);
        for (kind, at) in args {
            self.constant_fits(kind, &elem, at)?;
        }
        Some(elem)
    }

    /// Reports a constant that cannot become an element of type `elem`.
    pub fn constant_fits(&mut self, kind: &Kind, elem: &Elem, at: &Expr) -> Option<()> {
        let message = match (kind, elem) {
            (Kind::Float, Elem::I32 | Elem::I8) => {
                format!(
                    "a float constant does not fit {elem}: write a whole number, or cast the {elem} with `.cast::<f32>()`"
                )
            }
            (Kind::Float, Elem::Bool) => "a float constant does not fit bool".to_string(),
            (Kind::Int(_), Elem::Bool) => {
                "an integer constant does not fit bool: write `true` or `false`".to_string()
            }
            (
                Kind::Bool,
                Elem::F32 | Elem::F16 | Elem::BF16 | Elem::I32 | Elem::I8 | Elem::Generic(_, true),
            ) => {
                format!("a bool constant does not fit {elem}")
            }
            _ => return Some(()),
        };
        self.error(at, message);
        None
    }

    /// The joint shape by numpy's rules, or the axis on which there is none.
    pub fn broadcast(&self, a: &Shape, b: &Shape) -> Result<Shape, String> {
        let rank = a.rank().max(b.rank());
        let one = Some(1.into());
        let at = |s: &Shape, i: usize| {
            if i + s.rank() < rank { one.clone() } else { s.0[i + s.rank() - rank].clone() }
        };
        let mut out = Vec::new();
        for i in 0..rank {
            let (x, y) = (at(a, i), at(b, i));
            out.push(match self.equal(&x, &y) {
                _ if is_one(&x) => y,
                _ if is_one(&y) => x,
                Equal::Yes => x,
                Equal::Maybe if x.is_some() != y.is_some() => x.or(y),
                Equal::Maybe => None,
                Equal::No => {
                    let (x, y) = (size_text(&x), size_text(&y));
                    return Err(format!("axis {i} is `{x}` on the left and `{y}` on the right"));
                }
            });
        }
        Ok(Shape(out))
    }
}

/// What a tile becomes beside a value of which nothing is known: with two axes no more can be added, and only axes of size 1
/// can grow.
pub fn beside_unknown(elem: Elem, shape: &Shape) -> Kind {
    if shape.rank() < 2 {
        return Kind::Unknown;
    }
    Kind::Tile(elem, Shape(shape.0.iter().map(|d| d.clone().filter(|_| !is_one(d))).collect()))
}

/// The element type of a scalar or tile.
fn elem_of(kind: &Kind) -> Option<&Elem> {
    match kind {
        Kind::Scalar(e) | Kind::Tile(e, _) => Some(e),
        _ => None,
    }
}

/// Of two different types, the one a cast loses least by.
fn wider<'a>(a: &'a Elem, b: &'a Elem) -> &'a Elem {
    if [a, b].contains(&&Elem::F32) {
        &Elem::F32
    } else if [a, b].contains(&&Elem::I32) {
        &Elem::I32
    } else {
        b
    }
}
