//! Reductions, and `min` and `max`, which are one on a tile and an operator on scalars.

use super::{Arith, Cx, Val};
use crate::ir::OpCode;

/// `a.min(b)` and `a.max(b)`: along an axis of a tile, else the smaller or larger of two scalars or constants.
#[diagnostic::on_unimplemented(message = "`.min()` and `.max()` take an axis of a tile, or two scalars")]
pub trait MinMax<B> {
    /// A constant for two constants, else a value.
    type Out;
    /// Computes or records it.
    fn minmax(self, cx: Cx<'_>, reduce: OpCode, code: OpCode, b: B) -> Self::Out;
}

macro_rules! minmax_constants {
    ($($a:ty, $b:ty => $out:ty);+) => { $(impl MinMax<$b> for $a {
        type Out = $out;
        fn minmax(self, cx: Cx<'_>, _: OpCode, code: OpCode, b: $b) -> $out {
            self.arith(cx, code, b)
        }
    })+ };
}
minmax_constants!(i64, i64 => i64; f64, f64 => f64; i64, f64 => f64; f64, i64 => f64; i64, Val => Val; f64, Val => Val);

impl MinMax<i64> for Val {
    type Out = Val;
    fn minmax(self, cx: Cx<'_>, reduce: OpCode, code: OpCode, b: i64) -> Val {
        if cx.b.ty(self.0).is_tile() { reduce_along(cx, reduce, self, b) } else { self.arith(cx, code, b) }
    }
}

macro_rules! minmax_scalars {
    ($($b:ty),+) => { $(impl MinMax<$b> for Val {
        type Out = Val;
        fn minmax(self, cx: Cx<'_>, _: OpCode, code: OpCode, b: $b) -> Val {
            if cx.b.ty(self.0).is_tile() {
                let name = code.name();
                return cx.error(format!("`.{name}()` of a tile takes an axis; element by element it is `.{name}imum()`"));
            }
            self.arith(cx, code, b)
        }
    })+ };
}
minmax_scalars!(Val, f64);

/// `a.min(b)`
pub fn min<A: MinMax<B>, B>(cx: Cx<'_>, a: A, b: B) -> A::Out {
    a.minmax(cx, OpCode::ReduceMin, OpCode::Min, b)
}

/// `a.max(b)`
pub fn max<A: MinMax<B>, B>(cx: Cx<'_>, a: A, b: B) -> A::Out {
    a.minmax(cx, OpCode::ReduceMax, OpCode::Max, b)
}

/// Sum along an axis, which becomes 1.
pub fn sum(cx: Cx<'_>, x: Val, axis: i64) -> Val {
    reduce_along(cx, OpCode::ReduceSum, x, axis)
}

fn reduce_along(cx: Cx<'_>, code: OpCode, x: Val, axis: i64) -> Val {
    match super::cx::axis(cx, axis) {
        Some(axis) => Val(cx.b.reduce(code, x.0, axis, cx.loc)),
        None => cx.invalid(),
    }
}
