//! Copies into rings, whoever makes them: a tile into a stage, and the streams of steps one after the other.

use super::Rings;
use super::programs::{advance, some};
use super::shape::{Shape, Staged};
use super::writer::Writer;
use sla_dsl::ir::{Attr, Elem, OpCode, OpId, Type, Value};

/// Fills the stages of these streams for every step below `hi`, from the places `at` on, or from one place for all; `each` is told every step's counter before its copies. Gives the
/// places after.
pub fn steps(
    w: &mut Writer<'_>,
    shape: &Shape,
    rings: &Rings,
    streams: &[usize],
    at: &[Value],
    hi: Value,
    each: impl FnOnce(&mut Writer<'_>, Value),
) -> Vec<Value> {
    let main = w.tile.op(shape.main);
    let lo = w.get(main.operands[0]);
    let counter = w.tile.block(main.regions[0]).args[0];
    let step = main.int("step").unwrap_or(1);
    let entries = Entries::new(w, shape);
    let first = entries.first(w, counter, lo, hi);
    let open = w.begin_for(lo, hi, step, &[at, &first].concat());
    let count = at.len();
    let (at, now) = open.carried.split_at(count);
    each(w, open.counter);
    let next = entries.next(w, counter, open.counter, step, hi);
    w.known.insert(counter, open.counter);
    entries.copy(w, shape, now);
    let mut on = Vec::new();
    for (place, &i) in streams.iter().enumerate() {
        fill(w, &shape.streams[i], rings.streams[i], at[place.min(at.len() - 1)]);
        if let Some(&cursor) = at.get(place) {
            on.push(advance(w, rings.streams[i], cursor));
        }
    }
    on.extend(next);
    let mut out = w.end_for(open, &on);
    out.truncate(count);
    out
}

/// What a step's places are read from (entries of lists), read one step ahead: the copies of a step then never wait for memory.
struct Entries {
    loads: Vec<OpId>,
    slice: Vec<OpId>,
}

impl Entries {
    fn new(w: &Writer<'_>, shape: &Shape) -> Entries {
        let loads = shape.slice.iter().copied().filter(|&op| w.tile.op(op).code == OpCode::Load);
        Entries { loads: loads.collect(), slice: shape.slice.clone() }
    }

    /// Those of the step with this counter.
    fn read(&self, w: &mut Writer<'_>, counter: Value, at: Value) -> Vec<Value> {
        let known = w.known.clone();
        w.known.insert(counter, at);
        self.slice.iter().for_each(|&op| w.copy(op));
        let values = self.loads.iter().map(|&op| w.get(w.tile.op(op).results[0])).collect();
        w.known = known;
        values
    }

    /// Those of the first step, or any number where there is none.
    fn first(&self, w: &mut Writer<'_>, counter: Value, lo: Value, hi: Value) -> Vec<Value> {
        if self.loads.is_empty() {
            return Vec::new();
        }
        let cond = some(w, lo, hi);
        let zero = w.int(0);
        w.branch(cond, |w| self.read(w, counter, lo), |_| vec![zero; self.loads.len()])
    }

    /// Those of the step after; in the last step those of this one again, which nobody uses.
    fn next(&self, w: &mut Writer<'_>, counter: Value, at: Value, step: i64, hi: Value) -> Vec<Value> {
        if self.loads.is_empty() {
            return Vec::new();
        }
        let by = w.int(step);
        let after = w.arith(OpCode::Add, at, by);
        let is = some(w, after, hi);
        let safe = w.one(OpCode::Select, &[is, after, at], Type::Scalar(Elem::I32), &[]);
        self.read(w, counter, safe)
    }

    /// The scalars of the present step, with the entries that were read before.
    fn copy(&self, w: &mut Writer<'_>, shape: &Shape, now: &[Value]) {
        for (&op, &value) in self.loads.iter().zip(now) {
            w.known.insert(w.tile.op(op).results[0], value);
        }
        for &op in shape.slice.iter().filter(|op| !self.loads.contains(op)) {
            w.copy(op);
        }
    }
}

/// Where a tile comes from: offsets for each of its loads.
pub type Places = Vec<Vec<Value>>;

/// Where a tile comes from at this place of the kernel.
pub fn places(w: &mut Writer<'_>, tile: &Staged) -> Places {
    let kernel = w.tile;
    let mut offsets = |&l: &OpId| kernel.op(l).offsets().iter().map(|&v| w.get(v)).collect();
    tile.loads.iter().map(&mut offsets).collect()
}

/// Fills the stage at a cursor when it is empty.
pub fn fill(w: &mut Writer<'_>, tile: &Staged, ring: Value, cursor: Value) {
    let places = places(w, tile);
    fill_at(w, tile, ring, cursor, &places);
}

/// The same, from given places: one copy for each load, below the rows of the one before.
pub fn fill_at(w: &mut Writer<'_>, tile: &Staged, ring: Value, cursor: Value, places: &Places) {
    w.at(w.tile.op(tile.loads[0]).loc);
    w.op(OpCode::Acquire, &[ring, cursor], &[], &[]);
    for (i, (&load, offsets)) in tile.loads.iter().zip(places).enumerate() {
        let op = w.tile.op(load);
        w.at(op.loc);
        let mut operands = vec![w.get(op.operands[0]), ring, cursor];
        operands.extend(offsets);
        let row = (i * tile.load_rows()) as i64;
        let attrs = [("box", Attr::Ints(op.ints("box").to_vec())), ("row", Attr::Int(row))];
        w.op(OpCode::Fill, &operands, &[], &attrs);
    }
}
