//! Shared memory: the schedule's tiles, the scratch beyond them, and single accesses.
//!
//! Tiles that dots read are stored row by row in chunks of 16 bytes, and a chunk's place in its row is exclusive-ored with bits of the row's
//! number, so that eight rows of one column of chunks lie in eight different bank groups. Scratch belongs to one op at a time: its
//! user begins with a barrier.

use super::Lower;
use super::fragment::Lanes;
use crate::target::nvptx::text::{Ssa, Ty, list};
use sla_dsl::ir::Elem;

/// A rank-2 tile in shared memory.
#[derive(Clone, Copy)]
pub(super) struct SharedTile {
    /// Address of its first byte, `i32`.
    pub addr: Ssa,
    pub rows: usize,
    pub cols: usize,
    pub elem: Elem,
}

impl SharedTile {
    /// Bytes from row to row: a multiple of 16.
    pub(super) fn pitch(&self) -> usize {
        self.cols * self.elem.bytes()
    }
}

/// How chunks of 16 bytes move in rows of `pitch` bytes: chunk `c` of row `r` is stored at `c ^ (r / divide & mask)`.
pub(super) fn swizzle(pitch: usize) -> (u32, u32) {
    let chunks = pitch / 16;
    let free = 1usize << chunks.trailing_zeros().min(3);
    // Short rows share a line of 128 bytes, so the row's number changes the place more slowly.
    let divide = if chunks < 8 && free == chunks { 8 / chunks } else { 1 };
    (divide as u32, free as u32 - 1)
}

impl Lower<'_> {
    /// The only copy of a buffer.
    pub(super) fn buffer_tile(&mut self, buffer: usize) -> SharedTile {
        let b = &self.schedule.buffers[buffer];
        let (rows, cols, elem, offset) = (b.rows, b.cols, b.elem, b.offset as i64);
        SharedTile { addr: self.t.add_const(self.pool, offset), rows, cols, elem }
    }

    /// Scratch memory of so many bytes, from `skip` bytes into it: where no buffer is alive.
    pub(super) fn scratch(&mut self, skip: usize, bytes: usize) -> Ssa {
        let start = self.scratch_start(skip);
        self.scratch_end = self.scratch_end.max(start + bytes);
        self.kept = None;
        self.t.add_const(self.pool, start as i64)
    }

    /// Where that is in shared memory.
    pub(super) fn scratch_start(&self, skip: usize) -> usize {
        self.roles.scratch + self.schedule.free_from(self.current) + skip
    }

    /// This thread's place in a tile whose registers are those of a canonical tile of a shape.
    fn tile_lanes(&mut self, tile: SharedTile, shape: [usize; 2]) -> Lanes {
        let layout = self.layout(&shape);
        let (row, col) = (self.thread_position(&layout, 0), self.thread_position(&layout, 1));
        let bytes = self.t.i32(tile.elem.bytes() as i64);
        let at = self.t.head_bin("arith.muli", col, bytes, Ty::I32);
        let (four, fifteen) = (self.t.i32(4), self.t.i32(15));
        let chunk = self.t.head_bin("arith.shrui", at, four, Ty::I32);
        let byte = self.t.head_bin("arith.andi", at, fifteen, Ty::I32);
        self.lanes(tile, row, chunk, byte)
    }

    /// Reads a tile into canonical registers, pair by pair.
    pub(super) fn read_shared_tile(&mut self, tile: SharedTile) -> Vec<Ssa> {
        let layout = self.layout(&[tile.rows, tile.cols]);
        let lanes = self.tile_lanes(tile, [tile.rows, tile.cols]);
        let mut out = Vec::new();
        for reg in (0..layout.regs.len()).step_by(2) {
            let [row, col] = layout.regs[reg];
            let (addr, past) = self.at(&lanes, tile, row, col as usize * tile.elem.bytes() / 16);
            let pred = self.inside(&layout, reg);
            let (ty, count) = if tile.elem.is_half() { (Ty::I32, 1) } else { (Ty::F32, 2) };
            out.extend(self.ld_shared(addr, past, ty, count, pred));
        }
        out
    }

    /// Writes canonical registers into a tile, pair by pair.
    pub(super) fn write_shared_tile(&mut self, tile: SharedTile, regs: &[Ssa]) {
        self.write_shared_part(tile, regs, [tile.rows, tile.cols], [0, 0]);
    }

    /// Writes the part of canonical registers of `shape` that starts at `first` and has the tile's size. Parts start and end at multiples of 8.
    pub(super) fn write_shared_part(
        &mut self,
        tile: SharedTile,
        regs: &[Ssa],
        shape: [usize; 2],
        first: [usize; 2],
    ) {
        let layout = self.layout(&shape);
        // The first row of the part lies where the tile begins.
        let up = -((first[0] * tile.pitch()) as i64);
        let shifted = SharedTile { addr: self.t.add_const(tile.addr, up), ..tile };
        let lanes = self.tile_lanes(shifted, shape);
        let width = if tile.elem.is_half() { 1 } else { 2 };
        let ty = if tile.elem.is_half() { Ty::I32 } else { Ty::F32 };
        for (i, values) in regs.chunks(width).enumerate() {
            let [row, col] = layout.regs[2 * i];
            let col = col as usize;
            if col < first[1] || col >= first[1] + tile.cols {
                continue;
            }
            let (addr, past) = self.at(&lanes, tile, row, (col - first[1]) * tile.elem.bytes() / 16);
            let mut pred = self.inside(&layout, 2 * i);
            if tile.rows < shape[0] {
                let (start, count) = (self.t.i32(-(first[0] as i64)), self.t.i32(tile.rows as i64));
                let position = self.position(&layout, 2 * i, 0);
                let position = self.t.head_bin("arith.addi", position, start, Ty::I32);
                let here = self.t.head(format_args!("arith.cmpi ult, {position}, {count} : i32"));
                pred = self.and(pred, Some(here));
            }
            self.st_shared(addr, past, values, ty, pred);
        }
    }

    /// Reads `count` neighbours.
    pub(super) fn ld_shared(
        &mut self,
        addr: Ssa,
        past: usize,
        ty: Ty,
        count: usize,
        pred: Option<Ssa>,
    ) -> Vec<Ssa> {
        let (kind, travels) = kind(ty);
        let names = list((0..count).map(|i| format!("${i}")));
        let (vector, names) =
            if count == 1 { (String::new(), names) } else { (format!(".v{count}"), format!("{{{names}}}")) };
        let access = format!("ld.shared{vector}.{kind} {names}, [${count}+{past}];");
        let mut args = vec![(addr, Ty::I32)];
        let code = match pred {
            None => access,
            Some(p) => {
                args.push((self.t.cast("arith.extui", p, Ty::I1, Ty::I32), Ty::I32));
                let zero = if travels == Ty::F32 { "0f00000000" } else { "0" };
                let mov = if travels == Ty::I16 {
                    "b16"
                } else if travels == Ty::F32 {
                    "f32"
                } else {
                    "b32"
                };
                let clear: String = (0..count).map(|i| format!("mov.{mov} ${i}, {zero}; ")).collect();
                format!("{{ .reg .pred p; setp.ne.b32 p, ${}, 0; {clear}@p {access} }}", count + 1)
            }
        };
        let loaded = self.t.asm(&code, &args, &vec![travels; count], true);
        loaded
            .into_iter()
            .map(|v| if travels == ty { v } else { self.t.cast("arith.trunci", v, travels, ty) })
            .collect()
    }

    /// Writes neighbours.
    pub(super) fn st_shared(&mut self, addr: Ssa, past: usize, values: &[Ssa], ty: Ty, pred: Option<Ssa>) {
        let (kind, travels) = kind(ty);
        let mut args = vec![(addr, Ty::I32)];
        for &v in values {
            let v = if travels == ty { v } else { self.t.cast("arith.extui", v, ty, travels) };
            args.push((v, travels));
        }
        let names = list((1..=values.len()).map(|i| format!("${i}")));
        let (vector, names) = match values.len() {
            1 => (String::new(), names),
            n => (format!(".v{n}"), format!("{{{names}}}")),
        };
        let access = format!("st.shared{vector}.{kind} [$0+{past}], {names};");
        let code = match pred {
            None => access,
            Some(p) => {
                args.push((self.t.cast("arith.extui", p, Ty::I1, Ty::I32), Ty::I32));
                format!("{{ .reg .pred p; setp.ne.b32 p, ${}, 0; @p {access} }}", args.len() - 1)
            }
        };
        self.t.asm(&code, &args, &[], true);
    }
}

