//! Finds an online softmax in a loop, and says what it is made of. Changes nothing.

use super::gauge::{self, Weight};
use crate::analysis::{Uses, is_positive};
use crate::passes::rewrite::constant;
use sla_dsl::ir::{BlockId, Elem, Kernel, Op, OpCode, OpId, Pred, Scalar, Type, Value};
use std::collections::{HashMap, HashSet};

/// An online softmax over the rows of `[M, N]` scores.
pub struct Softmax {
    /// The loop, and the block it stands in.
    pub for_op: OpId,
    pub outer: BlockId,
    /// The loop's body.
    pub body: BlockId,
    /// `[M, N]`.
    pub shape: [usize; 2],
    /// Which carried value is `m`, and its value inside the loop.
    pub m_slot: usize,
    pub m: Value,
    /// As for `m`.
    pub l_slot: usize,
    pub l: Value,
    /// The sum that `l` starts at.
    pub l_init: f64,
    /// The op that makes the next `l`.
    pub l_op: OpId,
    /// The reduction of the scores: everything that the softmax needs is there before it.
    pub reduce: OpId,
    pub scores: Scores,
    /// Whether 0 is taken for a maximum of `-inf`.
    pub guarded: bool,
    /// The weights `exp2(s - base)`.
    pub p: Value,
    /// Ops that multiply an accumulator by `alpha`: `mul`, or `fma` with the product first.
    pub rescales: Vec<Rescale>,
}

/// Where the scores come from.
pub struct Scores {
    /// Unmasked, and unscaled if there is a `factor`.
    pub raw: Value,
    /// A positive tile that multiplies `raw`, and the scalar that it repeats.
    pub factor: Option<(Value, Factor)>,
    /// Masks from the inside out: a condition, and whether the score stays where it holds (else where it does not).
    pub masks: Vec<(Value, bool)>,
}

/// A number that is the same for all scores.
#[derive(Clone, Copy)]
pub enum Factor {
    Value(Value),
    Const(f64),
}

/// An op that multiplies an accumulator by `alpha`.
pub struct Rescale {
    pub op: OpId,
    pub acc: Value,
    /// What is added to the product.
    pub added: Option<Value>,
}

/// The softmax of a loop of `outer`, if there is one that may be rewritten.
pub fn softmax(kernel: &Kernel, outer: BlockId, for_op: OpId) -> Option<Softmax> {
    let body = kernel.op(for_op).regions[0];
    let f = Find { k: kernel, defs: kernel.defs(), uses: Uses::new(kernel), for_op, outer, body };
    (0..kernel.op(for_op).results.len()).find_map(|slot| f.at(slot))
}

struct Find<'k> {
    k: &'k Kernel,
    defs: Vec<Option<OpId>>,
    uses: Uses,
    for_op: OpId,
    outer: BlockId,
    body: BlockId,
}

