//! Types as written: tensors, tiles, scalars, structs of tiles.

use super::Dim;
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Expr, GenericArgument, Ident, PathArguments, Type};

/// The name of an element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElemName {
    F32,
    F16,
    BF16,
    I32,
    I8,
    Bool,
}

impl ElemName {
    /// By the name the language gives it.
    pub fn parse(name: &str) -> Option<ElemName> {
        Some(match name {
            "f32" => ElemName::F32,
            "f16" => ElemName::F16,
            "bf16" => ElemName::BF16,
            "i32" => ElemName::I32,
            "i8" => ElemName::I8,
            "bool" => ElemName::Bool,
            _ => return None,
        })
    }

    /// The name the language gives it.
    pub fn name(self) -> &'static str {
        match self {
            ElemName::F32 => "f32",
            ElemName::F16 => "f16",
            ElemName::BF16 => "bf16",
            ElemName::I32 => "i32",
            ElemName::I8 => "i8",
            ElemName::Bool => "bool",
        }
    }
}

/// What a generic element type may be: the bound of `T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElemClass {
    /// `Float`: f32, f16, bf16.
    Float,
    /// `Half`: f16, bf16.
    Half,
    /// `Element`: all of them.
    Any,
}

impl ElemClass {
    /// The element types in it.
    pub fn members(self) -> &'static [ElemName] {
        use ElemName::*;
        match self {
            ElemClass::Float => &[F32, F16, BF16],
            ElemClass::Half => &[F16, BF16],
            ElemClass::Any => &[F32, F16, BF16, I32, I8, Bool],
        }
    }

    /// The bound as written.
    pub fn name(self) -> &'static str {
        match self {
            ElemClass::Float => "Float",
            ElemClass::Half => "Half",
            ElemClass::Any => "Element",
        }
    }
}

/// An element type in a signature.
#[derive(Clone, Debug)]
pub enum ElemTy {
    /// One of the six.
    Known(ElemName),
    /// A generic parameter.
    Generic(Ident),
}

/// A shape `{ [A, B / 2] }`.
#[derive(Clone, Debug)]
pub struct Shape {
    /// One size per axis.
    pub dims: Vec<Dim>,
    /// The brackets.
    pub span: Span,
}

/// A generic argument of a struct of tiles: a size, an element type, or a name that may be either.
#[derive(Clone, Debug)]
pub enum StructArg {
    /// A size, or a bare name (which may turn out to be an element type generic).
    Dim(Dim),
    /// One of the six element types.
    Elem(ElemName),
}

/// The type of a parameter, a field or a result.
#[derive(Clone, Debug)]
pub enum Ty {
    /// `&Tensor<T, { [..] }>` or `&mut Tensor<..>`.
    Tensor { elem: ElemTy, shape: Shape, mutable: bool },
    /// `Tile<T, { [..] }>`.
    Tile { elem: ElemTy, shape: Shape },
    /// A runtime scalar: `f32`, `i32`, `bool`, `T`.
    Scalar(ElemTy),
    /// `usize`: a number known when the kernel is built.
    Size,
    /// A struct of tiles; `Self` is a struct named `Self` without arguments.
    Struct { path: syn::Path, args: Vec<StructArg> },
    /// A tuple; empty for no result.
    Tuple(Vec<Ty>),
    /// A type that was reported.
    Unknown,
}

impl Ty {
    /// Reads a type; `generics` are the element type generics in scope.
    ///
    /// # Errors
    /// On the offending token, saying what to write instead.
    pub fn parse(ty: &Type, generics: &[&Ident]) -> syn::Result<Ty> {
        match ty {
            Type::Paren(p) => Ty::parse(&p.elem, generics),
            Type::Group(g) => Ty::parse(&g.elem, generics),
            Type::Tuple(t) => {
                Ok(Ty::Tuple(t.elems.iter().map(|e| Ty::parse(e, generics)).collect::<syn::Result<_>>()?))
            }
            Type::Reference(r) => match named(&r.elem, "Tensor") {
                Some(args) => {
                    let (elem, shape) = elem_and_shape(args, &r.elem, generics)?;
                    Ok(Ty::Tensor { elem, shape, mutable: r.mutability.is_some() })
                }
                None => Err(syn::Error::new(
                    r.and_token.span,
                    "only tensors are taken by reference here: write `&Tensor<..>`, or the type itself",
                )),
            },
            Type::Path(p) => {
                if named(ty, "Tensor").is_some() {
                    return Err(syn::Error::new(
                        ty.span(),
                        "a tensor is taken by reference: `&Tensor<..>` to read it, `&mut Tensor<..>` to write it",
                    ));
                }
                if let Some(args) = named(ty, "Tile") {
                    let (elem, shape) = elem_and_shape(args, ty, generics)?;
                    return Ok(Ty::Tile { elem, shape });
                }
                if let Some(name) = p.path.get_ident() {
                    if name == "usize" {
                        return Ok(Ty::Size);
                    }
                    if let Some(e) = elem(name, generics)? {
                        return Ok(Ty::Scalar(e));
                    }
                }
                let args = match &p.path.segments.last().expect("a path has segments").arguments {
                    PathArguments::AngleBracketed(a) => {
                        a.args.iter().map(struct_arg).collect::<syn::Result<_>>()?
                    }
                    _ => Vec::new(),
                };
                let mut path = p.path.clone();
                path.segments.last_mut().expect("a path has segments").arguments = PathArguments::None;
                Ok(Ty::Struct { path, args })
            }
            other => Err(syn::Error::new(
                other.span(),
                "types here are `&Tensor<T, { [..] }>`, `Tile<T, { [..] }>`, `f32`, `i32`, `bool`, `usize`, tuples, and structs marked `#[tiles]`",
            )),
        }
    }
}

