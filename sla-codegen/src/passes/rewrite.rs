//! What passes need to look at a kernel and to edit it.

use sla_dsl::ir::{BlockId, Effect, Kernel, OpCode, OpId, Scalar, Value};
use std::collections::{HashMap, HashSet};

/// Replaces every use of the keys by their values, following chains.
pub fn replace_uses(kernel: &mut Kernel, by: &HashMap<Value, Value>) {
    for (_, id) in live_ops(kernel) {
        for v in &mut kernel.op_mut(id).operands {
            *v = resolve(by, *v);
        }
    }
}

/// What a value is replaced by in the end; itself if by nothing.
pub fn resolve(by: &HashMap<Value, Value>, mut v: Value) -> Value {
    while let Some(&next) = by.get(&v) {
        v = next;
    }
    v
}

/// Takes ops out of their blocks, with whatever is nested in them.
pub fn remove_ops(kernel: &mut Kernel, dead: &HashSet<OpId>) {
    for block in live_blocks(kernel) {
        kernel.block_mut(block).ops.retain(|op| !dead.contains(op));
    }
}

/// Every live op with its block, outer before inner, in program order.
pub fn live_ops(kernel: &Kernel) -> Vec<(BlockId, OpId)> {
    let mut ops = Vec::new();
    kernel.walk(&mut |_, block, op| ops.push((block, op)));
    ops
}

/// Every live block, outer before inner.
pub fn live_blocks(kernel: &Kernel) -> Vec<BlockId> {
    let mut blocks = vec![kernel.body];
    kernel.walk(&mut |k, _, op| blocks.extend(&k.op(op).regions));
    blocks
}

/// How often each value is an operand of a live op.
pub fn use_counts(kernel: &Kernel) -> Vec<u32> {
    let mut uses = vec![0; kernel.types.len()];
    for (_, op) in live_ops(kernel) {
        for v in &kernel.op(op).operands {
            uses[v.index()] += 1;
        }
    }
    uses
}

/// The tensors that no op of the kernel writes. Launches exclude that a written tensor overlaps another, so these do not change
/// while the kernel runs.
pub fn read_only_tensors(kernel: &Kernel) -> HashSet<Value> {
    let mut tensors: HashSet<Value> = kernel.block(kernel.body).args.iter().copied().collect();
    tensors.retain(|&v| kernel.tensor(v).is_some());
    for (_, op) in live_ops(kernel) {
        let op = kernel.op(op);
        if op.code.effect() == Effect::Write {
            tensors.remove(&op.operands[0]);
        }
    }
    tensors
}

/// The constant that a value is, everywhere if it is a tile; `defs` are [`Kernel::defs`].
pub fn constant(kernel: &Kernel, defs: &[Option<OpId>], v: Value) -> Option<Scalar> {
    let op = kernel.op(defs.get(v.index()).copied().flatten()?);
    if op.code == OpCode::Const { op.scalar() } else { None }
}

/// The number of iterations of a `for` whose bounds are constants.
pub fn trip_count(kernel: &Kernel, defs: &[Option<OpId>], id: OpId) -> Option<i64> {
    let op = kernel.op(id);
    let bound = |i: usize| match constant(kernel, defs, op.operands[i]) {
        Some(Scalar::Int(v)) => Some(v),
        _ => None,
    };
    let (lo, hi, step) = (bound(0)?, bound(1)?, op.int("step")?);
    // Bounds are i32 and a step is at least 1, so nothing overflows.
    Some(if hi <= lo { 0 } else { (hi - lo + step - 1) / step })
}
