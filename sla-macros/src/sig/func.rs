//! Device functions and structs of tiles: generics, parameters and results around an unread body.

use super::{ElemClass, ElemTy, Errors, KernelAttr, Ty};
use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{
    Attribute, Block, FnArg, GenericParam, Ident, ImplItem, ItemFn, ItemImpl, ItemStruct, Pat, ReturnType,
    Signature, Type, TypeParamBound, Visibility,
};

/// What a generic parameter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenericKind {
    /// An element type.
    Elem(ElemClass),
    /// `const N: usize`.
    Int,
    /// `const C: bool`.
    Bool,
}

/// A generic parameter.
#[derive(Clone, Debug)]
pub struct Generic {
    /// Its name.
    pub name: Ident,
    /// What it stands for.
    pub kind: GenericKind,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Whether the binding is `mut`.
    pub mutable: bool,
    /// Whether it is `&mut` of a value that is not a tensor: the callee's changes reach the caller (funcs only).
    pub by_ref: bool,
    /// Its type, without that `&mut`.
    pub ty: Ty,
}

/// How a method takes `self`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// No `self`.
    None,
    /// `self` or `&self`.
    Value,
    /// `&mut self`.
    Mut,
}

/// A signature.
#[derive(Clone, Debug)]
pub struct Sig {
    /// The function's name.
    pub name: Ident,
    /// Its own generics, in order.
    pub generics: Vec<Generic>,
    /// How it takes `self`.
    pub receiver: Receiver,
    /// Parameters without `self`, in order.
    pub params: Vec<Param>,
    /// The result; an empty tuple for none.
    pub ret: Ty,
}

/// A function under `#[kernel]`.
#[derive(Clone, Debug)]
pub struct KernelFn {
    /// The attribute's arguments.
    pub attr: KernelAttr,
    /// Doc comments and the user's other attributes.
    pub attrs: Vec<Attribute>,
    /// Its visibility.
    pub vis: Visibility,
    /// Its signature.
    pub sig: Sig,
    /// Its body.
    pub body: Block,
}

/// A function under `#[func]`.
#[derive(Clone, Debug)]
pub struct FuncFn {
    /// Doc comments and the user's other attributes.
    pub attrs: Vec<Attribute>,
    /// Its visibility.
    pub vis: Visibility,
    /// Its signature.
    pub sig: Sig,
    /// Its body.
    pub body: Block,
}

/// An `impl` block under `#[func]`; all its functions are device functions.
#[derive(Clone, Debug)]
pub struct FuncImpl {
    /// The struct, without arguments.
    pub path: syn::Path,
    /// The struct's arguments as written in the `impl` head.
    pub args: Vec<super::StructArg>,
    /// Generics of the `impl`.
    pub generics: Vec<Generic>,
    /// The functions.
    pub funcs: Vec<FuncFn>,
}

/// A struct under `#[tiles]`.
#[derive(Clone, Debug)]
pub struct TilesStruct {
    /// Doc comments and the user's other attributes.
    pub attrs: Vec<Attribute>,
    /// Its visibility.
    pub vis: Visibility,
    /// Its name.
    pub name: Ident,
    /// Its generics.
    pub generics: Vec<Generic>,
    /// Attributes, visibility, name and type of each field.
    pub fields: Vec<(Vec<Attribute>, Visibility, Ident, Ty)>,
}

