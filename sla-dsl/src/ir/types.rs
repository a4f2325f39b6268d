//! Types of IR values: element types, scalars, tiles and tensors.
//!
//! Tile shapes are numbers by the time IR exists; tensor shapes are expressions over runtime dims ([`DimExpr`]).

use super::DimExpr;
use std::fmt;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Elem {
    /// IEEE single precision.
    F32,
    /// IEEE half precision (storage only).
    F16,
    /// Brain float: the upper half of an f32 (storage only).
    BF16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 8-bit integer (storage only).
    I8,
    /// Truth value; one byte in memory.
    Bool,
}

impl Elem {
    /// Every element type, in the order of the documentation.
    pub const ALL: [Elem; 6] = [Elem::F32, Elem::F16, Elem::BF16, Elem::I32, Elem::I8, Elem::Bool];

    /// Size in memory, in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Elem::F32 | Elem::I32 => 4,
            Elem::F16 | Elem::BF16 => 2,
            Elem::I8 | Elem::Bool => 1,
        }
    }

    /// `f32`, `f16` or `bf16`.
    pub const fn is_float(self) -> bool {
        matches!(self, Elem::F32 | Elem::F16 | Elem::BF16)
    }

    /// `f16` or `bf16`.
    pub const fn is_half(self) -> bool {
        matches!(self, Elem::F16 | Elem::BF16)
    }

    /// `i32` or `i8`.
    pub const fn is_int(self) -> bool {
        matches!(self, Elem::I32 | Elem::I8)
    }

    /// Whether arithmetic is defined on it: `f32` and `i32`.
    pub const fn is_arith(self) -> bool {
        matches!(self, Elem::F32 | Elem::I32)
    }

    /// The name used in the language and in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Elem::F32 => "f32",
            Elem::F16 => "f16",
            Elem::BF16 => "bf16",
            Elem::I32 => "i32",
            Elem::I8 => "i8",
            Elem::Bool => "bool",
        }
    }

    /// The inverse of [`Elem::name`].
    pub fn from_name(name: &str) -> Option<Elem> {
        Elem::ALL.into_iter().find(|e| e.name() == name)
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A constant scalar. Floats are kept in double precision and rounded when used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A value of a float type.
    Float(f64),
    /// A value of an integer type.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

/// A tensor parameter's type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type in memory.
    pub elem: Elem,
    /// One size per axis, outermost first, over the kernel's runtime dims.
    pub dims: Vec<DimExpr>,
    /// Whether the kernel may write it.
    pub mutable: bool,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// One element.
    Scalar(Elem),
    /// A dense array of elements with a static shape of rank 1 or 2.
    Tile(Elem, Vec<usize>),
    /// A tensor in memory; parameters only.
    Tensor(TensorType),
    /// Scheduled kernels only: stages in shared memory, `[stages, rows, columns]`, each with a barrier for "full" and one for "empty".
    Ring(Elem, [usize; 3]),
    /// Scheduled kernels only: a place in a ring, and how often the ring was gone round.
    Cursor,
    /// Scheduled kernels only: a filled stage of a ring, which matrix products read.
    View(Elem, [usize; 2]),
    /// Scheduled kernels only: the result of a matrix product in flight. Nothing but `mma` and `mma_wait` takes it.
    Pending(Elem, [usize; 2]),
    /// The result of an op that was rejected; never in a verified kernel. Ops on it are not reported again.
    Invalid,
}

impl Type {
    /// A tile type.
    pub fn tile(elem: Elem, shape: &[usize]) -> Type {
        Type::Tile(elem, shape.to_vec())
    }

    /// Element type of a scalar or tile.
    pub fn elem(&self) -> Option<Elem> {
        match self {
            Type::Scalar(e) | Type::Tile(e, _) => Some(*e),
            Type::Tensor(t) => Some(t.elem),
            Type::Ring(e, _) | Type::View(e, _) | Type::Pending(e, _) => Some(*e),
            Type::Cursor | Type::Invalid => None,
        }
    }

    /// Shape of a tile; a scalar has the empty shape.
    pub fn shape(&self) -> Option<&[usize]> {
        match self {
            Type::Scalar(_) => Some(&[]),
            Type::Tile(_, s) => Some(s),
            _ => None,
        }
    }

    /// The same shape with another element type (scalars and tiles only; others are returned unchanged).
    pub fn with_elem(&self, elem: Elem) -> Type {
        match self {
            Type::Scalar(_) => Type::Scalar(elem),
            Type::Tile(_, s) => Type::Tile(elem, s.clone()),
            other => other.clone(),
        }
    }

    /// `Scalar` for the empty shape, `Tile` otherwise.
    pub fn of(elem: Elem, shape: &[usize]) -> Type {
        if shape.is_empty() { Type::Scalar(elem) } else { Type::tile(elem, shape) }
    }

    /// Number of elements of a scalar or tile.
    pub fn count(&self) -> usize {
        self.shape().map_or(0, |s| s.iter().product())
    }

    /// Whether this is a tile.
    pub fn is_tile(&self) -> bool {
        matches!(self, Type::Tile(..))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Scalar(e) => write!(f, "{e}"),
            Type::Tile(e, shape) => {
                f.write_str("tile<")?;
                for d in shape {
                    write!(f, "{d}x")?;
                }
                write!(f, "{e}>")
            }
            Type::Tensor(t) => {
                write!(f, "{}tensor<{}, [", if t.mutable { "mut " } else { "" }, t.elem)?;
                for (i, d) in t.dims.iter().enumerate() {
                    write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]>")
            }
            Type::Ring(e, [s, m, n]) => write!(f, "ring<{s}x{m}x{n}x{e}>"),
            Type::Cursor => f.write_str("cursor"),
            Type::View(e, [m, n]) => write!(f, "view<{m}x{n}x{e}>"),
            Type::Pending(e, [m, n]) => write!(f, "pending<{m}x{n}x{e}>"),
            Type::Invalid => f.write_str("invalid"),
        }
    }
}
