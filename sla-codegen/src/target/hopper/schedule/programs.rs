//! The persistent loop that every role has: the programs of a block of threads, one after the other.
//!
//! Block `c` of `n` runs programs `c`, `c + n`, `c + 2n`, …, whichever role asks; what a role carries (its places in rings) runs on from one program to
//! the next, so that producers may be ahead of consumers across programs.

use super::writer::Writer;
use sla_dsl::ir::{Attr, Elem, OpCode, Type, Value};

/// Writes the loop; `body` gets what it carries and returns what it carries on.
pub fn programs(
    w: &mut Writer<'_>,
    init: &[Value],
    body: impl FnOnce(&mut Writer<'_>, &[Value]) -> Vec<Value>,
) {
    let axes = w.tile.grid.len();
    let extents: Vec<Value> =
        (0..axes).map(|a| w.index(OpCode::Extent, &[("axis", Attr::Int(a as i64))])).collect();
    let (cta, ctas) = (w.index(OpCode::Cta, &[]), w.index(OpCode::Ctas, &[]));
    let mut total = w.int(1);
    for &e in &extents {
        total = w.arith(OpCode::Mul, total, e);
    }
    // Rounds: (total - cta + ctas - 1) / ctas; not more blocks are started than there are programs.
    let left = w.arith(OpCode::Sub, total, cta);
    let one = w.int(1);
    let more = w.arith(OpCode::Sub, ctas, one);
    let up = w.arith(OpCode::Add, left, more);
    let rounds = w.arith(OpCode::Div, up, ctas);
    let zero = w.int(0);
    let open = w.begin_for(zero, rounds, 1, init);
    let (round, carried) = (open.counter, open.carried.clone());
    let skipped = w.arith(OpCode::Mul, round, ctas);
    let mut rest = w.arith(OpCode::Add, cta, skipped);
    w.place.clear();
    for (a, &extent) in extents.iter().enumerate() {
        if a + 1 == axes {
            w.place.push(rest);
        } else {
            let here = w.arith(OpCode::Rem, rest, extent);
            w.place.push(here);
            rest = w.arith(OpCode::Div, rest, extent);
        }
    }
    let next = body(w, &carried);
    w.place.clear();
    w.end_for(open, &next);
}

/// The first place in a ring.
pub fn start(w: &mut Writer<'_>) -> Value {
    w.one(OpCode::Cursor, &[], Type::Cursor, &[])
}

/// The place after.
pub fn advance(w: &mut Writer<'_>, ring: Value, cursor: Value) -> Value {
    w.one(OpCode::Advance, &[ring, cursor], Type::Cursor, &[])
}

/// The same stage, the next time around.
pub fn lap(w: &mut Writer<'_>, ring: Value, cursor: Value) -> Value {
    w.one(OpCode::Lap, &[ring, cursor], Type::Cursor, &[])
}

/// Whether a loop has an iteration.
pub fn some(w: &mut Writer<'_>, lo: Value, hi: Value) -> Value {
    let less = [("pred", Attr::Pred(sla_dsl::ir::Pred::Lt))];
    w.one(OpCode::Cmp, &[lo, hi], Type::Scalar(Elem::Bool), &less)
}
