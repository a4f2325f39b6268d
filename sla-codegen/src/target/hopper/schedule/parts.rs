//! The loop's ops, sorted by when a consumer runs them.

use super::shape::{Product, Shape, Source};
use sla_dsl::ir::{BlockId, Kernel, OpCode, OpId, Value};
use std::collections::HashSet;

/// Which op goes where; all lists are in program order.
pub struct Parts {
    /// All but front products, views and what makes streams.
    pub in_order: Vec<OpId>,
    /// Between the front products and the late ones.
    pub middle: Vec<OpId>,
    /// Makes first operands of late products: their registers must not be written while the last ones are read.
    pub pack: Vec<OpId>,
    /// Changes accumulators before they are added to, or follows from what `pack` makes.
    pub before_late: Vec<OpId>,
    /// First operands of late products that the loop makes in registers.
    pub left: Vec<Value>,
    /// For each late product, the accumulator that it adds to, as the author wrote it.
    pub accumulators: Vec<Value>,
    /// Carried slots that are no accumulators.
    pub others: Vec<usize>,
    /// What the loop yields, by slot.
    pub yields: Vec<Value>,
    /// Streams that front products read.
    pub front: Vec<usize>,
    /// Streams that late products read, and lines: what is made of these is in first operands of late products.
    pub late: Vec<usize>,
    /// Residents that late products read.
    pub late_residents: Vec<usize>,
}

impl Parts {
    /// Sorts the ops of the loop.
    pub fn new(tile: &Kernel, shape: &Shape) -> Parts {
        let region = tile.op(shape.main).regions[0];
        let ops = &tile.block(region).ops;
        let defs = tile.defs();
        let in_loop = |v: Value| defs[v.index()].filter(|d| ops.contains(d));
        let mut left: Vec<Value> = Vec::new();
        for p in &shape.late {
            if let Source::Registers(v) = p.a
                && in_loop(v).is_some()
                && !left.contains(&v)
            {
                left.push(v);
            }
        }
        let makers: HashSet<OpId> =
            left.iter().filter_map(|&v| in_loop(v)).filter(|&d| tile.op(d).code == OpCode::Cast).collect();
        let tiles = || shape.streams.iter().filter(|s| !s.is_line());
        let staging: HashSet<OpId> =
            tiles().flat_map(|s| s.loads.iter().copied().chain(defs[s.value.index()])).collect();
        let staged = tiles().chain(&shape.residents).filter(|s| !s.read).map(|s| s.value);
        let mut views: HashSet<Value> = staged.collect();
        let (mut middle, mut pack, mut before_late) = (Vec::new(), Vec::new(), Vec::new());
        let mut in_order = Vec::new();
        let mut packed: Vec<Value> = Vec::new();
        for &id in ops {
            let op = tile.op(id);
            if op.code == OpCode::Transpose && views.contains(&op.operands[0]) {
                views.extend(&op.results);
                continue;
            }
            let skipped =
                op.code == OpCode::Yield || shape.front.iter().any(|p| p.op == id) || staging.contains(&id);
            if skipped {
                continue;
            }
            in_order.push(id);
            let is_late = shape.late.iter().any(|p| p.op == id);
            let follows = !is_late && packed.iter().any(|&v| reads(tile, id, v));
            if shape.before_late.contains(&id) || follows {
                packed.extend(op.results.iter().filter(|_| follows));
                before_late.push(id);
            } else if makers.contains(&id) {
                packed.extend(&op.results);
                pack.push(id);
            } else if !is_late {
                middle.push(id);
            }
        }
        let sources =
            |products: &[Product]| -> Vec<Source> { products.iter().flat_map(|p| [p.a, p.b]).collect() };
        let (front, late) = (sources(&shape.front), sources(&shape.late));
        let streams = |of: &[Source]| -> Vec<usize> {
            (0..shape.streams.len()).filter(|&i| of.contains(&Source::Stream(i))).collect()
        };
        let yields = ops.last().map(|&y| tile.op(y).operands.clone()).unwrap_or_default();
        Parts {
            in_order,
            middle,
            pack,
            before_late,
            left,
            accumulators: shape.late.iter().map(|p| tile.op(p.op).operands[2]).collect(),
            others: (0..yields.len()).filter(|s| !shape.slots.contains(s)).collect(),
            yields,
            front: streams(&front),
            late: (0..shape.streams.len())
                .filter(|&i| shape.streams[i].is_line() || late.contains(&Source::Stream(i)))
                .collect(),
            late_residents: (0..shape.residents.len())
                .filter(|&i| late.contains(&Source::Resident(i)))
                .collect(),
        }
    }
}

/// Whether an op, or one nested in it, reads a value.
pub fn reads(k: &Kernel, id: OpId, v: Value) -> bool {
    let nested = |&block: &BlockId| k.block(block).ops.iter().any(|&inner| reads(k, inner, v));
    k.op(id).operands.contains(&v) || k.op(id).regions.iter().any(nested)
}
