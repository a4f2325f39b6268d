//! Values of an expanded body: [`Val`] for what exists when the kernel runs, `i64`, `f64` and `bool` for what is known when it is built.

use super::Cx;
use crate::ir::{Elem, Scalar, Type, Value};

/// A tile or scalar of the kernel under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Val(pub(super) Value);

/// An operand, taken apart.
#[derive(Clone, Copy, Debug)]
pub enum Opd {
    /// A value.
    Val(Val),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
}

/// What may stand where a value is expected.
#[diagnostic::on_unimplemented(
    message = "a tile, a scalar or a constant is expected here",
    label = "this is `{Self}`; a block of a tensor is a tile after `.load()`"
)]
pub trait Operand: Copy {
    /// Takes it apart.
    fn opd(self) -> Opd;
}

impl Operand for Val {
    fn opd(self) -> Opd {
        Opd::Val(self)
    }
}
impl Operand for Opd {
    fn opd(self) -> Opd {
        self
    }
}
impl Operand for i64 {
    fn opd(self) -> Opd {
        Opd::Int(self)
    }
}
impl Operand for f64 {
    fn opd(self) -> Opd {
        Opd::Float(self)
    }
}
impl Operand for bool {
    fn opd(self) -> Opd {
        Opd::Bool(self)
    }
}

impl Opd {
    /// As a value; a constant becomes a scalar of its natural type: i32, f32 or bool.
    pub(super) fn value(self, cx: Cx<'_>) -> Value {
        match self {
            Opd::Val(v) => v.0,
            Opd::Int(_) => self.adopt(cx, Elem::I32, &[]),
            Opd::Float(_) => self.adopt(cx, Elem::F32, &[]),
            Opd::Bool(_) => self.adopt(cx, Elem::Bool, &[]),
        }
    }

    /// As a value beside a value of type `like`: a constant adopts its element type and shape.
    pub(super) fn beside(self, cx: Cx<'_>, like: &Type) -> Value {
        match (self, like.elem(), like.shape()) {
            (Opd::Val(v), ..) => v.0,
            (_, Some(elem), Some(shape)) => self.adopt(cx, elem, shape),
            (_, None, _) => cx.b.invalid(),
            _ => self.value(cx),
        }
    }

    /// A constant as an element type and shape; a value as it is.
    pub(super) fn adopt(self, cx: Cx<'_>, elem: Elem, shape: &[usize]) -> Value {
        let scalar = match self {
            Opd::Val(v) => return v.0,
            Opd::Int(i) if elem.is_float() => Scalar::Float(i as f64),
            Opd::Int(i) => Scalar::Int(i),
            Opd::Float(f) => Scalar::Float(f),
            Opd::Bool(b) => Scalar::Bool(b),
        };
        let fits = match scalar {
            Scalar::Float(_) => elem.is_float(),
            Scalar::Int(_) => elem.is_int(),
            Scalar::Bool(_) => elem == Elem::Bool,
        };
        if fits {
            return cx.b.full(shape, scalar, elem, cx.loc);
        }
        let hint = if elem.is_int() { "; write a whole number, or cast the other side to f32" } else { "" };
        cx.error(format!("the constant {self} cannot be a value of type {elem}{hint}")).0
    }
}

impl std::fmt::Display for Opd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Opd::Val(v) => write!(f, "{}", v.0),
            Opd::Int(i) => write!(f, "{i}"),
            Opd::Float(x) => write!(f, "{x:?}"),
            Opd::Bool(b) => write!(f, "{b}"),
        }
    }
}

/// Two operands as values: a constant adopts the other's element type.
pub(super) fn pair(cx: Cx<'_>, a: Opd, b: Opd) -> (Value, Value) {
    match (a, b) {
        (Opd::Val(x), _) => (x.0, b.beside(cx, &cx.b.ty(x.0))),
        (_, Opd::Val(y)) => (a.beside(cx, &cx.b.ty(y.0)), y.0),
        (Opd::Float(_), _) | (_, Opd::Float(_)) => (a.adopt(cx, Elem::F32, &[]), b.adopt(cx, Elem::F32, &[])),
        _ => (a.value(cx), b.value(cx)),
    }
}

/// A Rust constant named in a body: becomes a constant of the language.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used in a device function",
    label = "only constants of type usize, i32, i64, f32, f64 and bool are seen from here"
)]
pub trait Konst {
    /// `i64`, `f64` or `bool`.
    type Out;
    /// The constant.
    fn konst(self) -> Self::Out;
}

macro_rules! konst {
    ($($t:ty => $out:ty),+ $(,)?) => {
        $(impl Konst for $t {
            type Out = $out;
            fn konst(self) -> $out {
                self as $out
            }
        })+
    };
}
konst!(usize => i64, i32 => i64, i64 => i64, u32 => i64, f32 => f64, f64 => f64, bool => bool);

/// A Rust constant as a constant of the language.
pub fn konst<K: Konst>(value: K) -> K::Out {
    value.konst()
}

