//! Declared types as tokens: element types, sizes, and the Rust types of an expanded signature.

use crate::sig::{Dim, ElemName, ElemTy, Generic, GenericKind, Shape, StructArg, Ty};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// `Elem::F32` and so on.
pub fn elem_name(e: ElemName) -> TokenStream {
    let variant = format_ident!(
        "{}",
        match e {
            ElemName::F32 => "F32",
            ElemName::F16 => "F16",
            ElemName::BF16 => "BF16",
            ElemName::I32 => "I32",
            ElemName::I8 => "I8",
            ElemName::Bool => "Bool",
        }
    );
    quote!(::sla_dsl::ir::Elem::#variant)
}

/// The Rust type with this element type.
pub fn rust_elem(e: &ElemTy) -> TokenStream {
    match e {
        ElemTy::Known(ElemName::F16) => quote!(::sla_dsl::prelude::f16),
        ElemTy::Known(ElemName::BF16) => quote!(::sla_dsl::prelude::bf16),
        ElemTy::Known(e) => {
            let name = format_ident!("{}", e.name());
            quote!(#name)
        }
        ElemTy::Generic(t) => quote!(#t),
    }
}

/// An element type in a kernel's tables, where `__c` holds the constants.
pub fn elem_of_consts(e: &ElemTy) -> TokenStream {
    match e {
        ElemTy::Known(e) => elem_name(*e),
        ElemTy::Generic(t) => {
            let t = t.to_string();
            quote!(__c.elem(#t))
        }
    }
}

/// An element type as a pattern of a device function.
pub fn elem_pattern(e: &ElemTy) -> TokenStream {
    match e {
        ElemTy::Known(e) => {
            let e = elem_name(*e);
            quote!(::sla_dsl::lang::ElemPat::Is(#e))
        }
        ElemTy::Generic(t) => {
            let t = t.to_string();
            quote!(::sla_dsl::lang::ElemPat::Generic(#t))
        }
    }
}

/// A size as a `DimExpr`. Names of `consts` are read from `__c`, others stay names.
pub fn dim(d: &Dim, consts: &[Generic]) -> TokenStream {
    match d {
        Dim::Int(v) => quote!(::sla_dsl::ir::DimExpr::from(#v)),
        Dim::Name(n) => {
            let text = n.to_string();
            if consts.iter().any(|g| g.name == *n) {
                quote!(::sla_dsl::ir::DimExpr::from(__c.int(#text)))
            } else {
                quote!(::sla_dsl::ir::DimExpr::name(#text))
            }
        }
        Dim::Binary(op, a, b) => {
            let (a, b) = (dim(a, consts), dim(b, consts));
            let op = format_ident!("{}", op.method());
            quote!(::sla_dsl::ir::DimExpr::#op(#a, #b))
        }
    }
}

/// A shape as a list of `DimExpr`s.
pub fn dims(s: &Shape, consts: &[Generic]) -> TokenStream {
    let dims = s.dims.iter().map(|d| dim(d, consts));
    quote!([#(#dims),*])
}

/// The table of generics of a device function or struct.
pub fn generic_table(generics: &[&Generic]) -> TokenStream {
    let rows = generics.iter().map(|g| {
        let (name, kind) = (g.name.to_string(), generic_kind(g.kind));
        quote!((#name, #kind))
    });
    quote!(&[#(#rows),*])
}

/// What a generic stands for.
pub fn generic_kind(kind: GenericKind) -> TokenStream {
    match kind {
        GenericKind::Int => quote!(::sla_dsl::lang::GenericKind::Int),
        GenericKind::Bool => quote!(::sla_dsl::lang::GenericKind::Bool),
        GenericKind::Elem(class) => {
            let members = class.members().iter().map(|e| elem_name(*e));
            quote!(::sla_dsl::lang::GenericKind::Elem(&[#(#members),*]))
        }
    }
}

/// The arguments of a struct of tiles as patterns.
pub fn struct_args(args: &[StructArg]) -> TokenStream {
    let args = args.iter().map(|a| match a {
        StructArg::Dim(d) => {
            let d = dim(d, &[]);
            quote!(::sla_dsl::lang::ArgPat::Dim(#d))
        }
        StructArg::Elem(e) => {
            let e = elem_name(*e);
            quote!(::sla_dsl::lang::ArgPat::Elem(#e))
        }
    });
    quote!(&[#(#args),*])
}

/// The Rust type of a result or field in the expansion.
pub fn rust_type(ty: &Ty) -> TokenStream {
    match ty {
        Ty::Tile { .. } | Ty::Scalar(_) | Ty::Unknown => quote!(::sla_dsl::lang::Val),
        Ty::Tensor { .. } => quote!(::sla_dsl::lang::TensorView),
        Ty::Size => quote!(i64),
        Ty::Struct { path, .. } => quote!(#path),
        Ty::Tuple(t) => {
            let t = t.iter().map(rust_type);
            quote!((#(#t,)*))
        }
    }
}
