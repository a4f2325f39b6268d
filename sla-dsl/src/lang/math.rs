//! Functions of the language that make values: elementary functions, constructors, shapes, products.

use super::cx::{axis, shape};
use super::value::pair;
use super::{Cx, Opd, Operand, Val};
use crate::ir::{Elem, OpCode, Type};

/// Elementary functions of a real number.
#[diagnostic::on_unimplemented(message = "this function takes an f32 tile, an f32 scalar or a constant")]
pub trait Real {
    /// `f64` for a constant, else a value.
    type Out;
    /// Computes or records it.
    fn real(self, cx: Cx<'_>, code: OpCode) -> Self::Out;
}

impl Real for f64 {
    type Out = f64;
    fn real(self, _: Cx<'_>, code: OpCode) -> f64 {
        match code {
            OpCode::Exp2 => self.exp2(),
            OpCode::Exp => self.exp(),
            OpCode::Log2 => self.log2(),
            OpCode::Log => self.ln(),
            OpCode::Sqrt => self.sqrt(),
            _ => 1.0 / self.sqrt(),
        }
    }
}

impl Real for i64 {
    type Out = f64;
    fn real(self, cx: Cx<'_>, code: OpCode) -> f64 {
        (self as f64).real(cx, code)
    }
}

impl Real for Val {
    type Out = Val;
    fn real(self, cx: Cx<'_>, code: OpCode) -> Val {
        Val(cx.b.unary(code, self.0, cx.loc))
    }
}

macro_rules! real {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:ident;)+) => { $(
        $(#[doc = $doc])+
        pub fn $name<A: Real>(cx: Cx<'_>, a: A) -> A::Out {
            a.real(cx, OpCode::$code)
        }
    )+ };
}

real! {
    /// `2^a`
    exp2 = Exp2;
    /// `e^a`
    exp = Exp;
    /// Base-2 logarithm.
    log2 = Log2;
    /// Natural logarithm.
    log = Log;
    /// Square root.
    sqrt = Sqrt;
    /// `1 / sqrt(a)`
    rsqrt = Rsqrt;
}

/// `a * b + c`, rounded once.
pub fn fma(cx: Cx<'_>, a: impl Operand, b: impl Operand, c: impl Operand) -> Val {
    let f32_of = |x: Opd| x.adopt(cx, Elem::F32, &[]);
    Val(cx.b.fma(f32_of(a.opd()), f32_of(b.opd()), f32_of(c.opd()), cx.loc))
}

/// `a` where `c` holds, else `b`, element by element.
pub fn select(cx: Cx<'_>, c: impl Operand, a: impl Operand, b: impl Operand) -> Val {
    let c = c.opd().value(cx);
    let (a, b) = pair(cx, a.opd(), b.opd());
    Val(cx.b.select(c, a, b, cx.loc))
}

/// Another element type.
pub fn cast(cx: Cx<'_>, x: impl Operand, elem: Elem) -> Val {
    match x.opd() {
        Opd::Float(f) if elem.is_int() => Val(Opd::Int(f as i64).adopt(cx, elem, &[])),
        constant @ (Opd::Int(_) | Opd::Float(_)) if elem != Elem::Bool => Val(constant.adopt(cx, elem, &[])),
        x => {
            let x = x.value(cx);
            Val(cx.b.cast(x, elem, cx.loc))
        }
    }
}

/// A value under a type that the user wrote beside it; a constant takes that type.
pub fn ascribe(cx: Cx<'_>, x: impl Operand, elem: Elem, dims: &[i64]) -> Val {
    let Some(shape) = shape(cx, dims) else { return cx.invalid() };
    let v = Val(x.opd().adopt(cx, elem, &shape));
    let (found, declared) = (cx.b.ty(v.0), Type::of(elem, &shape));
    if found == declared || found == Type::Invalid {
        return v;
    }
    cx.error(format!("this says {declared}, the expression is a {found}"))
}

/// A tile of zeros.
pub fn zeros(cx: Cx<'_>, elem: Elem, dims: &[i64]) -> Val {
    match elem {
        Elem::Bool => full(cx, elem, dims, false),
        _ => full(cx, elem, dims, 0i64),
    }
}

/// A tile of copies of a constant or scalar.
pub fn full(cx: Cx<'_>, elem: Elem, dims: &[i64], value: impl Operand) -> Val {
    let Some(shape) = shape(cx, dims) else { return cx.invalid() };
    match value.opd() {
        Opd::Val(v) => {
            let ty = cx.b.ty(v.0);
            if ty.elem().is_some_and(|e| e != elem) {
                return cx.error(format!("this fills a tile of {elem} with a {ty}; cast it first"));
            }
            Val(cx.b.broadcast_to(v.0, &shape, cx.loc))
        }
        constant => Val(constant.adopt(cx, elem, &shape)),
    }
}

