//! How values change when another reference is subtracted from a row's scores.
//!
//! If the reference of a row is smaller by `d`, then `m` is smaller by `d` and `p`, `l` and the accumulators are larger by `2^d`. A value is
//! followed as `2^(-k d)` times itself ([`Weight::Factor`] `-k`), as itself plus `k d` ([`Weight::Shift`]), or, with no entry, as
//! itself. A use that is none of these has no answer, and the softmax stays as it is.
//!
//! In rows that have seen only `-inf` there is no choice (`d = 0`), so that a value chosen for them may be anything.

use crate::passes::rewrite::constant;
use sla_dsl::ir::{Elem, Kernel, Op, OpCode, OpId, Pred, Scalar, Value};
use std::collections::HashMap;

/// How a value depends on the reference of its row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weight {
    /// Grows as `2^(k * reference)`.
    Factor(f64),
    /// Grows as `k * reference`.
    Shift(f64),
}

use Weight::{Factor, Shift};

/// What the rules need to know besides the weights of operands.
pub struct Gauge<'k> {
    pub kernel: &'k Kernel,
    pub defs: &'k [Option<OpId>],
    /// The maximum and the sum behind the loop.
    pub m: Option<Value>,
    pub l: Option<Value>,
    /// The weights `exp2(s - base)` inside it.
    pub p: Option<Value>,
}

/// A weight, or none where a value does not depend on the reference.
type Found = Option<Weight>;

