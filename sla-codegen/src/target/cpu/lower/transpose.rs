//! Transposed copies of buffers: square blocks of vectors in registers, single elements for what is left.

use super::super::schedule::{Buffer, BufferId};
use super::code::Ix;
use super::eval::Pos;
use super::{Lower, cell, vector};
use sla_dsl::ir::Elem;

impl Lower<'_> {
    /// Copies a buffer into one with the other axis contiguous.
    pub(super) fn transpose_copy(&mut self, from: BufferId, to: BufferId) {
        let source = self.s.buffer(from).clone();
        let lanes = self.host.lanes;
        let blocks = source.elem != Elem::Bool;
        let (rows, cols) = if blocks {
            (source.outer - source.outer % lanes, source.inner - source.inner % lanes)
        } else {
            (0, 0)
        };
        self.code.open_nest();
        if rows > 0 && cols > 0 {
            self.transpose_part(&source, (from, to), (0..rows, 0..cols), lanes);
            self.transpose_part(&source, (from, to), (0..rows, cols..source.inner), 1);
            self.transpose_part(&source, (from, to), (rows..source.outer, 0..source.inner), 1);
        } else {
            self.transpose_part(&source, (from, to), (0..source.outer, 0..source.inner), 1);
        }
        self.code.close_nest();
    }

    /// A rectangle of the source, by squares of `side` elements.
    fn transpose_part(
        &mut self,
        source: &Buffer,
        (from, to): (BufferId, BufferId),
        (rows, cols): (std::ops::Range<usize>, std::ops::Range<usize>),
        side: usize,
    ) {
        if rows.is_empty() || cols.is_empty() {
            return;
        }
        let (from, to) = (self.buffer(from), self.buffer(to));
        let bounds = [rows.start, rows.end, cols.start, cols.end].map(|n| self.code.index(n));
        let row = self.code.open_loop(&bounds[0], &bounds[1], side);
        let col = self.code.open_loop(&bounds[2], &bounds[3], side);
        let lines = |l: &mut Self, at: &Ix| (0..side).map(|n| l.shifted(at, n)).collect::<Vec<Ix>>();
        let mut square = Vec::with_capacity(side);
        for line in lines(self, &row) {
            square.push(self.load_view(&from, source.elem, &Pos::new(line, col.clone(), 1, side)));
        }
        self.exchange(&mut square, cell(source.elem));
        for (line, value) in lines(self, &col).into_iter().zip(square) {
            self.store_view(&to, source.elem, &Pos::new(line, row.clone(), 1, side), &value);
        }
        self.code.close();
        self.code.close();
    }

    /// Transposes a square of vectors: for each bit of the index, lanes with the bit set trade places with lines with the bit set.
    fn exchange(&mut self, square: &mut [String], elem: &str) {
        let side = square.len();
        let ty = vector(elem, side);
        let mut bit = 1;
        while bit < side {
            for low in (0..side).filter(|n| n & bit == 0) {
                let (a, b) = (square[low].clone(), square[low | bit].clone());
                let keep = |lane: usize| if lane & bit == 0 { lane } else { side + (lane ^ bit) };
                let pass = |lane: usize| if lane & bit == 0 { lane | bit } else { side + lane };
                let mut shuffle = |lane: &dyn Fn(usize) -> usize| {
                    let lanes: Vec<String> = (0..side).map(|n| lane(n).to_string()).collect();
                    self.code.op(&format!("vector.shuffle {a}, {b} [{}] : {ty}, {ty}", lanes.join(", ")))
                };
                (square[low], square[low | bit]) = (shuffle(&keep), shuffle(&pass));
            }
            bit <<= 1;
        }
    }
}