/// The PTX type of an access, and the type in which the value travels through inline assembly.
fn kind(ty: Ty) -> (&'static str, Ty) {
    match ty {
        Ty::F32 => ("f32", Ty::F32),
        Ty::I16 => ("b16", Ty::I16),
        Ty::I1 | Ty::I8 => ("u8", Ty::I32),
        _ => ("b32", Ty::I32),
    }
}

#[cfg(test)]
mod tests {
    use super::swizzle;
    use std::collections::HashSet;

    /// Bytes, in a tile of rows of `pitch` bytes, of a 16-byte chunk.
    fn place(pitch: usize, row: usize, chunk: usize) -> usize {
        let (divide, mask) = swizzle(pitch);
        row * pitch + (chunk ^ ((row / divide as usize) & mask as usize)) * 16
    }

    #[test]
    fn every_chunk_has_its_own_place() {
        for pitch in [16, 32, 48, 64, 80, 96, 128, 160, 192, 256, 512, 768] {
            let places: HashSet<usize> =
                (0..64).flat_map(|r| (0..pitch / 16).map(move |c| place(pitch, r, c))).collect();
            assert_eq!(places.len(), 64 * pitch / 16, "{pitch}");
            assert!(places.iter().all(|p| *p < 64 * pitch));
        }
    }

    /// `ldmatrix` reads eight rows of one chunk at a time: eight different groups of four banks.
    #[test]
    fn eight_rows_of_a_column_do_not_conflict() {
        for pitch in [16, 32, 64, 128, 256, 512] {
            for chunk in 0..pitch / 16 {
                for first in [0, 8, 40] {
                    let groups: HashSet<usize> =
                        (first..first + 8).map(|r| place(pitch, r, chunk) / 16 % 8).collect();
                    assert_eq!(groups.len(), 8, "rows of {pitch} bytes, chunk {chunk}");
                }
            }
        }
    }
}
