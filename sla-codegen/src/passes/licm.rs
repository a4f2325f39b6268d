//! Loop-invariant code motion: what a loop computes anew each time moves in front of it.
//!
//! ```text
//! for %3 in %0..%1 {step=1} {          %4 = mul %2, %2 : f32
//!   %4 = mul %2, %2 : f32        =>    for %3 in %0..%1 {step=1} {
//!   ...                                  ...
//! ```
//! An op moves when its operands are defined outside the loop and
//! * it has no effect and cannot fault. Integer division moves only by a constant other than 0, shifts only by one in 0..32, because
//!   a loop that never runs would not have faulted; unless the loop surely runs, that is, has constant bounds and a first iteration;
//! * or it is a load at the top of the loop's body, from a tensor that the kernel never writes, and the loop surely runs. Other loads
//!   stay: they might read out of bounds where the loop would not have run.
//!
//! Tiles that cost nothing to make (constants, `iota`, copies of a scalar or of an axis) move only along with an op that needs them:
//! on their own they would only occupy registers. Inner loops go first, so that an op may leave several.

use super::rewrite::{constant, read_only_tensors, trip_count};
use sla_dsl::ir::{BlockId, Class, Effect, Kernel, OpCode, OpId, Scalar, Value};
use std::collections::HashSet;

/// Moves invariant ops in front of their loops.
pub fn licm(kernel: &mut Kernel) {
    let tensors = read_only_tensors(kernel);
    let body = kernel.body;
    block(kernel, body, &tensors);
}

fn block(kernel: &mut Kernel, id: BlockId, tensors: &HashSet<Value>) {
    let mut out = Vec::new();
    for op in std::mem::take(&mut kernel.block_mut(id).ops) {
        for region in kernel.op(op).regions.clone() {
            block(kernel, region, tensors);
        }
        if kernel.op(op).code == OpCode::For {
            out.append(&mut hoist(kernel, op, tensors));
        }
        out.push(op);
    }
    kernel.block_mut(id).ops = out;
}

/// Takes what may leave a loop out of its body, in order.
fn hoist(kernel: &mut Kernel, for_op: OpId, tensors: &HashSet<Value>) -> Vec<OpId> {
    // Ops being moved are in no block for the moment, so definitions are looked up in the whole table.
    let mut defs = vec![None; kernel.types.len()];
    for (i, op) in kernel.ops.iter().enumerate() {
        for r in &op.results {
            defs[r.index()] = Some(OpId(i as u32));
        }
    }
    let runs = trip_count(kernel, &defs, for_op).is_some_and(|n| n > 0);
    let region = kernel.op(for_op).regions[0];
    let mut inside = HashSet::new();
    defined_in(kernel, region, &mut inside);
    let mut able = Vec::new();
    for &id in &kernel.block(region).ops {
        let op = kernel.op(id);
        let may = match op.code.effect() {
            Effect::None => runs || !may_fault(kernel, &defs, id),
            Effect::Read => runs && tensors.contains(&op.operands[0]),
            _ => false,
        };
        if may && op.operands.iter().all(|v| !inside.contains(v)) {
            op.results.iter().for_each(|r| {
                inside.remove(r);
            });
            able.push(id);
        }
    }
    let mut needed = HashSet::new();
    let mut moved = Vec::new();
    for &id in able.iter().rev() {
        let op = kernel.op(id);
        if !is_cheap(kernel, id) || op.results.iter().any(|r| needed.contains(r)) {
            needed.extend(op.operands.iter().copied());
            moved.push(id);
        }
    }
    moved.reverse();
    kernel.block_mut(region).ops.retain(|id| !moved.contains(id));
    moved
}

/// Every value defined in a block and in what is nested there.
fn defined_in(kernel: &Kernel, block: BlockId, out: &mut HashSet<Value>) {
    out.extend(&kernel.block(block).args);
    for &id in &kernel.block(block).ops {
        out.extend(&kernel.op(id).results);
        for &region in &kernel.op(id).regions {
            defined_in(kernel, region, out);
        }
    }
}

fn may_fault(kernel: &Kernel, defs: &[Option<OpId>], id: OpId) -> bool {
    let op = kernel.op(id);
    let right = || match op.operands.get(1).and_then(|&v| constant(kernel, defs, v)) {
        Some(Scalar::Int(v)) => Some(v),
        _ => None,
    };
    let ints = op.operands.first().is_some_and(|&v| kernel.ty(v).elem().is_some_and(|e| e.is_int()));
    match op.code {
        OpCode::Div | OpCode::Rem => ints && right().is_none_or(|v| v == 0),
        OpCode::Shl | OpCode::Shr => right().is_none_or(|v| !(0..32).contains(&v)),
        _ => false,
    }
}

/// Tiles that are made of little more than a scalar or a vector wherever they are used.
fn is_cheap(kernel: &Kernel, id: OpId) -> bool {
    let op = kernel.op(id);
    let class = matches!(op.code.class(), Class::Const | Class::Iota | Class::Splat | Class::Broadcast);
    class && op.results.iter().any(|&r| kernel.ty(r).is_tile())
}
