//! The state of writing one body: names in scope and mistakes found.

use super::place;
use crate::sig::{Errors, Generic, GenericKind};
use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use std::collections::HashMap;
use syn::{Block, Ident};

/// What is known of a name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Var {
    /// A constant: an `i64`, `f64`, `bool` or element type in the expansion.
    pub konst: bool,
    /// Declared with `mut`, or a `&mut` parameter.
    pub mutable: bool,
    /// A `&mut` parameter (of a copy that is written back at the end).
    pub by_ref: bool,
}

/// Writes one body.
pub struct Body {
    scopes: Vec<HashMap<String, Var>>,
    /// Generics that are element types.
    pub elems: Vec<Ident>,
    /// Mistakes found while writing.
    pub errors: Errors,
}

impl Body {
    /// With these generics in scope.
    pub fn new<'a>(generics: impl IntoIterator<Item = &'a Generic>) -> Body {
        let mut body = Body { scopes: vec![HashMap::new()], elems: Vec::new(), errors: Errors::default() };
        for g in generics {
            body.declare(&g.name, Var { konst: true, ..Var::default() });
            if matches!(g.kind, GenericKind::Elem(_)) {
                body.elems.push(g.name.clone());
            }
        }
        body
    }

    /// Brings a name into the innermost scope.
    pub fn declare(&mut self, name: &Ident, var: Var) {
        self.scopes.last_mut().expect("one scope is always open").insert(name.to_string(), var);
    }

    /// What a name is, if it is a variable.
    pub fn var(&self, name: &str) -> Option<Var> {
        self.scopes.iter().rev().find_map(|s| s.get(name).copied())
    }

    /// Writes within a new scope.
    pub fn scoped<R>(&mut self, f: impl FnOnce(&mut Body) -> R) -> R {
        self.scopes.push(HashMap::new());
        let r = f(self);
        self.scopes.pop();
        r
    }

    /// Writes the whole body, unless something is wrong with it: then nothing, after noting what.
    /// Mistakes found here are noted only if nobody noted any before.
    pub fn finish(mut self, block: &Block, errors: &mut Vec<syn::Error>) -> Option<TokenStream> {
        let inner = self.block(block);
        if errors.is_empty() {
            errors.extend(self.errors.into_vec());
        }
        errors.is_empty().then_some(inner)
    }

    /// Notes a mistake and writes nothing that could fail a second time.
    pub fn reject(&mut self, span: Span, message: &str) -> TokenStream {
        self.errors.push(syn::Error::new(span, message));
        let cx = cx(span);
        quote_spanned!(own(span)=> #cx.invalid())
    }
}

/// A place of the user's, for names of ours.
pub fn own(span: Span) -> Span {
    span.resolved_at(Span::call_site())
}

/// `__cx.at(line, column)` of a token.
pub fn cx(span: Span) -> TokenStream {
    let (line, col) = place(span);
    quote_spanned!(own(span)=> __cx.at(#line, #col))
}

/// A variable's name in the expansion: `self` is a copy called `__self`.
pub fn local(name: &Ident) -> Ident {
    if name == "self" { Ident::new("__self", own(name.span())) } else { name.clone() }
}