impl Gauge<'_> {
    /// Enters the weights of an op's results; false if they have none.
    pub fn follow(&self, id: OpId, weights: &mut HashMap<Value, Weight>) -> bool {
        let op = self.kernel.op(id);
        let of: Vec<Found> = op.operands.iter().map(|v| weights.get(v).copied()).collect();
        if of.iter().all(Option::is_none) {
            return true;
        }
        let (Some(weight), [result]) = (self.rule(op, &of), &op.results[..]) else { return false };
        if let Some(w) = weight {
            weights.insert(*result, w);
        }
        true
    }

    /// The weight of a result, for operands with the weights `of`.
    fn rule(&self, op: &Op, of: &[Found]) -> Option<Found> {
        let rows = || op.int("axis") == Some(1);
        match op.code {
            OpCode::Broadcast => Some(of[0]),
            OpCode::Neg => Some(match of[0]? {
                Shift(k) => Some(Shift(-k)),
                factor => Some(factor),
            }),
            OpCode::Abs => matches!(of[0], Some(Factor(_))).then_some(of[0]),
            OpCode::Add => {
                add(of[0], of[1], 1.0, self.is_zero(op.operands[0]) || self.is_zero(op.operands[1]))
            }
            OpCode::Sub => {
                add(of[0], of[1], -1.0, self.is_zero(op.operands[0]) || self.is_zero(op.operands[1]))
            }
            OpCode::Max | OpCode::Min => self.either(of[0], of[1], op.operands[0], op.operands[1]),
            OpCode::Mul => self.product(op, of),
            OpCode::Fma => add(self.product(op, of)?, of[2], 1.0, self.is_zero(op.operands[2])),
            OpCode::Div => match (of[0], of[1]) {
                (Some(Factor(a)), Some(Factor(b))) => Some(factor(a - b)),
                (Some(Factor(a)), None) => Some(factor(a)),
                (None, Some(Factor(b))) => Some(factor(-b)),
                (Some(Shift(a)), None) => Some(shift(a / self.float(op.operands[1])?)),
                _ => None,
            },
            OpCode::Log2 => match of[0]? {
                Factor(k) => Some(shift(k)),
                Shift(_) => None,
            },
            OpCode::Log => match of[0]? {
                Factor(k) => Some(shift(k * std::f64::consts::LN_2)),
                Shift(_) => None,
            },
            OpCode::Cast => {
                let to = self.kernel.ty(op.results[0]).elem();
                // Half precision ends at 65504: only the weights themselves are known to be far below.
                let fits = to.is_some_and(|e| e == Elem::F32 || e == Elem::BF16)
                    || to == Some(Elem::F16) && self.p == Some(op.operands[0]);
                (fits && matches!(of[0], Some(Factor(_)))).then_some(of[0])
            }
            OpCode::ReduceSum => (rows() && matches!(of[0], Some(Factor(_)))).then_some(of[0]),
            OpCode::ReduceMax | OpCode::ReduceMin => rows().then_some(of[0]),
            OpCode::Dot => {
                let acc = of.get(2).copied().flatten();
                let fits = of[1].is_none() && !op.flag("ta") && matches!(of[0], Some(Factor(_)));
                (fits && (op.operands.len() == 2 || acc == of[0])).then_some(of[0])
            }
            OpCode::Select => self.select(op, of),
            OpCode::Cmp => self.seen(op).map(|_| None),
            _ => None,
        }
    }

    /// Of the first two operands.
    fn product(&self, op: &Op, of: &[Found]) -> Option<Found> {
        match (of[0], of[1]) {
            (None, None) => Some(None),
            (Some(Factor(a)), Some(Factor(b))) => Some(factor(a + b)),
            (Some(Factor(a)), None) | (None, Some(Factor(a))) => Some(factor(a)),
            (Some(Shift(a)), None) => Some(shift(a * self.float(op.operands[1])?)),
            (None, Some(Shift(a))) => Some(shift(a * self.float(op.operands[0])?)),
            _ => None,
        }
    }

    /// One of two values.
    fn either(&self, a: Found, b: Found, av: Value, bv: Value) -> Option<Found> {
        let absorbs = |w: Found, v: Value| match w {
            Some(Factor(_)) => self.is_zero(v),
            Some(Shift(_)) => self.float(v).is_some_and(f64::is_infinite),
            None => false,
        };
        match (a, b) {
            (a, b) if a == b => Some(a),
            (a, None) if absorbs(a, bv) => Some(a),
            (None, b) if absorbs(b, av) => Some(b),
            _ => None,
        }
    }

    fn select(&self, op: &Op, of: &[Found]) -> Option<Found> {
        if of[0].is_some() {
            return None;
        }
        let mut cond = self.defs[op.operands[0].index()].map(|id| self.kernel.op(id));
        if let Some(wide) = cond.filter(|c| c.code == OpCode::Broadcast) {
            cond = self.defs[wide.operands[0].index()].map(|id| self.kernel.op(id));
        }
        match cond.and_then(|c| self.seen(c)) {
            Some(seen) => Some(of[if seen { 1 } else { 2 }]),
            None => self.either(of[1], of[2], op.operands[1], op.operands[2]),
        }
    }

    /// Whether a comparison holds for rows that have seen something (or else for those that have not).
    fn seen(&self, cmp: &Op) -> Option<bool> {
        let (a, b) = (cmp.operands[0], cmp.operands[1]);
        let known = |v: Value| match v {
            _ if Some(v) == self.l => Some(0.0),
            _ if Some(v) == self.m => Some(f64::NEG_INFINITY),
            _ => None,
        };
        // Nothing is below what such a row has.
        let (bottom, limit, pred) = match (known(a), known(b)) {
            (Some(bottom), None) => (bottom, b, cmp.pred()?),
            (None, Some(bottom)) => (bottom, a, turned(cmp.pred()?)),
            _ => return None,
        };
        match pred {
            _ if self.float(limit) != Some(bottom) => None,
            Pred::Ne | Pred::Gt => Some(true),
            Pred::Eq | Pred::Le => Some(false),
            Pred::Lt | Pred::Ge => None,
        }
    }

    fn float(&self, v: Value) -> Option<f64> {
        match constant(self.kernel, self.defs, v) {
            Some(Scalar::Float(c)) => Some(c),
            _ => None,
        }
    }

    fn is_zero(&self, v: Value) -> bool {
        self.float(v) == Some(0.0)
    }
}

/// Of `a + sign * b`; `zero` says that one of them is 0.
fn add(a: Found, b: Found, sign: f64, zero: bool) -> Option<Found> {
    match (a, b) {
        (Some(Factor(a)), Some(Factor(b))) => (a == b).then_some(Some(Factor(a))),
        (Some(Factor(k)), None) | (None, Some(Factor(k))) => zero.then_some(Some(Factor(k))),
        (Some(Shift(a)), Some(Shift(b))) => Some(shift(a + sign * b)),
        (Some(Shift(a)), None) => Some(shift(a)),
        (None, Some(Shift(b))) => Some(shift(sign * b)),
        (None, None) => Some(None),
        _ => None,
    }
}

/// The comparison with its sides exchanged.
fn turned(pred: Pred) -> Pred {
    match pred {
        Pred::Lt => Pred::Gt,
        Pred::Le => Pred::Ge,
        Pred::Gt => Pred::Lt,
        Pred::Ge => Pred::Le,
        same => same,
    }
}

fn factor(k: f64) -> Found {
    (k != 0.0).then_some(Factor(k))
}

/// Constants are rounded to f32 by users, so that `k` may miss 0 by a little.
fn shift(k: f64) -> Found {
    (k.abs() > 1e-6).then_some(Shift(k))
}