impl KernelFn {
    /// Reads a kernel; what cannot be read is noted and left out.
    pub fn parse(attr: TokenStream, item: ItemFn, errors: &mut Errors) -> KernelFn {
        let attr = KernelAttr::parse(attr, item.sig.ident.span(), errors);
        let sig = Sig::parse(&item.sig, &[], errors);
        attr.tune.check(&sig.generics, &attr.dims, errors);
        for p in &sig.params {
            if matches!(p.ty, Ty::Scalar(ElemTy::Generic(_))) {
                errors.push(syn::Error::new(
                    p.name.span(),
                    "a scalar parameter of a kernel has a known type; write `f32` and cast it in the body",
                ));
            }
            if p.by_ref || !matches!(p.ty, Ty::Tensor { .. } | Ty::Scalar(_) | Ty::Unknown) {
                errors.push(syn::Error::new(
                    p.name.span(),
                    "a kernel takes tensors and scalars; constants are const generics",
                ));
            }
        }
        if !matches!(&sig.ret, Ty::Unknown) && !matches!(&sig.ret, Ty::Tuple(t) if t.is_empty()) {
            errors.push(syn::Error::new(
                item.sig.output.span(),
                "a kernel returns nothing; write results to a `&mut Tensor`",
            ));
        }
        KernelFn { attr, attrs: item.attrs, vis: item.vis, sig, body: *item.block }
    }
}

impl FuncFn {
    /// Reads a device function; `outer` are the generics of the `impl` around it.
    pub fn parse(
        attrs: Vec<Attribute>,
        vis: Visibility,
        sig: &Signature,
        body: Block,
        outer: &[Generic],
        errors: &mut Errors,
    ) -> FuncFn {
        FuncFn { attrs, vis, sig: Sig::parse(sig, outer, errors), body }
    }
}

impl FuncImpl {
    /// Reads an `impl` block of device functions.
    pub fn parse(item: ItemImpl, errors: &mut Errors) -> FuncImpl {
        if let Some((_, path, _)) = &item.trait_ {
            errors.push(syn::Error::new(path.span(), "device functions are not methods of traits"));
        }
        let generics = parse_generics(&item.generics, errors);
        let (path, args) = match errors.ok(Ty::parse(&item.self_ty, &elem_names(&generics))) {
            Some(Ty::Struct { path, args }) => (path, args),
            _ => {
                errors.push(syn::Error::new(item.self_ty.span(), "this is not a struct marked `#[tiles]`"));
                (syn::parse_quote!(Unknown), Vec::new())
            }
        };
        let mut funcs = Vec::new();
        for i in item.items {
            match i {
                ImplItem::Fn(f) => {
                    funcs.push(FuncFn::parse(f.attrs, f.vis, &f.sig, f.block, &generics, errors))
                }
                other => errors.push(syn::Error::new(
                    other.span(),
                    "only functions may stand in an `impl` under `#[func]`",
                )),
            }
        }
        FuncImpl { path, args, generics, funcs }
    }
}

impl TilesStruct {
    /// Reads a struct of tiles.
    pub fn parse(item: ItemStruct, errors: &mut Errors) -> TilesStruct {
        let generics = parse_generics(&item.generics, errors);
        let names = elem_names(&generics);
        let mut fields = Vec::new();
        if !matches!(item.fields, syn::Fields::Named(_)) {
            errors.push(syn::Error::new(item.ident.span(), "a struct of tiles has named fields"));
        }
        for f in item.fields {
            let Some(name) = f.ident else { continue };
            match errors.ok(Ty::parse(&f.ty, &names)) {
                Some(ty @ (Ty::Tile { .. } | Ty::Scalar(_) | Ty::Struct { .. })) => {
                    fields.push((f.attrs, f.vis, name, ty))
                }
                Some(_) => errors.push(syn::Error::new(
                    f.ty.span(),
                    "a field is a tile, a scalar or another struct marked `#[tiles]`",
                )),
                None => {}
            }
        }
        TilesStruct { attrs: item.attrs, vis: item.vis, name: item.ident, generics, fields }
    }
}

/// The element type generics among these.
fn elem_names(generics: &[Generic]) -> Vec<&Ident> {
    generics.iter().filter(|g| matches!(g.kind, GenericKind::Elem(_))).map(|g| &g.name).collect()
}

