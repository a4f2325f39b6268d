//! Expressions: what each is, one family a file; here the leaves, the dispatch, and Rust that no device can run.

mod arith;
mod calls;
mod control;
mod dot;
mod memory;
mod methods;
mod names;
mod operand;
mod reduce;
mod shape;

use super::Checker;
use super::env::Region;
use super::kind::{Elem, Kind};
use super::poly::Poly;
use super::walk;
use quote::ToTokens;
use syn::{Expr, Lit, UnOp};

impl Checker {
    /// Checks an expression; what it is.
    pub fn expr(&mut self, e: &Expr) -> Kind {
        match e {
            Expr::Lit(l) => self.literal(&l.lit),
            Expr::Path(p) => self.path(p),
            Expr::Paren(p) => self.expr(&p.expr),
            Expr::Group(g) => self.expr(&g.expr),
            Expr::Block(b) => self.block(&b.block, Region::Plain),
            Expr::Tuple(t) if t.elems.is_empty() => Kind::Unit,
            Expr::Tuple(t) => Kind::Tuple(t.elems.iter().map(|e| self.expr(e)).collect()),
            Expr::Array(a) => Kind::Array(a.elems.iter().map(|e| self.expr(e)).collect()),
            Expr::Binary(b) => self.binary(b),
            Expr::Unary(u) => self.unary(u),
            Expr::Assign(a) => {
                let new = self.expr(&a.right);
                self.assign(&a.left, new, &a.right);
                Kind::Unit
            }
            Expr::Call(c) => self.call(c),
            Expr::MethodCall(m) => self.method(m),
            Expr::Index(i) => self.index(i),
            Expr::Field(f) => self.field(f),
            Expr::If(i) => self.if_(i),
            Expr::ForLoop(f) => self.for_(f),
            Expr::Macro(m) => {
                let before = self.errors.len();
                self.macro_call(&m.mac);
                if self.errors.len() > before { Kind::Unknown } else { Kind::Unit }
            }
            Expr::Struct(s) => {
                for f in &s.fields {
                    let kind = self.expr(&f.expr);
                    self.loaded(&kind, &f.expr);
                }
                Kind::Unknown
            }
            other => self.unsupported(other),
        }
    }

    fn literal(&mut self, l: &Lit) -> Kind {
        match l {
            Lit::Int(i) if i.suffix() == "f32" => Kind::Float,
            Lit::Int(i) => Kind::Int(i.base10_parse::<i64>().ok().map(Poly::from)),
            Lit::Float(_) => Kind::Float,
            Lit::Bool(_) => Kind::Bool,
            Lit::Str(_) => Kind::Text,
            other => self.error(other, "constants are integers, floats and bools"),
        }
    }

    fn path(&mut self, p: &syn::ExprPath) -> Kind {
        let Some(name) = p.path.get_ident().map(|i| i.to_string()) else { return Kind::Unknown };
        match self.env.get(&name) {
            Some(k) => k.clone(),
            None if names::FLOATS.contains(&name.as_str()) => Kind::Float,
            None => Kind::Unknown,
        }
    }

    fn unary(&mut self, u: &syn::ExprUnary) -> Kind {
        let x = self.expr(&u.expr);
        match u.op {
            UnOp::Neg(op) => match x {
                Kind::Int(d) => Kind::Int(d.as_ref().and_then(Poly::neg)),
                x => self.elementwise("-", op.span, &[(x, &u.expr)], operand::ARITH),
            },
            UnOp::Not(op) => match x {
                Kind::Int(_) => Kind::Int(None),
                x => self.elementwise("!", op.span, &[(x, &u.expr)], &[Elem::Bool]),
            },
            _ => x,
        }
    }

    fn field(&mut self, f: &syn::ExprField) -> Kind {
        let base = self.expr(&f.base);
        match (&base, &f.member) {
            (Kind::Tuple(parts), syn::Member::Unnamed(i)) => match parts.get(i.index as usize) {
                Some(k) => k.clone(),
                None => self.error(i, format!("a tuple of {} has no field {}", parts.len(), i.index)),
            },
            (Kind::Unknown, _) => Kind::Unknown,
            (k, m) => {
                let hint = if m.to_token_stream().to_string() == "T" {
                    ": a tile is transposed by `.t()`"
                } else {
                    ""
                };
                self.error(m, format!("{} has no fields{hint}", k.describe()))
            }
        }
    }

    fn index(&mut self, i: &syn::ExprIndex) -> Kind {
        let list = self.expr(&i.expr);
        let at = self.expr(&i.index);
        match list {
            Kind::Blocks(m, _) => {
                self.offset(&at, &i.index);
                Kind::of(m.elem.clone(), m.shape())
            }
            Kind::View(m) => {
                let hint = "cut blocks with `block::<N>(i)`, or read one element with `.at(..).load()`";
                self.error_at(
                    i.bracket_token.span.join(),
                    format!("the tensor `{}` is not indexed: {hint}", m.tensor),
                )
            }
            Kind::Unknown => Kind::Unknown,
            k => {
                let hint = if matches!(k, Kind::Tile(..)) {
                    ": select elements with `select(c, a, b)` and a reduction"
                } else {
                    ""
                };
                self.error_at(i.bracket_token.span.join(), format!("{} is not indexed{hint}", k.describe()))
            }
        }
    }

