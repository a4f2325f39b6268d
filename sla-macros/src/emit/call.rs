//! Calls: the functions and methods of the language, and device functions of the user's.

use super::body::{Body, cx, own};
use super::types::elem_name;
use crate::sig::ElemName;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    AngleBracketedGenericArguments, Expr, ExprCall, ExprMethodCall, GenericArgument, Ident, PathArguments,
    Token, Type,
};

/// How a function of the language is called. A method has its receiver as the first operand.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// This many operands.
    Plain(usize),
    /// `x.f([..])`: a value and a shape.
    Shape,
    /// `f::<E>([..])` with this many operands after the shape.
    Make(usize),
    /// `iota([..], axis)`.
    Iota,
    /// `x.cast::<E>()`.
    Cast,
    /// `view.at(i, ..)`.
    At,
    /// `view.block::<N, ..>(i, ..)`.
    Block,
    /// `view.blocks::<N>()`.
    Blocks,
}

/// Every function of the language: name, form, and whether it is called as a function, as a method, or both.
const FUNCTIONS: &[(&str, Form, bool, bool)] = &[
    ("dot", Form::Plain(2), true, false),
    ("dot_acc", Form::Plain(3), true, false),
    ("select", Form::Plain(3), true, false),
    ("fma", Form::Plain(3), true, true),
    ("exp2", Form::Plain(1), true, true),
    ("exp", Form::Plain(1), true, true),
    ("log2", Form::Plain(1), true, true),
    ("log", Form::Plain(1), true, true),
    ("sqrt", Form::Plain(1), true, true),
    ("rsqrt", Form::Plain(1), true, true),
    ("abs", Form::Plain(1), true, true),
    ("maximum", Form::Plain(2), true, true),
    ("minimum", Form::Plain(2), true, true),
    ("max", Form::Plain(2), false, true),
    ("min", Form::Plain(2), false, true),
    ("sum", Form::Plain(2), false, true),
    ("div_ceil", Form::Plain(2), false, true),
    ("t", Form::Plain(1), false, true),
    ("unsqueeze", Form::Plain(2), false, true),
    ("squeeze", Form::Plain(2), false, true),
    ("pack", Form::Plain(2), false, true),
    ("reshape", Form::Shape, false, true),
    ("broadcast", Form::Shape, false, true),
    ("zeros", Form::Make(0), true, false),
    ("full", Form::Make(1), true, false),
    ("iota", Form::Iota, true, false),
    ("cast", Form::Cast, true, true),
    ("at", Form::At, false, true),
    ("block", Form::Block, false, true),
    ("window", Form::Block, false, true),
    ("blocks", Form::Blocks, false, true),
    ("load", Form::Plain(1), false, true),
    ("store", Form::Plain(2), false, true),
    ("atomic_add", Form::Plain(2), false, true),
    ("len", Form::Plain(1), false, true),
    ("dim", Form::Plain(2), false, true),
    ("mask_tail", Form::Plain(4), false, true),
    ("mask_rows", Form::Plain(4), false, true),
];

/// Whether a method belongs to the language.
pub fn is_builtin_method(name: &str) -> bool {
    FUNCTIONS.iter().any(|f| f.0 == name && f.3)
}

/// Whether a function belongs to the language.
pub fn is_builtin_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|f| f.0 == name && f.2)
}

/// Whether a function or method of constants is a constant.
pub fn is_const_function(name: &str) -> bool {
    matches!(
        name,
        "min"
            | "max"
            | "minimum"
            | "maximum"
            | "div_ceil"
            | "abs"
            | "exp2"
            | "exp"
            | "log2"
            | "log"
            | "sqrt"
            | "rsqrt"
    )
}

/// One call of a function of the language.
struct Builtin<'a> {
    name: &'a Ident,
    receiver: Option<&'a Expr>,
    generics: Option<&'a AngleBracketedGenericArguments>,
    args: &'a Punctuated<Expr, Token![,]>,
}

