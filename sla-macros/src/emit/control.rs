//! Loops and branches.
//!
//! A loop or branch of the running kernel becomes a call with closures: variables that change inside go in and out as one nested tuple.

use super::body::{Body, Var, cx, local, own};
use super::flow::unroll_range;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Block, Expr, ExprForLoop, ExprIf, Ident, Pat, RangeLimits, Stmt};

impl Body {
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
}

/// `list.gather(n)`.
fn gather(e: &Expr) -> Option<(&Expr, &Expr)> {
    match e {
        Expr::MethodCall(m) if m.method == "gather" && m.args.len() == 1 => Some((&m.receiver, &m.args[0])),
        _ => None,
    }
}
