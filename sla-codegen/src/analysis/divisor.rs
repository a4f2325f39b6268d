//! The largest power of two known to divide an `i32` scalar, from constants, products, sums and loop steps.

use sla_dsl::ir::{Kernel, OpCode, OpId, Scalar, Type, Value};

/// What "divides everything" counts as: the answer for 0.
const ALL: i64 = 1 << 30;

/// Answers for one kernel.
pub struct Divisors<'k> {
    kernel: &'k Kernel,
    defs: Vec<Option<OpId>>,
    /// For a loop's counter, the loop.
    counters: Vec<Option<OpId>>,
}

impl<'k> Divisors<'k> {
    /// Prepares to answer.
    pub fn new(kernel: &'k Kernel) -> Divisors<'k> {
        let mut counters = vec![None; kernel.types.len()];
        kernel.walk(&mut |k, _, id| {
            if let (OpCode::For, Some(&r)) = (k.op(id).code, k.op(id).regions.first())
                && let Some(iv) = k.block(r).args.first()
            {
                counters[iv.index()] = Some(id);
            }
        });
        Divisors { kernel, defs: kernel.defs(), counters }
    }

    /// A power of two that divides `v` whatever the launch; 1 if nothing is known.
    pub fn of(&self, v: Value) -> i64 {
        self.at(v, 16)
    }

    fn at(&self, v: Value, depth: u32) -> i64 {
        if depth == 0 || !matches!(self.kernel.ty(v), Type::Scalar(_)) {
            return 1;
        }
        if let Some(l) = self.counters[v.index()] {
            let op = self.kernel.op(l);
            return self.at(op.operands[0], depth - 1).min(power(op.int("step").unwrap_or(1)));
        }
        let Some(op) = self.defs[v.index()].map(|id| self.kernel.op(id)) else { return 1 };
        let of = |i: usize| self.at(op.operands[i], depth - 1);
        match op.code {
            OpCode::Const => match op.scalar() {
                Some(Scalar::Int(c)) => power(c),
                _ => 1,
            },
            OpCode::Mul => of(0).saturating_mul(of(1)).min(ALL),
            OpCode::Add | OpCode::Sub | OpCode::Min | OpCode::Max => of(0).min(of(1)),
            OpCode::Select => of(1).min(of(2)),
            OpCode::Neg => of(0),
            OpCode::Shl => match self.defs[op.operands[1].index()].and_then(|d| self.kernel.op(d).scalar()) {
                Some(Scalar::Int(c)) if (0..31).contains(&c) => of(0).saturating_mul(1 << c).min(ALL),
                _ => 1,
            },
            _ => 1,
        }
    }
}

/// The largest power of two that divides `c`.
fn power(c: i64) -> i64 {
    if c == 0 { ALL } else { 1 << c.trailing_zeros().min(30) }
}
