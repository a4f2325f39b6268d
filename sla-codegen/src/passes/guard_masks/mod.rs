//! Masks by position, computed only for the blocks that they cut: the last of a ragged axis, those on the diagonal.
//!
//! ```text
//! %c = iota {axis=1} : tile<64x64xi32>             %most = const {value=63} : i32
//! %e = splat %left : tile<64x64xi32>               %cut = cmp %most, %left {pred=ge} : bool
//! %i = cmp %c, %e {pred=lt} : ...            =>    %t = if %cut : tile<64x64xf32> {
//! %f = const {value=-inf} : ...                      ... %c, %e, %i, %f ...
//! %t = select %i, %s, %f : tile<64x64xf32>           %u = select %i, %s, %f : tile<64x64xf32>
//!                                                    yield %u
//!                                                  } else {
//!                                                    yield %s
//!                                                  }
//! ```
//! Looked for are choices between a tile and a constant, in a loop's own block, by comparisons of sums, differences, multiples and quotients
//! of positions and scalars ([`corner`]), joined by `and` where the tile stays and by `or` where it does not. Several in a row get one branch.
//! `==` and `!=` stay: a block where they hold everywhere is rare.
//!
//! Each side of a comparison is evaluated where it is largest or smallest, as a scalar; the branch is taken unless that shows that
//! the tile stays everywhere. Positions are taken not to wrap around: a tensor's axis is shorter than `2^31`, and so is what a block reaches past it.

mod corner;

use super::make::{Maker, insert_before};
use super::rewrite::{constant, replace_uses};
use super::{canonicalise, rewrite::live_ops};
use crate::analysis::Uses;
use corner::{Corners, Part};
use sla_dsl::ir::{BlockId, Elem, Kernel, Op, OpCode, OpId, Pred, Value};
use std::collections::{HashMap, HashSet};

/// Puts masks by position into branches.
pub fn guard_masks(kernel: &mut Kernel) {
    // A choice in a branch is in no loop's own block, so this ends.
    let mut changed = false;
    while let Some(found) = find(kernel) {
        rewrite(kernel, &found);
        changed = true;
    }
    if changed {
        canonicalise(kernel);
    }
}

/// A row of choices.
struct Masked {
    block: BlockId,
    /// What is left where every mask lets it be.
    source: Value,
    /// From the inside out.
    choices: Vec<Choice>,
}

struct Choice {
    op: OpId,
    /// Whether the tile stays where the condition holds (else where it does not).
    stays: bool,
}

/// The last row of choices of some loop.
fn find(kernel: &Kernel) -> Option<Masked> {
    let (defs, uses) = (kernel.defs(), Uses::new(kernel));
    let loops = live_ops(kernel).into_iter().filter(|&(_, id)| kernel.op(id).code == OpCode::For);
    for block in loops.map(|(_, id)| kernel.op(id).regions[0]) {
        let ops = &kernel.block(block).ops;
        let own: HashSet<OpId> = ops.iter().copied().collect();
        for &last in ops.iter().rev() {
            let Some((mut source, stays)) = choice(kernel, &defs, last) else { continue };
            let mut choices = vec![Choice { op: last, stays }];
            while let Some(id) = defs[source.index()].filter(|id| own.contains(id))
                && uses.of(source).len() == 1
                && let Some((inner, stays)) = choice(kernel, &defs, id)
            {
                choices.push(Choice { op: id, stays });
                source = inner;
            }
            choices.reverse();
            return Some(Masked { block, source, choices });
        }
    }
    None
}

/// The tile that a `select` may leave as it is, and whether it does so where the condition holds; for conditions of the kind we look for.
fn choice(kernel: &Kernel, defs: &[Option<OpId>], id: OpId) -> Option<(Value, bool)> {
    let op = kernel.op(id);
    if op.code != OpCode::Select
        || !matches!(kernel.ty(op.results[0]).shape(), Some(&[m, n]) if m > 1 && n > 1)
    {
        return None;
    }
    let filled = |v: Value| constant(kernel, defs, v).is_some();
    let (tile, stays) = match (filled(op.operands[1]), filled(op.operands[2])) {
        (false, true) => (op.operands[1], true),
        (true, false) => (op.operands[2], false),
        _ => return None,
    };
    is_by_position(kernel, defs, op.operands[0], stays).then_some((tile, stays))
}

/// Whether a scalar can say that a condition is `wanted` everywhere.
fn is_by_position(kernel: &Kernel, defs: &[Option<OpId>], cond: Value, wanted: bool) -> bool {
    let Some(op) = defs[cond.index()].map(|id| kernel.op(id)) else { return false };
    let of = |i: usize, wanted: bool| is_by_position(kernel, defs, op.operands[i], wanted);
    match op.code {
        OpCode::Broadcast => of(0, wanted),
        OpCode::Not => of(0, !wanted),
        OpCode::And if wanted => of(0, wanted) && of(1, wanted),
        OpCode::Or if !wanted => of(0, wanted) && of(1, wanted),
        OpCode::Cmp => {
            let ordered = !matches!(op.pred(), None | Some(Pred::Eq | Pred::Ne));
            let known = |part| {
                let corners = Corners { kernel, defs, part };
                op.operands.iter().all(|&v| corners.slopes(v).is_some())
            };
            ordered && corner::parts(kernel, defs, &op.operands).into_iter().all(known)
        }
        _ => false,
    }
}

