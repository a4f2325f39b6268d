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

/// One of two results of an `if` that is decided when the kernel is built.
pub enum Either<A, B> {
    /// The condition holds.
    Then(A),
    /// It does not.
    Else(B),
}

/// Results of both branches that can be taken for one.
#[diagnostic::on_unimplemented(message = "the two branches of this `if` give different things")]
pub trait Join {
    /// What both become.
    type Out;
    /// Whichever there is.
    fn join(self, cx: Cx<'_>) -> Self::Out;
}

/// Whichever there is.
pub fn join<J: Join>(cx: Cx<'_>, either: J) -> J::Out {
    either.join(cx)
}

/// Implements [`Join`] and [`Promote`] for types that stay as they are.
#[doc(hidden)]
#[macro_export]
macro_rules! __sla_joins_itself {
    ($($t:ty),+) => { $(
        impl $crate::lang::Join for $crate::lang::Either<$t, $t> {
            type Out = $t;
            fn join(self, _: $crate::lang::Cx<'_>) -> $t {
                match self {
                    $crate::lang::Either::Then(v) | $crate::lang::Either::Else(v) => v,
                }
            }
        }
    )+ };
}
__sla_joins_itself!(i64, f64, bool, Val, (), super::TensorView, super::BlockList);

macro_rules! joins_as_value {
    ($($a:ty, $b:ty);+) => { $(impl Join for Either<$a, $b> {
        type Out = Val;
        fn join(self, cx: Cx<'_>) -> Val {
            match self {
                Either::Then(v) => v.promote(cx),
                Either::Else(v) => v.promote(cx),
            }
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
        impl<$($a, $b),+> Join for Either<($($a,)+), ($($b,)+)>
        where
            $(Either<$a, $b>: Join),+
        {
            type Out = ($(<Either<$a, $b> as Join>::Out,)+);
            fn join(self, cx: Cx<'_>) -> Self::Out {
                match self {
                    Either::Then(v) => ($(Either::<$a, $b>::Then(v.$n).join(cx),)+),
                    Either::Else(v) => ($(Either::<$a, $b>::Else(v.$n).join(cx),)+),
                }
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
    ($($t:ty),+) => { $(impl Promote for $t {
        type Out = $t;
        fn promote(self, _: Cx<'_>) -> $t {
            self
        }
    })+ };
}
stays!((), super::TensorView, super::BlockList);
