//! `for` and `if`: structured control with every carried register an SSA value. Pipelined loops issue their loads ahead.

use super::shared::SharedTile;
use super::{Lower, Val};
use crate::target::nvptx::schedule::Ring;
use crate::target::nvptx::text::{Ssa, Ty, list};
use sla_dsl::ir::{BlockId, OpId, Value};

/// The registers of several values, flat, with their types.
struct Flat {
    values: Vec<Value>,
    counts: Vec<usize>,
    types: Vec<Ty>,
}

impl Lower<'_> {
    fn flat(&mut self, values: &[Value]) -> Flat {
        let mut flat = Flat { values: values.to_vec(), counts: Vec::new(), types: Vec::new() };
        for &v in values {
            let (ty, count) = self.registers(v);
            flat.counts.push(count);
            flat.types.extend(std::iter::repeat_n(ty, count));
        }
        flat
    }

    /// Gives the values their registers, taken in order from `regs`.
    fn bind(&mut self, flat: &Flat, mut regs: &[Ssa]) {
        for (&v, &count) in flat.values.iter().zip(&flat.counts) {
            let (mine, rest) = regs.split_at(count);
            self.set(v, mine.to_vec());
            regs = rest;
        }
    }

    /// The operands of a block's `yield`, flat.
    fn yielded(&mut self, block: BlockId) -> Vec<Ssa> {
        let Some(&last) = self.k.block(block).ops.last() else { return Vec::new() };
        let operands = self.k.op(last).operands.clone();
        operands.iter().flat_map(|&v| self.regs(v)).collect()
    }

    fn end(&mut self, values: &[Ssa], types: &[Ty]) {
        if values.is_empty() {
            self.t.line("scf.yield");
        } else {
            self.t.line(format_args!("scf.yield {} : {}", list(values), list(types)));
        }
    }

    /// A block whose values end with it.
    fn region(&mut self, block: BlockId) {
        let before = std::mem::take(&mut self.roles.in_flight);
        self.block(block);
        self.roles.in_flight = before;
    }

    pub(super) fn if_op(&mut self, id: OpId) {
        let op = self.k.op(id);
        let cond = self.scalar(op.operands[0]);
        let results = self.flat(&op.results);
        let name = self.t.fresh();
        let head = match results.types.len() {
            0 => format!("scf.if {cond} {{"),
            n => format!("{name}:{n} = scf.if {cond} -> ({}) {{", list(&results.types)),
        };
        self.t.open(head);
        for (i, &region) in op.regions.iter().enumerate() {
            if i == 1 {
                self.t.reopen("} else {");
            }
            self.region(region);
            let values = self.yielded(region);
            self.end(&values, &results.types);
        }
        self.t.close("}");
        let regs: Vec<Ssa> = (0..results.types.len()).map(|i| name.part(i)).collect();
        self.bind(&results, &regs);
    }

    /// A loop that also ends when the first value that it carries is negative.
    fn drawn_for(&mut self, id: OpId) {
        let op = self.k.op(id);
        let region = op.regions[0];
        let args = self.k.block(region).args.clone();
        let (lo, hi) = (self.scalar(op.operands[0]), self.scalar(op.operands[1]));
        let (step, zero) = (self.t.i32(op.int("step").unwrap_or(1)), self.t.i32(0));
        let mut init = vec![lo];
        for &v in &op.operands[2..] {
            let regs = self.regs(v);
            init.extend(regs);
        }
        let carried = self.flat(&args);
        let types = list(&carried.types);
        let name = self.t.fresh();
        let before: Vec<Ssa> = init.iter().map(|_| self.t.fresh()).collect();
        let pairs = list(before.iter().zip(&init).map(|(n, i)| format!("{n} = {i}")));
        let count = init.len();
        self.t.open(format_args!("{name}:{count} = scf.while ({pairs}) : ({types}) -> ({types}) {{"));
        let below = self.t.def(format_args!("arith.cmpi slt, {}, {hi} : i32", before[0]));
        let drawn = self.t.def(format_args!("arith.cmpi sge, {}, {zero} : i32", before[1]));
        let more = self.t.bin("arith.andi", below, drawn, Ty::I1);
        self.t.line(format_args!("scf.condition({more}) {} : {types}", list(&before)));
        self.t.reopen("} do {");
        let inside: Vec<Ssa> = init.iter().map(|_| self.t.fresh()).collect();
        let typed = inside.iter().zip(&carried.types).map(|(n, t)| format!("{n}: {t}"));
        self.t.label(format_args!("^bb0({}):", list(typed)));
        self.bind(&carried, &inside);
        self.region(region);
        let mut values = vec![self.t.bin("arith.addi", inside[0], step, Ty::I32)];
        values.extend(self.yielded(region));
        self.end(&values, &carried.types);
        self.t.close("}");
        let results = self.flat(&op.results);
        let regs: Vec<Ssa> = (1..count).map(|i| name.part(i)).collect();
        self.bind(&results, &regs);
    }

    pub(super) fn for_op(&mut self, id: OpId) {
        let op = self.k.op(id);
        if op.flag("drawn") {
            return self.drawn_for(id);
        }
        let region = op.regions[0];
        let args = self.k.block(region).args.clone();
        let (lo, hi) = (self.scalar(op.operands[0]), self.scalar(op.operands[1]));
        let step = self.t.i32(op.int("step").unwrap_or(1));
        let mut init: Vec<Ssa> = Vec::new();
        for &v in &op.operands[2..] {
            let regs = self.regs(v);
            init.extend(regs);
        }
        let carried = self.flat(&args[1..]);
        let ring = self.schedule.ring_of(id).cloned();
        let mut types = carried.types.clone();
        if let Some(ring) = &ring {
            self.prologue(ring, args[0], lo, hi, step);
            init.push(self.t.i32(0));
            types.push(Ty::I32);
        }

        let (iv, name) = (self.t.fresh(), self.t.fresh());
        let names: Vec<Ssa> = types.iter().map(|_| self.t.fresh()).collect();
        let pairs = names.iter().zip(&init).map(|(n, i)| format!("{n} = {i}"));
        let head = match types.len() {
            0 => format!("scf.for {iv} = {lo} to {hi} step {step} : i32 {{"),
            n => format!(
                "{name}:{n} = scf.for {iv} = {lo} to {hi} step {step} iter_args({}) -> ({}) : i32 {{",
                list(pairs),
                list(&types)
            ),
        };
        self.t.open(head);
        self.set(args[0], vec![iv]);
        self.bind(&carried, &names);
        let slot = names.last().copied();
        let mut next_slot = None;
        if let (Some(ring), Some(slot)) = (&ring, slot) {
            next_slot = Some(self.turn(ring, args[0], iv, hi, step, slot));
        }
        self.region(region);
        let mut values = self.yielded(region);
        values.extend(next_slot);
        self.end(&values, &types);
        self.t.close("}");
        if ring.is_some() {
            self.wait_copies(0);
        }
        let results = self.flat(&op.results);
        let regs: Vec<Ssa> = (0..results.types.len()).map(|i| name.part(i)).collect();
        self.bind(&results, &regs);
    }

    /// Issues the loads of the first `stages - 1` iterations.
    fn prologue(&mut self, ring: &Ring, counter: Value, lo: Ssa, hi: Ssa, step: Ssa) {
        // The buffers may still be read by threads that are behind, if this loop ran before.
        self.barrier();
        let some = self.t.def(format_args!("arith.cmpi slt, {lo}, {hi} : i32"));
        for stage in 0..ring.stages - 1 {
            let slot = self.t.i32(stage.into());
            let far = self.t.bin("arith.muli", step, slot, Ty::I32);
            self.issue(ring, counter, lo, far, hi, slot, Some(some));
        }
    }

    /// The start of an iteration: waits for its loads, issues those of a later iteration into the slot that the last one left, and returns the
    /// next slot.
    fn turn(&mut self, ring: &Ring, counter: Value, iv: Ssa, hi: Ssa, step: Ssa, slot: Ssa) -> Ssa {
        self.wait_copies(ring.stages - 2);
        self.barrier();
        let stages = self.t.i32(ring.stages.into());
        let ahead = self.t.i32(i64::from(ring.stages) - 1);
        let far = self.t.bin("arith.muli", step, ahead, Ty::I32);
        let previous = self.wrapped(slot, i64::from(ring.stages) - 1, stages);
        self.issue(ring, counter, iv, far, hi, previous, None);
        self.set(counter, vec![iv]);
        for &b in &ring.buffers {
            let tile = self.slot_of(b, slot);
            self.env.insert(self.schedule.buffers[b].value, Val::Shared(tile));
        }
        self.wrapped(slot, 1, stages)
    }

    /// `(slot + add) % stages`.
    fn wrapped(&mut self, slot: Ssa, add: i64, stages: Ssa) -> Ssa {
        let sum = self.t.add_const(slot, add);
        let back = self.t.bin("arith.subi", sum, stages, Ty::I32);
        let over = self.t.def(format_args!("arith.cmpi sge, {sum}, {stages} : i32"));
        self.t.select(over, back, sum, Ty::I32)
    }

    /// Issues the loads of the iteration whose counter is `from + far`, if there is one. Always closes a group, so that groups count iterations.
    #[allow(clippy::too_many_arguments)]
    fn issue(
        &mut self,
        ring: &Ring,
        counter: Value,
        from: Ssa,
        far: Ssa,
        hi: Ssa,
        slot: Ssa,
        some: Option<Ssa>,
    ) {
        // As a distance, because the sum may wrap at the end of the counter's range. `from` is below `hi`, or `some` is false.
        let left = self.t.bin("arith.subi", hi, from, Ty::I32);
        let exists = self.t.def(format_args!("arith.cmpi ugt, {left}, {far} : i32"));
        let exists = some.map_or(exists, |some| self.t.bin("arith.andi", some, exists, Ty::I1));
        let at = self.t.bin("arith.addi", from, far, Ty::I32);
        self.t.open(format_args!("scf.if {exists} {{"));
        self.set(counter, vec![at]);
        for &op in &ring.slice {
            self.op(op);
        }
        for &b in &ring.buffers {
            let tile = self.slot_of(b, slot);
            let buffer = &self.schedule.buffers[b];
            let access = self.access(buffer.load, buffer.value);
            self.copy_async(&access, tile);
        }
        self.t.close("}");
        self.commit_copies();
    }

    /// One copy of a buffer.
    fn slot_of(&mut self, buffer: usize, slot: Ssa) -> SharedTile {
        let b = &self.schedule.buffers[buffer];
        let (rows, cols, elem, bytes, offset) = (b.rows, b.cols, b.elem, b.bytes() as i64, b.offset as i64);
        let bytes = self.t.i32(bytes);
        let start = self.t.bin("arith.muli", slot, bytes, Ty::I32);
        let base = self.t.add_const(self.pool, offset);
        let addr = self.t.bin("arith.addi", base, start, Ty::I32);
        SharedTile { addr, rows, cols, elem }
    }
}
