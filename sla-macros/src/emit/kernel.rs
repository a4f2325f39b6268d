//! Kernels as items: the definition as a static, and the typed launcher as a struct of the same name.

use super::body::{Body, Var};
use super::types::{dim, dims, elem_of_consts, generic_kind, rust_elem};
use super::{doc_text, docs, loc, mentions, require};
use crate::sig::{Dim, ElemName, ElemTy, GenericKind, KernelFn, Ty};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

/// Both items. With `errors` on entry nothing more is reported, and the body stays empty.
pub fn kernel(k: &KernelFn, errors: &mut Vec<syn::Error>) -> TokenStream {
    if errors.is_empty() {
        names(k, errors);
    }
    let definition = definition(k, errors);
    let launcher = launcher(k);
    quote!(#definition #launcher)
}

/// Every name of a shape must be known.
fn names(k: &KernelFn, errors: &mut Vec<syn::Error>) {
    let grid = k.attr.grid.iter().map(|g| &g.extent);
    let shapes = k.sig.params.iter().filter_map(|p| match &p.ty {
        Ty::Tensor { shape, .. } => Some(&shape.dims),
        _ => None,
    });
    let mut check = |d: &Dim| {
        for n in d.names() {
            let known = k.attr.dims.contains(n)
                || k.sig.generics.iter().any(|g| g.name == *n && g.kind == GenericKind::Int);
            if !known {
                errors.push(syn::Error::new(
                    n.span(),
                    format!(
                        "`{n}` is neither a dim nor a const generic of this kernel; declare it in dims(..)"
                    ),
                ));
            }
        }
    };
    grid.for_each(&mut check);
    shapes.flatten().for_each(check);
}

fn definition(k: &KernelFn, errors: &mut Vec<syn::Error>) -> TokenStream {
    let (attrs, vis, name) = (&k.attrs, &k.vis, &k.sig.name);
    let (text, doc, at) = (name.to_string(), doc_text(&k.attrs), loc(name.span()));
    let generics = k.sig.generics.iter().map(|g| {
        let (name, kind) = (g.name.to_string(), generic_kind(g.kind));
        quote!(::sla_dsl::lang::Generic { name: #name, kind: #kind })
    });
    let dim_names = k.attr.dims.iter().map(|d| d.to_string());
    let grid = k.attr.grid.iter().map(|g| {
        let (name, extent) = (g.name.to_string(), dim(&g.extent, &k.sig.generics));
        quote!(::sla_dsl::ir::GridAxis { name: #name.into(), extent: #extent })
    });
    let params = k.sig.params.iter().map(|p| {
        let name = p.name.to_string();
        let kind = match &p.ty {
            Ty::Tensor { elem, shape, mutable } => {
                let (elem, dims) = (elem_of_consts(elem), dims(shape, &k.sig.generics));
                quote!(Tensor(::sla_dsl::ir::TensorType { elem: #elem, dims: #dims.into(), mutable: #mutable }))
            }
            Ty::Scalar(e) => {
                let elem = elem_of_consts(e);
                quote!(Scalar(#elem))
            }
            _ => quote!(Scalar(::sla_dsl::ir::Elem::I32)),
        };
        quote!(::sla_dsl::ir::Param {
            name: #name.into(),
            kind: ::sla_dsl::ir::ParamKind::#kind,
            memory: ::core::default::Default::default(),
        })
    });
    let require = require::table(k, errors);
    let tune = tune(k);
    let body = body(k, errors);
    let signature = docs::signature(k);
    quote! {
        #(#attrs)*
        #signature
        #[allow(non_upper_case_globals)]
        #vis static #name: ::sla_dsl::lang::KernelDef = {
            fn __grid(__c: &::sla_dsl::lang::Consts) -> ::std::vec::Vec<::sla_dsl::ir::GridAxis> {
                ::std::vec![#(#grid),*]
            }
            fn __params(__c: &::sla_dsl::lang::Consts) -> ::std::vec::Vec<::sla_dsl::ir::Param> {
                ::std::vec![#(#params),*]
            }
            #body
            ::sla_dsl::lang::KernelDef {
                name: #text,
                doc: #doc,
                loc: #at,
                generics: &[#(#generics),*],
                dims: &[#(#dim_names),*],
                grid: __grid,
                params: __params,
                require: #require,
                tune: #tune,
                body: __body,
            }
        };
    }
}

fn tune(k: &KernelFn) -> TokenStream {
    let axes = k.attr.tune.axes.iter().map(|axis| {
        let (name, values) = (axis.name.to_string(), axis.values.iter().map(|(value, _)| value));
        quote!(::sla_dsl::lang::TuneAxis { name: #name, values: &[#(#values),*] })
    });
    let key = k.attr.tune.key.iter().map(|dim| dim.to_string());
    quote!(::sla_dsl::lang::TuneSpace { axes: &[#(#axes),*], key: &[#(#key),*] })
}

fn body(k: &KernelFn, errors: &mut Vec<syn::Error>) -> TokenStream {
    let mut body = Body::new(&k.sig.generics);
    let tokens = k.body.to_token_stream();
    let mut bind = TokenStream::new();
    for g in &k.sig.generics {
        let (name, text) = (&g.name, g.name.to_string());
        if mentions(tokens.clone(), name) {
            bind.extend(match g.kind {
                GenericKind::Int => quote!(let #name: i64 = __c.int(#text);),
                GenericKind::Bool => quote!(let #name: bool = __c.bool(#text);),
                GenericKind::Elem(_) => quote!(let #name: ::sla_dsl::ir::Elem = __c.elem(#text);),
            });
        }
    }
    for d in &k.attr.dims {
        let text = d.to_string();
        body.declare(d, Var::default());
        if mentions(tokens.clone(), d) {
            bind.extend(quote!(let #d = ::sla_dsl::lang::runtime_dim(__cx, #text);));
        }
    }
    for (axis, g) in k.attr.grid.iter().enumerate() {
        let name = &g.name;
        body.declare(name, Var::default());
        if mentions(tokens.clone(), name) {
            bind.extend(quote!(let #name = ::sla_dsl::lang::program_id(__cx, #axis);));
        }
    }
    for (i, p) in k.sig.params.iter().enumerate() {
        let name = &p.name;
        let value = if matches!(p.ty, Ty::Tensor { .. }) { quote!(tensor) } else { quote!(param) };
        let mutable = p.mutable && !matches!(p.ty, Ty::Tensor { .. });
        body.declare(name, Var { mutable, ..Var::default() });
        let mutability = mutable.then(|| quote!(mut));
        bind.extend(quote!(let #mutability #name = ::sla_dsl::lang::#value(__cx, #i);));
    }
    let inner = body.finish(&k.body, errors);
    let bind = inner.is_some().then_some(bind);
    let quiet = inner.is_none().then(|| quote!(#[allow(unused_variables)]));
    quote! {
        #quiet
        #[allow(
            non_snake_case, unused_mut, unused_assignments, unused_parens, unused_braces, clippy::all
        )]
        fn __body(__b: &::sla_dsl::ir::Builder, __c: &::sla_dsl::lang::Consts) {
            let __cx = ::sla_dsl::lang::Cx::new(__b, ::core::file!());
            #bind
            { #inner; }
        }
    }
}

fn launcher(k: &KernelFn) -> TokenStream {
    let (attrs, vis, name) = (&k.attrs, &k.vis, &k.sig.name);
    let generics = k.sig.generics.iter().map(|g| {
        let name = &g.name;
        match g.kind {
            GenericKind::Int => quote!(const #name: usize),
            GenericKind::Bool => quote!(const #name: bool),
            GenericKind::Elem(class) => {
                let class = format_ident!("{}", class.name());
                quote!(#name: ::sla_dsl::prelude::#class)
            }
        }
    });
    let generics = generics.collect::<Vec<_>>();
    let names = k.sig.generics.iter().map(|g| &g.name).collect::<Vec<_>>();
    let elems = k.sig.generics.iter().filter(|g| matches!(g.kind, GenericKind::Elem(_))).map(|g| &g.name);
    let consts = k.sig.generics.iter().map(|g| {
        let (name, text) = (&g.name, g.name.to_string());
        let value = match g.kind {
            GenericKind::Int => quote!(Int(#name as i64)),
            GenericKind::Bool => quote!(Bool(#name)),
            GenericKind::Elem(_) => quote!(Elem(<#name as ::sla_dsl::launch::Element>::ELEM)),
        };
        quote!((#text, ::sla_dsl::lang::Const::#value))
    });
    let (mut params, mut args) = (TokenStream::new(), TokenStream::new());
    for p in &k.sig.params {
        let name = &p.name;
        match &p.ty {
            Ty::Tensor { elem, mutable, .. } => {
                let elem = rust_elem(elem);
                let (mutability, lend) =
                    if *mutable { (quote!(mut), quote!(lend_mut)) } else { (quote!(), quote!(lend)) };
                params.extend(quote!(#name: &#mutability impl ::sla_dsl::launch::TensorLike<Elem = #elem>,));
                args.extend(quote!(
                    ::sla_dsl::launch::Arg::Tensor(::sla_dsl::launch::TensorLike::#lend(#name)),
                ));
            }
            Ty::Scalar(e) => {
                let ty = rust_elem(e);
                let value = match e {
                    ElemTy::Known(ElemName::I32 | ElemName::I8) => quote!(Int(i64::from(#name))),
                    ElemTy::Known(ElemName::Bool) => quote!(Bool(#name)),
                    _ => quote!(Float(f64::from(#name))),
                };
                params.extend(quote!(#name: #ty,));
                args.extend(quote!(::sla_dsl::launch::Arg::Scalar(::sla_dsl::ir::Scalar::#value),));
            }
            _ => {}
        }
    }
    let assertions = require::assertions(k);
    let signature = docs::signature(k);
    quote! {
        #(#attrs)*
        #signature
        #[allow(non_camel_case_types, dead_code)]
        #vis struct #name<#(#generics),*> {
            _elems: ::core::marker::PhantomData<fn() -> (#(#elems,)*)>,
        }

        #[allow(non_camel_case_types, dead_code, clippy::all)]
        impl<#(#generics),*> #name<#(#names),*> {
            /// The conditions on constants, checked when this instance is compiled.
            const REQUIRED: () = { #assertions };

            fn __consts() -> ::sla_dsl::lang::Consts {
                ::sla_dsl::lang::Consts::named([#(#consts),*])
            }

            /// These constants, by name.
            pub fn consts() -> ::sla_dsl::lang::Consts {
                let () = Self::REQUIRED;
                Self::__consts()
            }

            /// The kernel's tile IR.
            ///
            /// # Errors
            /// Whatever [`KernelDef::build`](::sla_dsl::lang::KernelDef::build) reports.
            pub fn build(
                __facts: &::sla_dsl::ir::Facts,
            ) -> ::core::result::Result<::sla_dsl::ir::Kernel, ::sla_dsl::diag::Diagnostics> {
                let () = Self::REQUIRED;
                #name.build(&Self::__consts(), __facts)
            }

            /// Checks the arguments and runs (or enqueues) the kernel.
            ///
            /// # Errors
            /// What the device reports: arguments that do not fit each other, or a failure to run.
            pub fn launch<__Device: ::sla_dsl::launch::Launcher>(
                __on: &__Device,
                #params
            ) -> ::core::result::Result<(), __Device::Error> {
                let () = Self::REQUIRED;
                __on.launch(&#name, &Self::__consts(), &[#args])
            }
        }
    }
}
