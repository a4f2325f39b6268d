//! Packing: what is kept of a row goes to its start, one element after the other.

use super::super::schedule::{BufferId, dims};
use super::Lower;
use super::code::Ix;
use super::eval::Pos;
use sla_dsl::ir::OpId;

impl Lower<'_> {
    /// The elements that are kept of each row into a buffer, and zeros behind them.
    ///
    /// Every element is stored where the next one that is kept belongs: one that is not is overwritten by it, or by a zero. No row writes past its
    /// end, as at most as many elements are kept as were looked at.
    pub(super) fn pack_rows(&mut self, id: OpId, tile: BufferId) {
        let op = self.k.op(id);
        let (value, keep) = (op.operands[0], op.operands[1]);
        let (rows, cols) = dims(self.k.ty(value));
        let elem = self.s.buffer(tile).elem;
        self.code.open_nest();
        let (first, one, last, end) =
            (self.code.fixed(0), self.code.index(1), self.code.index(rows), self.code.index(cols));
        let row = self.code.open_loop(&first.ssa, &last, 1);
        let none = (first.ssa.clone(), "index".to_string());
        let (col, places) = self.code.open_loop_with(&first.ssa, &end, 1, &[none]);
        let at = Pos::new(row.clone(), col.clone(), 1, 1);
        let ((x, _), (kept, _)) = (self.eval(value, &at), self.eval(keep, &at));
        let place = Ix { ssa: places[0].clone(), depth: col.depth };
        self.store_tile(tile, &Pos::new(row.clone(), place.clone(), 1, 1), &x);
        let next = self.code.op(&format!("arith.addi {}, {one} : index", place.ssa));
        let next = self.code.op(&format!("arith.select {kept}, {next}, {} : index", place.ssa));
        let count = self.code.close_loop_with(&[(next, "index".to_string())]).remove(0);
        let rest = self.code.open_loop(&count, &end, 1);
        let zero = self.zero(super::register(elem), 1);
        self.store_tile(tile, &Pos::new(row, rest, 1, 1), &zero);
        self.code.close();
        self.code.close();
        self.code.close_nest();
    }
}
