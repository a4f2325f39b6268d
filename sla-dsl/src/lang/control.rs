//! Loops and branches that happen while the kernel runs, and what they carry.

use super::{Cx, Opd, Operand, Val};
use crate::ir::{Elem, OpCode, Type, Value};

/// What a loop or branch can change: tiles, scalars, tuples and structs of them.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot change in a loop or a branch",
    label = "only tiles, scalars, and tuples and structs of them can"
)]
pub trait Carry: Copy {
    /// Its values in order.
    fn flatten(self, out: &mut Vec<Value>);
    /// The same thing made of other values.
    fn rebuild(self, values: &mut dyn Iterator<Item = Value>) -> Self;
}

impl Carry for Val {
    fn flatten(self, out: &mut Vec<Value>) {
        out.push(self.0);
    }
    fn rebuild(self, values: &mut dyn Iterator<Item = Value>) -> Self {
        values.next().map_or(self, Val)
    }
}

impl Carry for () {
    fn flatten(self, _: &mut Vec<Value>) {}
    fn rebuild(self, _: &mut dyn Iterator<Item = Value>) -> Self {}
}

macro_rules! tuples {
    ($($t:ident $n:tt),+) => {
        impl<$($t: Carry),+> Carry for ($($t,)+) {
            fn flatten(self, out: &mut Vec<Value>) {
                $(self.$n.flatten(out);)+
            }
            fn rebuild(self, values: &mut dyn Iterator<Item = Value>) -> Self {
                ($(self.$n.rebuild(values),)+)
            }
        }
    };
}
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);

fn values(c: impl Carry) -> Vec<Value> {
    let mut out = Vec::new();
    c.flatten(&mut out);
    out
}

/// How a loop counts.
#[derive(Clone, Copy)]
pub struct Range {
    lo: Opd,
    hi: Opd,
    step: i64,
    down: bool,
}

/// `lo..hi`
pub fn range(lo: impl Operand, hi: impl Operand) -> Range {
    Range { lo: lo.opd(), hi: hi.opd(), step: 1, down: false }
}

impl Range {
    /// `(lo..hi).step_by(step)`
    pub fn step_by(self, step: i64) -> Range {
        Range { step, ..self }
    }

    /// `(lo..hi).rev()`
    pub fn rev(self) -> Range {
        Range { down: true, ..self }
    }
}

/// Runs `body` with the counter and the carried values of the iteration before; gives the last ones.
pub fn for_<C: Carry>(cx: Cx<'_>, range: Range, init: C, body: impl FnOnce(Val, C) -> C) -> C {
    if range.down && range.step != 1 {
        cx.error("a loop that counts down has the step 1");
    }
    let (lo, hi) = (range.lo.value(cx), range.hi.value(cx));
    let out = cx.b.for_(lo, hi, range.step, &values(init), cx.loc, |i, carried| {
        let i = if range.down {
            let last = cx.b.binary(OpCode::Add, lo, hi, cx.loc);
            let last = cx.b.binary(OpCode::Sub, last, cx.b.int(1, cx.loc), cx.loc);
            cx.b.binary(OpCode::Sub, last, i, cx.loc)
        } else {
            i
        };
        values(body(Val(i), init.rebuild(&mut carried.iter().copied())))
    });
    init.rebuild(&mut out.into_iter())
}

/// Runs one of two branches. Each gets the variables that either changes, and gives them back with its result.
pub fn if_<C: Carry, R: Carry>(
    cx: Cx<'_>,
    cond: impl Operand,
    init: C,
    then: impl FnOnce(C) -> (C, R),
    otherwise: impl FnOnce(C) -> (C, R),
) -> (C, R) {
    let cond = cond.opd().value(cx);
    let mut result = None;
    let out = cx.b.if_(
        cond,
        cx.loc,
        || {
            let (c, r) = then(init);
            result = Some(r);
            values((c, r))
        },
        || values(otherwise(init)),
    );
    let mut out = out.into_iter();
    let c = init.rebuild(&mut out);
    let r = result.expect("the builder runs both branches").rebuild(&mut out);
    (c, r)
}

/// The numbers of `unroll(lo..hi)`.
pub fn unroll(cx: Cx<'_>, lo: i64, hi: i64) -> std::ops::Range<i64> {
    const MOST: i64 = 4096;
    if hi.saturating_sub(lo) > MOST {
        cx.error(format!("`unroll` repeats its body at most {MOST} times, this is {lo}..{hi}"));
        return 0..0;
    }
    lo..hi
}

/// The value of a runtime dim.
pub fn runtime_dim(cx: Cx<'_>, name: &str) -> Val {
    Val(cx.b.dim(name, cx.loc))
}

/// This program's place on a grid axis.
pub fn program_id(cx: Cx<'_>, axis: usize) -> Val {
    Val(cx.b.program_id(axis, cx.loc))
}

/// The scalar parameter with this index.
pub fn param(cx: Cx<'_>, index: usize) -> Val {
    Val(cx.b.param(index))
}

/// Entry `i` of a list of indices in memory: `for j in list.gather(n)`.
pub fn entry(cx: Cx<'_>, list: impl super::AsView, i: Val) -> Val {
    let v = super::load(cx, super::at(cx, list, &[i.opd()]));
    let ty = cx.b.ty(v.0);
    match ty {
        Type::Scalar(Elem::I32) | Type::Invalid => v,
        _ => cx.error(format!("`gather` runs over an axis of i32 indices, an entry here is a {ty}")),
    }
}