fn parse_generics(generics: &syn::Generics, errors: &mut Errors) -> Vec<Generic> {
    let mut out: Vec<Generic> = Vec::new();
    if let Some(w) = &generics.where_clause {
        errors.push(syn::Error::new(
            w.span(),
            "write bounds inline (`T: Float`) and conditions in `require(..)`",
        ));
    }
    for p in &generics.params {
        match p {
            GenericParam::Lifetime(l) => {
                errors.push(syn::Error::new(l.span(), "device functions have no lifetimes; leave it out"))
            }
            GenericParam::Type(t) => {
                if let Some(class) = errors.ok(class_of(t)) {
                    out.push(Generic { name: t.ident.clone(), kind: GenericKind::Elem(class) });
                }
            }
            GenericParam::Const(c) => {
                let kind = match &c.ty {
                    Type::Path(p) if p.path.is_ident("usize") => GenericKind::Int,
                    Type::Path(p) if p.path.is_ident("bool") => GenericKind::Bool,
                    other => {
                        errors
                            .push(syn::Error::new(other.span(), "a const generic is a `usize` or a `bool`"));
                        GenericKind::Int
                    }
                };
                out.push(Generic { name: c.ident.clone(), kind });
            }
        }
    }
    out
}

fn class_of(t: &syn::TypeParam) -> syn::Result<ElemClass> {
    let form = "an element type generic has one bound: `Float`, `Half` or `Element`";
    let mut bounds = t.bounds.iter();
    let (Some(TypeParamBound::Trait(b)), None) = (bounds.next(), bounds.next()) else {
        return Err(syn::Error::new(t.span(), form));
    };
    match b.path.segments.last().map(|s| s.ident.to_string()).as_deref() {
        Some("Float") => Ok(ElemClass::Float),
        Some("Half") => Ok(ElemClass::Half),
        Some("Element") => Ok(ElemClass::Any),
        _ => Err(syn::Error::new(b.span(), form)),
    }
}

impl Sig {
    fn parse(sig: &Signature, outer: &[Generic], errors: &mut Errors) -> Sig {
        let no = |span: Option<proc_macro2::Span>, what: &str, errors: &mut Errors| {
            if let Some(span) = span {
                errors.push(syn::Error::new(span, format!("a device function cannot be `{what}`")));
            }
        };
        no(sig.asyncness.map(|t| t.span), "async", errors);
        no(sig.unsafety.map(|t| t.span), "unsafe", errors);
        no(sig.abi.as_ref().map(|a| a.extern_token.span), "extern", errors);
        no(sig.variadic.as_ref().map(|v| v.span()), "variadic", errors);

        let generics = parse_generics(&sig.generics, errors);
        let all: Vec<Generic> = outer.iter().chain(&generics).cloned().collect();
        let names = elem_names(&all);
        let mut receiver = Receiver::None;
        let mut params = Vec::new();
        for arg in &sig.inputs {
            match arg {
                FnArg::Receiver(r) => {
                    receiver = if r.reference.is_some() && r.mutability.is_some() {
                        Receiver::Mut
                    } else {
                        Receiver::Value
                    }
                }
                FnArg::Typed(p) => {
                    let Pat::Ident(pat) = p.pat.as_ref() else {
                        errors.push(syn::Error::new(p.pat.span(), "a parameter is a plain name"));
                        continue;
                    };
                    let (by_ref, ty) = match p.ty.as_ref() {
                        Type::Reference(r) if r.mutability.is_some() && !is_tensor(&r.elem) => {
                            (true, r.elem.as_ref())
                        }
                        other => (false, other),
                    };
                    params.push(Param {
                        name: pat.ident.clone(),
                        mutable: pat.mutability.is_some(),
                        by_ref,
                        ty: errors.ok(Ty::parse(ty, &names)).unwrap_or(Ty::Unknown),
                    });
                }
            }
        }
        let ret = match &sig.output {
            ReturnType::Default => Some(Ty::Tuple(Vec::new())),
            ReturnType::Type(_, t) => errors.ok(Ty::parse(t, &names)),
        };
        Sig { name: sig.ident.clone(), generics, receiver, params, ret: ret.unwrap_or(Ty::Unknown) }
    }
}

fn is_tensor(ty: &Type) -> bool {
    matches!(ty, Type::Path(p) if p.path.segments.last().is_some_and(|s| s.ident == "Tensor"))
}
