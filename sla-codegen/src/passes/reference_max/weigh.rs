//! The other form of a step: weights first, and whether they fit their reference afterwards.
//!
//! A sum of weights tells as well as the largest score that none of them is too large, and the sum is needed anyway. So a step in which nothing rose finds
//! no maximum at all; one in which something did computes its weights again. The scores are kept until that is known.

use super::build::{Head, LIMIT, PART, base, times};
use super::find::Softmax;
use crate::analysis::Uses;
use crate::passes::make::Maker;
use sla_dsl::ir::{Elem, Kernel, OpCode, OpId, Pred, Scalar, Type, Value};

/// Columns from which on a thread has no registers for the scores and the weights beside them in f32: it keeps the weights as products take them.
const ROUNDED_FROM: usize = 128;

/// From the scores to the weights and the next sum.
pub fn head(kernel: &mut Kernel, s: &Softmax, partial: &Type, shift: Value) -> (Vec<OpId>, Head) {
    let [rows, cols] = s.shape;
    let column = Type::tile(Elem::F32, &[rows, 1]);
    let rounding = rounding(kernel, s);
    let loc = kernel.op(s.reduce).loc;
    let mut k = Maker::new(kernel, loc);

    let scores = s.scores.masked(&mut k);
    let factor = s.scores.factor;
    // The weights for a reference, as they are kept, and the sum with them.
    let weigh = |k: &mut Maker<'_>, shift: Value, l: Value| {
        let wide = k.broadcast(shift, &[rows, cols]);
        let exponent = match factor {
            Some((by, _)) => k.same(OpCode::Fma, &[scores, by, wide]),
            None => k.same(OpCode::Add, &[scores, wide]),
        };
        let p = k.same(OpCode::Exp2, &[exponent]);
        let sum = k.op(OpCode::FoldSum, &[p], &[], partial.clone());
        let l = k.same(OpCode::Add, &[l, sum]);
        let kept = rounding.as_ref().map_or(p, |(_, ty)| k.op(OpCode::Cast, &[p], &[], ty.clone()));
        (kept, sum, l)
    };
    let (p, sum, l) = weigh(&mut k, shift, s.l);
    let limit = k.constant(Scalar::Float(LIMIT), partial.clone());
    let high = k.cmp(Pred::Gt, sum, limit);
    // Where nothing was seen yet there is no reference, and weights may have vanished.
    let none = k.constant(Scalar::Float(f64::NEG_INFINITY), column.clone());
    let empty = k.cmp(Pred::Eq, s.m, none);
    let first = k.broadcast(empty, &[rows, PART]);
    let hot = k.same(OpCode::Or, &[high, first]);
    let rose = k.op(OpCode::Vote, &[hot], &[], Type::Scalar(Elem::Bool));

    let rise = |k: &mut Maker<'_>| {
        let top = k.reduce_columns(OpCode::ReduceMax, scores);
        let top = times(k, top, factor);
        let m_new = k.same(OpCode::Max, &[s.m, top]);
        let base = base(k, m_new, s.guarded);
        let less = k.same(OpCode::Sub, &[s.m, base]);
        let mut alpha = k.same(OpCode::Exp2, &[less]);
        if s.guarded {
            // It is 0 there anyway. Said like this, what a first step starts from is known to be 0.
            let zero = k.constant(Scalar::Float(0.0), column.clone());
            alpha = k.select(empty, zero, alpha);
        }
        let by = k.broadcast(alpha, &[rows, PART]);
        let l = k.same(OpCode::Mul, &[s.l, by]);
        let shift = k.same(OpCode::Neg, &[base]);
        let (p, _, l) = weigh(k, shift, l);
        vec![m_new, l, alpha, shift, p]
    };
    let stay = |k: &mut Maker<'_>| {
        let one = k.constant(Scalar::Float(1.0), column.clone());
        vec![s.m, l, one, shift, p]
    };
    let state = k.branch(rose, rise, stay);
    let replaces = rounding.as_ref().map_or(s.p, |&(rounded, _)| rounded);
    let head = Head {
        m: state[0],
        l: state[1],
        rose,
        alpha: state[2],
        shift: state[3],
        weights: (replaces, state[4]),
        summed: true,
    };
    (k.finish(), head)
}

/// The weights as products take them and their type, if that is all that they are used for and it pays to keep these.
fn rounding(kernel: &Kernel, s: &Softmax) -> Option<(Value, Type)> {
    let uses = Uses::new(kernel);
    let users = uses.of(s.p).iter().map(|&(id, _)| kernel.op(id));
    let others: Vec<_> = users.filter(|op| op.code != OpCode::ReduceSum).collect();
    match others[..] {
        [op] if op.code == OpCode::Cast && s.shape[1] >= ROUNDED_FROM => {
            Some((op.results[0], kernel.ty(op.results[0]).clone()))
        }
        _ => None,
    }
}
