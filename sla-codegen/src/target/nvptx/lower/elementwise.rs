//! Ops that work on each register alone, constants and copies among them.

use super::{Lower, register};
use crate::target::nvptx::text::{Ssa, Text, Ty};
use half::{bf16, f16};
use sla_dsl::ir::{Elem, OpCode, OpId, Pred, Scalar};
use std::f32::consts::{LN_2, LOG2_E};

impl Lower<'_> {
    pub(super) fn elementwise(&mut self, id: OpId) {
        let op = self.k.op(id);
        let result = op.results[0];
        let (elem, layout) = (self.elem(result), self.layout_of(result));
        let regs = match op.code {
            OpCode::Const => {
                let (ty, count) = self.registers(result);
                let c = self.constant(op.scalar().unwrap_or(Scalar::Int(0)), elem, ty == Ty::I32);
                vec![c; count]
            }
            OpCode::Dim => {
                let dim = sla_dsl::ir::DimExpr::name(op.str("name"));
                vec![self.size(&dim)]
            }
            OpCode::Cta => vec![self.cta()],
            OpCode::Ctas => vec![self.ctas()],
            OpCode::Extent => {
                let extent = &self.k.grid[op.int("axis").unwrap_or(0) as usize].extent;
                vec![self.size(extent)]
            }
            OpCode::Div | OpCode::Rem if self.is_extent(op.operands[1]) => vec![self.by_extent(op)],
            OpCode::Vote => vec![self.vote(op.operands[0])],
            OpCode::ProgramId => vec![self.program_id(op.int("axis").unwrap_or(0) as usize)],
            OpCode::Iota => {
                let axis = op.int("axis").unwrap_or(0) as usize;
                (0..layout.regs.len()).map(|r| self.position(&layout, r, axis)).collect()
            }
            OpCode::Splat | OpCode::Broadcast => {
                let from = self.elements(op.operands[0]);
                let source = self.layout_of(op.operands[0]);
                let columns = |l: &crate::target::nvptx::layout::Layout| {
                    l.regs.iter().take_while(|r| r[0] == l.regs[0][0]).count()
                };
                let (wide, narrow) = (columns(&layout), columns(&source));
                let rows = source.regs.len() / narrow;
                let two = layout.shape.len() == 2;
                let copies = (0..layout.regs.len())
                    .map(|r| match two {
                        true => from[(r / wide).min(rows - 1) * narrow + (r % wide).min(narrow - 1)],
                        false => from[r.min(from.len() - 1)],
                    })
                    .collect();
                self.join_elements(elem, &layout, copies)
            }
            OpCode::Cast => self.cast(op.operands[0], elem),
            OpCode::Select => {
                let columns: Vec<Vec<Ssa>> = op.operands.iter().map(|&v| self.elements(v)).collect();
                let ty = register(elem, false);
                let picked = (0..columns[0].len())
                    .map(|i| self.t.select(columns[0][i], columns[1][i], columns[2][i], ty))
                    .collect();
                self.join_elements(elem, &layout, picked)
            }
            _ => {
                if matches!(op.code, OpCode::Div | OpCode::Rem) {
                    self.check_divisor(id);
                }
                let columns: Vec<Vec<Ssa>> = op.operands.iter().map(|&v| self.regs(v)).collect();
                let from = self.elem(op.operands[0]);
                let pred = op.pred();
                (0..columns[0].len())
                    .map(|i| {
                        let args: Vec<Ssa> = columns.iter().map(|c| c[i]).collect();
                        self.one(op.code, from, pred, &args)
                    })
                    .collect()
            }
        };
        self.set(result, regs);
    }

    fn constant(&mut self, value: Scalar, elem: Elem, pair: bool) -> Ssa {
        let half =
            |bits: u16| if pair { i64::from(bits) << 16 | i64::from(bits) } else { bits as i16 as i64 };
        match (value, elem) {
            (Scalar::Float(f), Elem::F16) => {
                self.t.int(half(f16::from_f64(f).to_bits()), if pair { Ty::I32 } else { Ty::I16 })
            }
            (Scalar::Float(f), Elem::BF16) => {
                self.t.int(half(bf16::from_f64(f).to_bits()), if pair { Ty::I32 } else { Ty::I16 })
            }
            (Scalar::Float(f), _) => self.t.f32(f as f32),
            (Scalar::Int(i), _) => self.t.int(i, register(elem, false)),
            (Scalar::Bool(b), _) => self.t.bool(b),
        }
    }

    /// One register of an arithmetic op on elements of `elem`.
    pub(super) fn one(&mut self, code: OpCode, elem: Elem, pred: Option<Pred>, a: &[Ssa]) -> Ssa {
        let float = elem == Elem::F32;
        let ty = register(elem, false);
        let t = &mut self.t;
        let contract = |op: &str, a: &[Ssa]| format!("{op} {}, {} fastmath<contract> : f32", a[0], a[1]);
        match (code, float) {
            // LLVM makes an exclusive or of the negation of what an instruction of ours gives or takes; ptxas folds this one into its neighbours.
            (OpCode::Neg, true) => t.asm1("neg.f32 $0, $1;", &[(a[0], Ty::F32)], Ty::F32),
            (OpCode::Neg, false) => {
                let zero = t.int(0, ty);
                t.bin("arith.subi", zero, a[0], ty)
            }
            (OpCode::Abs, true) => t.def(format_args!("llvm.intr.fabs({}) : (f32) -> f32", a[0])),
            (OpCode::Abs, false) => t.def(format_args!(
                "\"llvm.intr.abs\"({}) <{{is_int_min_poison = false}}> : (i32) -> i32",
                a[0]
            )),
            (OpCode::Exp2, _) => t.asm1("ex2.approx.ftz.f32 $0, $1;", &[(a[0], Ty::F32)], Ty::F32),
            (OpCode::Exp, _) => self.exp(a[0]),
            (OpCode::Log2, _) => t.asm1("lg2.approx.f32 $0, $1;", &[(a[0], Ty::F32)], Ty::F32),
            (OpCode::Log, _) => {
                let l = t.asm1("lg2.approx.f32 $0, $1;", &[(a[0], Ty::F32)], Ty::F32);
                let ln2 = t.f32(LN_2);
                t.bin("arith.mulf", l, ln2, Ty::F32)
            }
            (OpCode::Sqrt, _) => t.asm1("sqrt.rn.f32 $0, $1;", &[(a[0], Ty::F32)], Ty::F32),
            (OpCode::Rsqrt, _) => t.asm1("rsqrt.approx.f32 $0, $1;", &[(a[0], Ty::F32)], Ty::F32),
            (OpCode::Not, _) => {
                let yes = t.bool(true);
                t.bin("arith.xori", a[0], yes, Ty::I1)
            }
            (OpCode::Add | OpCode::ReduceSum, true) => t.def(contract("arith.addf", a)),
            (OpCode::Sub, true) => t.def(contract("arith.subf", a)),
            (OpCode::Mul, true) => t.def(contract("arith.mulf", a)),
            // Within two units in the last place, and without the slow path that IEEE's needs.
            (OpCode::Div, true) => {
                t.asm1("div.full.f32 $0, $1, $2;", &[(a[0], Ty::F32), (a[1], Ty::F32)], Ty::F32)
            }
            (OpCode::Min | OpCode::ReduceMin, true) => {
                t.def(format_args!("llvm.intr.minnum({}, {}) : (f32, f32) -> f32", a[0], a[1]))
            }
            (OpCode::Max | OpCode::ReduceMax, true) => {
                t.def(format_args!("llvm.intr.maxnum({}, {}) : (f32, f32) -> f32", a[0], a[1]))
            }
            (OpCode::Fma, _) => {
                t.def(format_args!("llvm.intr.fma({}, {}, {}) : (f32, f32, f32) -> f32", a[0], a[1], a[2]))
            }
            (OpCode::Cmp, true) => {
                t.def(format_args!("arith.cmpf {}, {}, {} : f32", float_pred(pred), a[0], a[1]))
            }
            (OpCode::Cmp, false) => {
                t.def(format_args!("arith.cmpi {}, {}, {} : {ty}", int_pred(pred), a[0], a[1]))
            }
            (OpCode::Shl | OpCode::Shr, _) => {
                let op = if code == OpCode::Shl { "arith.shli" } else { "arith.shrsi" };
                // More than 31 is outside the language, and undefined to LLVM.
                let all = t.int(31, ty);
                let by = t.bin("arith.andi", a[1], all, ty);
                t.bin(op, a[0], by, ty)
            }
            (OpCode::Div | OpCode::Rem, false) => divide(t, code, a[0], a[1], ty),
            _ => t.bin(int_op(code), a[0], a[1], ty),
        }
    }

    /// `e^x` as `2^t (1 + r ln 2)` with `t` the rounded `x log2 e` and `r` what the rounding lost: two roundings of the
    /// approximation instead of an error that grows with `x`.
    fn exp(&mut self, x: Ssa) -> Ssa {
        /// What `LOG2_E` lost when it was rounded to f32.
        const LOG2_E_LOW: f32 = (std::f64::consts::LOG2_E - LOG2_E as f64) as f32;
        let t = &mut self.t;
        let (high, low, ln2) = (t.f32(LOG2_E), t.f32(LOG2_E_LOW), t.f32(LN_2));
        let power = t.bin("arith.mulf", x, high, Ty::F32);
        let y = t.asm1("ex2.approx.ftz.f32 $0, $1;", &[(power, Ty::F32)], Ty::F32);
        let minus = t.def(format_args!("arith.negf {power} : f32"));
        let fma = |t: &mut crate::target::nvptx::text::Text, a, b, c| {
            t.def(format_args!("llvm.intr.fma({a}, {b}, {c}) : (f32, f32, f32) -> f32"))
        };
        let rest = fma(t, x, high, minus);
        let rest = fma(t, x, low, rest);
        let factor = t.bin("arith.mulf", rest, ln2, Ty::F32);
        let better = fma(t, y, factor, y);
        let size = t.def(format_args!("llvm.intr.fabs({power}) : (f32) -> f32"));
        let limit = t.f32(126.0);
        let ordinary = t.def(format_args!("arith.cmpf olt, {size}, {limit} : f32"));
        t.select(ordinary, better, y, Ty::F32)
    }

    fn cast(&mut self, v: sla_dsl::ir::Value, to: Elem) -> Vec<Ssa> {
        let from = self.elem(v);
        let layout = self.layout_of(v);
        let regs = self.regs(v);
        let paired = layout.paired();
        if from.is_half() || to.is_half() {
            let floats: Vec<Ssa> = if from.is_half() {
                self.half_to_f32(&regs, from, paired)
            } else {
                regs.iter().map(|&r| self.cast_one(r, from, Elem::F32)).collect()
            };
            if to.is_half() {
                return self.f32_to_half(&floats, to, paired);
            }
            return floats.iter().map(|&r| self.cast_one(r, Elem::F32, to)).collect();
        }
        regs.iter().map(|&r| self.cast_one(r, from, to)).collect()
    }

    pub(super) fn half_to_f32(&mut self, regs: &[Ssa], from: Elem, paired: bool) -> Vec<Ssa> {
        if from == Elem::F16 {
            let halves = if paired { self.unpack(regs) } else { regs.to_vec() };
            return halves
                .iter()
                .map(|&h| self.t.asm1("cvt.f32.f16 $0, $1;", &[(h, Ty::I16)], Ty::F32))
                .collect();
        }
        let (sixteen, high) = (self.t.i32(16), self.t.i32(0xFFFF_0000u32 as i32 as i64));
        let mut out = Vec::new();
        for &r in regs {
            let wide = if paired { r } else { self.t.cast("arith.extui", r, Ty::I16, Ty::I32) };
            let low = self.t.bin("arith.shli", wide, sixteen, Ty::I32);
            out.push(self.t.cast("arith.bitcast", low, Ty::I32, Ty::F32));
            if paired {
                let upper = self.t.bin("arith.andi", r, high, Ty::I32);
                out.push(self.t.cast("arith.bitcast", upper, Ty::I32, Ty::F32));
            }
        }
        out
    }

    fn f32_to_half(&mut self, floats: &[Ssa], to: Elem, paired: bool) -> Vec<Ssa> {
        if !paired {
            let code = format!("cvt.rn.{to}.f32 $0, $1;");
            return floats.iter().map(|&f| self.t.asm1(&code, &[(f, Ty::F32)], Ty::I16)).collect();
        }
        // The first source of the pair conversion becomes the upper half.
        let code = format!("cvt.rn.{to}x2.f32 $0, $2, $1;");
        let pairs = floats.chunks(2);
        pairs.map(|p| self.t.asm1(&code, &[(p[0], Ty::F32), (p[1], Ty::F32)], Ty::I32)).collect()
    }

    /// Between `f32`, `i32`, `i8` and `bool`.
    fn cast_one(&mut self, x: Ssa, from: Elem, to: Elem) -> Ssa {
        let t = &mut self.t;
        match (from, to) {
            _ if from == to => x,
            (Elem::F32, Elem::Bool) => {
                let zero = t.f32(0.0);
                t.def(format_args!("arith.cmpf une, {x}, {zero} : f32"))
            }
            (Elem::F32, _) => {
                let i = t.asm1("cvt.rzi.s32.f32 $0, $1;", &[(x, Ty::F32)], Ty::I32);
                self.cast_one(i, Elem::I32, to)
            }
            (Elem::I32, Elem::F32) => t.cast("arith.sitofp", x, Ty::I32, Ty::F32),
            (Elem::I32, Elem::I8) => t.cast("arith.trunci", x, Ty::I32, Ty::I8),
            (Elem::I32, Elem::Bool) => {
                let zero = t.i32(0);
                t.def(format_args!("arith.cmpi ne, {x}, {zero} : i32"))
            }
            (Elem::I8, _) => {
                let wide = t.cast("arith.extsi", x, Ty::I8, Ty::I32);
                self.cast_one(wide, Elem::I32, to)
            }
            (Elem::Bool, _) => {
                let wide = t.cast("arith.extui", x, Ty::I1, Ty::I32);
                self.cast_one(wide, Elem::I32, to)
            }
            _ => x,
        }
    }
}

