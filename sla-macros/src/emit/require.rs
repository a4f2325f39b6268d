//! Conditions of `require(..)`: for the kernel's table, and as constant assertions.

use super::body::own;
use super::mentions;
use super::types::{dim, elem_name};
use crate::sig::{Dim, ElemName, Generic, GenericKind, KernelFn, Require};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{BinOp, Expr, Lit, UnOp};

/// The table's entries; none if there are errors already.
pub fn table(k: &KernelFn, errors: &mut Vec<syn::Error>) -> TokenStream {
    if !errors.is_empty() {
        return quote!(&[]);
    }
    let rows = k.attr.require.iter().map(|r| {
        let text = &r.text;
        let holds = condition(&r.expr, k).unwrap_or_else(|e| {
            errors.push(e);
            quote!(true)
        });
        quote! {
            ::sla_dsl::lang::Require {
                text: #text,
                holds: {
                    fn __holds(
                        __c: &::sla_dsl::lang::Consts,
                        __d: &dyn ::core::ops::Fn(&str) -> ::core::option::Option<i64>,
                    ) -> ::core::option::Option<bool> {
                        ::core::option::Option::Some(#holds)
                    }
                    __holds
                },
            }
        }
    });
    let rows = rows.collect::<Vec<_>>();
    quote!(&[#(#rows),*])
}

/// Assertions for the conditions that mention only const generics.
pub fn assertions(k: &KernelFn) -> TokenStream {
    k.attr
        .require
        .iter()
        .filter(|r| is_const(r, k))
        .map(|r| {
            let expr = &r.expr;
            let text = format!("{} requires {}", k.sig.name, r.text).replace('{', "{{").replace('}', "}}");
            quote_spanned!(own(expr.span())=> ::core::assert!(#expr, #text);)
        })
        .collect()
}

fn is_const(r: &Require, k: &KernelFn) -> bool {
    let tokens = r.expr.to_token_stream();
    let elems = k.sig.generics.iter().filter(|g| matches!(g.kind, GenericKind::Elem(_))).map(|g| &g.name);
    let (min, max) = (format_ident!("min"), format_ident!("max"));
    !k.attr.dims.iter().chain(elems).chain([&min, &max]).any(|n| mentions(tokens.clone(), n))
}

fn generic<'a>(e: &Expr, k: &'a KernelFn) -> Option<&'a Generic> {
    match e {
        Expr::Path(p) => p.path.get_ident().and_then(|n| k.sig.generics.iter().find(|g| g.name == *n)),
        Expr::Paren(p) => generic(&p.expr, k),
        _ => None,
    }
}

fn condition(e: &Expr, k: &KernelFn) -> syn::Result<TokenStream> {
    match e {
        Expr::Paren(p) => condition(&p.expr, k),
        Expr::Lit(syn::ExprLit { lit: Lit::Bool(b), .. }) => Ok(quote!(#b)),
        Expr::Unary(u) if matches!(u.op, UnOp::Not(_)) => {
            let x = condition(&u.expr, k)?;
            Ok(quote!(!(#x)))
        }
        Expr::Path(_) if matches!(generic(e, k), Some(g) if g.kind == GenericKind::Bool) => {
            let name = generic(e, k).map(|g| g.name.to_string());
            Ok(quote!(__c.bool(#name)))
        }
        Expr::Binary(b) => {
            let op = &b.op;
            match op {
                BinOp::And(_) | BinOp::Or(_) => {
                    let (x, y) = (condition(&b.left, k)?, condition(&b.right, k)?);
                    Ok(quote!((#x) #op (#y)))
                }
                BinOp::Eq(_) | BinOp::Ne(_) if matches!(generic(&b.left, k), Some(g) if matches!(g.kind, GenericKind::Elem(_))) =>
                {
                    let name = generic(&b.left, k).map(|g| g.name.to_string());
                    let found = match b.right.as_ref() {
                        Expr::Path(p) => p.path.get_ident().and_then(|n| ElemName::parse(&n.to_string())),
                        _ => None,
                    };
                    let Some(elem) = found.map(elem_name) else {
                        return Err(syn::Error::new(b.right.span(), "this is not an element type"));
                    };
                    Ok(quote!(__c.elem(#name) #op #elem))
                }
                BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                    let (x, y) = (number(&b.left, k)?, number(&b.right, k)?);
                    Ok(quote!(#x #op #y))
                }
                other => {
                    Err(syn::Error::new(other.span(), "a condition compares sizes, with `&&`, `||` and `!`"))
                }
            }
        }
        other => Err(syn::Error::new(other.span(), "a condition compares sizes, with `&&`, `||` and `!`")),
    }
}

fn number(e: &Expr, k: &KernelFn) -> syn::Result<TokenStream> {
    let d = Dim::parse(e)?;
    for n in d.names() {
        if !k.attr.dims.contains(n)
            && !k.sig.generics.iter().any(|g| g.name == *n && g.kind == GenericKind::Int)
        {
            return Err(syn::Error::new(
                n.span(),
                format!("`{n}` is neither a dim nor a const generic of this kernel"),
            ));
        }
    }
    let d = dim(&d, &k.sig.generics);
    Ok(quote!((#d).eval(__d)?))
}
