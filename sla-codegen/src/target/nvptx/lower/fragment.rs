//! Where a lane reads its part of a matrix fragment in a swizzled tile.
//!
//! A lane's address is split into what depends on the lane and what is constant in the program: the chunk's constant bits below the swizzle's
//! mask are exclusive-ored in, the others and the rows go into the instruction's immediate offset. The caller keeps the lane's
//! own chunk bits apart from those of its constants, and its row constants multiples of 8.

use super::Lower;
use super::shared::{SharedTile, swizzle};
use crate::target::nvptx::text::{Ssa, Ty};

/// A lane's place in a tile.
pub(super) struct Lanes {
    /// Address of the lane's row.
    row: Ssa,
    /// Swizzled byte offset in the row.
    column: Ssa,
    /// Whether the column is the same all over the program, and its value in the head.
    fixed: bool,
}

impl Lower<'_> {
    /// The place of row `row`, chunk `chunk`, byte `byte`, all in the head.
    pub(super) fn lanes(&mut self, tile: SharedTile, row: Ssa, chunk: Ssa, byte: Ssa) -> Lanes {
        let (divide, mask) = swizzle(tile.pitch());
        let (divide, mask) = (self.t.i32(divide.into()), self.t.i32(mask.into()));
        let (pitch, sixteen) = (self.t.i32(tile.pitch() as i64), self.t.i32(16));
        let turned = self.t.head_bin("arith.divui", row, divide, Ty::I32);
        let turned = self.t.head_bin("arith.andi", turned, mask, Ty::I32);
        let chunk = self.t.head_bin("arith.xori", chunk, turned, Ty::I32);
        let column = self.t.head_bin("arith.muli", chunk, sixteen, Ty::I32);
        let column = self.t.head_bin("arith.addi", column, byte, Ty::I32);
        let down = self.t.head_bin("arith.muli", row, pitch, Ty::I32);
        Lanes { row: self.t.bin("arith.addi", tile.addr, down, Ty::I32), column, fixed: true }
    }

    /// The address, and what to add to it, of the lane's place moved by constants.
    pub(super) fn at(&mut self, lanes: &Lanes, tile: SharedTile, row: u32, chunk: usize) -> (Ssa, usize) {
        let (_, mask) = swizzle(tile.pitch());
        let (low, high) = (chunk & mask as usize, chunk & !(mask as usize));
        let mut column = lanes.column;
        if low != 0 {
            let low = self.t.i32((low * 16) as i64);
            column = match lanes.fixed {
                true => self.t.head_bin("arith.xori", column, low, Ty::I32),
                false => self.t.bin("arith.xori", column, low, Ty::I32),
            };
        }
        (self.t.bin("arith.addi", lanes.row, column, Ty::I32), row as usize * tile.pitch() + high * 16)
    }

    /// The lane's place moved down by `rows`, a multiple of 8, known when the program runs.
    pub(super) fn moved_down(&mut self, lanes: &Lanes, tile: SharedTile, rows: Ssa) -> Lanes {
        let pitch = self.t.i32(tile.pitch() as i64);
        let down = self.t.bin("arith.muli", rows, pitch, Ty::I32);
        Lanes { row: self.t.bin("arith.addi", lanes.row, down, Ty::I32), ..*lanes }
    }

    /// The lane's place moved right by `chunks`, known when the program runs, whose bits are none of the lane's own.
    pub(super) fn moved_right(&mut self, lanes: &Lanes, tile: SharedTile, chunks: Ssa) -> Lanes {
        let (_, mask) = swizzle(tile.pitch());
        let (sixteen, low) = (self.t.i32(16), self.t.i32(i64::from(mask) * 16));
        let high = self.t.i32(!(i64::from(mask) * 16));
        let bytes = self.t.bin("arith.muli", chunks, sixteen, Ty::I32);
        let high = self.t.bin("arith.andi", bytes, high, Ty::I32);
        let low = self.t.bin("arith.andi", bytes, low, Ty::I32);
        let row = self.t.bin("arith.addi", lanes.row, high, Ty::I32);
        Lanes { row, column: self.t.bin("arith.xori", lanes.column, low, Ty::I32), fixed: false }
    }

    /// Eight-by-eight matrices of halves, two or four of them (the addresses of matrix `i` come from lanes `8 i` to `8 i + 7`).
    pub(super) fn ldmatrix(&mut self, addr: Ssa, past: usize, count: usize, transposed: bool) -> Vec<Ssa> {
        let trans = if transposed { ".trans" } else { "" };
        let names = (0..count).map(|i| format!("${i}")).collect::<Vec<_>>().join(", ");
        let code =
            format!("ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {{{names}}}, [${count}+{past}];");
        self.t.asm(&code, &[(addr, Ty::I32)], &vec![Ty::I32; count], true)
    }
}
