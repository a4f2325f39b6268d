//! Writes Rust that builds tile IR.
//!
//! A body is written expression by expression into calls of `sla_dsl::lang`; no types are needed for that, because traits there tell
//! constants from values. What must be known here is which names are constants (to decide an `if` now or later) and which
//! variables a loop changes (to carry them).

mod body;
mod call;
mod control;
mod docs;
mod expr;
mod flow;
mod func;
mod kernel;
mod require;
mod statement;
mod tiles;
mod types;

pub use func::{func, func_impl};
pub use kernel::kernel;
pub use tiles::tiles;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::Ident;

/// Whether tokens mention a name.
fn mentions(tokens: TokenStream, name: &Ident) -> bool {
    tokens.into_iter().any(|t| match t {
        TokenTree::Ident(i) => i == *name,
        TokenTree::Group(g) => mentions(g.stream(), name),
        _ => false,
    })
}

/// `Loc::new(file!(), line, col)` of a token.
fn loc(span: Span) -> TokenStream {
    let (line, col) = place(span);
    quote!(::sla_dsl::diag::Loc::new(::core::file!(), #line, #col))
}

/// Line and column of a token, from 1.
fn place(span: Span) -> (u32, u32) {
    let start = span.start();
    (start.line as u32, start.column as u32 + 1)
}

/// The text of doc comments.
fn doc_text(attrs: &[syn::Attribute]) -> String {
    let lines = attrs.iter().filter(|a| a.path().is_ident("doc")).filter_map(|a| match &a.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(s), .. }),
            ..
        }) => Some(s.value()),
        _ => None,
    });
    lines.map(|l| l.strip_prefix(' ').unwrap_or(&l).to_string()).collect::<Vec<_>>().join("\n")
}
