//! Tiles on their way out: registers to a stage of the role's own by `stmatrix`, from there to global memory by TMA, without waiting for its end.
//!
//! Every warpgroup sends its own 64 rows (or columns, of a sum that is added), so that it waits for no other. A tile that all warpgroups multiply is
//! written likewise, and they meet.

use super::ring::View;
use super::roles::RingPlace;
use super::{Lower, Val};
use crate::target::nvptx::stage::{PANEL_COLUMNS, PITCH};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::OpId;

/// Columns of a panel of f32.
const ADDED_COLUMNS: usize = PITCH / 4;

impl Lower<'_> {
    pub(super) fn send(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (_, ring) = self.ring_of(op.operands[2]);
        let regs = self.regs(op.operands[1]);
        if let Some(current) = &mut self.roles.current {
            current.sends = true;
        }
        let speaker = self.speaker();
        // What this thread sent before may still be read from the stage.
        self.t.asm_if(speaker, "cp.async.bulk.wait_group.read 0;", &[]);
        // The others of the warpgroup write to the stage only after that wait. All of them come by, as in every barrier of a role.
        self.group_barrier();
        let zero = self.t.i32(0);
        self.write_stage(&ring, zero, &regs);
        // TMA reads through another proxy: each thread's writes become visible to it, then the warpgroup meets, then one thread starts the copy.
        self.t.asm("fence.proxy.async.shared::cta;", &[], &[], true);
        self.group_barrier();
        let mut extents: Vec<u32> = op.ints("box").iter().map(|&e| e as u32).collect();
        let rows = extents.len().checked_sub(2).and_then(|last| (0..=last).rev().find(|&a| extents[a] != 1));
        if let Some(last) = extents.last_mut() {
            *last = PANEL_COLUMNS as u32;
        }
        if let Some(rows) = rows {
            extents[rows] = 64;
        }
        let map = self.map(op.operands[0], extents);
        let mut at: Vec<Ssa> = op.offsets().iter().map(|&v| self.scalar(v)).collect();
        let (group, sixty_four, pitch) = (self.warpgroup(), self.t.i32(64), self.t.i32(PITCH as i64));
        let first = self.t.head_bin("arith.muli", group, sixty_four, Ty::I32);
        if let Some(rows) = rows {
            at[rows] = self.t.bin("arith.addi", at[rows], first, Ty::I32);
        }
        let skip = self.t.head_bin("arith.muli", first, pitch, Ty::I32);
        for panel in 0..ring.cols / PANEL_COLUMNS {
            let from = self.stage_address(&ring, zero, panel * ring.panel());
            let from = self.t.bin("arith.addi", from, skip, Ty::I32);
            let mut at = at.clone();
            if let Some(last) = at.last_mut() {
                *last = self.t.add_const(*last, (PANEL_COLUMNS * panel) as i64);
            }
            let (coordinates, names) = self.coordinates(&at, 2);
            let code = format!(
                "cp.async.bulk.tensor.{}d.global.shared::cta.bulk_group [$1, {{{names}}}], [$0];",
                at.len()
            );
            let args = [&[(from, Ty::I32), (map, Ty::Argument)][..], &coordinates].concat();
            self.t.asm_if(speaker, &code, &args);
        }
        self.t.asm_if(speaker, "cp.async.bulk.commit_group;", &[]);
    }

    /// Writes a tile of halves to a stage, each warp its rows.
    fn write_stage(&mut self, ring: &RingPlace, stage: Ssa, regs: &[Ssa]) {
        let pitch = self.t.i32(PITCH as i64);
        let (down, chunk) = self.panel_lane();
        let warp = self.warp_row(ring.rows);
        let warp = self.t.head_bin("arith.muli", warp, pitch, Ty::I32);
        let lane = self.t.head_bin("arith.addi", warp, down, Ty::I32);
        let base = self.stage_address(ring, stage, 0);
        let base = self.t.bin("arith.addi", base, lane, Ty::I32);
        let pairs = ring.cols / 8;
        for step in 0..ring.cols / 16 {
            let (addr, past) = self.panel_at(base, chunk, ring.panel(), step);
            let mut args = vec![(addr, Ty::I32)];
            args.extend((0..4).map(|i| (regs[i % 2 * pairs + 2 * step + i / 2], Ty::I32)));
            let code = format!("stmatrix.sync.aligned.m8n8.x4.shared.b16 [$0+{past}], {{$1, $2, $3, $4}};");
            self.t.asm(&code, &args, &[], true);
        }
    }

    /// A tile that all warpgroups of the role write, and multiply. That nobody multiplies what was there before is the protocol's business.
    pub(super) fn share(&mut self, id: OpId) {
        let op = self.k.op(id);
        let ((number, ring), (stage, _)) = (self.ring_of(op.operands[1]), self.cursor_of(op.operands[2]));
        let regs = self.regs(op.operands[0]);
        self.write_stage(&ring, stage, &regs);
        // Products read through another proxy: each thread's writes become visible to it, then all who write and multiply meet.
        self.t.asm("fence.proxy.async.shared::cta;", &[], &[], true);
        self.role_barrier();
        self.env.insert(op.results[0], Val::View(View { ring: number, stage }));
    }

    /// A tile of f32, 64 rows and columns a warpgroup, added to global memory from a stage: each warpgroup has its own panels of it, and waits for no other.
    pub(super) fn send_add(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (_, ring) = self.ring_of(op.operands[2]);
        let regs = self.regs(op.operands[1]);
        if let Some(current) = &mut self.roles.current {
            current.sends = true;
        }
        let speaker = self.speaker();
        // As in `send`: what was sent before has been read, then all of the warpgroup write.
        self.t.asm_if(speaker, "cp.async.bulk.wait_group.read 0;", &[]);
        self.group_barrier();
        let panels = PANEL_COLUMNS / ADDED_COLUMNS;
        let (zero, group) = (self.t.i32(0), self.warpgroup());
        let mine = self.t.i32((panels * ring.panel()) as i64);
        let skip = self.t.head_bin("arith.muli", group, mine, Ty::I32);
        let base = self.stage_address(&ring, zero, 0);
        let mine = self.t.head_bin("arith.addi", base, skip, Ty::I32);
        let lane = self.accumulator_lane();
        let base = self.t.head_bin("arith.addi", mine, lane, Ty::I32);
        // A thread has two neighbouring columns of every eight, of rows `r` and `r + 8`: half of a chunk. Bits of the chunk's number are no one else's in the
        // address of a row, so that constant ones are exclusive-ored to it.
        for eight in 0..PANEL_COLUMNS / 8 {
            let turned = self.t.i32((eight % 4 * 32) as i64);
            let addr = self.t.bin("arith.xori", base, turned, Ty::I32);
            for row in 0..2 {
                let past = eight / 4 * ring.panel() + row * 8 * PITCH;
                let at = row * regs.len() / 2 + 2 * eight;
                let code = format!("st.shared.v2.f32 [$0+{past}], {{$1, $2}};");
                let args = [(addr, Ty::I32), (regs[at], Ty::F32), (regs[at + 1], Ty::F32)];
                self.t.asm(&code, &args, &[], true);
            }
        }
        self.t.asm("fence.proxy.async.shared::cta;", &[], &[], true);
        self.group_barrier();
        let mut extents: Vec<u32> = op.ints("box").iter().map(|&e| e as u32).collect();
        if let Some(last) = extents.last_mut() {
            *last = ADDED_COLUMNS as u32;
        }
        let map = self.map(op.operands[0], extents);
        let at: Vec<Ssa> = op.offsets().iter().map(|&v| self.scalar(v)).collect();
        let columns = self.t.i32(PANEL_COLUMNS as i64);
        let first = self.t.head_bin("arith.muli", group, columns, Ty::I32);
        for panel in 0..panels {
            let from = self.t.add_const(mine, (panel * ring.panel()) as i64);
            let mut at = at.clone();
            if let Some(last) = at.last_mut() {
                let moved = self.t.bin("arith.addi", *last, first, Ty::I32);
                *last = self.t.add_const(moved, (ADDED_COLUMNS * panel) as i64);
            }
            let (coordinates, names) = self.coordinates(&at, 2);
            let code = format!(
                "cp.reduce.async.bulk.tensor.{}d.global.shared::cta.add.tile.bulk_group [$1, {{{names}}}], [$0];",
                at.len()
            );
            let args = [&[(from, Ty::I32), (map, Ty::Argument)][..], &coordinates].concat();
            self.t.asm_if(speaker, &code, &args);
        }
        self.t.asm_if(speaker, "cp.async.bulk.commit_group;", &[]);
    }

    /// A lane's place in a panel of f32 for the first of its accumulators, in bytes, in the head: row `16 w + lane / 4` of its warp `w`, half `lane % 2` of chunk
    /// `lane % 4 / 2`, swizzled.
    fn accumulator_lane(&mut self) -> Ssa {
        let (warp, row) = (self.thread_bits(5, 2), self.thread_bits(2, 3));
        let (high, low) = (self.thread_bits(1, 1), self.thread_bits(0, 1));
        let by = |l: &mut Self, v: Ssa, n: usize| {
            let n = l.t.i32(n as i64);
            l.t.head_bin("arith.muli", v, n, Ty::I32)
        };
        let chunk = self.t.head_bin("arith.xori", row, high, Ty::I32);
        let parts = [by(self, warp, 16 * PITCH), by(self, row, PITCH), by(self, chunk, 16), by(self, low, 8)];
        let [first, rest @ ..] = parts;
        rest.into_iter().fold(first, |sum, p| self.t.head_bin("arith.addi", sum, p, Ty::I32))
    }

    /// The end of a role that sends: shared memory must live until it has been read, and what was written must be there for whoever comes after.
    pub(super) fn end_sends(&mut self) {
        let speaker = self.speaker();
        self.t.asm_if(speaker, "cp.async.bulk.wait_group 0;", &[]);
    }
}
