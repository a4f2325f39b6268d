//! Puts the reference-maximum form in the place of a softmax that was found.

use super::Watch;
use super::find::{Factor, Scores, Softmax};
use super::weigh;
use crate::analysis::Uses;
use crate::passes::make::{Maker, insert_after, insert_before};
use crate::passes::rewrite::replace_uses;
use sla_dsl::ir::{Attr, Elem, Kernel, OpCode, OpId, Pred, Scalar, Type, Value};
use std::collections::HashMap;

/// How far a score may be above the reference, in units of `log2`: weights are at most 2 to this power.
const HEADROOM: f64 = 8.0;

/// The same of weights: what a part of a row's sum may be.
pub(super) const LIMIT: f64 = 256.0;

/// What one thread holds of a row.
pub(super) const PART: usize = 8;

/// Values of the new form that the rest of the loop needs.
pub(super) struct Head {
    pub m: Value,
    pub l: Value,
    pub rose: Value,
    pub alpha: Value,
    pub shift: Value,
    /// What stands for the weights, and the value that it replaces: them, or what they are rounded to.
    pub weights: (Value, Value),
    /// Whether `l` has the step's weights in it.
    pub summed: bool,
}

/// Rewrites the loop. What is no longer used stays until dead code is removed.
pub fn rewrite(kernel: &mut Kernel, s: &Softmax, watch: Watch) {
    let partial = Type::tile(Elem::F32, &[s.shape[0], PART]);
    carry_partial(kernel, s, &partial);
    let shift = carry_shift(kernel, s);

    let (ops, head) = match watch {
        Watch::Scores => head(kernel, s, &partial, shift),
        Watch::Weights => weigh::head(kernel, s, &partial, shift),
    };
    insert_before(kernel, s.body, s.reduce, ops);

    let loc = kernel.op(s.l_op).loc;
    let mut maker = Maker::new(kernel, loc);
    let l_next = if head.summed {
        head.l
    } else {
        let sum = maker.op(OpCode::FoldSum, &[head.weights.1], &[], partial.clone());
        maker.same(OpCode::Add, &[head.l, sum])
    };
    let ops = maker.finish();
    insert_before(kernel, s.body, s.l_op, ops);

    let mut replaced = HashMap::from([head.weights]);
    for r in &s.rescales {
        let (acc, op) = (r.acc, kernel.op(r.op).clone());
        let mut maker = Maker::new(kernel, op.loc);
        let shape = maker.kernel.ty(acc).shape().unwrap_or_default().to_vec();
        let then = |m: &mut Maker<'_>| {
            let by = widened(m, head.alpha, &shape);
            vec![m.same(OpCode::Mul, &[acc, by])]
        };
        let mut scaled = maker.branch(head.rose, then, |_| vec![acc])[0];
        if let Some(added) = r.added {
            scaled = maker.same(OpCode::Add, &[scaled, added]);
        }
        let ops = maker.finish();
        insert_before(kernel, s.body, r.op, ops);
        replaced.insert(op.results[0], scaled);
    }
    // What they replace is gone now, so that nothing uses a value of the old type.
    let dead = |id: &OpId| *id == s.l_op || s.rescales.iter().any(|r| r.op == *id);
    kernel.block_mut(s.body).ops.retain(|id| !dead(id));
    replace_uses(kernel, &replaced);
    if let Some(&end) = kernel.block(s.body).ops.last() {
        let operands = &mut kernel.op_mut(end).operands;
        operands[s.m_slot] = head.m;
        operands[s.l_slot] = l_next;
        operands.push(head.shift);
    }
}

/// Makes the loop carry what is added to the scores, so that a step in which nothing rose need not look whether `m` is `-inf`; gives it inside.
fn carry_shift(kernel: &mut Kernel, s: &Softmax) -> Value {
    let column = Type::tile(Elem::F32, &[s.shape[0], 1]);
    let start = kernel.op(s.for_op).operands[s.m_slot + 2];
    let loc = kernel.op(s.for_op).loc;
    let mut maker = Maker::new(kernel, loc);
    let base = base(&mut maker, start, s.guarded);
    let init = maker.same(OpCode::Neg, &[base]);
    let ops = maker.finish();
    insert_before(kernel, s.outer, s.for_op, ops);
    let (inside, result) = (kernel.new_value(column.clone()), kernel.new_value(column));
    kernel.block_mut(s.body).args.push(inside);
    let op = kernel.op_mut(s.for_op);
    op.operands.push(init);
    op.results.push(result);
    inside
}