impl Find<'_> {
    /// The softmax whose maximum is carried in a slot.
    fn at(&self, m_slot: usize) -> Option<Softmax> {
        let (m, m_new) = (self.carried(m_slot), self.next(m_slot)?);
        let rows = match self.k.ty(m) {
            Type::Tile(Elem::F32, s) if s.len() == 2 && s[1] == 1 => s[0],
            _ => return None,
        };
        let max = self.def(m_new, OpCode::Max)?;
        let found = self.other(max, m).and_then(|v| self.def_id(v, OpCode::ReduceMax).map(|id| (v, id)));
        let (reduced, reduce) = found?;
        let s = self.k.op(reduce).operands[0];
        let cols = match self.k.ty(s).shape() {
            Some(&[r, n]) if r == rows && self.k.op(reduce).int("axis") == Some(1) => n,
            _ => return None,
        };
        let local = self.k.block(self.body).ops.contains(&reduce);
        if !cols.is_multiple_of(8) || !local || self.users(reduced).len() != 1 {
            return None;
        }
        let (base, guarded) = self.base(m_new)?;
        let alpha = self.alpha(m, base)?;
        let (p, exponent) = self.weights(s, base)?;
        let (l_slot, l_op) = self.sum(p, alpha)?;
        let l = self.carried(l_slot);
        let rescales = self.rescales(alpha, l_op)?;

        // Nothing else may see the maximum, the sum or alpha.
        let minus_m = self.k.op(self.def_id(alpha, OpCode::Exp2)?).operands[0];
        let m_users: HashSet<OpId> = self.users(m).into_iter().collect();
        let expected = [self.defs[m_new.index()]?, self.defs[minus_m.index()]?];
        let own = |v: Value, n: usize| self.users(v).len() == n;
        let l_alone = own(l, 1) && own(self.k.op(l_op).results[0], 1);
        if m_users != expected.into_iter().collect() || !own(minus_m, 1) || !l_alone {
            return None;
        }
        let base_users: HashSet<OpId> = [self.defs[minus_m.index()]?, exponent].into_iter().collect();
        let base_seen: HashSet<OpId> = self.users(base).into_iter().collect();
        let end = *self.k.block(self.body).ops.last()?;
        let mut allowed = base_users;
        if !guarded {
            allowed.insert(end);
        }
        if !base_seen.is_subset(&allowed) || self.yielded_times(m_new) != 1 {
            return None;
        }

        let l_init = self.start(m_slot, l_slot, &rescales)?;
        let scores = self.scores(s);
        let found = Softmax {
            for_op: self.for_op,
            outer: self.outer,
            body: self.body,
            shape: [rows, cols],
            m_slot,
            m,
            l_slot,
            l,
            l_init,
            l_op,
            reduce,
            scores,
            guarded,
            p,
            rescales,
        };
        (self.inside(&found) && self.behind(&found)).then_some(found)
    }

    /// What is subtracted from the scores: `select(m_new == -inf, 0, m_new)`, or `m_new` itself. The second: whether it is the former.
    fn base(&self, m_new: Value) -> Option<(Value, bool)> {
        let users = self.users(m_new);
        let Some(&pick) = users.iter().find(|&&id| self.k.op(id).code == OpCode::Select) else {
            return Some((m_new, false));
        };
        let pick = self.k.op(pick);
        let cmp_id = self.def_id(pick.operands[0], OpCode::Cmp)?;
        let cmp = self.k.op(cmp_id);
        let (zero, kept) = match cmp.pred()? {
            Pred::Eq => (pick.operands[1], pick.operands[2]),
            Pred::Ne => (pick.operands[2], pick.operands[1]),
            _ => return None,
        };
        let infinite = self.float(self.other(cmp, m_new)?) == Some(f64::NEG_INFINITY);
        let fits = kept == m_new && self.float(zero) == Some(0.0) && infinite;
        // The comparison, the choice and the end of the loop are all that sees the maximum.
        (fits && users.len() == 3 && self.users(cmp.results[0]).len() == 1).then_some((pick.results[0], true))
    }

    /// `exp2(m - base)`.
    fn alpha(&self, m: Value, base: Value) -> Option<Value> {
        let difference = self.users(m).into_iter().find_map(|id| {
            let op = self.k.op(id);
            (op.code == OpCode::Sub && op.operands == [m, base]).then(|| op.results[0])
        })?;
        self.only(difference, OpCode::Exp2)
    }

    /// `exp2(s - base)`, and the op that uses `base` for it.
    fn weights(&self, s: Value, base: Value) -> Option<(Value, OpId)> {
        self.users(base).into_iter().find_map(|id| {
            let wide = self.k.op(id);
            if wide.code != OpCode::Broadcast {
                return None;
            }
            let difference = self.only(wide.results[0], OpCode::Sub)?;
            if self.def(difference, OpCode::Sub)?.operands != [s, wide.results[0]] {
                return None;
            }
            Some((self.only(difference, OpCode::Exp2)?, id))
        })
    }

    /// The slot whose next value is `l * alpha + reduce_sum(p)`, and the op that makes that.
    fn sum(&self, p: Value, alpha: Value) -> Option<(usize, OpId)> {
        let slots = self.k.op(self.for_op).results.len();
        (0..slots).find_map(|slot| {
            let l = self.carried(slot);
            let id = self.defs[self.next(slot)?.index()]?;
            let op = self.k.op(id);
            let product = |a: Value, b: Value| (a, b) == (l, alpha) || (b, a) == (l, alpha);
            let rest = match (op.code, &op.operands[..]) {
                (OpCode::Fma, &[a, b, rest]) if product(a, b) => rest,
                (OpCode::Add, &[a, b]) => [(a, b), (b, a)].into_iter().find_map(|(of, rest)| {
                    let mul = self.def(of, OpCode::Mul)?;
                    (product(mul.operands[0], mul.operands[1]) && self.users(of).len() == 1).then_some(rest)
                })?,
                _ => return None,
            };
            let sum = self.def(rest, OpCode::ReduceSum)?;
            let fits = sum.operands[0] == p && sum.int("axis") == Some(1) && self.users(rest).len() == 1;
            (fits && self.k.block(self.body).ops.contains(&id)).then_some((slot, id))
        })
    }

    /// Every other use of `alpha`; `None` if one is not the product with an accumulator in the loop's own block.
    fn rescales(&self, alpha: Value, l_op: OpId) -> Option<Vec<Rescale>> {
        let l_product = |id: OpId| {
            let result = self.k.op(id).results[0];
            id == l_op || self.users(result) == [l_op]
        };
        let mut uses = Vec::new();
        for id in self.users(alpha) {
            let op = self.k.op(id);
            if op.code == OpCode::Broadcast {
                uses.extend(self.users(op.results[0]).into_iter().map(|user| (user, op.results[0])));
            } else if !l_product(id) {
                uses.push((id, alpha));
            }
        }
        let args = &self.k.block(self.body).args[1..];
        let of = |(id, by): (OpId, Value)| {
            let op = self.k.op(id);
            let (a, b) = (op.operands[0], *op.operands.get(1)?);
            let acc = if b == by { a } else { b };
            let added = op.operands.get(2).copied();
            let code = matches!(op.code, OpCode::Mul | OpCode::Fma);
            let fits = code && acc != by && args.contains(&acc) && added != Some(by) && added != Some(acc);
            let alone = self.users(acc) == [id] && self.k.block(self.body).ops.contains(&id);
            (fits && alone).then_some(Rescale { op: id, acc, added })
        };
        uses.into_iter().map(of).collect()
    }

    /// The sum that `l` starts at, if a row of only `-inf` ends as it starts in either form.
    fn start(&self, m_slot: usize, l_slot: usize, rescales: &[Rescale]) -> Option<f64> {
        let init = |slot: usize| self.float(self.k.op(self.for_op).operands[slot + 2]);
        let (m, l) = (init(m_slot)?, init(l_slot)?);
        if m.is_finite() {
            return (l.is_finite() && l >= 0.0).then_some(l);
        }
        let args = &self.k.block(self.body).args[1..];
        let zeros = rescales.iter().all(|r| {
            let slot = args.iter().position(|&a| a == r.acc);
            slot.is_some_and(|slot| init(slot) == Some(0.0))
        });
        (m == f64::NEG_INFINITY && l == 0.0 && zeros).then_some(0.0)
    }

    /// Looks through masks for a positive factor.
    fn scores(&self, s: Value) -> Scores {
        let (mut at, mut masks) = (s, Vec::new());
        while let Some(op) = self.def(at, OpCode::Select) {
            let masked = |v: Value| self.float(v) == Some(f64::NEG_INFINITY);
            let stays = masked(op.operands[2]);
            if !stays && !masked(op.operands[1]) {
                break;
            }
            masks.push((op.operands[0], stays));
            at = op.operands[if stays { 1 } else { 2 }];
        }
        masks.reverse();
        let product = self.def(at, OpCode::Mul).and_then(|mul| {
            let (a, b) = (mul.operands[0], mul.operands[1]);
            [(a, b), (b, a)].into_iter().find_map(|(raw, by)| {
                let factor = match (self.def(by, OpCode::Splat), self.float(by)) {
                    (Some(splat), _) => Factor::Value(splat.operands[0]),
                    (_, Some(c)) => Factor::Const(c),
                    _ => return None,
                };
                is_positive(self.k, &self.defs, by).then_some((raw, (by, factor)))
            })
        });
        match product {
            Some((raw, factor)) => Scores { raw, factor: Some(factor), masks },
            None => Scores { raw: s, factor: None, masks: Vec::new() },
        }
    }

    /// Whether the loop's body uses the weights and accumulators row by row and linearly, and carries on only accumulators.
    fn inside(&self, s: &Softmax) -> bool {
        let mut weights = HashMap::from([(s.p, Weight::Factor(-1.0))]);
        for r in &s.rescales {
            if self.k.ty(r.acc).shape().is_none_or(|shape| shape.len() != 2 || shape[0] != s.shape[0]) {
                return false;
            }
            if r.added.is_none() {
                weights.insert(self.k.op(r.op).results[0], Weight::Factor(-1.0));
            }
        }
        // The sum of the weights is taken over; of an `fma` its addend remains to be looked at.
        let sums = self.k.op(s.l_op).operands.iter().filter_map(|v| self.def_id(*v, OpCode::ReduceSum));
        let known: HashSet<OpId> = sums.chain([s.l_op]).chain(s.rescales.iter().map(|r| r.op)).collect();
        let mut ops = Vec::new();
        walk(self.k, s.body, &mut ops);
        let end = self.k.block(s.body).ops.last().copied();
        let rest: HashMap<OpId, Value> =
            s.rescales.iter().filter_map(|r| r.added.map(|v| (r.op, v))).collect();
        let gauge = gauge::Gauge { kernel: self.k, defs: &self.defs, m: None, l: None, p: Some(s.p) };
        for id in ops.into_iter().filter(|&id| Some(id) != end) {
            if let Some(added) = rest.get(&id) {
                if weights.get(added) != Some(&Weight::Factor(-1.0)) {
                    return false;
                }
                weights.insert(self.k.op(id).results[0], Weight::Factor(-1.0));
            } else if !known.contains(&id) && !gauge.follow(id, &mut weights) {
                return false;
            }
        }
        let scaled = |slot: usize| s.rescales.iter().any(|r| r.acc == self.carried(slot));
        let slots = 0..self.k.op(self.for_op).results.len();
        slots.into_iter().all(|slot| {
            let weight = self.next(slot).and_then(|v| weights.get(&v));
            match (scaled(slot), weight) {
                (true, Some(w)) => *w == Weight::Factor(-1.0),
                (scaled, weight) => !scaled && weight.is_none(),
            }
        })
    }

    /// Whether nothing behind the loop depends on the reference.
    fn behind(&self, s: &Softmax) -> bool {
        let results = &self.k.op(self.for_op).results;
        let (m, l) = (results[s.m_slot], results[s.l_slot]);
        let mut weights = HashMap::from([(m, Weight::Shift(1.0)), (l, Weight::Factor(-1.0))]);
        let args = &self.k.block(s.body).args[1..];
        for (arg, &result) in args.iter().zip(results) {
            if s.rescales.iter().any(|r| r.acc == *arg) {
                weights.insert(result, Weight::Factor(-1.0));
            }
        }
        let mut inside = Vec::new();
        walk(self.k, s.body, &mut inside);
        let inside: HashSet<OpId> = inside.into_iter().collect();
        let mut ops = Vec::new();
        walk(self.k, self.k.body, &mut ops);
        let gauge = gauge::Gauge { kernel: self.k, defs: &self.defs, m: Some(m), l: Some(l), p: None };
        ops.into_iter()
            .filter(|id| !inside.contains(id) && *id != self.for_op)
            .all(|id| gauge.follow(id, &mut weights))
    }

    fn carried(&self, slot: usize) -> Value {
        self.k.block(self.body).args[slot + 1]
    }

    fn next(&self, slot: usize) -> Option<Value> {
        let last = self.k.block(self.body).ops.last()?;
        self.k.op(*last).operands.get(slot).copied()
    }

    fn yielded_times(&self, v: Value) -> usize {
        let last = self.k.block(self.body).ops.last();
        last.map_or(0, |&id| self.k.op(id).operands.iter().filter(|&&o| o == v).count())
    }

    fn def_id(&self, v: Value, code: OpCode) -> Option<OpId> {
        self.defs[v.index()].filter(|&id| self.k.op(id).code == code)
    }

    fn def(&self, v: Value, code: OpCode) -> Option<&Op> {
        self.def_id(v, code).map(|id| self.k.op(id))
    }

    /// The ops that use a value, one entry a use.
    fn users(&self, v: Value) -> Vec<OpId> {
        self.uses.of(v).iter().map(|&(id, _)| id).collect()
    }

    /// The result of the op with `code` that is all that uses `v`.
    fn only(&self, v: Value, code: OpCode) -> Option<Value> {
        match self.users(v)[..] {
            [id] if self.k.op(id).code == code => Some(self.k.op(id).results[0]),
            _ => None,
        }
    }

    /// The operand of a binary op that is not `v`.
    fn other(&self, op: &Op, v: Value) -> Option<Value> {
        match op.operands[..] {
            [a, b] if a == v => Some(b),
            [a, b] if b == v => Some(a),
            _ => None,
        }
    }

    fn float(&self, v: Value) -> Option<f64> {
        match constant(self.k, &self.defs, v) {
            Some(Scalar::Float(c)) => Some(c as f32 as f64),
            _ => None,
        }
    }
}

/// Every op of a block and of what is nested there, in program order.
fn walk(kernel: &Kernel, block: BlockId, out: &mut Vec<OpId>) {
    for &id in &kernel.block(block).ops {
        out.push(id);
        for &region in &kernel.op(id).regions {
            walk(kernel, region, out);
        }
    }
}
