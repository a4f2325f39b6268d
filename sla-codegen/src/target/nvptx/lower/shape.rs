//! Reshape and transpose: the same elements in another layout. Through shared memory, unless every thread already holds what it needs.

use super::{Lower, register};
use crate::target::nvptx::layout::Layout;
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{OpCode, OpId, Value};
use std::collections::HashMap;

impl Lower<'_> {
    pub(super) fn reshape(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (from, to) = (op.operands[0], op.results[0]);
        if op.code == OpCode::Reshape && self.only_stored(from, to) {
            return;
        }
        let (source, target) = (self.layout_of(from), self.layout_of(to));
        let elem = self.elem(to);
        let elements = self.elements(from);
        // Elements are numbered in the row-major order of the source.
        let read_strides = match op.code {
            OpCode::Transpose => [1, target.shape[0]],
            _ => row_major(&target.shape),
        };
        let write_strides = row_major(&source.shape);
        let moved = match same_places(&source, write_strides, &target, read_strides) {
            Some(order) => order.into_iter().map(|r| elements[r]).collect(),
            None => {
                self.exchange(elements, register(elem, false), &source, write_strides, &target, read_strides)
            }
        };
        let regs = self.join_elements(elem, &target, moved);
        self.set(to, regs);
    }

    /// Whether a tile that differs from another by axes of extent 1 alone is only stored: then the other is stored in its place, as a box has
    /// such axes wherever they are wanted.
    fn only_stored(&self, from: Value, to: Value) -> bool {
        let long = |v: Value| -> Vec<usize> {
            self.k.ty(v).shape().unwrap_or(&[]).iter().copied().filter(|&n| n != 1).collect()
        };
        let stored = |&(user, operand): &(OpId, usize)| {
            operand == 1 && matches!(self.k.op(user).code, OpCode::Store | OpCode::AtomicAdd)
        };
        self.k.ty(from).is_tile() && long(from) == long(to) && self.uses.of(to).iter().all(stored)
    }

    /// The tile that a store takes its registers from.
    pub(super) fn stored(&self, v: Value) -> Value {
        match self.defs[v.index()].map(|d| self.k.op(d)) {
            Some(op) if op.code == OpCode::Reshape && self.only_stored(op.operands[0], v) => {
                self.stored(op.operands[0])
            }
            _ => v,
        }
    }

    fn exchange(
        &mut self,
        elements: Vec<Ssa>,
        ty: Ty,
        source: &Layout,
        write_strides: [usize; 2],
        target: &Layout,
        read_strides: [usize; 2],
    ) -> Vec<Ssa> {
        let size = match ty {
            Ty::I1 | Ty::I8 => 1,
            Ty::I16 => 2,
            _ => 4,
        };
        let count: usize = source.shape.iter().product();
        let scratch = self.scratch(0, count * size);
        let write = self.linear(scratch, source, write_strides, size);
        self.barrier();
        for (r, &v) in elements.iter().enumerate() {
            let past = linear_constant(source.regs[r], write_strides) * size;
            let pred = self.inside(source, r);
            self.st_shared(write, past, &[v], ty, pred);
        }
        self.barrier();
        let read = self.linear(scratch, target, read_strides, size);
        (0..target.regs.len())
            .map(|r| {
                let past = linear_constant(target.regs[r], read_strides) * size;
                let pred = self.inside(target, r);
                self.ld_shared(read, past, ty, 1, pred)[0]
            })
            .collect()
    }

    /// The address of a thread's part of the element number.
    pub(super) fn linear(&mut self, scratch: Ssa, layout: &Layout, strides: [usize; 2], size: usize) -> Ssa {
        let mut at = scratch;
        for (axis, stride) in strides.into_iter().enumerate().take(layout.shape.len()) {
            let position = self.thread_position(layout, axis);
            let step = self.t.i32((stride * size) as i64);
            let part = self.t.head_bin("arith.muli", position, step, Ty::I32);
            at = self.t.bin("arith.addi", at, part, Ty::I32);
        }
        at
    }
}

fn row_major(shape: &[usize]) -> [usize; 2] {
    [shape.get(1).copied().unwrap_or(1), 1]
}

fn linear_constant(position: [u32; 2], strides: [usize; 2]) -> usize {
    position[0] as usize * strides[0] + position[1] as usize * strides[1]
}

/// If every thread of the target holds the elements that it holds in the source: for each register of the target, that of the source.
fn same_places(
    source: &Layout,
    write_strides: [usize; 2],
    target: &Layout,
    read_strides: [usize; 2],
) -> Option<Vec<usize>> {
    let padded = |l: &Layout| (0..l.shape.len()).any(|a| l.padded(a));
    if padded(source) || padded(target) {
        return None;
    }
    let bits = |l: &Layout, s| l.bits.iter().map(|&b| linear_constant(b, s)).collect::<Vec<_>>();
    if bits(source, write_strides) != bits(target, read_strides) {
        return None;
    }
    let places: HashMap<usize, usize> =
        source.regs.iter().enumerate().map(|(r, &p)| (linear_constant(p, write_strides), r)).collect();
    target.regs.iter().map(|&p| places.get(&linear_constant(p, read_strides)).copied()).collect()
}
