//! Copies into rings, whoever makes them: a tile into a stage, and the streams of steps one after the other.

use super::Rings;
use super::programs::advance;
use super::shape::{Shape, Staged};
use super::writer::Writer;
use sla_dsl::ir::{Attr, OpCode, Value};

/// Fills the stages of these streams for every step below `hi`, from the places `at` on; gives the places after.
pub fn steps(
    w: &mut Writer<'_>,
    shape: &Shape,
    rings: &Rings,
    streams: &[usize],
    at: &[Value],
    hi: Value,
) -> Vec<Value> {
    let main = w.tile.op(shape.main);
    let lo = w.get(main.operands[0]);
    let counter = w.tile.block(main.regions[0]).args[0];
    let open = w.begin_for(lo, hi, main.int("step").unwrap_or(1), at);
    w.known.insert(counter, open.counter);
    shape.slice.iter().for_each(|&op| w.copy(op));
    let mut next = Vec::new();
    for (&i, &cursor) in streams.iter().zip(&open.carried) {
        fill(w, &shape.streams[i], rings.streams[i], cursor);
        next.push(advance(w, rings.streams[i], cursor));
    }
    w.end_for(open, &next)
}

/// Fills the stage at a cursor when it is empty.
pub fn fill(w: &mut Writer<'_>, tile: &Staged, ring: Value, cursor: Value) {
    let offsets: Vec<Value> = w.tile.op(tile.load).offsets().iter().map(|&v| w.get(v)).collect();
    fill_at(w, tile, ring, cursor, &offsets);
}

/// The same, from given offsets.
pub fn fill_at(w: &mut Writer<'_>, tile: &Staged, ring: Value, cursor: Value, offsets: &[Value]) {
    let op = w.tile.op(tile.load);
    w.at(op.loc);
    w.op(OpCode::Acquire, &[ring, cursor], &[], &[]);
    let mut operands = vec![w.get(op.operands[0]), ring, cursor];
    operands.extend(offsets);
    let attrs = [("box", Attr::Ints(op.ints("box").to_vec())), ("row", Attr::Int(0))];
    w.op(OpCode::Fill, &operands, &[], &attrs);
}
