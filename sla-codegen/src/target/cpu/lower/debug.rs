//! `assert` and `print`: calls back into the process.

use super::super::hooks::Site;
use super::super::schedule::{Home, dims, vector_axis};
use super::Lower;
use sla_dsl::ir::{Elem, OpCode, OpId, Value};

impl Lower<'_> {
    /// `assert` or `print`.
    pub(super) fn debug(&mut self, id: OpId) {
        let op = self.k.op(id);
        let site = self.sites.len();
        let ty = |v: &Value| {
            let ty = self.k.ty(*v);
            (ty.elem().unwrap_or(Elem::F32), ty.shape().unwrap_or(&[]).to_vec())
        };
        let operands: Vec<(Elem, Vec<usize>)> = op.operands.iter().map(ty).collect();
        let assert = op.code == OpCode::Assert;
        let message =
            if assert { format!("assertion failed: {}", op.str("msg")) } else { op.str("msg").to_string() };
        self.sites.push(Site { loc: op.loc, message, operands });
        let site = self.code.constant(&format!("{site} : i32"));
        let sites = self.code.op("llvm.mlir.addressof @sla_sites : !llvm.ptr");
        if assert {
            let at = self.address_of(op.operands[0]);
            let count = self.code.constant(&format!("{} : i64", self.k.ty(op.operands[0]).count()));
            let holds = self.code.op(&format!(
                "llvm.call @sla_assert({sites}, {site}, {at}, {count}) : (!llvm.ptr, i32, !llvm.ptr, i64) -> i32"
            ));
            let zero = self.code.constant("0 : i32");
            let holds = self.code.op(&format!("arith.cmpi ne, {holds}, {zero} : i32"));
            let (on, exit) = (self.code.label(), self.exit.clone());
            self.code.line(&format!("cf.cond_br {holds}, {on}, {exit}"));
            self.code.bare(&format!("{on}:"));
            return;
        }
        let place: Vec<String> = (0..3)
            .map(|axis| match self.place.get(axis) {
                Some(p) => p.clone(),
                None => self.code.constant("0 : i32"),
            })
            .collect();
        let nothing = self.code.op("llvm.mlir.zero : !llvm.ptr");
        let call = |l: &mut Self, number: i32, at: &str| {
            let number = l.code.constant(&format!("{number} : i32"));
            l.code.line(&format!(
                "llvm.call @sla_print({sites}, {site}, {number}, {at}, {}) : (!llvm.ptr, i32, i32, !llvm.ptr, i32, i32, i32) -> ()",
                place.join(", ")
            ));
        };
        call(self, -1, &nothing);
        for (n, v) in op.operands.clone().into_iter().enumerate() {
            let at = self.address_of(v);
            call(self, n as i32, &at);
        }
    }

    /// Where a value's elements are in row-major order; a scalar is put there first.
    fn address_of(&mut self, v: Value) -> String {
        let ty = self.k.ty(v);
        let elem = ty.elem().unwrap_or(Elem::F32);
        let offset = match self.s.home(v) {
            Home::Buffer => {
                let axis = vector_axis(dims(ty)).unwrap_or(1);
                self.s.tile(v, axis).map_or(0, |id| self.s.buffer(id).offset)
            }
            _ => {
                let offset = self.scratch;
                self.scratch += 64;
                let view = self.view(offset, 1, 1, elem);
                self.code.open_nest();
                let zero = self.code.fixed(0);
                let pos = super::eval::Pos { i: zero.clone(), j: zero, axis: 1, lanes: 1 };
                let (value, _) = self.eval(v, &pos);
                self.store_view(&view, elem, &pos, &value);
                self.code.close_nest();
                offset
            }
        };
        let offset = self.code.constant(&format!("{offset} : i64"));
        self.code.op(&format!("llvm.getelementptr %arena[{offset}] : (!llvm.ptr, i64) -> !llvm.ptr, i8"))
    }
}
