//! Structs of tiles: plain structs of values that loops can carry.

use super::types::{dims, elem_pattern, generic_table, rust_type, struct_args};
use crate::sig::{TilesStruct, Ty};
use proc_macro2::TokenStream;
use quote::quote;

/// The struct and what the language needs of it.
pub fn tiles(s: &TilesStruct) -> TokenStream {
    let (attrs, vis, name, text) = (&s.attrs, &s.vis, &s.name, s.name.to_string());
    let names: Vec<_> = s.fields.iter().map(|f| &f.2).collect();
    let types: Vec<_> = s.fields.iter().map(|f| rust_type(&f.3)).collect();
    let fields =
        s.fields.iter().zip(&types).map(|((attrs, vis, name, _), ty)| quote!(#(#attrs)* #vis #name: #ty));
    let table = generic_table(&s.generics.iter().collect::<Vec<_>>());
    let unify = s.fields.iter().map(|(_, _, name, ty)| {
        let text = name.to_string();
        match ty {
            Ty::Tile { elem, shape } => {
                let (elem, shape) = (elem_pattern(elem), dims(shape, &[]));
                quote!(__infer.tile(#text, self.#name, #elem, &#shape);)
            }
            Ty::Scalar(elem) => {
                let elem = elem_pattern(elem);
                quote!(__infer.scalar(#text, self.#name, #elem);)
            }
            Ty::Struct { args, .. } => {
                let args = struct_args(args);
                quote!(__infer.tiles(#text, &self.#name, #args);)
            }
            _ => quote!(),
        }
    });
    let invalid = s.fields.iter().zip(&types).map(|((_, _, name, field), ty)| match field {
        Ty::Struct { .. } => quote!(#name: <#ty as ::sla_dsl::lang::Tiles>::invalid(__cx)),
        _ => quote!(#name: __cx.invalid()),
    });
    quote! {
        #(#attrs)*
        #[derive(Clone, Copy, Debug)]
        #vis struct #name {
            #(#fields,)*
        }

        impl ::sla_dsl::lang::Carry for #name {
            fn flatten(self, __out: &mut ::std::vec::Vec<::sla_dsl::ir::Value>) {
                #(::sla_dsl::lang::Carry::flatten(self.#names, __out);)*
            }
            fn rebuild(self, __values: &mut dyn ::core::iter::Iterator<Item = ::sla_dsl::ir::Value>) -> Self {
                Self { #(#names: ::sla_dsl::lang::Carry::rebuild(self.#names, __values),)* }
            }
        }

        impl ::sla_dsl::lang::Promote for #name {
            type Out = Self;
            fn promote(self, _: ::sla_dsl::lang::Cx<'_>) -> Self {
                self
            }
        }

        impl ::sla_dsl::lang::Assign<#name> for #name {
            fn assign(self, _: ::sla_dsl::lang::Cx<'_>, _: Self) -> Self {
                self
            }
        }

        impl ::sla_dsl::lang::Join<#name> for #name {
            type Out = Self;
            fn of_then(self, _: ::sla_dsl::lang::Cx<'_>) -> Self {
                self
            }
            fn of_else(other: Self, _: ::sla_dsl::lang::Cx<'_>) -> Self {
                other
            }
        }

        impl ::sla_dsl::lang::Tiles for #name {
            fn arguments(&self, __cx: ::sla_dsl::lang::Cx<'_>) -> ::std::vec::Vec<::sla_dsl::lang::GenericArg> {
                let mut __infer = ::sla_dsl::lang::Infer::new(__cx, #text, 0, #table, [&[], &[]]);
                #(#unify)*
                __infer.finish();
                __infer.arguments()
            }
            fn invalid(__cx: ::sla_dsl::lang::Cx<'_>) -> Self {
                Self { #(#invalid,)* }
            }
        }
    }
}
