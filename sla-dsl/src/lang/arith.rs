//! Operators of the language. Between constants they compute when the kernel is built; with a value on either side they become ops.

use super::value::pair;
use super::{Cx, Opd, Operand, Val};
use crate::ir::{OpCode, Pred};

/// `+ - * / % << >>`, `minimum`, `maximum`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` and `{B}` cannot be combined by an operator",
    label = "operators take tiles, scalars and constants; a block of a tensor is a tile after `.load()`"
)]
pub trait Arith<B> {
    /// A constant for two constants, else a value.
    type Out;
    /// Computes or records it.
    fn arith(self, cx: Cx<'_>, code: OpCode, b: B) -> Self::Out;
}

/// `== != < <= > >=`.
#[diagnostic::on_unimplemented(message = "`{Self}` and `{B}` cannot be compared")]
pub trait Compare<B> {
    /// `bool` for two constants, else a value.
    type Out;
    /// Computes or records it.
    fn compare(self, cx: Cx<'_>, pred: Pred, b: B) -> Self::Out;
}

/// `& | ^ && ||`.
#[diagnostic::on_unimplemented(message = "`{Self}` and `{B}` cannot be combined by a logical operator")]
pub trait Logic<B> {
    /// A constant for two constants, else a value.
    type Out;
    /// Computes or records it.
    fn logic(self, cx: Cx<'_>, code: OpCode, b: B) -> Self::Out;
}

/// An operator as it is written.
fn symbol(code: OpCode) -> &'static str {
    match code {
        OpCode::Add => "+",
        OpCode::Sub => "-",
        OpCode::Mul => "*",
        OpCode::Div => "/",
        OpCode::Rem => "%",
        OpCode::Shl => "<<",
        OpCode::Shr => ">>",
        other => other.name(),
    }
}

impl Arith<i64> for i64 {
    type Out = i64;
    fn arith(self, cx: Cx<'_>, code: OpCode, b: i64) -> i64 {
        let shift = u32::try_from(b).unwrap_or(u32::MAX);
        let result = match code {
            OpCode::Add => self.checked_add(b),
            OpCode::Sub => self.checked_sub(b),
            OpCode::Mul => self.checked_mul(b),
            OpCode::Div => self.checked_div(b),
            OpCode::Rem => self.checked_rem(b),
            OpCode::Min => Some(self.min(b)),
            OpCode::Max => Some(self.max(b)),
            OpCode::Shl => self.checked_shl(shift),
            OpCode::Shr => self.checked_shr(shift),
            _ => None,
        };
        result.unwrap_or_else(|| {
            cx.error(format!("`{self} {} {b}` has no value", symbol(code)));
            1
        })
    }
}

impl Arith<f64> for f64 {
    type Out = f64;
    fn arith(self, cx: Cx<'_>, code: OpCode, b: f64) -> f64 {
        match code {
            OpCode::Add => self + b,
            OpCode::Sub => self - b,
            OpCode::Mul => self * b,
            OpCode::Div => self / b,
            OpCode::Min => self.min(b),
            OpCode::Max => self.max(b),
            _ => {
                cx.error(format!("`{self:?} {} {b:?}` has no value", symbol(code)));
                f64::NAN
            }
        }
    }
}

impl Arith<f64> for i64 {
    type Out = f64;
    fn arith(self, cx: Cx<'_>, code: OpCode, b: f64) -> f64 {
        (self as f64).arith(cx, code, b)
    }
}

impl Arith<i64> for f64 {
    type Out = f64;
    fn arith(self, cx: Cx<'_>, code: OpCode, b: i64) -> f64 {
        self.arith(cx, code, b as f64)
    }
}

fn holds<T: PartialOrd>(pred: Pred, a: T, b: T) -> bool {
    match pred {
        Pred::Eq => a == b,
        Pred::Ne => a != b,
        Pred::Lt => a < b,
        Pred::Le => a <= b,
        Pred::Gt => a > b,
        Pred::Ge => a >= b,
    }
}

macro_rules! compare_constants {
    ($($t:ty),+) => { $(impl Compare<$t> for $t {
        type Out = bool;
        fn compare(self, _: Cx<'_>, pred: Pred, b: $t) -> bool {
            holds(pred, self, b)
        }
    })+ };
}
compare_constants!(i64, f64, bool, crate::ir::Elem);

impl Logic<bool> for bool {
    type Out = bool;
    fn logic(self, _: Cx<'_>, code: OpCode, b: bool) -> bool {
        match code {
            OpCode::And => self && b,
            OpCode::Or => self || b,
            _ => self ^ b,
        }
    }
}

impl Logic<i64> for i64 {
    type Out = i64;
    fn logic(self, _: Cx<'_>, code: OpCode, b: i64) -> i64 {
        match code {
            OpCode::And => self & b,
            OpCode::Or => self | b,
            _ => self ^ b,
        }
    }
}

fn binary(cx: Cx<'_>, code: OpCode, a: Opd, b: Opd) -> Val {
    let (a, b) = pair(cx, a, b);
    Val(cx.b.binary(code, a, b, cx.loc))
}

macro_rules! with_values {
    ($($a:ty, $b:ty);+) => { $(
        impl Arith<$b> for $a {
            type Out = Val;
            fn arith(self, cx: Cx<'_>, code: OpCode, b: $b) -> Val {
                binary(cx, code, self.opd(), b.opd())
            }
        }
        impl Compare<$b> for $a {
            type Out = Val;
            fn compare(self, cx: Cx<'_>, pred: Pred, b: $b) -> Val {
                let (a, b) = pair(cx, self.opd(), b.opd());
                Val(cx.b.cmp(pred, a, b, cx.loc))
            }
        }
        impl Logic<$b> for $a {
            type Out = Val;
            fn logic(self, cx: Cx<'_>, code: OpCode, b: $b) -> Val {
                binary(cx, code, self.opd(), b.opd())
            }
        }
    )+ };
}
with_values!(Val, Val; Val, i64; Val, f64; Val, bool; i64, Val; f64, Val; bool, Val);

macro_rules! operators {
    ($($(#[doc = $doc:literal])+ $name:ident, $trait:ident, $method:ident, $what:expr;)+) => { $(
        $(#[doc = $doc])+
        pub fn $name<A: $trait<B>, B>(cx: Cx<'_>, a: A, b: B) -> A::Out {
            a.$method(cx, $what, b)
        }
    )+ };
}

operators! {
    /// `a + b`
    add, Arith, arith, OpCode::Add;
    /// `a - b`
    sub, Arith, arith, OpCode::Sub;
    /// `a * b`
    mul, Arith, arith, OpCode::Mul;
    /// `a / b`
    div, Arith, arith, OpCode::Div;
    /// `a % b`
    rem, Arith, arith, OpCode::Rem;
    /// `a << b`
    shl, Arith, arith, OpCode::Shl;
    /// `a >> b`
    shr, Arith, arith, OpCode::Shr;
    /// The smaller of each two elements.
    minimum, Arith, arith, OpCode::Min;
    /// The larger of each two elements.
    maximum, Arith, arith, OpCode::Max;
    /// `a & b`, `a && b`
    and, Logic, logic, OpCode::And;
    /// `a | b`, `a || b`
    or, Logic, logic, OpCode::Or;
    /// `a ^ b`
    xor, Logic, logic, OpCode::Xor;
    /// `a == b`
    eq, Compare, compare, Pred::Eq;
    /// `a != b`
    ne, Compare, compare, Pred::Ne;
    /// `a < b`
    lt, Compare, compare, Pred::Lt;
    /// `a <= b`
    le, Compare, compare, Pred::Le;
    /// `a > b`
    gt, Compare, compare, Pred::Gt;
    /// `a >= b`
    ge, Compare, compare, Pred::Ge;
}

/// `a.div_ceil(b)`: the quotient of non-negative numbers, rounded up.
pub trait DivCeil<B> {
    /// A constant for two constants, else a value.
    type Out;
    /// Computes or records it.
    fn div_ceil(self, cx: Cx<'_>, b: B) -> Self::Out;
}

impl<A, B> DivCeil<B> for A
where
    B: Arith<i64> + Copy,
    A: Arith<<B as Arith<i64>>::Out>,
    <A as Arith<<B as Arith<i64>>::Out>>::Out: Arith<B>,
{
    type Out = <<A as Arith<<B as Arith<i64>>::Out>>::Out as Arith<B>>::Out;
    fn div_ceil(self, cx: Cx<'_>, b: B) -> Self::Out {
        div(cx, add(cx, self, sub(cx, b, 1i64)), b)
    }
}

/// `a.div_ceil(b)`
pub fn div_ceil<A: DivCeil<B>, B>(cx: Cx<'_>, a: A, b: B) -> A::Out {
    a.div_ceil(cx, b)
}

/// `-a` and `a.abs()`.
pub trait Signed {
    /// Of the same kind.
    type Out;
    /// Computes or records it.
    fn signed(self, cx: Cx<'_>, code: OpCode) -> Self::Out;
}

impl Signed for i64 {
    type Out = i64;
    fn signed(self, _: Cx<'_>, code: OpCode) -> i64 {
        if code == OpCode::Neg { self.wrapping_neg() } else { self.wrapping_abs() }
    }
}
impl Signed for f64 {
    type Out = f64;
    fn signed(self, _: Cx<'_>, code: OpCode) -> f64 {
        if code == OpCode::Neg { -self } else { self.abs() }
    }
}
impl Signed for Val {
    type Out = Val;
    fn signed(self, cx: Cx<'_>, code: OpCode) -> Val {
        Val(cx.b.unary(code, self.0, cx.loc))
    }
}

/// `-a`
pub fn neg<A: Signed>(cx: Cx<'_>, a: A) -> A::Out {
    a.signed(cx, OpCode::Neg)
}

/// `|a|`
pub fn abs<A: Signed>(cx: Cx<'_>, a: A) -> A::Out {
    a.signed(cx, OpCode::Abs)
}

/// `!a`
pub trait Not {
    /// Of the same kind.
    type Out;
    /// Computes or records it.
    fn not(self, cx: Cx<'_>) -> Self::Out;
}
impl Not for bool {
    type Out = bool;
    fn not(self, _: Cx<'_>) -> bool {
        !self
    }
}
impl Not for Val {
    type Out = Val;
    fn not(self, cx: Cx<'_>) -> Val {
        Val(cx.b.unary(OpCode::Not, self.0, cx.loc))
    }
}

/// `!a`
pub fn not<A: Not>(cx: Cx<'_>, a: A) -> A::Out {
    a.not(cx)
}