/// An i32 tile that counts along an axis.
pub fn iota(cx: Cx<'_>, dims: &[i64], along: impl Operand) -> Val {
    match (shape(cx, dims), axis(cx, along)) {
        (Some(shape), Some(axis)) => Val(cx.b.iota(&shape, axis, cx.loc)),
        _ => cx.invalid(),
    }
}

/// Matrix product in f32.
pub fn dot(cx: Cx<'_>, a: impl Operand, b: impl Operand) -> Val {
    let (a, b) = (a.opd().value(cx), b.opd().value(cx));
    Val(cx.b.dot(a, b, None, cx.loc))
}

/// Matrix product in f32, added to an f32 tile.
pub fn dot_acc(cx: Cx<'_>, a: impl Operand, b: impl Operand, acc: impl Operand) -> Val {
    let (a, b, acc) = (a.opd().value(cx), b.opd().value(cx), acc.opd().value(cx));
    Val(cx.b.dot(a, b, Some(acc), cx.loc))
}

/// The elements of each row that are kept, from its start on, and zeros behind them.
pub fn pack(cx: Cx<'_>, x: Val, keep: impl Operand) -> Val {
    let keep = keep.opd().value(cx);
    Val(cx.b.pack(x.0, keep, cx.loc))
}

/// A rank-2 tile with its axes exchanged.
pub fn t(cx: Cx<'_>, x: Val) -> Val {
    Val(cx.b.transpose(x.0, cx.loc))
}

/// The same elements under another shape.
pub fn reshape(cx: Cx<'_>, x: Val, dims: &[i64]) -> Val {
    match shape(cx, dims) {
        Some(shape) => Val(cx.b.reshape(x.0, &shape, cx.loc)),
        None => cx.invalid(),
    }
}

/// Copies to a larger shape by numpy's rules.
pub fn broadcast(cx: Cx<'_>, x: Val, dims: &[i64]) -> Val {
    match shape(cx, dims) {
        Some(shape) => Val(cx.b.broadcast_to(x.0, &shape, cx.loc)),
        None => cx.invalid(),
    }
}

/// An axis of size 1 put in before `at`.
pub fn unsqueeze(cx: Cx<'_>, x: Val, at: impl Operand) -> Val {
    let (ty, Some(at)) = (cx.b.ty(x.0), axis(cx, at)) else { return cx.invalid() };
    let Some(from) = ty.shape() else { return cx.invalid() };
    if at > from.len() {
        return cx
            .error(format!("axis {at} is out of range for a tile of shape {from:?} with one axis more"));
    }
    let mut shape = from.to_vec();
    shape.insert(at, 1);
    if from.is_empty() {
        return Val(cx.b.broadcast_to(x.0, &shape, cx.loc));
    }
    Val(cx.b.reshape(x.0, &shape, cx.loc))
}

/// An axis of size 1 left out.
pub fn squeeze(cx: Cx<'_>, x: Val, at: impl Operand) -> Val {
    let (ty, Some(at)) = (cx.b.ty(x.0), axis(cx, at)) else { return cx.invalid() };
    let Some(from) = ty.shape() else { return cx.invalid() };
    match from.get(at) {
        None => cx.error(format!("axis {at} is out of range for a tile of shape {from:?}")),
        Some(1) if from.len() == 1 => cx.error("the only axis of a tile cannot be squeezed away"),
        Some(1) => {
            let mut shape = from.to_vec();
            shape.remove(at);
            Val(cx.b.reshape(x.0, &shape, cx.loc))
        }
        Some(n) => cx.error(format!(
            "axis {at} of shape {from:?} has size {n}; only an axis of size 1 can be squeezed"
        )),
    }
}

/// Stops the program with `msg` unless `cond` holds everywhere (where the target can).
pub fn assert(cx: Cx<'_>, cond: impl Operand, msg: &str) {
    match cond.opd() {
        Opd::Bool(true) => {}
        Opd::Bool(false) => {
            cx.error(format!("the assertion does not hold: {msg}"));
        }
        cond => {
            let cond = cond.value(cx);
            cx.b.assert(cond, msg, cx.loc);
        }
    }
}

/// Prints `msg` and values (where the target can).
pub fn print(cx: Cx<'_>, msg: &str, values: &[Opd]) {
    let values: Vec<_> = values.iter().map(|v| v.value(cx)).collect();
    cx.b.print(msg, &values, cx.loc);
}