impl Body {
    /// `f(..)`.
    pub fn call(&mut self, c: &ExprCall) -> TokenStream {
        let Expr::Path(path) = c.func.as_ref() else {
            return self.reject(c.func.span(), "only functions can be called, by their name");
        };
        let segments = &path.path.segments;
        let last = segments.last().expect("a path has segments");
        if segments.len() == 1 && is_builtin_function(&last.ident.to_string()) {
            let generics = angle(&last.arguments);
            return self.builtin(Builtin { name: &last.ident, receiver: None, generics, args: &c.args });
        }
        if segments.len() == 1 && last.ident == "unroll" {
            return self
                .reject(last.ident.span(), "`unroll` stands in a loop's head: `for i in unroll(0..4)`");
        }
        if segments.len() == 1 && is_builtin_method(&last.ident.to_string()) {
            let message = format!("`{0}` is a method here: write `x.{0}(..)`", last.ident);
            return self.reject(last.ident.span(), &message);
        }
        let own_args = self.generic_args(angle(&last.arguments));
        let outer = segments.iter().rev().nth(1).and_then(|s| angle(&s.arguments));
        let outer = self.generic_args(outer);
        let mut plain = path.path.clone();
        plain.segments.iter_mut().for_each(|s| s.arguments = PathArguments::None);
        let args = c.args.iter().map(|a| self.arg(a)).collect::<Vec<_>>();
        let span = last.ident.span();
        let cx = cx(span);
        quote_spanned!(own(span)=> #plain(#cx, [#outer, #own_args], #(#args),*))
    }

    /// `x.f(..)`.
    pub fn method(&mut self, m: &ExprMethodCall) -> TokenStream {
        if is_builtin_method(&m.method.to_string()) {
            return self.builtin(Builtin {
                name: &m.method,
                receiver: Some(&m.receiver),
                generics: m.turbofish.as_ref(),
                args: &m.args,
            });
        }
        if m.method == "gather" {
            return self.reject(
                m.method.span(),
                "`gather` stands in a loop's head: `for j in list.at(b, m).gather(n)`",
            );
        }
        let name = &m.method;
        let receiver = self.expr(&m.receiver);
        let generics = self.generic_args(m.turbofish.as_ref());
        let args = m.args.iter().map(|a| self.arg(a)).collect::<Vec<_>>();
        let cx = cx(name.span());
        quote_spanned!(own(name.span())=> #receiver.#name(#cx, [&[], #generics], #(#args),*))
    }

    /// An argument of a device function: as an expression, or `&mut x`.
    fn arg(&mut self, e: &Expr) -> TokenStream {
        match e {
            Expr::Reference(r) if r.mutability.is_some() => {
                let place = self.expr(&r.expr);
                quote!(&mut #place)
            }
            Expr::Path(p) => {
                let by_ref =
                    p.path.get_ident().and_then(|n| self.var(&n.to_string())).is_some_and(|v| v.by_ref);
                let e = self.expr(e);
                if by_ref { quote!(&mut #e) } else { e }
            }
            _ => self.expr(e),
        }
    }

    /// Explicit generic arguments as a slice.
    fn generic_args(&mut self, args: Option<&AngleBracketedGenericArguments>) -> TokenStream {
        let args = args.iter().flat_map(|a| &a.args).map(|a| self.generic_arg(a)).collect::<Vec<_>>();
        quote!(&[#(#args),*])
    }

    fn generic_arg(&mut self, a: &GenericArgument) -> TokenStream {
        match a {
            GenericArgument::Type(Type::Infer(_)) => quote!(::sla_dsl::lang::GenericArg::Infer),
            GenericArgument::Type(Type::Path(p)) => {
                let e = self.expr(&Expr::Path(syn::ExprPath {
                    attrs: Vec::new(),
                    qself: None,
                    path: p.path.clone(),
                }));
                quote!(::sla_dsl::lang::GenericArg::from(#e))
            }
            GenericArgument::Const(e) => {
                let e = self.expr(e);
                quote!(::sla_dsl::lang::GenericArg::from(#e))
            }
            other => {
                self.reject(other.span(), "a generic argument here is a size, a switch or an element type")
            }
        }
    }

    fn builtin(&mut self, c: Builtin<'_>) -> TokenStream {
        let name = c.name.to_string();
        let (_, form, ..) = *FUNCTIONS.iter().find(|f| f.0 == name).expect("the caller looked it up");
        let span = c.name.span();
        let (needed, sizes) = match form {
            Form::Plain(n) => (n - usize::from(c.receiver.is_some()), 0),
            Form::Shape => (1, 0),
            Form::Make(n) => (n + 1, 1),
            Form::Iota => (2, 0),
            Form::Cast => (usize::from(c.receiver.is_none()), 1),
            Form::At | Form::Block => (c.args.len().max(1), c.args.len()),
            Form::Blocks => (0, 1),
        };
        if c.args.len() != needed {
            let plural = if needed == 1 { "" } else { "s" };
            return self.reject(
                span,
                &format!("`{name}` takes {needed} argument{plural} here, {} given", c.args.len()),
            );
        }
        let takes_generics = matches!(form, Form::Make(_) | Form::Cast | Form::Block | Form::Blocks);
        let given = c.generics.map_or(0, |g| g.args.len());
        if !takes_generics && given > 0 {
            return self.reject(c.generics.span(), &format!("`{name}` takes no generic arguments"));
        }
        if takes_generics && given != sizes {
            let form = match form {
                Form::Make(_) => format!("write the element type: `{name}::<f32>(..)`"),
                Form::Cast => "write the element type: `.cast::<f32>()`".to_string(),
                _ => format!("write the block size, one per index: `.{name}::<64>(..)`"),
            };
            return self.reject(span, &form);
        }
        let generics: Vec<_> = c.generics.iter().flat_map(|g| &g.args).cloned().collect();
        let function = Ident::new(&name, span.resolved_at(Span::call_site()));
        let at = cx(span);
        let receiver = c.receiver.map(|r| self.expr(r)).into_iter().collect::<Vec<_>>();
        let rest: TokenStream = match form {
            Form::Plain(_) => {
                let args = c.args.iter().map(|a| self.expr(a)).collect::<Vec<_>>();
                quote!(#(#args,)*)
            }
            Form::Shape => {
                let shape = self.shape(&c.args[0]);
                quote!(#shape)
            }
            Form::Make(_) | Form::Iota => {
                let elem = generics.iter().map(|g| self.elem(g)).collect::<Vec<_>>();
                let shape = self.shape(&c.args[0]);
                let rest = c.args.iter().skip(1).map(|a| self.expr(a)).collect::<Vec<_>>();
                quote!(#(#elem,)* #shape, #(#rest,)*)
            }
            Form::Cast => {
                let args = c.args.iter().map(|a| self.expr(a)).collect::<Vec<_>>();
                let elem = self.elem(&generics[0]);
                quote!(#(#args,)* #elem)
            }
            Form::At => self.indices(c.args),
            Form::Block | Form::Blocks => {
                let sizes = generics.iter().map(|g| self.size(g)).collect::<Vec<_>>();
                let indices = if form == Form::Block { self.indices(c.args) } else { TokenStream::new() };
                quote!(&[#(#sizes),*], #indices)
            }
        };
        quote_spanned!(own(span)=> ::sla_dsl::lang::#function(#at, #(#receiver,)* #rest))
    }

    fn indices(&mut self, args: &Punctuated<Expr, Token![,]>) -> TokenStream {
        let span = args.span();
        let args = args.iter().map(|a| self.expr(a)).collect::<Vec<_>>();
        quote_spanned!(own(span)=> &[#(::sla_dsl::lang::Operand::opd(#args)),*])
    }

    /// `[A, B]` as a list of sizes.
    fn shape(&mut self, e: &Expr) -> TokenStream {
        match e {
            Expr::Array(a) => {
                let dims = a.elems.iter().map(|d| self.expr(d)).collect::<Vec<_>>();
                quote_spanned!(own(a.bracket_token.span.join())=> &[#(#dims),*])
            }
            other => {
                self.reject(other.span(), "a shape is written `[A, B]`");
                quote!(&[1i64])
            }
        }
    }

    /// A generic argument that is a size.
    fn size(&mut self, a: &GenericArgument) -> TokenStream {
        match a {
            GenericArgument::Const(e) => self.expr(e),
            GenericArgument::Type(Type::Path(p)) if p.path.get_ident().is_some() => {
                self.expr(&Expr::Path(syn::ExprPath { attrs: Vec::new(), qself: None, path: p.path.clone() }))
            }
            other => {
                self.reject(other.span(), "a block size is a number or a constant: `64`, `BM`, `{ BM / 2 }`");
                quote!(1i64)
            }
        }
    }

    /// A generic argument that is an element type.
    fn elem(&mut self, a: &GenericArgument) -> TokenStream {
        if let GenericArgument::Type(Type::Path(p)) = a
            && let Some(name) = p.path.get_ident()
        {
            if let Some(e) = ElemName::parse(&name.to_string()) {
                return elem_name(e);
            }
            if self.var(&name.to_string()).is_some_and(|v| v.konst) {
                return quote!(#name);
            }
        }
        self.reject(
            a.span(),
            "this is not an element type; there are f32, f16, bf16, i32, i8, bool, and this function's generics",
        );
        quote!(::sla_dsl::ir::Elem::F32)
    }
}

fn angle(a: &PathArguments) -> Option<&AngleBracketedGenericArguments> {
    match a {
        PathArguments::AngleBracketed(a) => Some(a),
        _ => None,
    }
}