/// Makes the loop carry `l` as `[M, 8]`: its start in column 0, its sum behind the loop.
fn carry_partial(kernel: &mut Kernel, s: &Softmax, partial: &Type) {
    let result = kernel.op(s.for_op).results[s.l_slot];
    let after = Uses::new(kernel).of(result).to_vec();
    kernel.types[result.index()] = partial.clone();
    kernel.types[s.l.index()] = partial.clone();

    let loc = kernel.op(s.for_op).loc;
    let mut maker = Maker::new(kernel, loc);
    let zero = maker.constant(Scalar::Float(0.0), partial.clone());
    let init = if s.l_init == 0.0 {
        zero
    } else {
        let counts = partial.with_elem(Elem::I32);
        let column = maker.op(OpCode::Iota, &[], &[("axis", Attr::Int(1))], counts.clone());
        let first = maker.constant(Scalar::Int(0), counts);
        let is_first = maker.cmp(Pred::Eq, column, first);
        let start = maker.constant(Scalar::Float(s.l_init), partial.clone());
        maker.select(is_first, start, zero)
    };
    let ops = maker.finish();
    insert_before(kernel, s.outer, s.for_op, ops);
    kernel.op_mut(s.for_op).operands[s.l_slot + 2] = init;

    let mut maker = Maker::new(kernel, loc);
    let sum = maker.reduce_columns(OpCode::ReduceSum, result);
    let ops = maker.finish();
    insert_after(kernel, s.outer, s.for_op, ops);
    for (user, slot) in after {
        kernel.op_mut(user).operands[slot] = sum;
    }
}

/// From the scores to the weights.
fn head(kernel: &mut Kernel, s: &Softmax, partial: &Type, shift: Value) -> (Vec<OpId>, Head) {
    let [rows, cols] = s.shape;
    let column = Type::tile(Elem::F32, &[rows, 1]);
    let factor = s.scores.factor;
    let loc = kernel.op(s.reduce).loc;
    let mut k = Maker::new(kernel, loc);

    let scores = s.scores.masked(&mut k);
    let part = k.op(OpCode::FoldMax, &[scores], &[], partial.clone());
    let scaled = times(&mut k, part, factor);
    let headroom = k.constant(Scalar::Float(HEADROOM), column.clone());
    let limit = k.same(OpCode::Add, &[s.m, headroom]);
    let limit = k.broadcast(limit, &[rows, PART]);
    let hot = k.cmp(Pred::Gt, scaled, limit);
    let rose = k.op(OpCode::Vote, &[hot], &[], Type::Scalar(Elem::Bool));

    let rise = |k: &mut Maker<'_>| {
        let top = k.reduce_columns(OpCode::ReduceMax, part);
        let top = times(k, top, factor);
        let m_new = k.same(OpCode::Max, &[s.m, top]);
        let base = base(k, m_new, s.guarded);
        let less = k.same(OpCode::Sub, &[s.m, base]);
        let alpha = k.same(OpCode::Exp2, &[less]);
        let by = k.broadcast(alpha, &[rows, PART]);
        let l = k.same(OpCode::Mul, &[s.l, by]);
        let shift = k.same(OpCode::Neg, &[base]);
        vec![m_new, l, alpha, shift]
    };
    let stay = |k: &mut Maker<'_>| {
        let one = k.constant(Scalar::Float(1.0), column.clone());
        vec![s.m, s.l, one, shift]
    };
    let state = k.branch(rose, rise, stay);
    let (m, l, alpha, shift) = (state[0], state[1], state[2], state[3]);

    let wide = k.broadcast(shift, &[rows, cols]);
    let exponent = match factor {
        Some((by, _)) => k.same(OpCode::Fma, &[scores, by, wide]),
        None => k.same(OpCode::Add, &[scores, wide]),
    };
    let p = k.same(OpCode::Exp2, &[exponent]);
    (k.finish(), Head { m, l, rose, alpha, shift, weights: (s.p, p), summed: false })
}

impl Scores {
    /// Masked, and unscaled if there is a factor.
    pub(super) fn masked(&self, k: &mut Maker<'_>) -> Value {
        let mut scores = self.raw;
        for &(cond, stays) in &self.masks {
            let ty = k.kernel.ty(scores).clone();
            let none = k.constant(Scalar::Float(f64::NEG_INFINITY), ty);
            let (a, b) = if stays { (scores, none) } else { (none, scores) };
            scores = k.select(cond, a, b);
        }
        scores
    }
}

/// What is subtracted from the scores for a maximum.
pub(super) fn base(k: &mut Maker<'_>, m: Value, guarded: bool) -> Value {
    if !guarded {
        return m;
    }
    let ty = k.kernel.ty(m).clone();
    let none = k.constant(Scalar::Float(f64::NEG_INFINITY), ty.clone());
    let zero = k.constant(Scalar::Float(0.0), ty);
    let empty = k.cmp(Pred::Eq, m, none);
    k.select(empty, zero, m)
}

/// A tile times the factor of the scores.
pub(super) fn times(k: &mut Maker<'_>, v: Value, factor: Option<(Value, Factor)>) -> Value {
    let ty = k.kernel.ty(v).clone();
    let by = match factor {
        None => return v,
        Some((_, Factor::Const(c))) => k.constant(Scalar::Float(c), ty),
        Some((_, Factor::Value(c))) => k.op(OpCode::Splat, &[c], &[], ty),
    };
    k.same(OpCode::Mul, &[v, by])
}

/// A tile with its axes of size 1 repeated, if it is not of that shape.
fn widened(k: &mut Maker<'_>, v: Value, shape: &[usize]) -> Value {
    if k.kernel.ty(v).shape() == Some(shape) { v } else { k.broadcast(v, shape) }
}
