//! Branches that are decided, loops that never run, values that are carried unchanged.

use super::Canon;
use crate::passes::rewrite::{resolve, trip_count};
use sla_dsl::ir::{BlockId, OpId, Scalar, Value};

/// Visits a loop.
pub fn for_(c: &mut Canon<'_>, id: OpId, block: BlockId) {
    let op = c.kernel.op(id).clone();
    let region = op.regions[0];
    let inits = &op.operands[2..];
    if trip_count(c.kernel, &c.defs, id) == Some(0) {
        for (&result, &init) in op.results.iter().zip(inits) {
            c.replace(result, init);
        }
        c.changed = true;
        return;
    }
    // A value that every iteration hands on unchanged is its initial value, inside and after the loop.
    let args = c.kernel.block(region).args.clone();
    let yielded = yields(c, region);
    for (slot, &init) in inits.iter().enumerate() {
        let (arg, out) = (args[slot + 1], yielded[slot]);
        if out == arg || out == init {
            if c.uses[arg.index()] > (out == arg) as u32 {
                c.replace(arg, init);
            }
            if c.uses[op.results[slot].index()] > 0 {
                c.replace(op.results[slot], init);
            }
        }
    }
    c.block(region);
    c.kernel.block_mut(block).ops.push(id);
}

/// Visits a branch.
pub fn if_(c: &mut Canon<'_>, id: OpId, block: BlockId) {
    let op = c.kernel.op(id).clone();
    let Some(Scalar::Bool(holds)) = c.constant(op.operands[0]) else {
        for &region in &op.regions {
            c.block(region);
        }
        c.kernel.block_mut(block).ops.push(id);
        return;
    };
    let region = op.regions[if holds { 0 } else { 1 }];
    let out = yields(c, region);
    let mut inner = std::mem::take(&mut c.kernel.block_mut(region).ops);
    inner.pop();
    for inner_op in inner {
        c.op(inner_op, block);
    }
    for (&result, &v) in op.results.iter().zip(&out) {
        let v = resolve(&c.replaced, v);
        c.replace(result, v);
    }
    c.changed = true;
}

/// The values that a region yields.
fn yields(c: &Canon<'_>, region: BlockId) -> Vec<Value> {
    let last = c.kernel.block(region).ops.last();
    last.map_or(Vec::new(), |&id| c.kernel.op(id).operands.iter().map(|&v| resolve(&c.replaced, v)).collect())
}
