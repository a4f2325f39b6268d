//! Roles that copy: for each program the residents, then the streams of each step, each into the next stage of its ring.
//!
//! One lane of one warp runs such a role. It waits for empty stages only, so it is ahead of the consumers by as many stages as the rings have.

use super::Rings;
use super::plan::ProducerPlan;
use super::programs::{advance, programs, start};
use super::shape::{Shape, Staged};
use super::writer::Writer;
use sla_dsl::ir::{Attr, OpCode, Value};

/// Writes one role.
pub fn write(w: &mut Writer<'_>, shape: &Shape, rings: &Rings, role: &ProducerPlan, registers: u32) {
    let name = format!("load_{}", role.name);
    w.role(&name, role.warp, 1, registers, |w| {
        let init: Vec<Value> = (0..role.residents.len() + role.streams.len()).map(|_| start(w)).collect();
        programs(w, &init, |w, at| {
            shape.scalars.iter().for_each(|&op| w.copy(op));
            let (held, flowing) = at.split_at(role.residents.len());
            let mut next = Vec::new();
            for (&i, &cursor) in role.residents.iter().zip(held) {
                next.push(fill(w, &shape.residents[i], rings.residents[i], cursor));
            }
            if !role.streams.is_empty() {
                next.extend(steps(w, shape, rings, &role.streams, flowing));
            }
            next
        });
    });
}

fn steps(w: &mut Writer<'_>, shape: &Shape, rings: &Rings, streams: &[usize], at: &[Value]) -> Vec<Value> {
    let main = w.tile.op(shape.main);
    let (lo, hi) = (w.get(main.operands[0]), w.get(main.operands[1]));
    let counter = w.tile.block(main.regions[0]).args[0];
    let open = w.begin_for(lo, hi, main.int("step").unwrap_or(1), at);
    w.known.insert(counter, open.counter);
    shape.slice.iter().for_each(|&op| w.copy(op));
    let mut next = Vec::new();
    for (&i, &cursor) in streams.iter().zip(&open.carried) {
        next.push(fill(w, &shape.streams[i], rings.streams[i], cursor));
    }
    w.end_for(open, &next)
}

/// Fills the stage at a cursor when it is empty; gives the next one.
fn fill(w: &mut Writer<'_>, tile: &Staged, ring: Value, cursor: Value) -> Value {
    let op = w.tile.op(tile.load);
    w.at(op.loc);
    w.op(OpCode::Acquire, &[ring, cursor], &[], &[]);
    let mut operands = vec![w.get(op.operands[0]), ring, cursor];
    operands.extend(op.offsets().iter().map(|&v| w.get(v)));
    let attrs = [("box", Attr::Ints(op.ints("box").to_vec())), ("row", Attr::Int(0))];
    w.op(OpCode::Fill, &operands, &[], &attrs);
    advance(w, ring, cursor)
}
