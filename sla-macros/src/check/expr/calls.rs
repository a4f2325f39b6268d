//! Calls of free functions: those of the language by name, all others unknown.

use super::names::{FLOAT_FUNCTIONS, FUNCTIONS};
use super::operand::ARITH;
use crate::check::Checker;
use crate::check::kind::{Elem, Kind};
use proc_macro2::Span;
use quote::ToTokens;
use syn::{Expr, ExprCall, GenericArgument, PathArguments};

impl Checker {
    /// An argument; before it `&mut` may stand, and `&` before a tensor.
    pub fn argument(&mut self, a: &Expr) -> Kind {
        match a {
            Expr::Reference(r) if r.mutability.is_some() => {
                self.expr(&r.expr);
                Kind::Unknown
            }
            Expr::Reference(r) => {
                let kind = self.expr(&r.expr);
                match kind {
                    Kind::Unknown | Kind::View(_) => kind,
                    _ => self.error(&r.and_token, "tiles and scalars are values: leave out the `&`"),
                }
            }
            a => self.expr(a),
        }
    }

    /// `name::<..>(args)`.
    pub fn call(&mut self, c: &ExprCall) -> Kind {
        let args: Vec<(Kind, &Expr)> = c.args.iter().map(|a| (self.argument(a), a)).collect();
        let Expr::Path(p) = &*c.func else {
            return match &*c.func {
                Expr::Closure(_) => self.expr(&c.func),
                f => self.error(f, "only functions are called, by name"),
            };
        };
        let (1, Some(last)) = (p.path.segments.len(), p.path.segments.last()) else { return Kind::Unknown };
        let (name, span) = (last.ident.to_string(), last.ident.span());
        if let Some(kind) = self.env.get(&name)
            && *kind != Kind::Unknown
        {
            let what = kind.describe();
            return self.error_at(span, format!("`{name}` is {what} here, not a function"));
        }
        if name == "unroll" {
            return self.error_at(span, "`unroll` stands only in the head of a `for`");
        }
        let Some((_, arity, form)) = FUNCTIONS.iter().find(|(n, ..)| *n == name) else {
            return Kind::Unknown;
        };
        if !self.arguments(span, &name, args.len(), *arity, form) {
            return Kind::Unknown;
        }
        self.function(&name, span, args, &last.arguments, form)
    }

    fn function(
        &mut self,
        name: &str,
        span: Span,
        mut args: Vec<(Kind, &Expr)>,
        generics: &PathArguments,
        form: &str,
    ) -> Kind {
        match name {
            "dot" | "dot_acc" => self.dot(&args),
            "abs" => self.elementwise(name, span, &args, ARITH),
            n if FLOAT_FUNCTIONS.contains(&n) => self.real(n, span, args.remove(0)),
            "fma" => self.fma(span, &args),
            "maximum" | "minimum" => self.elementwise(name, span, &args, ARITH),
            "select" => self.select(span, &args),
            "iota" => self.iota(&args),
            "zeros" | "full" => {
                let elem = self.named_elem(name, span, generics, form);
                self.filled(elem, &args)
            }
            "cast" => {
                let elem = self.named_elem(name, span, generics, form);
                let (x, at) = args.remove(0);
                if self.loaded(&x, at).is_some() { Self::cast(x, elem) } else { Kind::Unknown }
            }
            _ => Kind::Unknown,
        }
    }

    /// The element type in `name::<E>(..)`.
    fn named_elem(&mut self, name: &str, span: Span, generics: &PathArguments, form: &str) -> Elem {
        match generics {
            PathArguments::AngleBracketed(g) => match g.args.first() {
                Some(GenericArgument::Type(ty)) => self.elem_of(ty),
                _ => Elem::Unknown,
            },
            _ => {
                self.error_at(span, format!("`{name}` needs its element type, as in `{form}`"));
                Elem::Unknown
            }
        }
    }

    /// Whether a call has as many arguments as it needs; reported if not.
    pub fn arguments(&mut self, span: Span, name: &str, given: usize, needed: usize, form: &str) -> bool {
        if given != needed {
            let s = if needed == 1 { "" } else { "s" };
            self.error_at(span, format!("`{name}` takes {needed} argument{s}, this gives {given}: `{form}`"));
        }
        given == needed
    }
}

/// An expression as written, if it is short enough to quote in a message.
pub fn short(e: &Expr) -> Option<String> {
    match e {
        Expr::Path(p) => p.path.get_ident().map(|i| i.to_string()),
        Expr::Field(f) => Some(format!("{}.{}", short(&f.base)?, f.member.to_token_stream())),
        Expr::Index(i) => Some(format!("{}[{}]", short(&i.expr)?, short(&i.index)?)),
        Expr::Lit(l) => Some(l.lit.to_token_stream().to_string()),
        Expr::Paren(p) => short(&p.expr),
        Expr::MethodCall(m) if m.args.is_empty() && m.turbofish.is_none() => {
            Some(format!("{}.{}()", short(&m.receiver)?, m.method))
        }
        _ => None,
    }
}
