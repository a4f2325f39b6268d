//! Kinds of declared types, and sizes: as written in types, and as computed in bodies.

use super::Checker;
use super::kind::{Axis, Dim, Elem, Kind, Memory, Shape};
use super::poly::{Opaque, Poly};
use crate::sig::{self, DimOp, ElemName, ElemTy, Ty};
use syn::Expr;

impl Checker {
    /// What a value of a declared type is; sizes that cannot be are reported.
    pub fn type_kind(&mut self, ty: &Ty) -> Kind {
        match ty {
            Ty::Tuple(t) if t.is_empty() => Kind::Unit,
            Ty::Tuple(t) => Kind::Tuple(t.iter().map(|t| self.type_kind(t)).collect()),
            Ty::Struct { .. } | Ty::Unknown => Kind::Unknown,
            Ty::Size => Kind::Int(None),
            Ty::Scalar(e) => Kind::Scalar(self.declared_elem(e)),
            Ty::Tile { elem, shape } => {
                let sizes: Vec<Dim> = shape.dims.iter().map(|d| self.tile_size(d)).collect();
                let tile = Shape(sizes);
                if let Some(message) = rank_error(&tile) {
                    return self.error_at(shape.span, message);
                }
                Kind::Tile(self.declared_elem(elem), tile)
            }
            Ty::Tensor { elem, shape, mutable } => {
                let axes = shape.dims.iter().map(|d| Axis::Whole(self.written(d))).collect();
                let elem = self.declared_elem(elem);
                Kind::View(Memory { tensor: String::new(), elem, mutable: *mutable, axes })
            }
        }
    }

    fn declared_elem(&self, e: &ElemTy) -> Elem {
        match e {
            ElemTy::Known(n) => match n {
                ElemName::F32 => Elem::F32,
                ElemName::F16 => Elem::F16,
                ElemName::BF16 => Elem::BF16,
                ElemName::I32 => Elem::I32,
                ElemName::I8 => Elem::I8,
                ElemName::Bool => Elem::Bool,
            },
            ElemTy::Generic(name) => {
                let name = name.to_string();
                let float = self.elems.get(&name).copied().unwrap_or(false);
                Elem::Generic(name, float)
            }
        }
    }

    /// A size of a tile in a type: it must be known when the kernel is built.
    fn tile_size(&mut self, d: &sig::Dim) -> Dim {
        if let Some(name) = d.names().into_iter().find(|n| self.is_dim(&n.to_string())) {
            self.launch_size(&name, &name.to_string());
            return None;
        }
        self.written(d)
    }

    fn written(&self, d: &sig::Dim) -> Dim {
        match d {
            sig::Dim::Int(i) => Some(Poly::from(*i)),
            sig::Dim::Name(n) => {
                let name = n.to_string();
                match self.env.get(&name) {
                    Some(Kind::Int(d)) => d.clone(),
                    Some(_) if self.is_dim(&name) => Some(Poly::name(&name)),
                    _ => None,
                }
            }
            sig::Dim::Binary(op, a, b) => {
                let (a, b) = (self.written(a)?, self.written(b)?);
                match op {
                    DimOp::Add => a.add(&b),
                    DimOp::Sub => a.sub(&b),
                    DimOp::Mul => a.mul(&b),
                    DimOp::Div => a.div(&b),
                    DimOp::Rem => a.opaque(Opaque::Rem, &b),
                    DimOp::DivCeil => a.opaque(Opaque::DivCeil, &b),
                    DimOp::Min => a.opaque(Opaque::Min, &b),
                    DimOp::Max => a.opaque(Opaque::Max, &b),
                }
            }
        }
    }

    /// Whether a name in scope is a runtime dim.
    pub fn is_dim(&self, name: &str) -> bool {
        self.dims.contains(name) && matches!(self.env.get(name), Some(Kind::Scalar(Elem::I32)))
    }

    /// Whether a size depends on what only a launch knows.
    pub fn known_at_launch(&self, d: &Dim) -> bool {
        d.as_ref().is_some_and(|d| d.names().into_iter().any(|n| self.dims.contains(n)))
    }

    /// Reports a size of a tile that only a launch knows.
    pub fn launch_size(&mut self, at: &dyn quote::ToTokens, what: &str) -> Kind {
        self.error(at, format!("`{what}` is known only at launch, the size of a tile must be a constant"))
    }

    /// A size of a tile, computed in the body.
    pub fn size(&mut self, e: &Expr) -> Dim {
        let kind = self.expr(e);
        self.size_of(&kind, e)
    }

    /// The size that a value is.
    pub fn size_of(&mut self, kind: &Kind, at: &Expr) -> Dim {
        match kind {
            Kind::Int(d) => {
                if let Some(n) = d.as_ref().and_then(Poly::as_int).filter(|n| *n <= 0) {
                    self.error(at, format!("the size of a tile is at least 1, this is {n}"));
                    return None;
                }
                d.clone()
            }
            Kind::Unknown => None,
            Kind::Scalar(Elem::I32 | Elem::Unknown) => {
                let name = match at {
                    Expr::Path(p) => p.path.get_ident().map(|i| i.to_string()),
                    _ => None,
                };
                let must = "the size of a tile must be a constant";
                match name {
                    Some(name) if self.is_dim(&name) => self.launch_size(at, &name),
                    Some(name) => {
                        self.error(at, format!("`{name}` is known only when the kernel runs, {must}"))
                    }
                    None => self.error(at, format!("this is known only when the kernel runs, {must}")),
                };
                None
            }
            k => {
                self.error(at, format!("a size is an integer constant, this is {}", k.describe()));
                None
            }
        }
    }

    /// The element type that a generic argument names. Names that are nothing here are left to rustc.
    pub fn elem_of(&mut self, ty: &syn::Type) -> Elem {
        let syn::Type::Path(p) = ty else { return Elem::Unknown };
        let Some(name) = p.path.get_ident().map(|i| i.to_string()) else { return Elem::Unknown };
        if let Some(e) = Elem::from_name(&name) {
            return e;
        }
        if let Some(float) = self.elems.get(&name) {
            return Elem::Generic(name, *float);
        }
        if RUST_NUMBERS.contains(&name.as_str()) {
            self.error(
                ty,
                format!("`{name}` is not an element type; there are f32, f16, bf16, i32, i8 and bool"),
            );
        } else if self.env.get(&name).is_some() {
            self.error(ty, format!("`{name}` is a value, not an element type"));
        }
        Elem::Unknown
    }
}

/// Number types of Rust that are no element types.
const RUST_NUMBERS: [&str; 9] = ["f64", "u8", "u16", "u32", "u64", "usize", "i16", "i64", "isize"];

/// What is wrong with the number of axes of a tile.
pub fn rank_error(shape: &Shape) -> Option<String> {
    match shape.rank() {
        1 | 2 => None,
        0 => Some("a tile has one or two axes, this has none".into()),
        n => Some(format!("a tile has one or two axes, {shape} has {n}")),
    }
}
