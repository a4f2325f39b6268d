//! Copies from global to shared memory by `cp.async`: 16 bytes a thread, rows outside the tensor filled with zeros.

use super::Lower;
use super::global::Access;
use super::shared::{SharedTile, swizzle};
use crate::target::nvptx::text::{Ssa, Ty};

impl Lower<'_> {
    /// Issues the copy of the box of an access into a shared tile, whose size is the box's.
    pub(super) fn copy_async(&mut self, access: &Access, tile: SharedTile) {
        let start = self.box_pointer(access);
        let threads = self.schedule.family.threads() as usize;
        let bytes = access.elem.bytes();
        let chunks = tile.pitch() / 16;
        let total = tile.rows * chunks;
        let Some(row_axis) = access.axes.iter().find(|a| a.tile == Some(0)) else { return };
        let (row_stride, row_offset, row_extent) = (row_axis.stride, row_axis.offset, row_axis.extent);
        let mut outer: Option<Ssa> = access.allowed;
        for axis in access.axes.iter().filter(|a| a.tile.is_none()) {
            if let Some(extent) = axis.extent {
                let here = self.t.def(format_args!("arith.cmpi ult, {}, {extent} : i32", axis.offset));
                outer = self.and(outer, Some(here));
            }
        }
        let count = self.t.i32(chunks as i64);
        let regular = threads.is_multiple_of(chunks) && (threads / chunks).is_multiple_of(8);
        for i in 0..total.div_ceil(threads) {
            let first = self.t.i32((i * threads) as i64);
            // Where rows per round are a multiple of 8, the swizzle is that of the first round, and the rest is a constant.
            let id = if regular { self.tid } else { self.t.head_bin("arith.addi", self.tid, first, Ty::I32) };
            let row = self.t.head_bin("arith.divui", id, count, Ty::I32);
            let chunk = self.t.head_bin("arith.remui", id, count, Ty::I32);
            let turn = if regular { i * (threads / chunks) } else { 0 };

            let place = self.chunk_offset(row, chunk, tile);
            let to = self.t.bin("arith.addi", tile.addr, place, Ty::I32);
            let past = turn * tile.pitch();

            // What all threads have in common is apart from the thread's own part, of which there is one for all rounds.
            let rows = self.t.i64(turn as i64);
            let common = self.t.head_bin("arith.muli", rows, row_stride, Ty::I64);
            let wide = self.t.head(format_args!("arith.extui {row} : i32 to i64"));
            let down = self.t.head_bin("arith.muli", wide, row_stride, Ty::I64);
            let lane = self.t.i32((16 / bytes) as i64);
            let column = self.t.head_bin("arith.muli", chunk, lane, Ty::I32);
            let column = self.t.head(format_args!("arith.extui {column} : i32 to i64"));
            let index = self.t.head_bin("arith.addi", down, column, Ty::I64);
            let from = self.step(start, common, access.elem);
            let from = self.step(from, index, access.elem);

            let mut inside = outer;
            if let Some(extent) = row_extent {
                let rows = self.t.i32(turn as i64);
                let full_row = self.t.head_bin("arith.addi", row, rows, Ty::I32);
                let at = self.t.bin("arith.addi", row_offset, full_row, Ty::I32);
                let here = self.t.def(format_args!("arith.cmpi ult, {at}, {extent} : i32"));
                inside = self.and(inside, Some(here));
            }
            let mut args = vec![(to, Ty::I32), (from, Ty::Global)];
            let mut code = format!("cp.async.cg.shared.global [$0+{past}], [$1], 16");
            if let Some(inside) = inside {
                let (all, none) = (self.t.i32(16), self.t.i32(0));
                let size = self.t.select(inside, all, none, Ty::I32);
                args.push((size, Ty::I32));
                code += ", $2";
            }
            code.push(';');
            if (i + 1) * threads > total {
                let full_id = self.t.head_bin("arith.addi", self.tid, first, Ty::I32);
                let limit = self.t.i32(total as i64);
                let mine = self.t.head(format_args!("arith.cmpi ult, {full_id}, {limit} : i32"));
                args.push((self.t.cast("arith.extui", mine, Ty::I1, Ty::I32), Ty::I32));
                code = format!("{{ .reg .pred p; setp.ne.b32 p, ${}, 0; @p {code} }}", args.len() - 1);
            }
            self.t.asm(&code, &args, &[], true);
        }
    }

    /// The byte offset of a 16-byte chunk in a swizzled tile, in the head.
    fn chunk_offset(&mut self, row: Ssa, chunk: Ssa, tile: SharedTile) -> Ssa {
        let (divide, mask) = swizzle(tile.pitch());
        let (divide, mask) = (self.t.i32(divide.into()), self.t.i32(mask.into()));
        let (pitch, sixteen) = (self.t.i32(tile.pitch() as i64), self.t.i32(16));
        let turned = self.t.head_bin("arith.divui", row, divide, Ty::I32);
        let turned = self.t.head_bin("arith.andi", turned, mask, Ty::I32);
        let chunk = self.t.head_bin("arith.xori", chunk, turned, Ty::I32);
        let chunk = self.t.head_bin("arith.muli", chunk, sixteen, Ty::I32);
        let down = self.t.head_bin("arith.muli", row, pitch, Ty::I32);
        self.t.head_bin("arith.addi", down, chunk, Ty::I32)
    }

    /// Closes a group of copies.
    pub(super) fn commit_copies(&mut self) {
        self.t.asm("cp.async.commit_group;", &[], &[], true);
    }

    /// Waits until at most `pending` of this thread's groups are on their way.
    pub(super) fn wait_copies(&mut self, pending: u32) {
        self.t.asm(&format!("cp.async.wait_group {pending};"), &[], &[], true);
    }
}
