//! Statements, blocks, loops and branches.
//!
//! A loop or branch of the running kernel becomes a call with closures: variables that change inside go in and out as one nested tuple.

use super::body::{Body, Var, cx, local, own};
use super::flow::unroll_range;
use super::types::elem_name;
use crate::sig::{Dim, ElemTy, Ty};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Block, Expr, ExprForLoop, ExprIf, Ident, Lit, Local, Macro, Pat, RangeLimits, Stmt, Token};

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

    /// The changed variables as a nested tuple: as values, and as a pattern that makes them changeable.
    fn carried(&self, blocks: &[&Block]) -> (TokenStream, TokenStream) {
        let names = self.changed(blocks);
        let idents = names.iter().map(|n| local(&Ident::new(n, Span::call_site())));
        idents.rev().fold((quote!(()), quote!(())), |(values, pattern), n| {
            (quote!((#n, #values)), quote!((mut #n, #pattern)))
        })
    }

    /// An `if`; `value` says whether its result is used.
    pub fn if_(&mut self, e: &ExprIf, value: bool) -> TokenStream {
        let span = e.if_token.span;
        let at = cx(span);
        let cond = self.expr(&e.cond);
        let finish = |branch: TokenStream| if value { quote!({ #branch }) } else { quote!({ #branch; }) };
        if self.is_const(&e.cond) {
            let then = finish(self.block(&e.then_branch));
            let otherwise = e.else_branch.as_ref().map(|(_, e)| self.else_(e, value));
            return match (value, otherwise) {
                (true, Some(otherwise)) => quote_spanned!(own(span)=>
                    ::sla_dsl::lang::join(#at, if #cond {
                        ::sla_dsl::lang::Either::Then(#then)
                    } else {
                        ::sla_dsl::lang::Either::Else({ #otherwise })
                    })
                ),
                (_, Some(otherwise)) => quote!(if #cond #then else { #otherwise; }),
                (_, None) => quote!(if #cond #then),
            };
        }
        let else_block = e.else_branch.as_ref().map(|(_, e)| match e.as_ref() {
            Expr::Block(b) => b.block.clone(),
            other => Block { brace_token: Default::default(), stmts: vec![Stmt::Expr(other.clone(), None)] },
        });
        let blocks: Vec<&Block> = std::iter::once(&e.then_branch).chain(&else_block).collect();
        let (values, pattern) = self.carried(&blocks);
        let then = finish(self.block(&e.then_branch));
        let otherwise = match &e.else_branch {
            Some((_, e)) => finish(self.else_(e, value)),
            None => quote!(()),
        };
        let (then, otherwise) = if value {
            (quote!(::sla_dsl::lang::promote(#at, #then)), quote!(::sla_dsl::lang::promote(#at, #otherwise)))
        } else {
            (then, otherwise)
        };
        quote_spanned!(own(span)=> {
            let (__carried, __result) = ::sla_dsl::lang::if_(
                #at,
                #cond,
                #values,
                |#pattern| { let __result = #then; (#values, __result) },
                |#pattern| { let __result = #otherwise; (#values, __result) },
            );
            #values = __carried;
            __result
        })
    }

    /// What follows `else`.
    fn else_(&mut self, e: &Expr, value: bool) -> TokenStream {
        match e {
            Expr::If(i) => self.if_(i, value),
            Expr::Block(b) => self.block(&b.block),
            other => self.reject(other.span(), "after `else` comes a block or another `if`"),
        }
    }

    /// A loop.
    pub fn for_(&mut self, f: &ExprForLoop) -> TokenStream {
        if let Some(l) = &f.label {
            self.reject(l.span(), "loops have no labels here");
        }
        let span = f.for_token.span;
        let at = cx(span);
        let counter = match f.pat.as_ref() {
            Pat::Ident(i) if i.mutability.is_none() && i.by_ref.is_none() => Some(i.ident.clone()),
            Pat::Wild(_) => None,
            other => {
                self.reject(other.span(), "a loop's counter is a plain name or `_`");
                None
            }
        };
        let declare = |body: &mut Body, konst| {
            if let Some(name) = &counter {
                body.declare(name, Var { konst, ..Var::default() });
            }
        };
        let name = match &counter {
            Some(n) => quote!(#n),
            None => quote!(_),
        };
        if let Some(range) = unroll_range(&f.expr) {
            let Some((lo, hi)) = self.bounds(range) else { return TokenStream::new() };
            let inner = self.scoped(|body| {
                declare(body, true);
                body.block(&f.body)
            });
            return quote_spanned!(own(span)=>
                for #name in ::sla_dsl::lang::unroll(#at, #lo, #hi) { #inner; }
            );
        }
        let (values, pattern) = self.carried(&[&f.body]);
        let (prepare, range, counter) = if let Some((list, n)) = gather(&f.expr) {
            let (list_span, list, n) = (list.span(), self.expr(list), self.expr(n));
            let here = cx(list_span);
            (
                quote!(let __list = #list;),
                quote!(::sla_dsl::lang::range(0i64, #n)),
                quote!(::sla_dsl::lang::entry(#here, __list, __i)),
            )
        } else {
            let Some(range) = self.range(&f.expr) else { return TokenStream::new() };
            (TokenStream::new(), range, quote!(__i))
        };
        let inner = self.scoped(|body| {
            declare(body, false);
            body.block(&f.body)
        });
        quote_spanned!(own(span)=> {
            #prepare
            #values = ::sla_dsl::lang::for_(#at, #range, #values, |__i, #pattern| {
                let #name = #counter;
                { #inner; }
                #values
            });
        })
    }

    /// `lo..hi`.
    fn bounds(&mut self, e: &Expr) -> Option<(TokenStream, TokenStream)> {
        match e {
            Expr::Paren(p) => self.bounds(&p.expr),
            Expr::Range(r) => match (&r.start, &r.limits, &r.end) {
                (Some(lo), RangeLimits::HalfOpen(_), Some(hi)) => Some((self.expr(lo), self.expr(hi))),
                _ => {
                    self.reject(r.span(), "a loop's range is written `lo..hi`");
                    None
                }
            },
            other => {
                self.reject(
                    other.span(),
                    "a loop runs over `lo..hi`, `(lo..hi).step_by(C)`, `(lo..hi).rev()`, `unroll(lo..hi)` or `list.gather(n)`",
                );
                None
            }
        }
    }

    /// A range of the running kernel with its modifiers.
    fn range(&mut self, e: &Expr) -> Option<TokenStream> {
        match e {
            Expr::MethodCall(m) if m.method == "step_by" && m.args.len() == 1 => {
                let (range, step) = (self.range(&m.receiver)?, self.expr(&m.args[0]));
                Some(quote!(#range.step_by(#step)))
            }
            Expr::MethodCall(m) if m.method == "rev" && m.args.is_empty() => {
                let range = self.range(&m.receiver)?;
                Some(quote!(#range.rev()))
            }
            Expr::Paren(p) => self.range(&p.expr),
            e => {
                let (lo, hi) = self.bounds(e)?;
                Some(quote!(::sla_dsl::lang::range(#lo, #hi)))
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

/// `list.gather(n)`.
fn gather(e: &Expr) -> Option<(&Expr, &Expr)> {
    match e {
        Expr::MethodCall(m) if m.method == "gather" && m.args.len() == 1 => Some((&m.receiver, &m.args[0])),
        _ => None,
    }
}
