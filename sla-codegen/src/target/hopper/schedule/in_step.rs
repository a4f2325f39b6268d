//! A loop whose steps end before the next one starts, for products whose tiles leave no registers for two steps at once.
//!
//! The author's order is kept. Front products start together; each is waited for where its result is first read, and a late product starts as
//! soon as its first operand exists, so that it runs beside what the author computes for the next one:
//! ```text
//! start S = K Q^T;  start dP = V dO^T
//! wait for S;  P = exp2(S - lse);  start dV += P dO
//! wait for dP;  dS = P (dP - delta);  start dK += dS Q
//! wait for dV and dK, give Q and dO back
//! ```
//! With a product that is added to global memory, the end of a step is one of the hardware's copies too, and stages are given back one by one:
//! ```text
//! share dS;  start dQ = dS^T K;  start dK += dS Q
//! wait for dV, give dO back;  wait for dQ, add it;  wait for dK, give Q back
//! ```
//! Other warpgroups run while this one waits. No product is in flight from one step to the next.

use super::added;
use super::consumer::Consumer;
use super::parts::reads;
use super::shape::{Product, Source};
use super::steps::Loop;
use super::writer::Writer;
use sla_dsl::ir::{Kernel, Op, OpId, Value};

/// Products in flight, oldest first: what the author calls the result, and what it is here.
struct Flight<'f, 'c> {
    c: &'f Consumer<'c>,
    running: Vec<(Value, Value)>,
    /// Where the streams are.
    at: &'f [Value],
    /// For each stream, the products of the step that have not ended and read it; lines are read by no product.
    readers: Vec<usize>,
    /// Streams that were given back.
    given: Vec<usize>,
}

impl Flight<'_, '_> {
    /// Waits for the first `count` products; one by one where stages are given back in between.
    fn wait(&mut self, w: &mut Writer<'_>, count: usize) {
        if !self.c.gives_back_one_by_one() {
            return self.wait_together(w, count);
        }
        for _ in 0..count {
            let ended = self.running[0].0;
            self.wait_together(w, 1);
            let products = self.c.products().filter(|p| w.tile.op(p.op).results[0] == ended);
            for source in products.flat_map(|p| [p.a, p.b]) {
                let Source::Stream(i) = source else { continue };
                self.readers[i] -= 1;
                // The last of the step's products gives back the rest.
                if self.readers[i] == 0 && !self.running.is_empty() {
                    self.c.release(w, &[i], self.at, None);
                    self.given.push(i);
                }
            }
        }
    }

    fn wait_together(&mut self, w: &mut Writer<'_>, count: usize) {
        if count == 0 {
            return;
        }
        let ended: Vec<(Value, Value)> = self.running.drain(..count).collect();
        let pending: Vec<Value> = ended.iter().map(|e| e.1).collect();
        let tiles = self.c.wait(w, &pending, self.running.len());
        w.known.extend(ended.iter().map(|e| e.0).zip(tiles));
    }

    /// Waits for the products whose results an op reads.
    fn wait_for_operands(&mut self, w: &mut Writer<'_>, id: OpId) {
        let reads = |v: Value| reads(w.tile, id, v);
        let last = self.running.iter().rposition(|&(result, _)| reads(result));
        self.wait(w, last.map_or(0, |i| i + 1));
    }
}

/// Whether an op's results are made of rows and numbers alone, or repeat a row.
fn is_row(k: &Kernel, op: &Op) -> bool {
    let row = |&v: &Value| k.ty(v).shape().is_none_or(|s| s.first() == Some(&1));
    op.regions.is_empty() && op.operands.iter().all(row)
}

impl Loop<'_, '_> {
    /// Writes the loop from `lo` on; `init` are the carried values by slot, `flowing` the places of the streams.
    pub(super) fn in_step(
        &self,
        w: &mut Writer<'_>,
        lo: Value,
        init: &[Value],
        flowing: &[Value],
    ) -> (Vec<Value>, Vec<Value>) {
        let c = self.c;
        let carried: Vec<Value> = init.iter().chain(flowing).copied().collect();
        let open = w.begin_for(lo, self.hi, self.step, &carried);
        let (slots, at) = open.carried.split_at(init.len());
        let at = &added::spread(c.shape, at)[..];
        w.known.insert(self.args[0], open.counter);
        w.known.extend(self.args[1..].iter().copied().zip(slots.iter().copied()));
        let result = |w: &Writer<'_>, op: OpId| w.tile.op(op).results[0];
        let started = c.start(w, &c.shape.front, at, &vec![None; c.shape.front.len()]);
        let results: Vec<Value> = c.shape.front.iter().map(|p| result(w, p.op)).collect();
        // All waits for stages come first: what is read from memory after them (list entries) then has the first product's time to arrive in, since
        // ptxas waits for such numbers where a straight line of code ends.
        c.await_lines(w, at);
        let readers = |i: usize| {
            let read = |p: &Product| [p.a, p.b].iter().filter(|&&s| s == Source::Stream(i)).count();
            c.products().map(read).sum()
        };
        let readers = (0..c.shape.streams.len()).map(readers).collect();
        let running = results.into_iter().zip(started).collect();
        let mut flight = Flight { c, running, at, readers, given: Vec::new() };
        // Lines are read where their numbers meet a product's, since each takes registers from there on.
        let mut put_off: Vec<OpId> = Vec::new();
        for &id in &c.parts.in_order {
            let of = |v: &Value| put_off.iter().any(|&d| w.tile.op(d).results.contains(v));
            let meets = flight.running.iter().any(|&(result, _)| reads(w.tile, id, result));
            let op = w.tile.op(id);
            let follows = op.operands.iter().any(of);
            if c.is_line(id) || follows && !meets && is_row(w.tile, op) {
                put_off.push(id);
                continue;
            }
            flight.wait_for_operands(w, id);
            if follows {
                c.copy(w, &std::mem::take(&mut put_off), at);
            }
            let late = c.shape.late.iter().find(|p| p.op == id);
            let added = c.shape.added.iter().position(|a| a.product.op == id || a.add == id);
            match (late, added) {
                (Some(product), _) => {
                    let to = w.get(w.tile.op(id).operands[2]);
                    let started = c.start(w, std::slice::from_ref(product), at, &[Some(to)]);
                    flight.running.push((result(w, id), started[0]));
                }
                (None, Some(i)) if c.shape.added[i].add == id => c.add(w, i),
                (None, Some(i)) => {
                    let started = c.start_added(w, i, at);
                    flight.running.push((result(w, id), started));
                }
                (None, None) => c.copy(w, &[id], at),
            }
        }
        let all: Vec<usize> = (0..c.shape.streams.len()).collect();
        let ahead = c.ahead(w, &all, open.counter, self.hi);
        let left = flight.running.len();
        flight.wait(w, left);
        let rest: Vec<usize> = all.into_iter().filter(|i| !flight.given.contains(i)).collect();
        c.release(w, &rest, at, ahead.as_ref());
        let mut next: Vec<Value> = c.parts.yields.iter().map(|&v| w.get(v)).collect();
        let after = c.advance(w, at);
        next.extend(added::gather(c.shape, c.plan, &after));
        let mut results = w.end_for(open, &next);
        c.release_residents(w, |_| true);
        let ends = results.split_off(init.len());
        (results, ends)
    }
}
