//! Which values are stored and which are computed where they are used.

use super::{Home, Nest, dims};
use sla_dsl::ir::{Class, Kernel, Op, OpCode, OpId, Type, Value};
use std::collections::{BTreeMap, HashSet};

/// An inline expression deeper than this is cut by a buffer, so that recursion over expressions stays shallow.
const DEPTH: u32 = 32;
/// A value of several uses is computed again at each if that takes no more than this many simple instructions.
const CHEAP: u32 = 2;
/// The same for values that read no memory.
const CHEAP_LEAF: u32 = 4;
/// What a product starts from is written out once for each vector of a block, so it is kept in memory if it takes more than this.
const START: u32 = 6;

/// What an inline expression costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    instructions: u32,
    depth: u32,
    reads_memory: bool,
}

/// Homes of all values, and the sums that absorb a product: by sum, the product and the other operand.
pub fn homes(kernel: &Kernel, nest: &Nest) -> (Vec<Home>, BTreeMap<OpId, (OpId, Value)>) {
    let mut homes: Vec<Home> = kernel
        .types
        .iter()
        .map(|ty| match ty {
            Type::Tensor(_) => Home::Tensor,
            Type::Tile(..) => Home::Buffer,
            _ => Home::Scalar,
        })
        .collect();
    let fused = fuse(kernel, nest);
    let products: HashSet<OpId> = fused.values().map(|f| f.0).collect();
    let forced = forced(kernel, nest);
    let mut costs = vec![Cost { reads_memory: true, ..Cost::default() }; kernel.types.len()];

    for &id in &nest.order {
        let op = kernel.op(id);
        let [result] = op.results[..] else { continue };
        if products.contains(&id) {
            homes[result.index()] = Home::Fused;
            continue;
        }
        if !kernel.ty(result).is_tile() || forced.contains(&result) || fused.contains_key(&id) {
            continue;
        }
        let mut cost = Cost { instructions: instructions(op), depth: 1, reads_memory: false };
        for &v in &op.operands {
            if kernel.ty(v).is_tile() {
                let c = costs[v.index()];
                cost.instructions = cost.instructions.saturating_add(c.instructions);
                cost.depth = cost.depth.max(c.depth + 1);
                cost.reads_memory |= c.reads_memory;
            }
        }
        if inline(kernel, nest, id, op, result, cost) {
            homes[result.index()] = Home::Inline;
            costs[result.index()] = cost;
        }
    }
    for &id in &nest.order {
        let op = kernel.op(id);
        let start = match op.code {
            OpCode::Dot => op.operands.get(2),
            _ => fused.get(&id).map(|(_, other)| other),
        };
        if let Some(v) = start.filter(|v| costs[v.index()].instructions > START) {
            homes[v.index()] = Home::Buffer;
        }
    }
    (homes, fused)
}

fn inline(kernel: &Kernel, nest: &Nest, id: OpId, op: &Op, result: Value, cost: Cost) -> bool {
    match op.code.class() {
        Class::Const | Class::Splat | Class::Iota => return true,
        Class::Broadcast | Class::Transpose => return cost.depth < DEPTH,
        Class::Reshape => return cost.depth < DEPTH && trivial_reshape(kernel, op),
        Class::Unary | Class::Binary | Class::Fma | Class::Cmp | Class::Select | Class::Cast => {}
        _ => return false,
    }
    if cost.depth >= DEPTH {
        return false;
    }
    let uses = &nest.uses[result.index()];
    let near = uses.iter().all(|(user, _)| nest.block[user] == nest.block[&id]);
    near && (uses.len() <= 1 || cost.instructions <= CHEAP)
        || !cost.reads_memory && cost.instructions <= CHEAP_LEAF
}

/// Whether a reshape only renames axes: nothing but ones change.
pub fn trivial_reshape(kernel: &Kernel, op: &Op) -> bool {
    let (from, to) = (dims(kernel.ty(op.operands[0])), dims(kernel.ty(op.results[0])));
    from == to || (from.0 == 1 || from.1 == 1) && (to.1, to.0) == from
}

/// Instructions per vector, roughly.
fn instructions(op: &Op) -> u32 {
    match op.code {
        OpCode::Exp2 | OpCode::Exp | OpCode::Log2 | OpCode::Log => 12,
        OpCode::Div | OpCode::Rem | OpCode::Sqrt | OpCode::Rsqrt => 6,
        OpCode::Const
        | OpCode::Splat
        | OpCode::Iota
        | OpCode::Broadcast
        | OpCode::Transpose
        | OpCode::Reshape => 0,
        OpCode::Cast => 2,
        _ => 1,
    }
}

/// The value below any transpositions, and whether their number is odd.
pub fn untransposed(kernel: &Kernel, nest: &Nest, v: Value) -> (Value, bool) {
    let (mut v, mut odd) = (v, false);
    while let Some(id) = nest.def[v.index()] {
        let op = kernel.op(id);
        if op.code != OpCode::Transpose {
            break;
        }
        (v, odd) = (op.operands[0], !odd);
    }
    (v, odd)
}

/// Values that some use needs in memory.
fn forced(kernel: &Kernel, nest: &Nest) -> HashSet<Value> {
    let mut forced = HashSet::new();
    for &id in &nest.order {
        let op = kernel.op(id);
        match op.code {
            OpCode::Dot => {
                forced.extend(op.operands[..2].iter().map(|&v| untransposed(kernel, nest, v).0));
            }
            OpCode::Reshape if !trivial_reshape(kernel, op) => {
                forced.insert(op.operands[0]);
            }
            OpCode::Assert | OpCode::Print => forced.extend(&op.operands),
            OpCode::Yield => {
                let in_loop =
                    nest.owner.get(&nest.block[&id]).is_some_and(|&o| kernel.op(o).code == OpCode::For);
                if in_loop {
                    forced.extend(op.operands.iter().filter(|&&v| !is_leaf(kernel, nest, v)));
                }
            }
            // A row or column that is repeated over a tile would be computed again for every element of it.
            OpCode::Broadcast => {
                let v = op.operands[0];
                let computed = nest.def[v.index()].is_some_and(|d| {
                    instructions(kernel.op(d)) > 0
                        && matches!(kernel.ty(v).shape(), Some(s) if s.iter().any(|&n| n > 1))
                });
                if computed {
                    forced.insert(v);
                }
            }
            _ => {}
        }
    }
    forced
}

/// Whether a value is the same at every time: computing it reads no buffer.
pub fn is_leaf(kernel: &Kernel, nest: &Nest, v: Value) -> bool {
    nest.def[v.index()]
        .is_some_and(|d| matches!(kernel.op(d).code.class(), Class::Const | Class::Splat | Class::Iota))
}

/// Sums of a product and something else, where the product has no other use.
fn fuse(kernel: &Kernel, nest: &Nest) -> BTreeMap<OpId, (OpId, Value)> {
    let mut fused = BTreeMap::new();
    for &id in &nest.order {
        let op = kernel.op(id);
        if op.code != OpCode::Add || !kernel.ty(op.results[0]).is_tile() {
            continue;
        }
        for (product, other) in [(op.operands[1], op.operands[0]), (op.operands[0], op.operands[1])] {
            let Some(def) = nest.def[product.index()] else { continue };
            let dot = kernel.op(def);
            if dot.code == OpCode::Dot
                && dot.operands.len() == 2
                && nest.uses[product.index()].len() == 1
                && nest.block[&def] == nest.block[&id]
            {
                fused.insert(id, (def, other));
                break;
            }
        }
    }
    fused
}
