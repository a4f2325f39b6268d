//! Rings: where a role is in one, waiting and arriving, copies by TMA into a stage, and stages as tiles.
//!
//! How a stage of halves lies in shared memory is [`stage`](crate::target::nvptx::stage)'s to say; a line of f32 lies as in memory. A cursor is a stage's number and a bit that changes each
//! time around.

use super::roles::RingPlace;
use super::{Lower, Val};
use crate::TensorMap;
use crate::target::nvptx::stage::{PANEL_COLUMNS, PITCH};
use crate::target::nvptx::text::{Ssa, Ty, list};
use sla_dsl::ir::{OpId, Value};

/// A filled stage.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// The ring's number.
    pub ring: usize,
    /// The stage's number.
    pub stage: Ssa,
}

impl Lower<'_> {
    pub(super) fn ring_of(&self, v: Value) -> (usize, RingPlace) {
        match self.env.get(&v) {
            Some(Val::Ring(i)) => (*i, self.roles.rings[*i]),
            _ => unreachable!("{v} is a ring in a verified kernel"),
        }
    }

    pub(super) fn cursor_of(&self, v: Value) -> (Ssa, Ssa) {
        match self.env.get(&v) {
            Some(Val::Regs(r)) if r.len() == 2 => (r[0], r[1]),
            _ => unreachable!("{v} is a cursor in a verified kernel"),
        }
    }

    pub(super) fn cursor(&mut self, id: OpId) {
        let zero = self.t.i32(0);
        self.set(self.k.op(id).results[0], vec![zero, zero]);
    }

    pub(super) fn advance(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((_, ring), (stage, phase)) = (self.ring_of(op.operands[0]), self.cursor_of(op.operands[1]));
        let one = self.t.i32(1);
        let next = if ring.stages == 1 {
            let zero = self.t.i32(0);
            vec![zero, self.t.bin("arith.xori", phase, one, Ty::I32)]
        } else {
            let (count, zero) = (self.t.i32(ring.stages as i64), self.t.i32(0));
            let up = self.t.bin("arith.addi", stage, one, Ty::I32);
            let around = self.t.def(format_args!("arith.cmpi eq, {up}, {count} : i32"));
            let other = self.t.bin("arith.xori", phase, one, Ty::I32);
            let stage = self.t.select(around, zero, up, Ty::I32);
            vec![stage, self.t.select(around, other, phase, Ty::I32)]
        };
        self.set(op.results[0], next);
    }

    pub(super) fn lap(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (stage, phase) = self.cursor_of(op.operands[1]);
        let one = self.t.i32(1);
        let phase = self.t.bin("arith.xori", phase, one, Ty::I32);
        self.set(op.results[0], vec![stage, phase]);
    }

    /// `first + stage · bytes`, with `first` in the head.
    fn of_stage(&mut self, ring: &RingPlace, first: Ssa, stage: Ssa, bytes: usize) -> Ssa {
        if ring.stages == 1 {
            return first;
        }
        let bytes = self.t.i32(bytes as i64);
        let past = self.t.bin("arith.muli", stage, bytes, Ty::I32);
        self.t.bin("arith.addi", first, past, Ty::I32)
    }

    /// The address of a stage's barrier, less the place in shared memory of the ring's barriers: that is the instruction's to add.
    pub(super) fn barrier_of(&mut self, ring: &RingPlace, stage: Ssa) -> Ssa {
        self.of_stage(ring, self.pool, stage, 8)
    }

    /// The address of a stage, `past` bytes into it.
    pub(super) fn stage_address(&mut self, ring: &RingPlace, stage: Ssa, past: usize) -> Ssa {
        let past = self.t.i32((ring.offset + past) as i64);
        let first = self.t.head_bin("arith.addi", self.pool, past, Ty::I32);
        self.of_stage(ring, first, stage, ring.stage())
    }

    /// Waits until the phase with this parity has ended. `try_wait` sleeps a while before it says no.
    pub(super) fn wait(&mut self, barrier: Ssa, past: usize, parity: Ssa) {
        let code = format!(
            "{{ .reg .pred P; W_${{:uid}}: mbarrier.try_wait.parity.shared::cta.b64 P, [$0+{past}], $1; \
             @P bra.uni D_${{:uid}}; bra.uni W_${{:uid}}; D_${{:uid}}: }}"
        );
        self.t.asm(&code, &[(barrier, Ty::I32), (parity, Ty::I32)], &[], true);
    }

    /// Opens a branch for one thread of the role, unless it has only one.
    fn open_first(&mut self) {
        if !self.lone() {
            let zero = self.t.i32(0);
            let first = self.t.head(format_args!("arith.cmpi eq, {}, {zero} : i32", self.tid));
            self.t.open(format_args!("scf.if {first} {{"));
        }
    }

    fn close_first(&mut self) {
        if !self.lone() {
            self.t.close("}");
        }
    }

    pub(super) fn acquire(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((_, ring), (stage, phase)) = (self.ring_of(op.operands[0]), self.cursor_of(op.operands[1]));
        self.open_first();
        let barrier = self.barrier_of(&ring, stage);
        // A barrier that nobody has arrived at counts as past the odd phase: the first time around nothing is waited for.
        let one = self.t.i32(1);
        let parity = self.t.bin("arith.xori", phase, one, Ty::I32);
        self.wait(barrier, ring.barriers + 8 * ring.stages, parity);
        let code =
            format!("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0+{}], {};", ring.barriers, ring.stage());
        self.t.asm(&code, &[(barrier, Ty::I32)], &[], true);
        self.close_first();
    }

    pub(super) fn await_stage(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((number, ring), (stage, phase)) = (self.ring_of(op.operands[0]), self.cursor_of(op.operands[1]));
        let barrier = self.barrier_of(&ring, stage);
        self.wait(barrier, ring.barriers, phase);
        self.env.insert(op.results[0], Val::View(View { ring: number, stage }));
    }

    pub(super) fn release(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((number, ring), (stage, _)) = (self.ring_of(op.operands[0]), self.cursor_of(op.operands[1]));
        if self.roles.current.as_ref().is_some_and(|c| c.read.contains(&number)) && !ring.is_line() {
            // One thread arrives for its warpgroup, whose other warps may not have read their rows yet. Products need no barrier: the warps of
            // a warpgroup do those together.
            self.group_barrier();
        }
        let barrier = self.barrier_of(&ring, stage);
        let past = ring.barriers + 8 * ring.stages;
        if ring.is_line() {
            // Every warp has read for itself, and arrives for itself when all of its lanes have: no barrier of more warps is needed.
            self.t.asm("bar.warp.sync 0xffffffff;", &[], &[], true);
            let (lane, zero) = (self.thread_bits(0, 5), self.t.i32(0));
            let first = self.t.head(format_args!("arith.cmpi eq, {lane}, {zero} : i32"));
            let code = format!("mbarrier.arrive.shared::cta.b64 _, [$0+{past}];");
            return self.t.asm_if(Some(first), &code, &[(barrier, Ty::I32)]);
        }
        let speaker = self.speaker();
        let code = format!("mbarrier.arrive.shared::cta.b64 _, [$0+{past}];");
        self.t.asm_if(speaker, &code, &[(barrier, Ty::I32)]);
    }

    /// The argument that is a tensor's map for boxes of these extents.
    pub(super) fn map(&mut self, tensor: Value, extents: Vec<u32>) -> Ssa {
        let param = self.k.param_of(tensor).unwrap_or(0);
        let map = TensorMap { param, extents };
        if let Some((_, v)) = self.roles.maps.iter().find(|(m, _)| *m == map) {
            return *v;
        }
        let v = self.t.fresh();
        self.roles.maps.push((map, v));
        v
    }

    /// Coordinates of a box as TMA wants them, innermost first, as arguments and as names from `$first` on.
    pub(super) fn coordinates(&mut self, at: &[Ssa], first: usize) -> (Vec<(Ssa, Ty)>, String) {
        let args = at.iter().rev().map(|&c| (c, Ty::I32)).collect();
        (args, list((first..first + at.len()).map(|i| format!("${i}"))))
    }

    pub(super) fn fill(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (tensor, cursor) = (op.operands[0], op.operands[2]);
        let ((_, ring), (stage, _)) = (self.ring_of(op.operands[1]), self.cursor_of(cursor));
        let mut extents: Vec<u32> = op.ints("box").iter().map(|&e| e as u32).collect();
        let columns = if ring.is_line() { ring.cols } else { PANEL_COLUMNS };
        if let Some(last) = extents.last_mut() {
            *last = columns as u32;
        }
        let map = self.map(tensor, extents);
        let offsets: Vec<Ssa> = op.offsets().iter().map(|&v| self.scalar(v)).collect();
        let row = op.int("row").unwrap_or(0) as usize;
        self.open_first();
        let barrier = self.barrier_of(&ring, stage);
        let full = self.t.add_const(barrier, ring.barriers as i64);
        for panel in 0..ring.cols / columns {
            let to = self.stage_address(&ring, stage, panel * ring.panel() + row * PITCH);
            let mut at = offsets.clone();
            if let Some(last) = at.last_mut() {
                *last = self.t.add_const(*last, (PANEL_COLUMNS * panel) as i64);
            }
            let (coordinates, names) = self.coordinates(&at, 3);
            let code = format!(
                "cp.async.bulk.tensor.{}d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {{{names}}}], [$2];",
                at.len()
            );
            let args = [(to, Ty::I32), (map, Ty::Argument), (full, Ty::I32)];
            self.t.asm(&code, &[&args[..], &coordinates].concat(), &[], true);
        }
        self.close_first();
    }

    /// A lane's part of the address of its row for `ldmatrix` and `stmatrix` of a warp's 16 rows, and of its 16-byte chunk, both in the head: row
    /// `lane % 16`, chunk `lane / 16`, swizzled. Constant chunks below 8 are exclusive-ored to the second.
    pub(super) fn panel_lane(&mut self) -> (Ssa, Ssa) {
        let (row, low, high) = (self.thread_bits(0, 4), self.thread_bits(0, 3), self.thread_bits(4, 1));
        let (pitch, sixteen) = (self.t.i32(PITCH as i64), self.t.i32(16));
        let down = self.t.head_bin("arith.muli", row, pitch, Ty::I32);
        let chunk = self.t.head_bin("arith.xori", low, high, Ty::I32);
        (down, self.t.head_bin("arith.muli", chunk, sixteen, Ty::I32))
    }

    /// The lane's address for 16 columns from `16 · step` on, from that of the lane's row in the first panel; what is left to add.
    pub(super) fn panel_at(&mut self, row: Ssa, chunk: Ssa, panel: usize, step: usize) -> (Ssa, usize) {
        let turned = self.t.i32((32 * (step % 4)) as i64);
        let chunk = self.t.head_bin("arith.xori", chunk, turned, Ty::I32);
        (self.t.bin("arith.addi", row, chunk, Ty::I32), step / 4 * panel)
    }

    /// A line of f32 as a tile: of each register its own load, of neighbours one.
    fn read_line(&mut self, id: OpId, view: View) {
        let op = self.k.op(id);
        let ring = self.roles.rings[view.ring];
        let layout = self.layout_of(op.results[0]);
        let (mine, four) = (self.thread_position(&layout, 1), self.t.i32(4));
        let mine = self.t.head_bin("arith.muli", mine, four, Ty::I32);
        let base = self.stage_address(&ring, view.stage, 0);
        let base = self.t.bin("arith.addi", base, mine, Ty::I32);
        let mut regs = Vec::new();
        for pair in layout.regs.chunks(2) {
            let past = 4 * pair[0][1];
            // The accumulator's layout: a lane has two neighbouring columns of every eight.
            debug_assert!(pair.len() == 2 && pair[1][1] == pair[0][1] + 1);
            let code = format!("ld.shared.v2.f32 {{$0, $1}}, [$2+{past}];");
            regs.extend(self.t.asm(&code, &[(base, Ty::I32)], &[Ty::F32, Ty::F32], true));
        }
        self.set(op.results[0], regs);
    }

    /// A stage as a tile: fragments by `ldmatrix`, which are the registers of a canonical tile.
    pub(super) fn read_view(&mut self, id: OpId) {
        let op = self.k.op(id);
        let Some(Val::View(view)) = self.env.get(&op.operands[0]).cloned() else { return };
        let ring = self.roles.rings[view.ring];
        if ring.is_line() {
            return self.read_line(id, view);
        }
        if let Some(current) = &mut self.roles.current {
            current.read.insert(view.ring);
        }
        let layout = self.layout_of(op.results[0]);
        let pairs = ring.cols / 8;
        let mut regs = vec![self.tid; layout.regs.len() / 2];
        let (down, chunk) = self.panel_lane();
        let warp = self.warp_row(ring.rows);
        let pitch = self.t.i32(PITCH as i64);
        let warp = self.t.head_bin("arith.muli", warp, pitch, Ty::I32);
        let lane = self.t.head_bin("arith.addi", warp, down, Ty::I32);
        let base = self.stage_address(&ring, view.stage, 0);
        let base = self.t.bin("arith.addi", base, lane, Ty::I32);
        for (m, rows) in layout.regs.chunks(4 * pairs).enumerate() {
            for step in 0..ring.cols / 16 {
                let (addr, past) = self.panel_at(base, chunk, ring.panel(), step);
                let four = self.ldmatrix(addr, past + rows[0][0] as usize * PITCH, 4, false);
                for (i, v) in four.into_iter().enumerate() {
                    regs[(2 * m + i % 2) * pairs + 2 * step + i / 2] = v;
                }
            }
        }
        self.set(op.results[0], regs);
    }
}
