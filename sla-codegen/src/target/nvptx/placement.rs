//! Where buffers start in shared memory: those that are never alive together share bytes.
//!
//! A buffer lives from its load (a ring's buffer: from its loop, whose prologue fills it) to the end of the last op that reads it, seen
//! from the block of the load: a reader inside a loop keeps it for the whole loop. Sharing is sound because the lowering puts a barrier before
//! every fill and before every prologue, so that all threads are past the last read of whatever was there. Scratch is placed
//! by the lowering, behind the buffers that are alive at its op.

use super::product::widens;
use super::schedule::{Buffer, Ring};
use crate::analysis::{Parents, Uses};
use sla_dsl::ir::{BlockId, Kernel, OpCode, OpId, Value};

/// Sets every buffer's offset and life; returns where each op starts and ends in program order.
pub fn place(kernel: &Kernel, buffers: &mut [Buffer], rings: &[Ring]) -> Vec<(usize, usize)> {
    let life = Life::new(kernel);
    let spans: Vec<(usize, usize)> = buffers
        .iter()
        .enumerate()
        .map(|(i, b)| match rings.iter().find(|r| r.buffers.contains(&i)) {
            Some(ring) => life.ops[ring.at.index()],
            None => life.of(kernel, b.load, b.value),
        })
        .collect();
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| spans[i].0);
    for (n, &i) in order.iter().enumerate() {
        buffers[i].life = spans[i];
        buffers[i].offset = 0;
        let size = buffers[i].end();
        let alive = |j: &&usize| spans[**j].0 < spans[i].1 && spans[i].0 < spans[**j].1;
        let mut taken: Vec<(usize, usize)> =
            order[..n].iter().filter(alive).map(|&j| (buffers[j].offset, buffers[j].end())).collect();
        taken.sort();
        let mut at = 0;
        for (start, end) in taken {
            if at + size <= start {
                break;
            }
            at = at.max(end);
        }
        buffers[i].offset = at;
    }
    life.ops
}

/// Program order as numbers: an op spans `start..end`, the ops inside it lie between.
struct Life {
    ops: Vec<(usize, usize)>,
    uses: Uses,
    parents: Parents,
}

impl Life {
    fn new(kernel: &Kernel) -> Life {
        fn number(k: &Kernel, block: BlockId, next: &mut usize, ops: &mut [(usize, usize)]) {
            for &id in &k.block(block).ops {
                let start = *next;
                *next += 1;
                for &r in &k.op(id).regions {
                    number(k, r, next, ops);
                }
                ops[id.index()] = (start, *next);
            }
        }
        let mut ops = vec![(0, 0); kernel.ops.len()];
        number(kernel, kernel.body, &mut 0, &mut ops);
        Life { ops, uses: Uses::new(kernel), parents: Parents::new(kernel) }
    }

    /// From a load to the last read of its value.
    fn of(&self, kernel: &Kernel, load: OpId, value: Value) -> (usize, usize) {
        let (start, own_end) = self.ops[load.index()];
        let home = self.parents.block(load);
        let mut end = own_end;
        let mut values = vec![(value, false)];
        while let Some((v, view)) = values.pop() {
            for &(user, operand) in self.uses.of(v) {
                let op = kernel.op(user);
                // A dot that reads a transposed or widened view reads the same bytes; others read registers, made where the view is.
                let passes = op.code == OpCode::Transpose || widens(kernel, user);
                if !view || passes || op.code == OpCode::Dot && operand < 2 {
                    end = end.max(self.ops[self.at_home(user, home).index()].1);
                }
                if passes {
                    values.extend(op.results.iter().map(|&r| (r, true)));
                }
            }
        }
        (start, end)
    }

    /// The op of block `home` that holds `op`, or `op` itself.
    fn at_home(&self, mut op: OpId, home: Option<BlockId>) -> OpId {
        while self.parents.block(op) != home {
            match self.parents.block(op).and_then(|b| self.parents.holder(b)) {
                Some(holder) => op = holder,
                None => break,
            }
        }
        op
    }
}
