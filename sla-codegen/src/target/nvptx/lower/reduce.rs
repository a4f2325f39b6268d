//! Reductions: among a thread's registers, then among lanes by shuffles (integers of a whole warp by one instruction), then among warps through shared
//! memory.

use super::{Lower, register};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{Elem, OpCode, OpId};

impl Lower<'_> {
    pub(super) fn reduce(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (from, to, code) = (op.operands[0], op.results[0], op.code);
        let axis = op.int("axis").unwrap_or(0) as usize;
        let (layout, out, elem) = (self.layout_of(from), self.layout_of(to), self.elem(from));
        let mut regs = self.regs(from);
        let ty = register(elem, false);
        if layout.padded(axis) {
            let neutral = self.neutral(code, elem);
            let extent = self.t.i32(layout.shape[axis] as i64);
            for (r, v) in regs.iter_mut().enumerate() {
                let position = self.position(&layout, r, axis);
                let real = self.t.head(format_args!("arith.cmpi ult, {position}, {extent} : i32"));
                *v = self.t.select(real, *v, neutral, ty);
            }
        }
        // Registers that differ only on the axis are one result.
        let mut results = Vec::new();
        for place in &out.regs {
            let other = 1 - axis;
            let mut group: Vec<Ssa> = (0..regs.len())
                .filter(|&r| layout.shape.len() == 1 || layout.regs[r][other] == place[other])
                .map(|r| regs[r])
                .collect();
            while group.len() > 1 {
                group = group
                    .chunks(2)
                    .map(|p| if p.len() == 2 { self.one(code, elem, None, p) } else { p[0] })
                    .collect();
            }
            results.push(group[0]);
        }
        if elem == Elem::I32 && layout.bits[..5].iter().all(|bit| bit[axis] != 0) {
            results = results.into_iter().map(|v| self.reduce_warp(code, v)).collect();
        } else {
            for bit in (0..5).filter(|&bit| layout.bits[bit][axis] != 0) {
                for v in &mut results {
                    let other = self.shuffle(*v, 1 << bit, ty);
                    *v = self.one(code, elem, None, &[*v, other]);
                }
            }
        }
        let warps: Vec<u32> =
            (5..layout.bits.len()).filter(|&b| layout.bits[b][axis] != 0).map(|b| b as u32).collect();
        if !warps.is_empty() {
            results = self.reduce_warps(code, elem, &warps, &out, results);
        }
        if elem == Elem::F32 && code != OpCode::ReduceSum {
            // Where all were NaN, the result is that of nothing at all.
            let neutral = self.neutral(code, elem);
            results = results.into_iter().map(|v| self.one(code, elem, None, &[v, neutral])).collect();
        }
        self.set(to, results);
    }

    /// Columns of equal number modulo 8 are in one thread, in registers of equal number modulo 2: two chains for each row.
    pub(super) fn fold(&mut self, id: OpId) {
        let op = self.k.op(id);
        let (from, code) = (op.operands[0], op.code);
        let (layout, out) = (self.layout_of(from), self.layout_of(op.results[0]));
        let regs = self.regs(from);
        let code = if code == OpCode::FoldSum { OpCode::ReduceSum } else { OpCode::ReduceMax };
        let mut folded = Vec::new();
        for place in &out.regs {
            let mut sum: Option<Ssa> = None;
            for (at, &v) in layout.regs.iter().zip(&regs) {
                if at[0] == place[0] && at[1] % 8 == place[1] {
                    sum = Some(sum.map_or(v, |s| self.one(code, Elem::F32, None, &[s, v])));
                }
            }
            folded.extend(sum);
        }
        self.set(op.results[0], folded);
    }

    /// Whether an element of the warp's is true. All its lanes are here, as the roles that have tiles run whole warps.
    pub(super) fn vote(&mut self, v: sla_dsl::ir::Value) -> Ssa {
        let mut regs = self.regs(v);
        while regs.len() > 1 {
            regs = regs
                .chunks(2)
                .map(|p| if p.len() == 2 { self.t.bin("arith.ori", p[0], p[1], Ty::I1) } else { p[0] })
                .collect();
        }
        let all = self.t.i32(-1);
        self.t.def(format_args!("nvvm.vote.sync any {all}, {} -> i1", regs[0]))
    }

    /// An integer of each lane, over all lanes of the warp, in one instruction. All of them are here, as for a shuffle.
    fn reduce_warp(&mut self, code: OpCode, v: Ssa) -> Ssa {
        let kind = match code {
            OpCode::ReduceMin => "min",
            OpCode::ReduceMax => "max",
            _ => "add",
        };
        let all = self.t.i32(-1);
        self.t.def(format_args!("nvvm.redux.sync {kind} {v}, {all} : i32 -> i32"))
    }

    pub(super) fn shuffle(&mut self, v: Ssa, distance: i64, ty: Ty) -> Ssa {
        let (all, distance, clamp) = (self.t.i32(-1), self.t.i32(distance), self.t.i32(31));
        self.t.def(format_args!("nvvm.shfl.sync bfly {all}, {v}, {distance}, {clamp} : {ty} -> {ty}"))
    }

    /// Each warp writes its part; all read all parts, in one order, so that replicas stay equal.
    fn reduce_warps(
        &mut self,
        code: OpCode,
        elem: Elem,
        bits: &[u32],
        out: &crate::target::nvptx::layout::Layout,
        results: Vec<Ssa>,
    ) -> Vec<Ssa> {
        let ty = register(elem, false);
        let count: usize = out.shape.iter().product();
        let parts = 1usize << bits.len();
        let scratch = self.scratch(0, parts * count * 4);
        let mut part = self.t.i32(0);
        for (i, &bit) in bits.iter().enumerate() {
            let (value, shift) = (self.thread_bits(bit, 1), self.t.i32(i as i64));
            let value = self.t.head_bin("arith.shli", value, shift, Ty::I32);
            part = self.t.head_bin("arith.ori", part, value, Ty::I32);
        }
        let (four, stride) = (self.t.i32(4), self.t.i32((count * 4) as i64));
        // One of the two axes of the result has extent 1, so positions add up to the element's number.
        let (row, col) = (self.thread_position(out, 0), self.thread_position(out, 1));
        let element = self.t.head_bin("arith.addi", row, col, Ty::I32);
        let mine = self.t.head_bin("arith.muli", element, four, Ty::I32);
        let read = self.t.bin("arith.addi", scratch, mine, Ty::I32);
        let skip = self.t.head_bin("arith.muli", part, stride, Ty::I32);
        let write = self.t.bin("arith.addi", read, skip, Ty::I32);
        self.barrier();
        for (r, &v) in results.iter().enumerate() {
            let past = (out.regs[r][0] + out.regs[r][1]) as usize * 4;
            let pred = self.inside(out, r);
            self.st_shared(write, past, &[v], ty, pred);
        }
        self.barrier();
        (0..results.len())
            .map(|r| {
                let past = (out.regs[r][0] + out.regs[r][1]) as usize * 4;
                let pred = self.inside(out, r);
                let mut sum: Option<Ssa> = None;
                for p in 0..parts {
                    let v = self.ld_shared(read, past + p * count * 4, ty, 1, pred)[0];
                    sum = Some(match sum {
                        Some(s) => self.one(code, elem, None, &[s, v]),
                        None => v,
                    });
                }
                sum.unwrap_or(results[r])
            })
            .collect()
    }

    /// What changes nothing.
    fn neutral(&mut self, code: OpCode, elem: Elem) -> Ssa {
        match (code, elem) {
            (OpCode::ReduceMax, Elem::F32) => self.t.f32(f32::NEG_INFINITY),
            (OpCode::ReduceMin, Elem::F32) => self.t.f32(f32::INFINITY),
            (OpCode::ReduceMax, _) => self.t.i32(i32::MIN.into()),
            (OpCode::ReduceMin, _) => self.t.i32(i32::MAX.into()),
            (_, Elem::F32) => self.t.f32(0.0),
            _ => self.t.i32(0),
        }
    }
}
