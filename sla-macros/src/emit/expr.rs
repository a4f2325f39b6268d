//! Expressions: operators, names, fields, literals. Calls and control are beside this.

use super::body::{Body, cx, local, own};
use super::flow::is_compound;
use super::types::elem_name;
use crate::sig::ElemName;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{BinOp, Expr, Ident, Lit, UnOp};

impl Body {
    /// Writes an expression.
    pub fn expr(&mut self, e: &Expr) -> TokenStream {
        match e {
            Expr::Lit(l) => self.literal(&l.lit),
            Expr::Paren(p) => self.expr(&p.expr),
            Expr::Group(g) => self.expr(&g.expr),
            Expr::Path(p) => self.name(p),
            Expr::Unary(u) => self.unary(u),
            Expr::Binary(b) if is_compound(&b.op) => self.compound(b),
            Expr::Binary(b) => {
                let (left, right) = (self.expr(&b.left), self.expr(&b.right));
                operator(&b.op, left, right)
            }
            Expr::Assign(a) => self.assign(a),
            Expr::Call(c) => self.call(c),
            Expr::MethodCall(m) => self.method(m),
            Expr::Index(i) => {
                let (list, j) = (self.expr(&i.expr), self.expr(&i.index));
                let span = i.index.span();
                let cx = cx(span);
                quote_spanned!(own(span)=> ::sla_dsl::lang::index(#cx, #list, #j))
            }
            Expr::Field(f) => {
                let (base, member) = (self.expr(&f.base), &f.member);
                quote!(#base.#member)
            }
            Expr::Tuple(t) => {
                let elems = t.elems.iter().map(|e| self.expr(e)).collect::<Vec<_>>();
                quote_spanned!(own(t.paren_token.span.join())=> (#(#elems,)*))
            }
            Expr::Struct(s) => self.structure(s),
            Expr::Reference(r) if r.mutability.is_some() => self.reject(
                r.and_token.span,
                "`&mut` is written where a device function is called: `f(&mut x)`",
            ),
            Expr::Reference(r) => self.expr(&r.expr),
            Expr::If(i) => self.if_(i, i.else_branch.is_some()),
            Expr::Block(b) if b.label.is_none() => {
                let inner = self.block(&b.block);
                quote!({ #inner })
            }
            Expr::ForLoop(f) => self.for_(f),
            Expr::Macro(m) => self.macro_(&m.mac),
            Expr::Cast(c) => self.reject(c.as_token.span, "`as` is written `.cast::<f32>()` here"),
            Expr::Array(a) => self.reject(
                a.span(),
                "lists of values do not exist here; a shape stands in `zeros`, `full`, `iota`, `reshape` or `broadcast`",
            ),
            Expr::Return(r) => self.reject(
                r.return_token.span,
                "`return` cannot leave a device function early; let the last expression be the result",
            ),
            Expr::While(w) => self.reject(w.while_token.span, "`while` does not exist here; count with `for i in lo..hi`"),
            Expr::Loop(l) => self.reject(l.loop_token.span, "`loop` does not exist here; count with `for i in lo..hi`"),
            Expr::Break(b) => self.reject(b.break_token.span, "`break` does not exist here; compute the loop's bound before it"),
            Expr::Continue(c) => self.reject(c.continue_token.span, "`continue` does not exist here; put the rest of the body into an `if`"),
            Expr::Match(m) => self.reject(m.match_token.span, "`match` does not exist here; write `if` and `else`"),
            Expr::Closure(c) => self.reject(c.or1_token.span, "closures do not exist here; write a function marked `#[func]`"),
            Expr::Range(r) => self.reject(r.span(), "a range stands in a loop's head: `for i in lo..hi`"),
            Expr::Let(l) => self.reject(l.let_token.span, "`if let` does not exist here; write a condition"),
            Expr::Try(t) => self.reject(t.question_token.span(), "`?` does not exist here"),
            Expr::Unsafe(u) => self.reject(u.unsafe_token.span, "nothing here is unsafe; leave it out"),
            other => self.reject(other.span(), "this does not exist in device functions"),
        }
    }

    fn literal(&mut self, lit: &Lit) -> TokenStream {
        let span = own(lit.span());
        match lit {
            Lit::Int(i) if i.suffix() == "f32" => match i.base10_digits().parse::<f64>() {
                Ok(v) => quote_spanned!(span=> #v),
                Err(e) => self.reject(lit.span(), &e.to_string()),
            },
            Lit::Int(i) => match i.base10_digits().parse::<i64>() {
                Ok(v) => quote_spanned!(span=> #v),
                Err(_) => self.reject(lit.span(), "this number does not fit"),
            },
            Lit::Float(f) => match f.base10_digits().parse::<f64>() {
                Ok(v) => quote_spanned!(span=> #v),
                Err(e) => self.reject(lit.span(), &e.to_string()),
            },
            Lit::Bool(b) => quote!(#b),
            other => self.reject(other.span(), "only numbers, `true` and `false` are written here"),
        }
    }

    fn name(&mut self, p: &syn::ExprPath) -> TokenStream {
        if let Some(name) = p.path.get_ident() {
            let text = name.to_string();
            if self.var(&text).is_some() {
                let name = local(name);
                return quote!(#name);
            }
            if let Some(e) = ElemName::parse(&text) {
                return elem_name(e);
            }
        }
        let (path, span) = (&p.path, own(p.span()));
        quote_spanned!(span=> ::sla_dsl::lang::konst(#path))
    }

    fn unary(&mut self, u: &syn::ExprUnary) -> TokenStream {
        let (function, span) = match u.op {
            UnOp::Deref(_) => return self.expr(&u.expr),
            UnOp::Neg(t) => ("neg", t.span),
            UnOp::Not(t) => ("not", t.span),
            _ => return self.reject(u.span(), "this operator does not exist here"),
        };
        let x = self.expr(&u.expr);
        let (function, cx) = (Ident::new(function, own(span)), cx(span));
        quote_spanned!(own(span)=> ::sla_dsl::lang::#function(#cx, #x))
    }

    fn assign(&mut self, a: &syn::ExprAssign) -> TokenStream {
        let span = a.eq_token.span;
        let right = self.expr(&a.right);
        if let Expr::Infer(_) = a.left.as_ref() {
            return quote!({ let _ = #right; });
        }
        if let Expr::Tuple(t) = a.left.as_ref() {
            let places = t.elems.iter().map(|e| self.place(e)).collect::<Vec<_>>();
            let cx = cx(span);
            return quote_spanned!(own(span)=>
                (#(#places,)*) = ::sla_dsl::lang::assign(#cx, (#(#places,)*), #right)
            );
        }
        self.assign_to(&a.left, right, span)
    }

    /// `left = right`; a constant becomes a value if the variable is one.
    fn assign_to(&mut self, left: &Expr, right: TokenStream, span: Span) -> TokenStream {
        let konst = match left {
            Expr::Path(p) => {
                p.path.get_ident().and_then(|n| self.var(&n.to_string())).is_some_and(|v| v.konst)
            }
            _ => false,
        };
        let place = self.place(left);
        if konst {
            return quote_spanned!(own(span)=> #place = #right);
        }
        let cx = cx(span);
        quote_spanned!(own(span)=> #place = ::sla_dsl::lang::assign(#cx, #place, #right))
    }

    /// What may be assigned to.
    fn place(&mut self, e: &Expr) -> TokenStream {
        match e {
            Expr::Path(_) | Expr::Field(_) | Expr::Unary(_) | Expr::Paren(_) => self.expr(e),
            Expr::Index(i) => {
                self.reject(i.span(), "a block is not assigned to; write `tensor.block::<N>(j).store(x)`")
            }
            other => self.reject(other.span(), "only variables and their fields are assigned to"),
        }
    }

    fn compound(&mut self, b: &syn::ExprBinary) -> TokenStream {
        let (left, right) = (self.expr(&b.left), self.expr(&b.right));
        let value = operator(&b.op, left, right);
        self.assign_to(&b.left, value, b.op.span())
    }

    fn structure(&mut self, s: &syn::ExprStruct) -> TokenStream {
        if let Some(dots) = &s.dot2_token {
            return self.reject(dots.span(), "write every field");
        }
        let mut path = s.path.clone();
        path.segments.iter_mut().for_each(|s| s.arguments = syn::PathArguments::None);
        let at = cx(s.path.span());
        let fields = s
            .fields
            .iter()
            .map(|f| {
                let (member, value) = (&f.member, self.expr(&f.expr));
                quote!(#member: ::sla_dsl::lang::promote(#at, #value))
            })
            .collect::<Vec<_>>();
        quote_spanned!(own(s.path.span())=> ::sla_dsl::lang::checked(#at, #path { #(#fields,)* }))
    }
}

fn operator(op: &BinOp, a: TokenStream, b: TokenStream) -> TokenStream {
    let name = match op {
        BinOp::Add(_) | BinOp::AddAssign(_) => "add",
        BinOp::Sub(_) | BinOp::SubAssign(_) => "sub",
        BinOp::Mul(_) | BinOp::MulAssign(_) => "mul",
        BinOp::Div(_) | BinOp::DivAssign(_) => "div",
        BinOp::Rem(_) | BinOp::RemAssign(_) => "rem",
        BinOp::And(_) | BinOp::BitAnd(_) | BinOp::BitAndAssign(_) => "and",
        BinOp::Or(_) | BinOp::BitOr(_) | BinOp::BitOrAssign(_) => "or",
        BinOp::BitXor(_) | BinOp::BitXorAssign(_) => "xor",
        BinOp::Shl(_) | BinOp::ShlAssign(_) => "shl",
        BinOp::Shr(_) | BinOp::ShrAssign(_) => "shr",
        BinOp::Eq(_) => "eq",
        BinOp::Lt(_) => "lt",
        BinOp::Le(_) => "le",
        BinOp::Ne(_) => "ne",
        BinOp::Ge(_) => "ge",
        _ => "gt",
    };
    let span = op.span();
    let (name, cx) = (Ident::new(name, own(span)), cx(span));
    quote_spanned!(own(span)=> ::sla_dsl::lang::#name(#cx, #a, #b))
}