/// The arguments of a path type whose last segment has this name.
fn named<'a>(ty: &'a Type, name: &str) -> Option<&'a PathArguments> {
    match ty {
        Type::Path(p) => p.path.segments.last().filter(|s| s.ident == name).map(|s| &s.arguments),
        Type::Paren(p) => named(&p.elem, name),
        Type::Group(g) => named(&g.elem, name),
        _ => None,
    }
}

fn elem(name: &Ident, generics: &[&Ident]) -> syn::Result<Option<ElemTy>> {
    let text = name.to_string();
    if let Some(e) = ElemName::parse(&text) {
        return Ok(Some(ElemTy::Known(e)));
    }
    if generics.contains(&name) {
        return Ok(Some(ElemTy::Generic(name.clone())));
    }
    match text.as_str() {
        "f64" | "u8" | "u16" | "u32" | "u64" | "i16" | "i64" | "isize" => Err(syn::Error::new(
            name.span(),
            format!("`{text}` is not an element type; there are f32, f16, bf16, i32, i8 and bool"),
        )),
        _ => Ok(None),
    }
}

fn elem_and_shape(args: &PathArguments, at: &Type, generics: &[&Ident]) -> syn::Result<(ElemTy, Shape)> {
    let form = "write an element type and a shape: `<f32, { [M, N] }>`";
    let PathArguments::AngleBracketed(a) = args else { return Err(syn::Error::new(at.span(), form)) };
    if a.args.len() != 2 {
        return Err(syn::Error::new(a.span(), form));
    }
    let GenericArgument::Type(Type::Path(e)) = &a.args[0] else {
        return Err(syn::Error::new(a.args[0].span(), "the first argument is an element type"));
    };
    let e = match e.path.get_ident() {
        Some(name) => elem(name, generics)?.ok_or_else(|| {
            syn::Error::new(
                name.span(),
                format!("`{name}` is not an element type; there are f32, f16, bf16, i32, i8, bool, and generics bound by `Float`, `Half` or `Element`"),
            )
        })?,
        None => return Err(syn::Error::new(e.span(), "an element type is one name, such as `f32` or `T`")),
    };
    let shape_form = "a shape is written `{ [A, B] }`";
    let GenericArgument::Const(Expr::Block(b)) = &a.args[1] else {
        return Err(syn::Error::new(a.args[1].span(), shape_form));
    };
    let [syn::Stmt::Expr(Expr::Array(list), None)] = b.block.stmts.as_slice() else {
        return Err(syn::Error::new(b.span(), shape_form));
    };
    let dims = list.elems.iter().map(Dim::parse).collect::<syn::Result<_>>()?;
    Ok((e, Shape { dims, span: list.bracket_token.span.join() }))
}

fn struct_arg(arg: &GenericArgument) -> syn::Result<StructArg> {
    match arg {
        GenericArgument::Const(e) => Ok(StructArg::Dim(Dim::parse(e)?)),
        GenericArgument::Type(Type::Path(p)) => match p.path.get_ident() {
            Some(name) => Ok(match ElemName::parse(&name.to_string()) {
                Some(e) => StructArg::Elem(e),
                None => StructArg::Dim(Dim::Name(name.clone())),
            }),
            None => Err(syn::Error::new(p.span(), "an argument here is a size or an element type")),
        },
        other => Err(syn::Error::new(other.span(), "an argument here is a size or an element type")),
    }
}
