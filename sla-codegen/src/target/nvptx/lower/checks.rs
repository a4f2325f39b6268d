//! Under `Options::checks`: boxes, assertions and divisors are looked at on the device, and what is wrong goes to the log of
//! [`crate::device_log`]. Without them nothing here writes a line.
//!
//! What is checked is the same for all threads of a program, or made so by a vote, so a program that fails is left by all of its threads
//! at once and none waits at a barrier for another. Its accesses depend on the check as well: code that LLVM or ptxas
//! moves in front of it still touches nothing outside.

use super::Lower;
use super::global::BoxAxis;
use crate::device_log::{COUNT, ENTRIES, HEAD, OPERAND_BITS, Site, What};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{DimExpr, Elem, OpCode, OpId, Value};

/// The log's address, and what may be written there.
pub(super) struct Log {
    pub pointer: Ssa,
    pub sites: Vec<Site>,
}

impl Lower<'_> {
    /// A place that may write to the log: its number, and the log's address. `None` without checks.
    fn site(&mut self, id: OpId, what: impl FnOnce(&Self) -> What) -> Option<(Ssa, Ssa)> {
        self.log.as_ref()?;
        let site = Site { loc: self.k.op(id).loc, what: what(self) };
        let log = self.log.as_mut()?;
        let number = log.sites.len() as i64;
        log.sites.push(site);
        Some((self.t.i32(number), self.log.as_ref()?.pointer))
    }

    /// Leaves the program where a box starts before its tensor, or ends past it on an axis without `check`. Returns whether the box may be
    /// touched, which the accesses are to depend on.
    pub(super) fn check_box(
        &mut self,
        id: OpId,
        tensor: usize,
        dims: &[DimExpr],
        axes: &[BoxAxis],
    ) -> Option<Ssa> {
        if axes.is_empty() {
            return None;
        }
        let extent = self.k.op(id).ints("box").to_vec();
        let named = |l: &Self| What::Outside(l.k.params[tensor].name.clone(), extent.clone());
        let (site, log) = self.site(id, named)?;
        let zero = self.t.i32(0);
        let (mut all, mut inside) = (None, Vec::new());
        for (axis, a) in axes.iter().enumerate() {
            let mut here = self.t.def(format_args!("arith.cmpi sge, {}, {zero} : i32", a.offset));
            if a.extent.is_none() {
                let (size, extent) = (self.size(&dims[axis]), self.t.i32(extent[axis]));
                let last = self.t.head_bin("arith.subi", size, extent, Ty::I32);
                let ends = self.t.def(format_args!("arith.cmpi sle, {}, {last} : i32", a.offset));
                here = self.t.bin("arith.andi", here, ends, Ty::I1);
            }
            inside.push(here);
            all = self.and(all, Some(here));
        }
        let all = all?;
        self.open_unless(all);
        // What the host is told of: the first axis that does not hold.
        let mut told: Option<[Ssa; 3]> = None;
        for (axis, a) in axes.iter().enumerate().rev() {
            let words = [self.t.i32(axis as i64), a.offset, self.size(&dims[axis])];
            told = Some(match told {
                None => words,
                Some(later) => {
                    std::array::from_fn(|i| self.t.select(inside[axis], later[i], words[i], Ty::I32))
                }
            });
        }
        self.record(log, site, told.unwrap_or([zero; 3]));
        self.t.close("}");
        Some(all)
    }

    /// `assert`.
    pub(super) fn assert_op(&mut self, id: OpId) {
        let condition = self.k.op(id).operands[0];
        self.check_all(
            id,
            condition,
            |_, holds| holds,
            |l| What::Failed(format!("assertion failed: {}", l.k.op(id).str("msg"))),
        );
    }

    /// A divisor of zero, before the division.
    pub(super) fn check_divisor(&mut self, id: OpId) {
        let op = self.k.op(id);
        let divisor = op.operands[1];
        let constant = self.defs[divisor.index()].map(|d| self.k.op(d));
        let known = constant.filter(|d| d.code == OpCode::Const).and_then(|d| d.scalar());
        if self.elem(divisor).is_float() || known.is_some_and(|c| c != sla_dsl::ir::Scalar::Int(0)) {
            return;
        }
        let ty = super::register(self.elem(divisor), false);
        let holds = move |l: &mut Self, d: Ssa| {
            let zero = l.t.int(0, ty);
            l.t.def(format_args!("arith.cmpi ne, {d}, {zero} : {ty}"))
        };
        self.check_all(id, divisor, holds, |_| What::Failed("integer division by zero".into()));
    }

    /// Leaves the program unless `holds` of every element of a value.
    fn check_all(
        &mut self,
        id: OpId,
        value: Value,
        mut holds: impl FnMut(&mut Self, Ssa) -> Ssa,
        what: impl FnOnce(&Self) -> What,
    ) {
        let Some((site, log)) = self.site(id, what) else { return };
        let (regs, layout) = (self.elements(value), self.layout_of(value));
        let yes = self.t.bool(true);
        let mut all = yes;
        for (reg, &element) in regs.iter().enumerate() {
            let mut here = holds(self, element);
            if let Some(inside) = self.inside(&layout, reg) {
                here = self.t.select(inside, here, yes, Ty::I1);
            }
            all = self.t.bin("arith.andi", all, here, Ty::I1);
        }
        if !layout.shape.is_empty() {
            let flag = self.t.cast("arith.extui", all, Ty::I1, Ty::I32);
            let vote =
                "{ .reg .pred p; setp.ne.b32 p, $1, 0; bar.red.and.pred p, 0, p; selp.b32 $0, 1, 0, p; }";
            let voted = self.t.asm(vote, &[(flag, Ty::I32)], &[Ty::I32], true)[0];
            let zero = self.t.i32(0);
            all = self.t.def(format_args!("arith.cmpi ne, {voted}, {zero} : i32"));
        }
        self.open_unless(all);
        let zero = self.t.i32(0);
        self.record(log, site, [zero; 3]);
        self.t.close("}");
    }

    fn open_unless(&mut self, holds: Ssa) {
        let yes = self.t.bool(true);
        let fails = self.t.bin("arith.xori", holds, yes, Ty::I1);
        self.t.open(format_args!("scf.if {fails} {{"));
    }

    /// Writes a failure unless the launch has one, and leaves. Copies on their way end first: their shared memory is given away after.
    fn record(&mut self, log: Ssa, site: Ssa, [axis, first, size]: [Ssa; 3]) {
        let code = "{ .reg .pred p; .reg .b32 o; atom.global.cas.b32 o, [$0], 0, 1; setp.eq.b32 p, o, 0; \
                    @p st.global.b32 [$0+4], $1; @p st.global.b32 [$0+8], $2; @p st.global.b32 [$0+12], $3; \
                    @p st.global.b32 [$0+16], $4; cp.async.wait_all; exit; }";
        let words = [site, axis, first, size].map(|w| (w, Ty::I32));
        let args: Vec<_> = std::iter::once((log, Ty::Global)).chain(words).collect();
        self.t.asm(code, &args, &[], true);
    }

    /// `print`: every element goes to the log once; a message alone is an entry of no operand.
    pub(super) fn print_op(&mut self, id: OpId) {
        let operands = self.k.op(id).operands.clone();
        let what = |l: &Self| {
            let ty = |v: &Value| (l.elem(*v), l.k.ty(*v).shape().unwrap_or(&[]).to_vec());
            What::Print(l.k.op(id).str("msg").to_string(), operands.iter().map(ty).collect())
        };
        let Some((site, log)) = self.site(id, what) else { return };
        let program = self.t.head("nvvm.read.ptx.sreg.ctaid.x : i32");
        let (bits, zero) = (self.t.i32(OPERAND_BITS.into()), self.t.i32(0));
        let site = self.t.head_bin("arith.shli", site, bits, Ty::I32);
        let none = (1i64 << OPERAND_BITS) - 1;
        if operands.is_empty() {
            let key = self.t.add_const(site, none);
            let first = self.t.head(format_args!("arith.cmpi eq, {}, {zero} : i32", self.tid));
            self.append(log, [program, key, zero, zero], Some(first));
        }
        for (n, &v) in operands.iter().enumerate() {
            let (regs, layout, elem) = (self.elements(v), self.layout_of(v), self.elem(v));
            let key = self.t.add_const(site, (n as i64).min(none));
            let alone = self.first_replica(&layout);
            for (reg, element) in regs.into_iter().enumerate() {
                let inside = self.inside(&layout, reg);
                let pred = self.and(alone, inside);
                let mut at = zero;
                for (axis, &extent) in layout.shape.iter().enumerate() {
                    let (position, extent) = (self.position(&layout, reg, axis), self.t.i32(extent as i64));
                    let down = self.t.head_bin("arith.muli", at, extent, Ty::I32);
                    at = self.t.head_bin("arith.addi", down, position, Ty::I32);
                }
                let bits = self.word(element, elem);
                self.append(log, [program, key, at, bits], pred);
            }
        }
    }

    /// An element as the word that it travels in: floats as f32.
    fn word(&mut self, x: Ssa, elem: Elem) -> Ssa {
        let float = |l: &mut Self, x| l.t.cast("arith.bitcast", x, Ty::F32, Ty::I32);
        match elem {
            Elem::F32 => float(self, x),
            Elem::F16 | Elem::BF16 => {
                let wide = self.half_to_f32(&[x], elem, false)[0];
                float(self, wide)
            }
            Elem::I32 => x,
            Elem::I8 => self.t.cast("arith.extsi", x, Ty::I8, Ty::I32),
            Elem::Bool => self.t.cast("arith.extui", x, Ty::I1, Ty::I32),
        }
    }

    /// Adds an entry to the log where there is room, and counts it in any case.
    fn append(&mut self, log: Ssa, entry: [Ssa; 4], pred: Option<Ssa>) {
        let yes = self.t.bool(true);
        let flag = self.t.cast("arith.extui", pred.unwrap_or(yes), Ty::I1, Ty::I32);
        let (count, start) = (4 * COUNT, 4 * HEAD);
        let code = format!(
            "{{ .reg .pred p; .reg .b32 n; .reg .b64 a; mov.b32 n, 0; setp.ne.b32 p, $5, 0; \
             @p atom.global.add.u32 n, [$0+{count}], 1; setp.lt.and.u32 p, n, {ENTRIES}, p; mul.wide.u32 a, n, 16; \
             add.s64 a, a, $0; @p st.global.v4.b32 [a+{start}], {{$1, $2, $3, $4}}; }}"
        );
        let words = entry.iter().map(|&w| (w, Ty::I32));
        let args: Vec<_> = std::iter::once((log, Ty::Global)).chain(words).chain([(flag, Ty::I32)]).collect();
        self.t.asm(&code, &args, &[], true);
    }
}
