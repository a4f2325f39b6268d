//! The attribute macros of the tile language: tokens in, a builder function out.
//!
//! Every macro goes the same way: `sig` reads the attribute and the signature, `check` reads the body symbolically, and
//! `emit` writes Rust that builds tile IR through `sla_dsl::lang`. Mistakes become `compile_error!`s on the user's tokens,
//! and an item is still emitted, so that one mistake is reported once.

mod check;
mod emit;
mod sig;

use proc_macro::TokenStream;
use sig::{Errors, FuncFn, FuncImpl, KernelFn, TilesStruct};
use syn::spanned::Spanned;
use syn::{Item, parse_macro_input};

/// Makes a kernel of a function.
#[proc_macro_attribute]
pub fn kernel(attr: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::ItemFn);
    let mut errors = Errors::default();
    let kernel = KernelFn::parse(attr.into(), item, &mut errors);
    let mut errors = errors.into_vec();
    errors.extend(check::check_kernel(&kernel));
    let item = emit::kernel(&kernel, &mut errors);
    finish(errors, item)
}

/// Makes a device function of a function, or device functions of all functions in an `impl` block.
#[proc_macro_attribute]
pub fn func(_attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    match parse_macro_input!(item as Item) {
        Item::Fn(f) => {
            let func = FuncFn::parse(f.attrs, f.vis, &f.sig, *f.block, &[], &mut errors);
            let mut errors = errors.into_vec();
            errors.extend(check::check_func(&func));
            let item = emit::func(&func, &mut errors);
            finish(errors, item)
        }
        Item::Impl(i) => {
            let funcs = FuncImpl::parse(i, &mut errors);
            let mut errors = errors.into_vec();
            errors.extend(check::check_impl(&funcs));
            let item = emit::func_impl(&funcs, &mut errors);
            finish(errors, item)
        }
        other => syn::Error::new(other.span(), "`#[func]` goes on a function or an `impl` block")
            .to_compile_error()
            .into(),
    }
}

/// Makes a struct of tiles of a struct.
#[proc_macro_attribute]
pub fn tiles(_attr: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::ItemStruct);
    let mut errors = Errors::default();
    let tiles = TilesStruct::parse(item, &mut errors);
    finish(errors.into_vec(), emit::tiles(&tiles))
}

/// The item after every mistake as a `compile_error!`.
fn finish(errors: Vec<syn::Error>, item: proc_macro2::TokenStream) -> TokenStream {
    errors.iter().map(syn::Error::to_compile_error).chain([item]).collect::<proc_macro2::TokenStream>().into()
}
