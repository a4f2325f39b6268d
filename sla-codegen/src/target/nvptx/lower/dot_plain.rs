//! Matrix products of sizes that tensor cores do not take: by `fma`, from operands in scratch.
//!
//! Meant for small products, as every step of the contraction is written out; `check` refuses large ones.

use super::{Lower, register};
use crate::analysis::DotOperand;
use crate::target::nvptx::layout::Layout;
use crate::target::nvptx::product::dot_source;
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{Elem, OpId};

/// An operand in scratch as f32, seen as `[free, contracted]`.
struct Plain {
    /// Address of the thread's part of the free axis, for each register of the result.
    addr: Ssa,
    /// Bytes from one index to the next on the free axis.
    free: usize,
    /// Bytes from one index to the next on the contracted axis.
    inner: usize,
}

impl Lower<'_> {
    pub(super) fn dot_plain(&mut self, id: OpId) {
        let op = self.k.op(id);
        let result = op.results[0];
        let (a, b) = (dot_source(self.k, &self.defs, id, 0), dot_source(self.k, &self.defs, id, 1));
        let steps = self.k.ty(a.value).shape().map_or(0, |s| s[usize::from(!a.transposed)]);
        let out = self.layout_of(result);
        let mut acc = match op.operands.get(2) {
            Some(&c) => self.regs(c),
            None => {
                let zero = self.t.f32(0.0);
                vec![zero; out.regs.len()]
            }
        };
        self.barrier();
        let mut used = 0;
        let left = self.put_plain(a, a.transposed, &out, 0, &mut used);
        let right = self.put_plain(b, !b.transposed, &out, 1, &mut used);
        self.barrier();
        for k in 0..steps {
            for (r, c) in acc.iter_mut().enumerate() {
                let [i, j] = out.regs[r];
                let pred = self.inside(&out, r);
                let x =
                    self.ld_shared(left.addr, i as usize * left.free + k * left.inner, Ty::F32, 1, pred)[0];
                let y =
                    self.ld_shared(right.addr, j as usize * right.free + k * right.inner, Ty::F32, 1, pred)
                        [0];
                *c = self.t.def(format_args!("llvm.intr.fma({x}, {y}, {c}) : (f32, f32, f32) -> f32"));
            }
        }
        self.set(result, acc);
    }

    /// Writes an operand to scratch row by row. `inner_first`: the contracted axis is its first.
    fn put_plain(
        &mut self,
        operand: DotOperand,
        inner_first: bool,
        out: &Layout,
        out_axis: usize,
        used: &mut usize,
    ) -> Plain {
        let layout = self.layout_of(operand.value);
        let regs = self.regs(operand.value);
        let elem = self.elem(operand.value);
        let floats = if elem.is_half() { self.half_to_f32(&regs, elem, layout.paired()) } else { regs };
        let columns = layout.shape[1];
        let scratch = self.scratch(*used, layout.shape[0] * columns * 4);
        *used += layout.shape[0] * columns * 4;
        let write = self.linear(scratch, &layout, [columns, 1], 4);
        for (r, &v) in floats.iter().enumerate() {
            let [i, j] = layout.regs[r];
            let pred = self.inside(&layout, r);
            self.st_shared(
                write,
                (i as usize * columns + j as usize) * 4,
                &[v],
                register(Elem::F32, false),
                pred,
            );
        }
        let (free, inner) = if inner_first { (4, columns * 4) } else { (columns * 4, 4) };
        let position = self.thread_position(out, out_axis);
        let step = self.t.i32(free as i64);
        let part = self.t.head_bin("arith.muli", position, step, Ty::I32);
        Plain { addr: self.t.bin("arith.addi", scratch, part, Ty::I32), free, inner }
    }
}
