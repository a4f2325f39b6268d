//! How many registers of a thread a kernel's tiles take at once: an estimate from the tiles that are alive at each op, in program order.
//!
//! It decides nothing. Addresses, fragments and scalars are not counted, and what a register allocator reorders is not known here.

use super::layout::Family;
use super::product::{is_f32, looked_through};
use crate::analysis::Uses;
use sla_dsl::ir::{BlockId, Elem, Kernel, OpCode, OpId, Value};
use std::collections::BTreeSet;

/// The most registers that tiles take at one time under a family. Tiles for which `placed` holds are in shared memory.
pub fn pressure(kernel: &Kernel, family: &Family, placed: &dyn Fn(Value) -> bool) -> usize {
    let (uses, defs) = (Uses::new(kernel), kernel.defs());
    let taken = (0..kernel.types.len() as u32)
        .map(|i| {
            let v = Value(i);
            let ty = kernel.ty(v);
            let (Some(elem), Some(shape)) = (ty.elem(), ty.shape()) else { return 0 };
            // One register stands for all copies, and conditions are made where they are used.
            let copies = defs[v.index()].map(|d| kernel.op(d).code).is_some_and(|code| {
                matches!(code, OpCode::Const | OpCode::Splat | OpCode::Broadcast | OpCode::Iota)
            });
            if copies || elem == Elem::Bool || placed(v) || looked_through(kernel, &uses, &defs, v) {
                return 0;
            }
            (family.canonical(shape).regs.len() * elem.bytes()).div_ceil(4)
        })
        .collect();
    let mut walk = Walk { kernel, taken, most: 0 };
    walk.block(kernel.body, &mut BTreeSet::new());
    walk.most
}

struct Walk<'k> {
    kernel: &'k Kernel,
    /// Registers of each value.
    taken: Vec<usize>,
    most: usize,
}

impl Walk<'_> {
    fn see(&mut self, alive: &BTreeSet<Value>, more: usize) {
        let sum: usize = alive.iter().map(|v| self.taken[v.index()]).sum();
        self.most = self.most.max(sum + more);
    }

    /// Goes through a block from its end, where `alive` holds what is needed later; leaves what is needed at its start.
    fn block(&mut self, block: BlockId, alive: &mut BTreeSet<Value>) {
        for &id in self.kernel.block(block).ops.iter().rev() {
            let op = self.kernel.op(id);
            alive.extend(&op.results);
            self.see(alive, if op.code == OpCode::Dot { self.beside(id, alive) } else { 0 });
            for r in &op.results {
                alive.remove(r);
            }
            for &region in &op.regions {
                let mut inner = alive.clone();
                self.outer_uses(region, &mut inner);
                alive.extend(&inner);
                self.block(region, &mut inner);
            }
            alive.extend(&op.operands);
            self.see(alive, 0);
        }
        for arg in &self.kernel.block(block).args {
            alive.remove(arg);
        }
    }

    /// What a dot needs beside its result and what lives on: its first operand, and sums that are kept apart from an accumulator.
    fn beside(&self, id: OpId, alive: &BTreeSet<Value>) -> usize {
        let op = self.kernel.op(id);
        let left = op.operands[0];
        let left = if alive.contains(&left) { 0 } else { self.taken[left.index()] };
        let apart = is_f32(self.kernel, id) && op.operands.len() > 2;
        left + if apart { self.taken[op.results[0].index()].min(32) } else { 0 }
    }

    /// Adds the values that a region uses and does not define.
    fn outer_uses(&self, region: BlockId, out: &mut BTreeSet<Value>) {
        let mut inside: BTreeSet<Value> = self.kernel.block(region).args.iter().copied().collect();
        let mut used = BTreeSet::new();
        let mut blocks = vec![region];
        while let Some(block) = blocks.pop() {
            inside.extend(&self.kernel.block(block).args);
            for &id in &self.kernel.block(block).ops {
                let op = self.kernel.op(id);
                inside.extend(&op.results);
                used.extend(&op.operands);
                blocks.extend(&op.regions);
            }
        }
        out.extend(used.difference(&inside));
    }
}