fn rewrite(kernel: &mut Kernel, masked: &Masked) {
    let Some(last) = masked.choices.last().map(|c| c.op) else { return };
    let (defs, source) = (kernel.defs(), masked.source);
    let ops: Vec<(Op, bool)> = masked.choices.iter().map(|c| (kernel.op(c.op).clone(), c.stays)).collect();
    let loc = kernel.op(last).loc;
    let mut maker = Maker::new(kernel, loc);
    let mut cut = None;
    for (op, stays) in &ops {
        let here = elsewhere(&mut maker, &defs, op.operands[0], *stays);
        cut = Some(cut.map_or(here, |before| maker.same(OpCode::Or, &[before, here])));
    }
    let Some(cut) = cut else { return };
    let choose = |m: &mut Maker<'_>| {
        let mut copies = HashMap::new();
        let mut tile = source;
        for (op, stays) in &ops {
            let cond = copy(m, &defs, &mut copies, op.operands[0]);
            let fill = copy(m, &defs, &mut copies, op.operands[if *stays { 2 } else { 1 }]);
            let (a, b) = if *stays { (tile, fill) } else { (fill, tile) };
            tile = m.select(cond, a, b);
        }
        vec![tile]
    };
    let result = maker.branch(cut, choose, |_| vec![source])[0];
    let made = maker.finish();
    insert_before(kernel, masked.block, last, made);
    let old = kernel.op(last).results[0];
    kernel.block_mut(masked.block).ops.retain(|&id| id != last);
    replace_uses(kernel, &HashMap::from([(old, result)]));
}

/// A scalar that holds unless a condition is surely `wanted` everywhere.
fn elsewhere(m: &mut Maker<'_>, defs: &[Option<OpId>], cond: Value, wanted: bool) -> Value {
    let Some(op) = defs[cond.index()].map(|id| m.kernel.op(id).clone()) else { return cond };
    match op.code {
        OpCode::Broadcast => elsewhere(m, defs, op.operands[0], wanted),
        OpCode::Not => elsewhere(m, defs, op.operands[0], !wanted),
        OpCode::And | OpCode::Or => {
            let sides = [0, 1].map(|i| elsewhere(m, defs, op.operands[i], wanted));
            m.same(OpCode::Or, &sides)
        }
        _ => {
            let wanted_pred = op.pred().map(|p| if wanted { p } else { inverse(p) });
            let pred = wanted_pred.unwrap_or(Pred::Lt);
            let parts = corner::parts(m.kernel, defs, &op.operands);
            let cut: Vec<Value> = parts.into_iter().map(|part| within(m, defs, &op, pred, part)).collect();
            match cut[..] {
                [one, two] => m.same(OpCode::Or, &[one, two]),
                _ => cut[0],
            }
        }
    }
}

/// A scalar that holds unless a comparison by `pred` surely holds everywhere in a part.
fn within(m: &mut Maker<'_>, defs: &[Option<OpId>], cmp: &Op, pred: Pred, part: Part) -> Value {
    // Each side where it is the least favourable.
    let upper = matches!(pred, Pred::Lt | Pred::Le);
    let a = corner::at(m, defs, cmp.operands[0], part, upper);
    let b = corner::at(m, defs, cmp.operands[1], part, !upper);
    if m.kernel.ty(a).elem() == Some(Elem::F32) {
        // NaN is neither below nor above.
        let all = m.cmp(pred, a, b);
        m.same(OpCode::Not, &[all])
    } else {
        m.cmp(inverse(pred), a, b)
    }
}

/// The comparison that holds where this one does not, for numbers that have an order.
fn inverse(pred: Pred) -> Pred {
    match pred {
        Pred::Eq => Pred::Ne,
        Pred::Ne => Pred::Eq,
        Pred::Lt => Pred::Ge,
        Pred::Le => Pred::Gt,
        Pred::Gt => Pred::Le,
        Pred::Ge => Pred::Lt,
    }
}

/// Makes a tile of positions and scalars again, in the branch that needs it.
fn copy(m: &mut Maker<'_>, defs: &[Option<OpId>], copies: &mut HashMap<Value, Value>, v: Value) -> Value {
    let op = match defs[v.index()] {
        Some(id) if m.kernel.ty(v).is_tile() => m.kernel.op(id).clone(),
        _ => return v,
    };
    if let Some(&copy) = copies.get(&v) {
        return copy;
    }
    let operands: Vec<Value> = op.operands.iter().map(|&o| copy(m, defs, copies, o)).collect();
    let attrs: Vec<_> = op.attrs.into_iter().collect();
    let ty = m.kernel.ty(v).clone();
    let made = m.op(op.code, &operands, &attrs, ty);
    copies.insert(v, made);
    made
}
