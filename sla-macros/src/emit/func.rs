//! Device functions as Rust functions.
//!
//! Parameters meet their declared types in an `Infer`; generics that the body mentions become local constants.

use super::body::{Body, Var};
use super::call::{is_builtin_function, is_builtin_method};
use super::types::{dim, dims, elem_pattern, generic_table, rust_type, struct_args};
use super::{mentions, place};
use crate::sig::{Dim, FuncFn, FuncImpl, Generic, GenericKind, Param, Receiver, Ty};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::Ident;

/// A free device function.
pub fn func(f: &FuncFn, errors: &mut Vec<syn::Error>) -> TokenStream {
    one(f, None, errors)
}

/// An `impl` block of device functions.
pub fn func_impl(i: &FuncImpl, errors: &mut Vec<syn::Error>) -> TokenStream {
    let path = &i.path;
    let before = errors.len();
    let funcs = i.funcs.iter().map(|f| {
        let mut own = errors[..before].to_vec();
        let item = one(f, Some(i), &mut own);
        errors.extend(own.drain(before..));
        item
    });
    let funcs = funcs.collect::<Vec<_>>();
    quote!(impl #path { #(#funcs)* })
}

fn one(f: &FuncFn, owner: Option<&FuncImpl>, errors: &mut Vec<syn::Error>) -> TokenStream {
    let name = &f.sig.name;
    let text = name.to_string();
    let generics: Vec<&Generic> = owner.iter().flat_map(|o| &o.generics).chain(&f.sig.generics).collect();
    let mut body = Body::new(generics.iter().copied());
    if owner.is_none() && is_builtin_function(&text) || owner.is_some() && is_builtin_method(&text) {
        body.reject(name.span(), &format!("`{text}` is a name of the language; choose another one"));
    }
    let outer = owner.map_or(0, |o| o.generics.len());
    let table = generic_table(&generics);
    let args = owner.map_or(&[] as &[_], |o| o.args.as_slice());

    let receiver = match f.sig.receiver {
        Receiver::None => quote!(),
        Receiver::Value => quote!(self,),
        Receiver::Mut => quote!(&mut self,),
    };
    let mut params = TokenStream::new();
    let mut unify = TokenStream::new();
    let mut after = TokenStream::new();
    if f.sig.receiver != Receiver::None {
        let args = struct_args(args);
        let deref = if f.sig.receiver == Receiver::Mut { quote!(*self) } else { quote!(self) };
        unify.extend(quote!(let mut __self = #deref; __infer.tiles("self", &__self, #args);));
        let mutable = f.sig.receiver == Receiver::Mut;
        body.declare(&format_ident!("self"), Var { mutable, ..Var::default() });
        if mutable {
            after.extend(quote!(*self = __self;));
        }
    }
    for p in &f.sig.params {
        let (ty, code) = parameter(p, args);
        let name = &p.name;
        params.extend(quote!(#name: #ty,));
        unify.extend(code);
        let konst = matches!(p.ty, Ty::Size) && !p.by_ref && !p.mutable;
        body.declare(name, Var { konst, mutable: p.by_ref || p.mutable, by_ref: p.by_ref });
        if p.by_ref {
            let outside = reference(name);
            after.extend(quote!(*#outside = #name;));
        }
    }
    let tokens = f.body.to_token_stream();
    let mut bind = TokenStream::new();
    for g in &generics {
        if mentions(tokens.clone(), &g.name) {
            bind.extend(generic(g));
        }
    }
    bind.extend(runtime_sizes(f, &generics, &tokens, &mut body));

    let inner = body.finish(&f.body, errors);
    let result = result(&f.sig.ret, quote!(__result));
    let ret = rust_type(&f.sig.ret);
    let (line, col) = place(f.body.brace_token.span.close());
    let endless = invalid(&f.sig.ret);
    let (attrs, vis) = (&f.attrs, &f.vis);
    let rest = inner.map(|inner| {
        quote! {
            let mut __infer = ::sla_dsl::lang::Infer::new(__cx, #text, #outer, #table, __generics);
            #unify
            __infer.finish();
            #bind
            let __cx = __cx.enter(::core::file!());
            let __result = { #inner };
            #after
            let __cx = __cx.at(#line, #col);
            #result
        }
    });
    let start = match rest {
        Some(_) => quote!(if __cx.endless() { return #endless; }),
        None => {
            let unused = f.sig.params.iter().map(|p| &p.name);
            quote!(#(let _ = #unused;)* #endless)
        }
    };
    let quiet = rest.is_none().then(|| quote!(#[allow(unused_variables)]));
    quote! {
        #(#attrs)*
        #[allow(non_snake_case, unused_mut, unused_assignments, unused_parens, unused_braces, clippy::all)]
        #quiet
        #vis fn #name(
            #receiver
            __cx: ::sla_dsl::lang::Cx<'_>,
            __generics: ::sla_dsl::lang::GenericArgs<'_>,
            #params
        ) -> #ret {
            #start
            #rest
        }
    }
}

fn reference(name: &Ident) -> Ident {
    format_ident!("__ref_{}", name)
}

/// The Rust type of a parameter, and the code that meets it with its declaration.
fn parameter(p: &Param, owner: &[crate::sig::StructArg]) -> (TokenStream, TokenStream) {
    let (name, text) = (&p.name, p.name.to_string());
    let code = match &p.ty {
        Ty::Tile { elem, shape } => {
            let (elem, shape) = (elem_pattern(elem), dims(shape, &[]));
            quote!(let mut #name = __infer.tile(#text, #name, #elem, &#shape);)
        }
        Ty::Scalar(elem) => {
            let elem = elem_pattern(elem);
            quote!(let mut #name = __infer.scalar(#text, #name, #elem);)
        }
        Ty::Tensor { elem, shape, .. } => {
            let (elem, shape) = (elem_pattern(elem), dims(shape, &[]));
            quote!(let #name = __infer.tensor(#text, #name, #elem, &#shape);)
        }
        Ty::Size if p.mutable || p.by_ref => quote!(let mut #name = #name;),
        Ty::Size => quote!(),
        Ty::Struct { path, args } => {
            let args = struct_args(if path.is_ident("Self") { owner } else { args });
            quote!(let mut #name = #name; __infer.tiles(#text, &#name, #args);)
        }
        Ty::Tuple(_) | Ty::Unknown => quote!(let mut #name = #name;),
    };
    if p.by_ref {
        let (outside, ty) = (reference(name), rust_type(&p.ty));
        return (quote!(&mut #ty), quote!(let #outside = #name; let #name = *#outside; #code));
    }
    let ty = match &p.ty {
        Ty::Tile { .. } | Ty::Scalar(_) => quote!(impl ::sla_dsl::lang::Operand),
        Ty::Tensor { .. } => quote!(impl ::sla_dsl::lang::AsView),
        Ty::Unknown => quote!(impl ::core::marker::Sized),
        other => rust_type(other),
    };
    (ty, code)
}

/// A generic as a local constant.
fn generic(g: &Generic) -> TokenStream {
    let (name, text) = (&g.name, g.name.to_string());
    match g.kind {
        GenericKind::Int => quote!(let #name: i64 = __infer.int(#text);),
        GenericKind::Bool => quote!(let #name: bool = __infer.bool(#text);),
        GenericKind::Elem(_) => quote!(let #name: ::sla_dsl::ir::Elem = __infer.elem(#text);),
    }
}

/// Names in tensor shapes that are no generics stand for the sizes found there.
fn runtime_sizes(f: &FuncFn, generics: &[&Generic], tokens: &TokenStream, body: &mut Body) -> TokenStream {
    let mut out = TokenStream::new();
    let mut seen: Vec<&Ident> = Vec::new();
    for p in &f.sig.params {
        let Ty::Tensor { shape, .. } = &p.ty else { continue };
        for (axis, d) in shape.dims.iter().enumerate() {
            let Dim::Name(n) = d else { continue };
            if seen.contains(&n) || generics.iter().any(|g| g.name == *n) || !mentions(tokens.clone(), n) {
                continue;
            }
            seen.push(n);
            let (tensor, axis) = (&p.name, axis as i64);
            body.declare(n, Var::default());
            out.extend(quote!(let #n = ::sla_dsl::lang::dim(__cx, #tensor, #axis);));
        }
    }
    out
}

/// A result met with its declaration.
fn result(ty: &Ty, value: TokenStream) -> TokenStream {
    match ty {
        Ty::Tile { elem, shape } => {
            let (elem, shape) = (elem_pattern(elem), shape.dims.iter().map(|d| dim(d, &[])));
            quote!(__infer.result_tile(__cx, #value, #elem, &[#(#shape),*]))
        }
        Ty::Scalar(elem) => {
            let elem = elem_pattern(elem);
            quote!(__infer.result_scalar(__cx, #value, #elem))
        }
        Ty::Tuple(t) if t.is_empty() => quote!(#value),
        Ty::Tuple(t) => {
            let names: Vec<Ident> = (0..t.len()).map(|i| format_ident!("__result_{}", i)).collect();
            let parts = t.iter().zip(&names).map(|(t, n)| result(t, quote!(#n)));
            quote!({ let (#(#names,)*) = #value; (#(#parts,)*) })
        }
        Ty::Size | Ty::Struct { .. } | Ty::Tensor { .. } | Ty::Unknown => value,
    }
}

/// Something of a result's type where there is no result.
fn invalid(ty: &Ty) -> TokenStream {
    match ty {
        Ty::Tile { .. } | Ty::Scalar(_) | Ty::Tensor { .. } | Ty::Unknown => quote!(__cx.invalid()),
        Ty::Size => quote!(1i64),
        Ty::Struct { path, .. } => quote!(<#path as ::sla_dsl::lang::Tiles>::invalid(__cx)),
        Ty::Tuple(t) => {
            let t = t.iter().map(invalid);
            quote!((#(#t,)*))
        }
    }
}