    /// Rust that has no meaning on a device, with what to write instead.
    fn unsupported(&mut self, e: &Expr) -> Kind {
        let (at, message): (&dyn ToTokens, &str) = match e {
            Expr::Return(r) => (
                &r.return_token,
                "a device function cannot `return` early: make the value its last expression, and put work that may be skipped under `if`",
            ),
            Expr::While(w) => {
                (&w.while_token, "`while` cannot be compiled for a device: count with `for i in lo..hi`")
            }
            Expr::Loop(l) => {
                (&l.loop_token, "`loop` cannot be compiled for a device: count with `for i in lo..hi`")
            }
            Expr::Break(b) => (&b.break_token, "a loop cannot `break`: bound it by `for i in lo..hi`"),
            Expr::Continue(c) => {
                (&c.continue_token, "a loop cannot `continue`: put the rest of its body under `if`")
            }
            Expr::Match(m) => {
                (&m.match_token, "`match` cannot be compiled for a device: use `if` and `else if`")
            }
            Expr::Closure(c) => {
                (c, "closures cannot be compiled for a device: write a function with `#[func]`")
            }
            Expr::Cast(c) => (&c.as_token, "`as` does not convert tiles or scalars: write `.cast::<f32>()`"),
            Expr::Reference(r) if r.mutability.is_some() => {
                (&r.and_token, "`&mut` stands only before an argument of a device function")
            }
            Expr::Reference(r) => (&r.and_token, "tiles and scalars are values: leave out the `&`"),
            Expr::Range(r) => (r, "a range stands only in the head of a `for`"),
            Expr::Repeat(r) => (r, "there are no arrays: a constant tile is `full::<f32>([M, N], x)`"),
            Expr::Try(t) => (&t.question_token, "nothing here can fail: leave out the `?`"),
            Expr::Let(l) => {
                (&l.let_token, "`if let` cannot be compiled for a device: use `if` on a condition")
            }
            Expr::Unsafe(u) => (&u.unsafe_token, "a device function needs no `unsafe`"),
            Expr::Await(a) => (&a.await_token, "a device function cannot wait"),
            Expr::Async(a) => (&a.async_token, "a device function cannot be `async`"),
            other => (other, "this form of Rust cannot be compiled for a device"),
        };
        self.error(at, message);
        self.inside(e);
        Kind::Unknown
    }

    /// Checks what stands inside a form that was just rejected, where it still makes sense.
    fn inside(&mut self, e: &Expr) {
        match e {
            Expr::Return(r) => {
                if let Some(e) = &r.expr {
                    self.expr(e);
                }
            }
            Expr::Cast(c) => {
                self.expr(&c.expr);
            }
            Expr::Reference(r) => {
                self.expr(&r.expr);
            }
            Expr::Try(t) => {
                self.expr(&t.expr);
            }
            Expr::While(w) => self.rejected_loop(&w.body),
            Expr::Loop(l) => self.rejected_loop(&l.body),
            _ => {}
        }
    }

    fn rejected_loop(&mut self, body: &syn::Block) {
        for name in walk::assigned(&[body]).into_keys() {
            self.env.set(&name, Kind::Unknown);
        }
        self.block(body, Region::Plain);
    }

    /// Arguments of `assert!` and `print!`; other macros are rejected.
    pub fn macro_call(&mut self, m: &syn::Macro) {
        let name = m.path.get_ident().map(|i| i.to_string()).unwrap_or_default();
        let list = syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated;
        match name.as_str() {
            "assert" => {
                let Ok(args) = m.parse_body_with(list) else { return };
                let Some(cond) = args.first() else {
                    self.error(&m.path, "`assert!` takes a condition and a text");
                    return;
                };
                let kind = self.expr(cond);
                if let Some(k) = self.loaded(&kind, cond)
                    && !matches!(k, Kind::Unknown | Kind::Bool)
                    && !matches!(k, Kind::Scalar(e) | Kind::Tile(e, _) if e.may_be(&[Elem::Bool]))
                {
                    self.error(cond, format!("`assert!` takes a bool, this is {}", k.describe()));
                }
            }
            "print" | "println" => {
                let Ok(args) = m.parse_body_with(list) else { return };
                for a in args.iter().skip(1) {
                    let kind = self.expr(a);
                    self.loaded(&kind, a);
                }
            }
            _ => {
                self.error(
                    &m.path,
                    format!("`{name}!` cannot be compiled for a device; there are `assert!` and `print!`"),
                );
            }
        }
    }
}
