//! Method calls: by what the receiver is, then by name.

use super::names::{FLOAT_FUNCTIONS, METHODS, suggest};
use super::operand::{ARITH, REAL};
use crate::check::Checker;
use crate::check::kind::{Elem, Kind};
use crate::check::poly::Opaque;
use proc_macro2::Span;
use syn::{Expr, ExprMethodCall};

impl Checker {
    /// `x.name::<..>(args)`.
    pub fn method(&mut self, m: &ExprMethodCall) -> Kind {
        let receiver = self.expr(&m.receiver);
        let args: Vec<(Kind, &Expr)> = m.args.iter().map(|a| (self.argument(a), a)).collect();
        match receiver {
            Kind::Unknown => {
                if m.method == "cast" {
                    self.cast_to(m);
                }
                Kind::Unknown
            }
            Kind::View(v) => self.view_method(v, m, &args),
            Kind::Blocks(..) => self.list_method(m, &args),
            Kind::Unit | Kind::Text | Kind::Tuple(_) | Kind::Array(_) => {
                self.error_at(m.method.span(), format!("{} has no methods", receiver.describe()))
            }
            value => self.value_method(value, m, args),
        }
    }

    fn value_method<'a>(&mut self, x: Kind, m: &'a ExprMethodCall, mut args: Vec<(Kind, &'a Expr)>) -> Kind {
        let name = m.method.to_string();
        let span = m.method.span();
        let Some((_, arity, form)) = METHODS.iter().find(|(n, ..)| *n == name) else {
            let what = if matches!(x, Kind::Tile(..)) { "a tile".to_string() } else { x.describe() };
            let hint = match (name.as_str(), &x) {
                ("load", _) => "; it is a value already".to_string(),
                ("store" | "atomic_add", _) => "; `store` belongs to a block of a `&mut Tensor`".to_string(),
                ("clamp", _) => "; write `x.maximum(lo).minimum(hi)`".to_string(),
                _ => suggest(&name, METHODS.iter().map(|(n, ..)| *n)),
            };
            return self.error_at(span, format!("{what} has no method `{name}`{hint}"));
        };
        if matches!(x, Kind::Tile(..)) && matches!(name.as_str(), "sum" | "max" | "min") && args.is_empty() {
            let all = format!("`{name}` needs an axis: `{form}` keeps it with size 1");
            return self.error_at(span, all);
        }
        if !self.arguments(span, &name, args.len(), *arity, form) {
            return Kind::Unknown;
        }
        let at: &Expr = &m.receiver;
        match name.as_str() {
            "t" => self.transpose(span, &x),
            "abs" => self.elementwise(&name, span, &[(x, at)], ARITH),
            n if FLOAT_FUNCTIONS.contains(&n) => self.real(n, span, (x, at)),
            "maximum" | "minimum" => {
                let y = args.remove(0);
                self.elementwise(&name, span, &[(x, at), y], ARITH)
            }
            "sum" => self.reduce(&name, span, (x, at), args.remove(0)),
            "max" | "min" => match (&x, &args[0].0) {
                (Kind::Int(Some(a)), Kind::Int(Some(b))) => {
                    Kind::Int(a.opaque(if name == "max" { Opaque::Max } else { Opaque::Min }, b))
                }
                _ => self.reduce(&name, span, (x, at), args.remove(0)),
            },
            "div_ceil" => match (&x, &args[0].0) {
                (Kind::Int(a), Kind::Int(b)) => {
                    Kind::Int(a.as_ref().zip(b.as_ref()).and_then(|(a, b)| a.opaque(Opaque::DivCeil, b)))
                }
                _ => {
                    let y = args.remove(0);
                    self.elementwise(&name, span, &[(x, at), y], &[Elem::I32])
                }
            },
            "fma" => {
                args.insert(0, (x, at));
                self.fma(span, &args)
            }
            "cast" => match self.cast_to(m) {
                Some(to) => Self::cast(x, to),
                None => Kind::Unknown,
            },
            "reshape" => self.reshape(span, &x, args.remove(0)),
            "broadcast" => self.broadcast_to(&x, args.remove(0)),
            "unsqueeze" => self.unsqueeze(span, &x, args.remove(0)),
            "squeeze" => self.squeeze(span, &x, args.remove(0)),
            "pack" => self.pack(span, &x, args.remove(0)),
            "mask_tail" | "mask_rows" => self.mask(&name, &x, &args),
            _ => Kind::Unknown,
        }
    }

    /// A function of real numbers; of a constant it is one.
    pub fn real(&mut self, name: &str, span: Span, x: (Kind, &Expr)) -> Kind {
        match self.elementwise(name, span, &[x], REAL) {
            Kind::Int(_) => Kind::Float,
            k => k,
        }
    }

    /// `fma(a, b, c)`: a value, even of constants.
    pub fn fma(&mut self, span: Span, args: &[(Kind, &Expr)]) -> Kind {
        match self.elementwise("fma", span, args, REAL) {
            k if k.is_const() => Kind::Scalar(Elem::F32),
            k => k,
        }
    }

    /// A value of another element type.
    pub fn cast(x: Kind, to: Elem) -> Kind {
        match x.at_run_time() {
            Kind::Tile(_, s) => Kind::Tile(to, s),
            Kind::Scalar(_) => Kind::Scalar(to),
            _ => Kind::Unknown,
        }
    }

    /// The type that a cast names.
    fn cast_to(&mut self, m: &ExprMethodCall) -> Option<Elem> {
        let list = m.turbofish.as_ref().map(|t| t.args.iter().collect::<Vec<_>>()).unwrap_or_default();
        match list[..] {
            [syn::GenericArgument::Type(ty)] => Some(self.elem_of(ty)),
            _ => {
                self.error_at(m.method.span(), "`cast` needs a type, as in `.cast::<f32>()`");
                None
            }
        }
    }
}
