//! Schedule S: the warpgroup that multiplies copies too, each stage again as soon as it has given it back.
//!
//! Before its loop it fills the residents, and the stages of the first steps, as many as the rings have. In the loop, what step `j` gives back
//! it fills for step `j + stages`, so that a stage's place in its ring for the copy is its place for the product, one lap on, and no place of
//! copies is carried. Where that later step's blocks lie is computed (and read from lists) before products are waited for, so that the wait hides
//! it; where there is no such step, the present one is asked, whose answer exists and is not used.
//!
//! A block of threads runs one program, and several of them on a multiprocessor hide each other's starts, ends and softmax. Nothing is
//! copied ahead from one program to the next.

use super::consumer::Consumer;
use super::copies::{Places, fill, fill_at, places, steps};
use super::programs::lap;
use super::writer::Writer;
use sla_dsl::ir::{Attr, Elem, OpCode, Pred, Type, Value};

/// Copies that follow when stages are given back.
pub struct Refill {
    /// Whether there is a step for them.
    more: Value,
    /// For each stream, where its blocks lie.
    places: Vec<Places>,
}

impl Consumer<'_> {
    /// Fills residents and the first stages of the streams.
    pub(super) fn fill_first(&self, w: &mut Writer<'_>, flowing: &[Value]) {
        for (i, r) in self.shape.residents.iter().enumerate() {
            fill(w, r, self.rings.residents[i], self.held[i]);
        }
        let main = w.tile.op(self.shape.main);
        let (lo, hi) = (w.get(main.operands[0]), w.get(main.operands[1]));
        let (more, until) = self.later(w, lo, hi);
        let first = select(w, more, until, hi);
        let all: Vec<usize> = (0..self.shape.streams.len()).collect();
        steps(w, self.shape, self.rings, &all, flowing, first, |_, _| {});
    }

    /// What is to be copied when these streams' stages of the step at `counter` are given back.
    pub(super) fn refill(&self, w: &mut Writer<'_>, streams: &[usize], counter: Value, hi: Value) -> Refill {
        let (more, later) = self.later(w, counter, hi);
        let step = select(w, more, later, counter);
        let known = w.known.clone();
        w.known.insert(w.tile.block(w.tile.op(self.shape.main).regions[0]).args[0], step);
        self.shape.slice.iter().for_each(|&op| w.copy(op));
        let places = streams.iter().map(|&i| places(w, &self.shape.streams[i])).collect();
        w.known = known;
        Refill { more, places }
    }

    /// Fills stages that were given back.
    pub(super) fn fill_again(&self, w: &mut Writer<'_>, streams: &[usize], at: &[Value], refill: &Refill) {
        let copy = |w: &mut Writer<'_>| {
            for (&i, places) in streams.iter().zip(&refill.places) {
                let next = lap(w, self.rings.streams[i], at[i]);
                fill_at(w, &self.shape.streams[i], self.rings.streams[i], next, places);
            }
            Vec::new()
        };
        w.branch(refill.more, copy, |_| Vec::new());
    }

    /// Whether there is a step as many steps after the one at `counter` as the rings have stages, and its counter.
    fn later(&self, w: &mut Writer<'_>, counter: Value, hi: Value) -> (Value, Value) {
        let step = w.tile.op(self.shape.main).int("step").unwrap_or(1);
        let far = w.int(step * self.plan.stages() as i64);
        let left = w.arith(OpCode::Sub, hi, counter);
        let less = [("pred", Attr::Pred(Pred::Lt))];
        let more = w.one(OpCode::Cmp, &[far, left], Type::Scalar(Elem::Bool), &less);
        (more, w.arith(OpCode::Add, counter, far))
    }
}

fn select(w: &mut Writer<'_>, cond: Value, yes: Value, no: Value) -> Value {
    w.one(OpCode::Select, &[cond, yes, no], Type::Scalar(Elem::I32), &[])
}
