//! Matrix products by `wgmma`: started as one group, waited for later.
//!
//! A product is one piece of inline assembly: the fence that orders the registers it takes, a step for every 16 of the contracted axis, and the
//! commit. Its accumulators are SSA values that nothing but `mma` and `mma_wait` takes, and the wait takes and gives back those that have ended, so that
//! no reading can move before it. Each warpgroup multiplies the 64 rows that are its own.

use super::ring::View;
use super::{Lower, Val};
use crate::target::nvptx::layout::{operand_pairs, wgmma_order};
use crate::target::nvptx::stage::{PANEL_COLUMNS, Walk};
use crate::target::nvptx::text::{Ssa, Ty, list};
use sla_dsl::ir::OpId;
use std::fmt::Write;

/// An operand of a product in shared memory.
struct Matrix {
    /// The descriptor of its start.
    descriptor: Ssa,
    walk: Walk,
}

impl Lower<'_> {
    /// The descriptor of a stage whose contracted axis runs along its rows or columns, for the rows of the warpgroup, or so many panels, if `mine` is not 0.
    fn matrix(&mut self, view: View, along_rows: bool, mine: usize) -> Matrix {
        let ring = self.roles.rings[view.ring];
        let walk = Walk { along_rows, rows: ring.rows };
        let offset = self.t.i32(ring.offset as i64);
        let mut at = self.t.head_bin("arith.addi", self.pool, offset, Ty::I32);
        if mine > 0 {
            let (group, skip) = (self.warpgroup(), self.t.i32((mine * walk.warpgroup()) as i64));
            let skip = self.t.head_bin("arith.muli", group, skip, Ty::I32);
            at = self.t.head_bin("arith.addi", at, skip, Ty::I32);
        }
        let (four, mask) = (self.t.i32(4), self.t.i32(0x3fff));
        let units = self.t.head_bin("arith.shrui", at, four, Ty::I32);
        let units = self.t.head_bin("arith.andi", units, mask, Ty::I32);
        let units = self.t.head(format_args!("arith.extui {units} : i32 to i64"));
        let rest = self.t.i64(walk.descriptor());
        let mut descriptor = self.t.head_bin("arith.ori", units, rest, Ty::I64);
        if ring.stages > 1 {
            let stage = self.t.i32(Walk::units(ring.stage()) as i64);
            let past = self.t.bin("arith.muli", view.stage, stage, Ty::I32);
            let past = self.t.cast("arith.extui", past, Ty::I32, Ty::I64);
            descriptor = self.t.bin("arith.addi", descriptor, past, Ty::I64);
        }
        Matrix { descriptor, walk }
    }

    pub(super) fn wgmma(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (ta, tb) = (op.flag("ta"), op.flag("tb"));
        let elem = self.elem(op.operands[0]);
        let acc = op.operands.get(2).map(|&v| self.regs(v)).unwrap_or_default();
        let count = self.registers(op.results[0]).1;
        let columns = 2 * count;
        let Some(Val::View(right)) = self.env.get(&op.operands[1]).cloned() else { return };
        let stage = self.roles.rings[right.ring];
        let steps = if tb { stage.cols } else { stage.rows } / 16;
        // In parts, warpgroups share the rows of the first operand and have their own columns of the second one: as many panels of 64 each.
        let split = op.int("parts").unwrap_or(1) > 1;
        let b = self.matrix(right, !tb, if split { columns / PANEL_COLUMNS } else { 0 });
        let a = match self.env.get(&op.operands[0]) {
            Some(Val::View(left)) => {
                let left = *left;
                Ok(self.matrix(left, ta, usize::from(!split)))
            }
            _ => Err(self.regs(op.operands[0])),
        };

        // The instruction takes registers column group by column group, a tile has them row by row.
        let accumulators = list(wgmma_order(count).map(|i| format!("${i}")));
        let first = count + acc.len();
        let mut args: Vec<(Ssa, Ty)> = vec![(b.descriptor, Ty::I64)];
        match &a {
            Ok(a) => args.push((a.descriptor, Ty::I64)),
            Err(regs) => args.extend(regs.iter().map(|&r| (r, Ty::I32))),
        }
        let mut code = String::from(
            "{ .reg .pred add, new; .reg .b64 a, b; setp.ne.b32 add, 1, 0; setp.ne.b32 new, 0, 0; wgmma.fence.sync.aligned; ",
        );
        for k in 0..steps {
            let scale = if k == 0 && acc.is_empty() { "new" } else { "add" };
            let _ = write!(code, "add.s64 b, ${first}, {}; ", b.walk.step_units(k));
            if let Ok(a) = &a {
                let _ = write!(code, "add.s64 a, ${}, {}; ", first + 1, a.walk.step_units(k));
            }
            let _ = write!(
                code,
                "wgmma.mma_async.sync.aligned.m64n{columns}k16.f32.{elem}.{elem} {{{accumulators}}}, "
            );
            let turned = u8::from(b.walk.along_rows);
            let _ = match &a {
                Ok(a) => write!(code, "a, b, {scale}, 1, 1, {}, {turned}; ", u8::from(a.walk.along_rows)),
                Err(regs) => {
                    let four = operand_pairs(regs.len(), k).map(|i| format!("${}", first + 1 + i));
                    write!(code, "{{{}}}, b, {scale}, 1, 1, {turned}; ", list(four))
                }
            };
        }
        code += "wgmma.commit_group.sync.aligned; }";
        let regs = self.t.asm_floats(&code, count, &acc, &args);
        self.roles.in_flight.push(a.err().unwrap_or_default());
        self.set(op.results[0], regs);
    }

    pub(super) fn wgmma_wait(&mut self, id: OpId) {
        let op = self.k.op(id);
        let left = op.int("left").unwrap_or(0) as usize;
        let values: Vec<Ssa> = op.operands.iter().flat_map(|&v| self.regs(v)).collect();
        // First operands in registers stay alive until here, so that nothing else is put there while a product reads them.
        let ended = self.roles.in_flight.len().saturating_sub(left);
        let mut held: Vec<Ssa> = Vec::new();
        for regs in self.roles.in_flight.drain(..ended) {
            held.extend(regs.into_iter().filter(|r| !held.contains(r)).collect::<Vec<_>>());
        }
        let held: Vec<(Ssa, Ty)> = held.into_iter().map(|r| (r, Ty::I32)).collect();
        let code = format!("wgmma.wait_group.sync.aligned {left};");
        let mut regs = self.t.asm_floats(&code, values.len(), &values, &held).into_iter();
        for &result in &op.results {
            let count = self.registers(result).1;
            let mine = regs.by_ref().take(count).collect();
            self.set(result, mine);
        }
    }
}
