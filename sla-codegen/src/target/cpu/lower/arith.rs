//! Instructions of element-wise ops on vectors of elements.

use super::super::hooks::Site;
use super::{Lower, register, vector};
use sla_dsl::ir::{Elem, OpCode, OpId, Pred, Scalar, Value};

impl Lower<'_> {
    /// An element-wise op on operands of `lanes` elements, in the scope at `depth`.
    pub(super) fn arith(&mut self, id: OpId, args: &[String], lanes: usize, depth: usize) -> String {
        let op = self.k.op(id);
        let of = self.k.ty(op.operands[0]).elem().unwrap_or(Elem::F32);
        let ty = vector(register(of), lanes);
        let float = of.is_float();
        let two =
            |l: &mut Self, name: &str| l.code.pure(depth, &format!("{name} {}, {} : {ty}", args[0], args[1]));
        let one = |l: &mut Self, name: &str| l.code.pure(depth, &format!("{name} {} : {ty}", args[0]));
        match op.code {
            OpCode::Neg if float => one(self, "arith.negf"),
            OpCode::Neg => {
                let zero = self.zero("i32", lanes);
                self.code.pure(depth, &format!("arith.subi {zero}, {} : {ty}", args[0]))
            }
            OpCode::Abs if float => one(self, "math.absf"),
            OpCode::Abs => {
                let zero = self.zero("i32", lanes);
                let neg = self.code.pure(depth, &format!("arith.subi {zero}, {} : {ty}", args[0]));
                self.code.pure(depth, &format!("arith.maxsi {neg}, {} : {ty}", args[0]))
            }
            OpCode::Exp2 => self.exp2(&args[0], lanes, depth),
            OpCode::Exp => self.exp(&args[0], lanes, depth),
            OpCode::Log2 => self.log2(&args[0], lanes, depth),
            OpCode::Log => self.log(&args[0], lanes, depth),
            OpCode::Sqrt => one(self, "math.sqrt"),
            OpCode::Rsqrt => {
                let root = one(self, "math.sqrt");
                let unit = self.float(1.0, lanes);
                self.code.pure(depth, &format!("arith.divf {unit}, {root} : {ty}"))
            }
            OpCode::Not => {
                let all = self.literal(Scalar::Bool(true), Elem::Bool, lanes);
                self.code.pure(depth, &format!("arith.xori {}, {all} : {ty}", args[0]))
            }
            OpCode::Add => two(self, if float { "arith.addf" } else { "arith.addi" }),
            OpCode::Sub => two(self, if float { "arith.subf" } else { "arith.subi" }),
            OpCode::Mul => two(self, if float { "arith.mulf" } else { "arith.muli" }),
            OpCode::Div if float => two(self, "arith.divf"),
            OpCode::Div | OpCode::Rem => self.quotient(id, args, lanes, depth),
            OpCode::Min => two(self, if float { "arith.minnumf" } else { "arith.minsi" }),
            OpCode::Max => two(self, if float { "arith.maxnumf" } else { "arith.maxsi" }),
            OpCode::And => two(self, "arith.andi"),
            OpCode::Or => two(self, "arith.ori"),
            OpCode::Xor => two(self, "arith.xori"),
            OpCode::Shl | OpCode::Shr => {
                let low = self.literal(Scalar::Int(31), Elem::I32, lanes);
                let by = self.code.pure(depth, &format!("arith.andi {}, {low} : {ty}", args[1]));
                let name = if op.code == OpCode::Shl { "arith.shli" } else { "arith.shrsi" };
                self.code.pure(depth, &format!("{name} {}, {by} : {ty}", args[0]))
            }
            OpCode::Fma => {
                self.code.pure(depth, &format!("math.fma {}, {}, {} : {ty}", args[0], args[1], args[2]))
            }
            OpCode::Cmp => {
                let pred = op.pred().unwrap_or(Pred::Eq);
                let name = match (pred, of) {
                    (Pred::Ne, e) if e.is_float() => "arith.cmpf une".to_string(),
                    (p, e) if e.is_float() => format!("arith.cmpf o{}", p.name()),
                    (Pred::Eq | Pred::Ne, _) => format!("arith.cmpi {}", pred.name()),
                    (p, Elem::Bool) => format!("arith.cmpi u{}", p.name()),
                    (p, _) => format!("arith.cmpi s{}", p.name()),
                };
                self.code.pure(depth, &format!("{name}, {}, {} : {ty}", args[0], args[1]))
            }
            OpCode::Select => {
                let to = vector(register(self.k.ty(op.results[0]).elem().unwrap_or(Elem::F32)), lanes);
                let cond = if lanes == 1 { String::new() } else { format!("{}, ", vector("i1", lanes)) };
                self.code
                    .pure(depth, &format!("arith.select {}, {}, {} : {cond}{to}", args[0], args[1], args[2]))
            }
            OpCode::Cast => {
                let to = self.k.ty(op.results[0]).elem().unwrap_or(Elem::F32);
                self.cast(of, to, &args[0], lanes, depth)
            }
            // The rest have no elements of their own; the target's check lets none of them come here.
            _ => args[0].clone(),
        }
    }

    /// Quotient or remainder. A divisor of zero is noted as a failure and gives 0; -1 is kept from the processor, which traps on
    /// `i32::MIN / -1`.
    fn quotient(&mut self, id: OpId, args: &[String], lanes: usize, depth: usize) -> String {
        let op = self.k.op(id);
        let division = op.code == OpCode::Div;
        let name = if division { "arith.divsi" } else { "arith.remsi" };
        let (ty, bits) = (vector("i32", lanes), vector("i1", lanes));
        let (a, b) = (&args[0], &args[1]);
        if self.constant_of(op.operands[1]).is_some_and(|c| c != 0 && c != -1) {
            return self.code.pure(depth, &format!("{name} {a}, {b} : {ty}"));
        }
        let [zero, minus] = [0, -1].map(|c| self.literal(Scalar::Int(c), Elem::I32, lanes));
        let one = self.literal(Scalar::Int(1), Elem::I32, lanes);
        let mut pure = |text: String| self.code.pure(depth, &text);
        let cond = if lanes == 1 { String::new() } else { format!("{bits}, ") };
        let none = pure(format!("arith.cmpi eq, {b}, {zero} : {ty}"));
        let turn = pure(format!("arith.cmpi eq, {b}, {minus} : {ty}"));
        let odd = pure(format!("arith.ori {none}, {turn} : {bits}"));
        let safe = pure(format!("arith.select {odd}, {one}, {b} : {cond}{ty}"));
        let q = pure(format!("{name} {a}, {safe} : {ty}"));
        let negated = if division { pure(format!("arith.subi {zero}, {a} : {ty}")) } else { zero.clone() };
        let q = pure(format!("arith.select {turn}, {negated}, {q} : {cond}{ty}"));
        let q = pure(format!("arith.select {none}, {zero}, {q} : {cond}{ty}"));
        let any =
            if lanes == 1 { none } else { pure(format!("vector.reduction <or>, {none} : {bits} into i1")) };
        let site = self.sites.len();
        self.sites.push(Site {
            loc: op.loc,
            message: "integer division by zero".into(),
            operands: Vec::new(),
        });
        let site = self.code.constant(&format!("{site} : i32"));
        self.code.open_if(&any);
        let sites = self.code.op("llvm.mlir.addressof @sla_sites : !llvm.ptr");
        self.code.line(&format!("llvm.call @sla_fail({sites}, {site}) : (!llvm.ptr, i32) -> ()"));
        self.code.close();
        q
    }

    /// The integer that all elements of a value are, if it is a constant.
    pub(super) fn constant_of(&self, v: Value) -> Option<i64> {
        let op = self.k.op(self.nest.def[v.index()]?);
        match (op.code, op.scalar()) {
            (OpCode::Const, Some(Scalar::Int(c))) => Some(c),
            (OpCode::Splat | OpCode::Broadcast | OpCode::Reshape, _) => self.constant_of(op.operands[0]),
            _ => None,
        }
    }

    /// A constant of an element type.
    pub(super) fn literal(&mut self, value: Scalar, elem: Elem, lanes: usize) -> String {
        match value {
            Scalar::Float(v) => {
                let v = match elem {
                    Elem::F16 => half::f16::from_f64(v).to_f32(),
                    Elem::BF16 => half::bf16::from_f64(v).to_f32(),
                    _ => v as f32,
                };
                self.float(v, lanes)
            }
            Scalar::Int(v) => self.dense(&(v as i32).to_string(), "i32", lanes),
            Scalar::Bool(v) => self.dense(if v { "true" } else { "false" }, "i1", lanes),
        }
    }

    /// An f32 constant, written as its bits.
    pub(super) fn float(&mut self, v: f32, lanes: usize) -> String {
        self.dense(&format!("0x{:08X}", v.to_bits()), "f32", lanes)
    }

    /// An i32 constant.
    pub(super) fn int(&mut self, v: i32, lanes: usize) -> String {
        self.dense(&v.to_string(), "i32", lanes)
    }

    /// Zero of a type.
    pub(super) fn zero(&mut self, ty: &str, lanes: usize) -> String {
        self.dense(
            if ty == "f32" {
                "0x00000000"
            } else if ty == "i1" {
                "false"
            } else {
                "0"
            },
            ty,
            lanes,
        )
    }

    fn dense(&mut self, text: &str, ty: &str, lanes: usize) -> String {
        // `true : i1` is not what MLIR reads: a truth value carries its type already.
        if lanes > 1 {
            self.code.constant(&format!("dense<{text}> : {}", vector(ty, lanes)))
        } else if ty == "i1" {
            self.code.constant(text)
        } else {
            self.code.constant(&format!("{text} : {ty}"))
        }
    }
}
