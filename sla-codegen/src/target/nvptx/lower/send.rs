//! Tiles on their way out: registers to a stage of the role's own by `stmatrix`, from there to global memory by TMA, without waiting for its end.
//!
//! Every warpgroup sends its own 64 rows, so that it waits for no other.

use super::Lower;
use crate::target::nvptx::stage::{PANEL_COLUMNS, PITCH};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::OpId;

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
        let (zero, pitch) = (self.t.i32(0), self.t.i32(PITCH as i64));
        let (down, chunk) = self.panel_lane();
        let warp = self.warp_row(ring.rows);
        let warp = self.t.head_bin("arith.muli", warp, pitch, Ty::I32);
        let lane = self.t.head_bin("arith.addi", warp, down, Ty::I32);
        let base = self.stage_address(&ring, zero, 0);
        let base = self.t.bin("arith.addi", base, lane, Ty::I32);
        let pairs = ring.cols / 8;
        for step in 0..ring.cols / 16 {
            let (addr, past) = self.panel_at(base, chunk, ring.panel(), step);
            let mut args = vec![(addr, Ty::I32)];
            args.extend((0..4).map(|i| (regs[i % 2 * pairs + 2 * step + i / 2], Ty::I32)));
            let code = format!("stmatrix.sync.aligned.m8n8.x4.shared.b16 [$0+{past}], {{$1, $2, $3, $4}};");
            self.t.asm(&code, &args, &[], true);
        }
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
        let (group, sixty_four) = (self.warpgroup(), self.t.i32(64));
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

    /// The end of a role that sends: shared memory must live until it has been read, and what was written must be there for whoever comes after.
    pub(super) fn end_sends(&mut self) {
        let speaker = self.speaker();
        self.t.asm_if(speaker, "cp.async.bulk.wait_group 0;", &[]);
    }
}