/// Integer division with no undefined case: by -1 it is negation, which wraps; by 0, outside the language, it is 0.
fn divide(t: &mut Text, code: OpCode, a: Ssa, b: Ssa, ty: Ty) -> Ssa {
    let (zero, one, minus) = (t.int(0, ty), t.int(1, ty), t.int(-1, ty));
    let by_zero = t.def(format_args!("arith.cmpi eq, {b}, {zero} : {ty}"));
    let by_minus = t.def(format_args!("arith.cmpi eq, {b}, {minus} : {ty}"));
    let odd = t.bin("arith.ori", by_zero, by_minus, Ty::I1);
    let safe = t.select(odd, one, b, ty);
    let rest = if code == OpCode::Div {
        t.bin("arith.divsi", a, safe, ty)
    } else {
        t.bin("arith.remsi", a, safe, ty)
    };
    let negated = if code == OpCode::Div { t.bin("arith.subi", zero, a, ty) } else { zero };
    let rest = t.select(by_minus, negated, rest, ty);
    t.select(by_zero, zero, rest, ty)
}

fn int_op(code: OpCode) -> &'static str {
    match code {
        OpCode::Add | OpCode::ReduceSum => "arith.addi",
        OpCode::Sub => "arith.subi",
        OpCode::Mul => "arith.muli",
        OpCode::Min | OpCode::ReduceMin => "arith.minsi",
        OpCode::Max | OpCode::ReduceMax => "arith.maxsi",
        OpCode::And => "arith.andi",
        OpCode::Or => "arith.ori",
        _ => "arith.xori",
    }
}

fn float_pred(pred: Option<Pred>) -> &'static str {
    match pred {
        Some(Pred::Ne) => "une",
        Some(Pred::Lt) => "olt",
        Some(Pred::Le) => "ole",
        Some(Pred::Gt) => "ogt",
        Some(Pred::Ge) => "oge",
        Some(Pred::Eq) | None => "oeq",
    }
}

fn int_pred(pred: Option<Pred>) -> &'static str {
    match pred {
        Some(Pred::Ne) => "ne",
        Some(Pred::Lt) => "slt",
        Some(Pred::Le) => "sle",
        Some(Pred::Gt) => "sgt",
        Some(Pred::Ge) => "sge",
        Some(Pred::Eq) | None => "eq",
    }
}