/// Turns constants into values, for variables that change while the kernel runs. What is no constant stays as it is.
pub trait Promote {
    /// The same with values for constants.
    type Out;
    /// Turns it.
    fn promote(self, cx: Cx<'_>) -> Self::Out;
}

macro_rules! promote {
    ($($t:ty),+) => { $(impl Promote for $t {
        type Out = Val;
        fn promote(self, cx: Cx<'_>) -> Val {
            Val(self.opd().value(cx))
        }
    })+ };
}
promote!(i64, f64, bool, Val);

/// Turns constants into values.
pub fn promote<P: Promote>(cx: Cx<'_>, value: P) -> P::Out {
    value.promote(cx)
}

/// What may be assigned to a variable that holds an `Old`.
#[diagnostic::on_unimplemented(message = "a variable that holds a `{Old}` cannot be given a `{Self}`")]
pub trait Assign<Old> {
    /// The variable's new value; a constant adopts the element type of a scalar.
    fn assign(self, cx: Cx<'_>, old: Old) -> Old;
}

impl<T: Operand> Assign<Val> for T {
    fn assign(self, cx: Cx<'_>, old: Val) -> Val {
        let ty = cx.b.ty(old.0);
        Val(if matches!(ty, Type::Scalar(_)) { self.opd().beside(cx, &ty) } else { self.opd().value(cx) })
    }
}

/// The new value of a variable.
pub fn assign<Old, T: Assign<Old>>(cx: Cx<'_>, old: Old, new: T) -> Old {
    new.assign(cx, old)
}

/// One of two results of an `if` that is decided when the kernel is built.
pub enum Either<A, B> {
    /// The condition holds.
    Then(A),
    /// It does not.
    Else(B),
}

/// Results of both branches that can be taken for one: `self` of the first, `B` of the second.
#[diagnostic::on_unimplemented(
    message = "the two branches of this `if` give different things: `{Self}` and `{B}`"
)]
pub trait Join<B> {
    /// What both become.
    type Out;
    /// The first branch's result.
    fn of_then(self, cx: Cx<'_>) -> Self::Out;
    /// The second branch's result.
    fn of_else(other: B, cx: Cx<'_>) -> Self::Out;
}

/// Whichever there is.
pub fn join<A: Join<B>, B>(cx: Cx<'_>, either: Either<A, B>) -> A::Out {
    match either {
        Either::Then(a) => a.of_then(cx),
        Either::Else(b) => A::of_else(b, cx),
    }
}

macro_rules! joins_itself {
    ($($t:ty),+) => { $(impl Join<$t> for $t {
        type Out = $t;
        fn of_then(self, _: Cx<'_>) -> $t {
            self
        }
        fn of_else(other: $t, _: Cx<'_>) -> $t {
            other
        }
    })+ };
}
joins_itself!(i64, f64, bool, crate::ir::Elem, Val, (), super::TensorView, super::BlockList);

macro_rules! joins_as_value {
    ($($a:ty, $b:ty);+) => { $(impl Join<$b> for $a {
        type Out = Val;
        fn of_then(self, cx: Cx<'_>) -> Val {
            self.promote(cx)
        }
        fn of_else(other: $b, cx: Cx<'_>) -> Val {
            other.promote(cx)
        }
    })+ };
}
joins_as_value!(i64, Val; Val, i64; f64, Val; Val, f64; bool, Val; Val, bool; i64, f64; f64, i64);

macro_rules! tuples {
    ($($a:ident $b:ident $n:tt),+) => {
        impl<$($a: Promote),+> Promote for ($($a,)+) {
            type Out = ($($a::Out,)+);
            fn promote(self, cx: Cx<'_>) -> Self::Out {
                ($(self.$n.promote(cx),)+)
            }
        }
        impl<$($a, $b: Assign<$a>),+> Assign<($($a,)+)> for ($($b,)+) {
            fn assign(self, cx: Cx<'_>, old: ($($a,)+)) -> ($($a,)+) {
                ($(self.$n.assign(cx, old.$n),)+)
            }
        }
        impl<$($a: Join<$b>, $b),+> Join<($($b,)+)> for ($($a,)+) {
            type Out = ($($a::Out,)+);
            fn of_then(self, cx: Cx<'_>) -> Self::Out {
                ($(self.$n.of_then(cx),)+)
            }
            fn of_else(other: ($($b,)+), cx: Cx<'_>) -> Self::Out {
                ($($a::of_else(other.$n, cx),)+)
            }
        }
    };
}
tuples!(A P 0, B Q 1);
tuples!(A P 0, B Q 1, C R 2);
tuples!(A P 0, B Q 1, C R 2, D S 3);
tuples!(A P 0, B Q 1, C R 2, D S 3, E T 4);
tuples!(A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5);

macro_rules! stays {
    ($($t:ty),+) => { $(
        impl Promote for $t {
            type Out = $t;
            fn promote(self, _: Cx<'_>) -> $t {
                self
            }
        }
        impl Assign<$t> for $t {
            fn assign(self, _: Cx<'_>, _: $t) -> $t {
                self
            }
        }
    )+ };
}
stays!((), super::TensorView, super::BlockList);
