//! Statements: variables, their types, the order of a block, and the macros for people.

use super::body::{Body, Var, cx, own};
use super::types::elem_name;
use crate::sig::{Dim, ElemTy, Ty};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Block, Expr, ExprIf, Ident, Lit, Local, Macro, Pat, Stmt, Token};

impl Body {
    /// The statements of a block and its last expression, in a scope of their own.
    pub fn block(&mut self, b: &Block) -> TokenStream {
        self.scoped(|body| body.statements(&b.stmts))
    }

    fn statements(&mut self, stmts: &[Stmt]) -> TokenStream {
        let mut out = TokenStream::new();
        for (i, s) in stmts.iter().enumerate() {
            let last = i + 1 == stmts.len();
            out.extend(match s {
                Stmt::Local(l) => self.let_(l, &stmts[i + 1..]),
                Stmt::Expr(Expr::If(e), semi) => {
                    let value = last && semi.is_none() && gives_value(e);
                    let e = self.if_(e, value);
                    if value { quote!(#e) } else { quote!(#e;) }
                }
                Stmt::Expr(e @ Expr::ForLoop(_), _) => {
                    let e = self.expr(e);
                    quote!(#e;)
                }
                Stmt::Expr(e, None) if last => self.expr(e),
                Stmt::Expr(e, _) => {
                    let e = self.expr(e);
                    quote!(#e;)
                }
                Stmt::Macro(m) => {
                    let e = self.macro_(&m.mac);
                    quote!(#e;)
                }
                Stmt::Item(i) => {
                    self.reject(i.span(), "items stand outside of device functions");
                    TokenStream::new()
                }
            });
        }
        out
    }

    fn let_(&mut self, l: &Local, rest: &[Stmt]) -> TokenStream {
        let Some(init) = &l.init else {
            self.reject(l.span(), "give the variable its first value here: `let mut x = ..`");
            return TokenStream::new();
        };
        if let Some((token, _)) = &init.diverge {
            self.reject(token.span(), "`let .. else` does not exist here");
        }
        let (pat, ty) = match &l.pat {
            Pat::Type(t) => (t.pat.as_ref(), Some(&t.ty)),
            p => (p, None),
        };
        let mut value = self.expr(&init.expr);
        let mut known = Some(init.expr.as_ref());
        if let Some(ty) = ty
            && let Some(ascribed) = self.ascribed(ty, &value)
        {
            (value, known) = (ascribed, None);
        }
        let mut promoted = Vec::new();
        let pattern = self.pattern(pat, known, rest, &mut promoted);
        let at = cx(l.let_token.span);
        quote!(let #pattern = #value; #(let mut #promoted = ::sla_dsl::lang::promote(#at, #promoted);)*)
    }

    /// A value under a type that the user wrote beside it; `None` where that changes nothing.
    fn ascribed(&mut self, ty: &syn::Type, value: &TokenStream) -> Option<TokenStream> {
        let span = ty.span();
        let at = cx(span);
        let elems = self.elems.clone();
        let (elem, dims) = match Ty::parse(ty, &elems.iter().collect::<Vec<_>>()) {
            Ok(Ty::Tile { elem, shape }) => (elem, shape.dims.iter().map(|d| self.dim(d)).collect()),
            Ok(Ty::Scalar(elem)) => (elem, Vec::new()),
            Ok(_) => return None,
            Err(e) => {
                self.errors.push(e);
                return None;
            }
        };
        let elem = match elem {
            ElemTy::Known(e) => elem_name(e),
            ElemTy::Generic(t) => quote!(#t),
        };
        Some(quote_spanned!(own(span)=> ::sla_dsl::lang::ascribe(#at, #value, #elem, &[#(#dims),*])))
    }

    /// A size as a constant of the body.
    fn dim(&mut self, d: &Dim) -> TokenStream {
        match d {
            Dim::Int(v) => quote!(#v),
            Dim::Name(n) => self.expr(&syn::parse_quote!(#n)),
            Dim::Binary(op, a, b) => {
                let (a, b) = (self.dim(a), self.dim(b));
                let (op, at) = (Ident::new(op.method(), Span::call_site()), cx(Span::call_site()));
                quote!(::sla_dsl::lang::#op(#at, #a, #b))
            }
        }
    }

    /// Declares the names of a pattern. `promoted` gets the variables that must become values at once.
    fn pattern(
        &mut self,
        p: &Pat,
        init: Option<&Expr>,
        rest: &[Stmt],
        promoted: &mut Vec<Ident>,
    ) -> TokenStream {
        match p {
            Pat::Ident(i) if i.by_ref.is_none() && i.subpat.is_none() => {
                let name = &i.ident;
                let mutable = i.mutability.is_some();
                let konst = init.is_some_and(|e| self.is_const(e));
                let konst = konst && (!mutable || self.stays_const(&name.to_string(), rest));
                self.declare(name, Var { konst, mutable, by_ref: false });
                if mutable && !konst {
                    promoted.push(name.clone());
                    return quote!(#name);
                }
                let mutability = &i.mutability;
                quote!(#mutability #name)
            }
            Pat::Wild(w) => quote!(#w),
            Pat::Paren(p) => self.pattern(&p.pat, init, rest, promoted),
            Pat::Tuple(t) => {
                let parts: Vec<Option<&Expr>> = match init {
                    Some(Expr::Tuple(e)) if e.elems.len() == t.elems.len() => {
                        e.elems.iter().map(Some).collect()
                    }
                    _ => vec![None; t.elems.len()],
                };
                let elems = t.elems.iter().zip(parts);
                let elems = elems.map(|(p, e)| self.pattern(p, e, rest, promoted)).collect::<Vec<_>>();
                quote!((#(#elems,)*))
            }
            other => {
                self.reject(other.span(), "a variable is a name, `_`, or a tuple of these");
                quote!(_)
            }
        }
    }

    /// `assert!` and `print!`.
    pub fn macro_(&mut self, m: &Macro) -> TokenStream {
        let name = m.path.get_ident().map(|i| i.to_string()).unwrap_or_default();
        let span = m.path.span();
        if !matches!(name.as_str(), "assert" | "print" | "println") {
            return self
                .reject(span, "the macros here are `assert!(cond, \"text\")` and `print!(\"text\", a, b)`");
        }
        let args = match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(m.tokens.clone()) {
            Ok(args) => args.into_iter().collect::<Vec<_>>(),
            Err(e) => {
                self.errors.push(e);
                return quote!(());
            }
        };
        let text = |e: Option<&Expr>| match e {
            Some(Expr::Lit(syn::ExprLit { lit: Lit::Str(s), .. })) => Some(s.value()),
            _ => None,
        };
        let at = cx(span);
        if name == "assert" {
            let (Some(cond), Some(msg)) =
                (args.first(), text(args.get(1)).or_else(|| args.len().eq(&1).then(String::new)))
            else {
                return self.reject(span, "write `assert!(cond, \"what must hold\")`");
            };
            let msg = if msg.is_empty() { quote::ToTokens::to_token_stream(cond).to_string() } else { msg };
            let cond = self.expr(cond);
            return quote_spanned!(own(span)=> ::sla_dsl::lang::assert(#at, #cond, #msg));
        }
        let Some(msg) = text(args.first()) else {
            return self.reject(span, "write `print!(\"text\", a, b)`; values are printed after the text");
        };
        let values = args[1..].iter().map(|a| self.expr(a)).collect::<Vec<_>>();
        quote_spanned!(own(span)=>
            ::sla_dsl::lang::print(#at, #msg, &[#(::sla_dsl::lang::Operand::opd(#values)),*])
        )
    }
}

/// Whether an `if` at the end of a block is its result.
fn gives_value(e: &ExprIf) -> bool {
    let ends =
        |b: &Block| matches!(b.stmts.last(), Some(Stmt::Expr(e, None)) if !matches!(e, Expr::ForLoop(_)));
    ends(&e.then_branch)
        && e.else_branch.as_ref().is_some_and(|(_, e)| match e.as_ref() {
            Expr::If(i) => gives_value(i),
            Expr::Block(b) => ends(&b.block),
            _ => false,
        })
}
