//! What the checker knows of a value: its kind, element type and symbolic shape.
//!
//! [`Kind::Unknown`] stands for everything that cannot be told here (results of other functions, structs, failed
//! expressions); no rule ever reports it.

use super::poly::Poly;
use std::fmt;

/// An element type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elem {
    F32,
    F16,
    BF16,
    I32,
    I8,
    Bool,
    /// A generic; the flag tells that it is bound to be a float, maybe of 16 bits.
    Generic(String, bool),
    Unknown,
}

impl Elem {
    /// The element type of a name of the language.
    pub fn from_name(name: &str) -> Option<Elem> {
        Some(match name {
            "f32" => Elem::F32,
            "f16" => Elem::F16,
            "bf16" => Elem::BF16,
            "i32" => Elem::I32,
            "i8" => Elem::I8,
            "bool" => Elem::Bool,
            _ => return None,
        })
    }

    /// Whether some op may be defined on it only after a cast, because it is a storage type or may be one.
    pub fn is_storage(&self) -> bool {
        matches!(self, Elem::F16 | Elem::BF16 | Elem::I8 | Elem::Generic(_, true))
    }

    /// Whether it is, or may be, a float type.
    pub fn may_be_float(&self) -> bool {
        !matches!(self, Elem::I32 | Elem::I8 | Elem::Bool)
    }

    /// Whether it may be one of the types that a fixed list names.
    pub fn may_be(&self, list: &[Elem]) -> bool {
        matches!(self, Elem::Unknown | Elem::Generic(_, false)) || list.contains(self)
    }

    /// The type to cast to for arithmetic.
    pub fn compute(&self) -> &'static str {
        if *self == Elem::I8 { "i32" } else { "f32" }
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Elem::F32 => "f32",
            Elem::F16 => "f16",
            Elem::BF16 => "bf16",
            Elem::I32 => "i32",
            Elem::I8 => "i8",
            Elem::Bool => "bool",
            Elem::Generic(n, _) => n,
            Elem::Unknown => "_",
        })
    }
}

/// A size; `None` when it is not known.
pub type Dim = Option<Poly>;

/// A shape, outermost axis first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Axes without those of size 1, which memory ops leave out or put in.
    pub fn core(&self) -> Vec<&Dim> {
        self.0.iter().filter(|d| !is_one(d)).collect()
    }
}

/// Whether a size is the number 1.
pub fn is_one(d: &Dim) -> bool {
    d.as_ref().and_then(Poly::as_int) == Some(1)
}

/// A size as a user reads it.
pub fn size_text(d: &Dim) -> String {
    d.as_ref().map_or("_".to_string(), Poly::to_string)
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(size_text).collect();
        write!(f, "[{}]", parts.join(", "))
    }
}

/// What is taken of an axis of a tensor that is not fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    /// All of it.
    Whole(Dim),
    /// A block of this size.
    Cut(Dim),
}

impl Axis {
    /// The extent.
    pub fn size(&self) -> &Dim {
        match self {
            Axis::Whole(d) | Axis::Cut(d) => d,
        }
    }
}

/// A tensor parameter, or a part of it that no load has read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The tensor's name.
    pub tensor: String,
    /// Its element type.
    pub elem: Elem,
    /// Whether it was taken as `&mut`.
    pub mutable: bool,
    /// Axes that are not fixed.
    pub axes: Vec<Axis>,
}

impl Memory {
    /// Extents of the axes that are not fixed.
    pub fn shape(&self) -> Shape {
        Shape(self.axes.iter().map(|a| a.size().clone()).collect())
    }

    /// Axes of which all is taken.
    pub fn whole(&self) -> Vec<&Dim> {
        self.axes
            .iter()
            .filter_map(|a| match a {
                Axis::Whole(d) => Some(d),
                Axis::Cut(_) => None,
            })
            .collect()
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Unknown,
    Unit,
    /// An integer known when the kernel is built, with its size if it has one.
    Int(Dim),
    /// A float known when the kernel is built.
    Float,
    /// A bool known when the kernel is built.
    Bool,
    Text,
    Scalar(Elem),
    Tile(Elem, Shape),
    /// A tensor, a view, or a block of one.
    View(Memory),
    /// A list of blocks, with the size along its axis.
    Blocks(Memory, Dim),
    Tuple(Vec<Kind>),
    /// A list of sizes.
    Array(Vec<Kind>),
}

impl Kind {
    /// A scalar or tile by its shape.
    pub fn of(elem: Elem, shape: Shape) -> Kind {
        if shape.0.is_empty() { Kind::Scalar(elem) } else { Kind::Tile(elem, shape) }
    }

    /// Whether the value is known when the kernel is built.
    pub fn is_const(&self) -> bool {
        matches!(self, Kind::Int(_) | Kind::Float | Kind::Bool)
    }

    /// The scalar that a constant becomes when it is kept in a loop or a branch; others are unchanged.
    pub fn at_run_time(self) -> Kind {
        match self {
            Kind::Int(_) => Kind::Scalar(Elem::I32),
            Kind::Float => Kind::Scalar(Elem::F32),
            Kind::Bool => Kind::Scalar(Elem::Bool),
            Kind::Tuple(ks) => Kind::Tuple(ks.into_iter().map(Kind::at_run_time).collect()),
            k => k,
        }
    }

    /// In the user's words, with an article.
    pub fn describe(&self) -> String {
        match self {
            Kind::Unknown => "a value".into(),
            Kind::Unit => "nothing".into(),
            Kind::Int(_) => "an integer constant".into(),
            Kind::Float => "a float constant".into(),
            Kind::Bool => "a bool constant".into(),
            Kind::Text => "a text".into(),
            Kind::Scalar(e @ (Elem::F32 | Elem::F16 | Elem::I32 | Elem::I8)) => format!("an {e} scalar"),
            Kind::Scalar(e) => format!("a {e} scalar"),
            Kind::Tile(e, s) => format!("a tile of {e} and shape {s}"),
            Kind::View(m) if m.axes.iter().all(|a| matches!(a, Axis::Whole(_))) && !m.axes.is_empty() => {
                format!("the tensor `{}`, not values of it", m.tensor)
            }
            Kind::View(m) => format!("a block of `{}`, not its values", m.tensor),
            Kind::Blocks(m, _) => format!("a list of blocks of `{}`", m.tensor),
            Kind::Tuple(ks) => format!("a tuple of {}", ks.len()),
            Kind::Array(_) => "a list of sizes".into(),
        }
    }
}
