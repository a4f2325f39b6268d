//! Packing: what is kept of a row goes to its start, through shared memory. Where an element goes is counted by a scan over registers, lanes and warps,
//! in the order in which a layout counts along the row.

use super::{Lower, register};
use crate::target::nvptx::layout::Layout;
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::OpId;
use std::collections::BTreeMap;

/// How many elements are kept before each register's in its row, and in the whole row.
struct Places {
    before: Vec<Ssa>,
    count: Vec<Ssa>,
}

impl Lower<'_> {
    pub(super) fn pack_rows(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (value, keep, to) = (op.operands[0], op.operands[1], op.results[0]);
        let (layout, elem) = (self.layout_of(to), self.elem(to));
        let (axis, ty) = (layout.last_axis(), register(elem, false));
        let elements = self.elements(value);
        let mut kept = self.regs(keep);
        for (r, k) in kept.iter_mut().enumerate() {
            let inside = self.inside(&layout, r);
            *k = self.and(Some(*k), inside).unwrap_or(*k);
        }
        let places = self.places(&layout, axis, &kept);

        let size = match ty {
            Ty::I1 | Ty::I8 => 1,
            Ty::I16 => 2,
            _ => 4,
        };
        let width = layout.shape[axis];
        let row = if axis == 1 { width } else { 0 };
        let scratch = self.scratch(0, layout.shape.iter().product::<usize>() * size);
        let rows = self.linear(scratch, &layout, [row, 0], size);
        let past = |r: usize| layout.regs[r][0] as usize * row * size;
        let bytes = self.t.i32(size as i64);
        self.barrier();
        for (r, &v) in elements.iter().enumerate() {
            let along = self.t.bin("arith.muli", places.before[r], bytes, Ty::I32);
            let addr = self.t.bin("arith.addi", rows, along, Ty::I32);
            self.st_shared(addr, past(r), &[v], ty, Some(kept[r]));
        }
        self.barrier();

        let read = self.linear(scratch, &layout, if axis == 1 { [row, 1] } else { [1, 0] }, size);
        let run = if layout.padded(axis) || ty == Ty::I1 { 1 } else { layout.run(16 / size).min(4) };
        let run = if width.is_multiple_of(run) { run } else { 1 };
        let zero = if ty == Ty::F32 { self.t.f32(0.0) } else { self.t.int(0, ty) };
        let mut moved = Vec::new();
        for first in (0..layout.regs.len()).step_by(run) {
            let at = past(first) + layout.regs[first][axis] as usize * size;
            let inside = self.inside(&layout, first);
            let loaded = self.ld_shared(read, at, ty, run, inside);
            for (r, v) in (first..).zip(loaded) {
                let position = self.position(&layout, r, axis);
                let count = places.count[r];
                let there = self.t.def(format_args!("arith.cmpi slt, {position}, {count} : i32"));
                moved.push(self.t.select(there, v, zero, ty));
            }
        }
        let regs = self.join_elements(elem, &layout, moved);
        self.set(to, regs);
    }

    /// Counts along an axis. Stretches of it grow from single elements to the whole axis: by the next bit of the thread's number, whose two halves tell each
    /// other their counts, or by registers.
    fn places(&mut self, layout: &Layout, axis: usize, kept: &[Ssa]) -> Places {
        let zero = self.t.i32(0);
        let mut count: Vec<Ssa> =
            kept.iter().map(|&k| self.t.cast("arith.extui", k, Ty::I1, Ty::I32)).collect();
        let mut before = vec![zero; kept.len()];
        let mut width = 1;
        loop {
            // The registers of each stretch of a row.
            let mut stretches: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
            for (r, place) in layout.regs.iter().enumerate() {
                stretches.entry((place[1 - axis], place[axis] / width)).or_default().push(r);
            }
            if let Some(bit) = layout.bits.iter().position(|b| b[axis] == width) {
                let totals: Vec<Ssa> = stretches.values().map(|regs| count[regs[0]]).collect();
                let others = self.other_half(bit as u32, &totals);
                let upper = self.thread_bits(bit as u32, 1);
                let upper = self.t.head_bin("arith.subi", zero, upper, Ty::I32);
                for ((regs, total), other) in stretches.values().zip(totals).zip(others) {
                    let sum = self.t.bin("arith.addi", total, other, Ty::I32);
                    let lower = self.t.bin("arith.andi", other, upper, Ty::I32);
                    for &r in regs {
                        before[r] = self.t.bin("arith.addi", before[r], lower, Ty::I32);
                        count[r] = sum;
                    }
                }
                width *= 2;
                continue;
            }
            let next = layout.bits.iter().map(|b| b[axis]).filter(|&base| base > width).min();
            let whole = |at: u32| next.map_or(0, |next| at * width / next);
            let mut longer: BTreeMap<(u32, u32), Vec<Vec<usize>>> = BTreeMap::new();
            for ((row, at), regs) in stretches {
                longer.entry((row, whole(at))).or_default().push(regs);
            }
            for parts in longer.into_values() {
                let mut sum = zero;
                for regs in &parts {
                    let more = count[regs[0]];
                    for &r in regs {
                        before[r] = self.t.bin("arith.addi", before[r], sum, Ty::I32);
                    }
                    sum = self.t.bin("arith.addi", sum, more, Ty::I32);
                }
                parts.iter().flatten().for_each(|&r| count[r] = sum);
            }
            match next {
                Some(next) => width = next,
                None => return Places { before, count },
            }
        }
    }

    /// Counts of the threads whose number differs in a bit.
    fn other_half(&mut self, bit: u32, counts: &[Ssa]) -> Vec<Ssa> {
        if bit < 5 {
            return counts.iter().map(|&c| self.shuffle(c, 1 << bit, Ty::I32)).collect();
        }
        let threads = self.schedule.family.threads() as usize;
        let scratch = self.scratch(0, counts.len() * threads * 4);
        let (four, flip) = (self.t.i32(4), self.t.i32(1 << bit));
        let other = self.t.head_bin("arith.xori", self.tid, flip, Ty::I32);
        let (mine, other) = (
            self.t.head_bin("arith.muli", self.tid, four, Ty::I32),
            self.t.head_bin("arith.muli", other, four, Ty::I32),
        );
        let write = self.t.bin("arith.addi", scratch, mine, Ty::I32);
        let read = self.t.bin("arith.addi", scratch, other, Ty::I32);
        self.barrier();
        for (n, &c) in counts.iter().enumerate() {
            self.st_shared(write, n * threads * 4, &[c], Ty::I32, None);
        }
        self.barrier();
        (0..counts.len()).map(|n| self.ld_shared(read, n * threads * 4, Ty::I32, 1, None)[0]).collect()
    }
}
