//! The body of a loop for two of its steps at once. Gives nothing where a value has no wide form.

use super::Steps;
use crate::analysis::{Uses, box_axes};
use crate::passes::make::Maker;
use crate::passes::reference_max::find::Softmax;
use sla_dsl::ir::{Attr, Class, Effect, Elem, Kernel, Op, OpCode, OpId, Pred, Scalar, Type, Value};
use std::collections::{HashMap, HashSet};

/// Writes the body; its ops are to replace those of the loop.
pub fn body(kernel: &mut Kernel, s: &Softmax, steps: &Steps) -> Option<Vec<OpId>> {
    let (defs, uses) = (kernel.defs(), Uses::new(kernel));
    let ops = kernel.block(s.body).ops.clone();
    let counter = kernel.block(s.body).args[0];
    let late = late(kernel, s, &defs, &uses)?;
    let loc = kernel.op(s.for_op).loc;
    let mut w = Widen {
        m: Maker::new(kernel, loc),
        s,
        defs,
        n: s.shape[1],
        varies: HashSet::from([counter]),
        both: HashMap::new(),
        wide: HashMap::new(),
        narrow: HashMap::new(),
        missing: counter,
    };
    w.number(counter, steps);
    let mut listed = false;
    for id in ops {
        w.m.at(w.m.kernel.op(id).loc);
        listed |= w.op(id, &late)?;
    }
    listed.then(|| w.m.finish())
}

/// The products that add the weights' block to the accumulators, if these are all that the loop carries beside the softmax.
fn late(kernel: &Kernel, s: &Softmax, defs: &[Option<OpId>], uses: &Uses) -> Option<HashSet<OpId>> {
    let (block, mut found) = (kernel.block(s.body), HashSet::new());
    let next = kernel.op(*block.ops.last()?).operands.clone();
    for (slot, (&arg, &out)) in block.args[1..].iter().zip(&next).enumerate() {
        if slot == s.m_slot || slot == s.l_slot {
            continue;
        }
        let rescale = s.rescales.iter().find(|r| r.acc == arg && r.added.is_none())?;
        let id = defs[out.index()].filter(|id| block.ops.contains(id))?;
        let dot = kernel.op(id);
        let weights = kernel.op(defs[dot.operands.first()?.index()]?);
        let of_p = dot.operands[0] == s.p || weights.code == OpCode::Cast && weights.operands[0] == s.p;
        let adds = dot.code == OpCode::Dot && dot.operands.get(2) == kernel.op(rescale.op).results.first();
        if !of_p || !adds || dot.flag("ta") || uses.of(out).len() != 1 {
            return None;
        }
        found.insert(id);
    }
    Some(found)
}

struct Widen<'k, 's> {
    m: Maker<'k>,
    s: &'s Softmax,
    defs: Vec<Option<OpId>>,
    /// Keys of a block.
    n: usize,
    /// What differs from block to block.
    varies: HashSet<Value>,
    /// Scalars of the two blocks.
    both: HashMap<Value, [Value; 2]>,
    /// Joined tiles, by the axis along which they are joined.
    wide: HashMap<(Value, usize), Value>,
    /// Values of the whole step that have a new definition.
    narrow: HashMap<Value, Value>,
    /// How many columns of the first half are to be masked.
    missing: Value,
}

impl Widen<'_, '_> {
    /// The entries of a step, and what is missing of it.
    fn number(&mut self, counter: Value, steps: &Steps) {
        let m = &mut self.m;
        let (zero, one, two, n) = (m.int(0), m.int(1), m.int(2), m.int(self.n as i64));
        let twice = m.same(OpCode::Mul, &[counter, two]);
        let before = m.same(OpCode::Sub, &[steps.odd, twice]);
        let pad = m.same(OpCode::Max, &[before, zero]);
        self.missing = m.same(OpCode::Mul, &[pad, n]);
        let start = m.same(OpCode::Sub, &[twice, steps.odd]);
        let start = m.same(OpCode::Add, &[steps.first, start]);
        let entries = [m.same(OpCode::Add, &[start, pad]), m.same(OpCode::Add, &[start, one])];
        self.both.insert(counter, entries);
    }

    /// Writes what becomes of an op; says whether it is a tile that a list places.
    fn op(&mut self, id: OpId, late: &HashSet<OpId>) -> Option<bool> {
        let op = self.m.kernel.op(id).clone();
        let varies = op.operands.iter().any(|v| self.varies.contains(v));
        let sum = op.code == OpCode::ReduceSum && op.operands[0] == self.s.p;
        if !op.regions.is_empty() || matches!(op.code.effect(), Effect::Write | Effect::Visible) {
            return None;
        }
        if id == self.s.reduce || sum {
            let tile = if sum { self.wide(op.operands[0], 1)? } else { self.scores(op.operands[0])? };
            let reduced = self.m.reduce_columns(op.code, tile);
            self.narrow.insert(op.results[0], reduced);
        } else if late.contains(&id) {
            let keys = if op.flag("tb") { 1 } else { 0 };
            let (a, b) = (self.wide(op.operands[0], 1)?, self.wide(op.operands[1], keys)?);
            let operands = [a, b, self.whole(op.operands[2])?];
            let ty = self.m.kernel.ty(op.results[0]).clone();
            let made = self.m.op(op.code, &operands, &attrs(&op), ty);
            self.narrow.insert(op.results[0], made);
        } else if !varies {
            let operands: Option<Vec<Value>> = op.operands.iter().map(|&v| self.whole(v)).collect();
            self.m.kernel.op_mut(id).operands = operands?;
            self.m.keep(id);
        } else if op.code == OpCode::Yield {
            return None;
        } else {
            self.varies.extend(&op.results);
            let scalar = matches!(self.m.kernel.ty(op.results[0]), Type::Scalar(_));
            match op.code {
                _ if scalar => self.scalar(&op)?,
                OpCode::Load => return self.load(&op),
                // Tiles are written when they are asked for.
                _ => {}
            }
        }
        Some(false)
    }

    /// A value of the whole step.
    fn whole(&self, v: Value) -> Option<Value> {
        (!self.varies.contains(&v)).then(|| self.narrow.get(&v).copied().unwrap_or(v))
    }

    /// A value of either block.
    fn of(&self, v: Value, half: usize) -> Option<Value> {
        self.both.get(&v).map(|pair| pair[half]).or_else(|| self.whole(v))
    }

    fn scalar(&mut self, op: &Op) -> Option<()> {
        let ty = self.m.kernel.ty(op.results[0]).clone();
        let mut pair = [op.results[0]; 2];
        for (half, made) in pair.iter_mut().enumerate() {
            let operands: Option<Vec<Value>> = op.operands.iter().map(|&v| self.of(v, half)).collect();
            *made = self.m.op(op.code, &operands?, &attrs(op), ty.clone());
        }
        self.both.insert(op.results[0], pair);
        Some(())
    }

    /// Two loads, joined along the axis whose offset differs; says whether that comes from a list.
    fn load(&mut self, op: &Op) -> Option<bool> {
        let ty = self.m.kernel.ty(op.results[0]).clone();
        let axes = box_axes(op, &ty);
        let mut placed = op.offsets().iter().zip(axes).filter(|(v, _)| self.varies.contains(v));
        let ((&offset, axis), None) = (placed.next()?, placed.next()) else { return None };
        let axis = axis?;
        if ty.shape()?.len() != 2 || ty.shape()?[axis] != self.n {
            return None;
        }
        let listed = self.is_listed(offset);
        let mut halves = Vec::new();
        for half in 0..2 {
            let operands: Option<Vec<Value>> = op.operands.iter().map(|&v| self.of(v, half)).collect();
            halves.push(self.m.op(op.code, &operands?, &attrs(op), ty.clone()));
        }
        let joined = self.widened(&ty, axis)?;
        let tile = self.m.op(OpCode::Concat, &halves, &[("axis", Attr::Int(axis as i64))], joined);
        self.wide.insert((op.results[0], axis), tile);
        Some(listed)
    }

    /// Whether a scalar of a block is computed from one that was loaded.
    fn is_listed(&self, v: Value) -> bool {
        let Some(op) = self.defs[v.index()].filter(|_| self.varies.contains(&v)) else { return false };
        let op = self.m.kernel.op(op);
        op.code == OpCode::Load || op.operands.iter().any(|&o| self.is_listed(o))
    }

    /// The scores of the step, without those of a block that is missing.
    fn scores(&mut self, s: Value) -> Option<Value> {
        let tile = self.wide(s, 1)?;
        let ty = self.m.kernel.ty(tile).clone();
        let shape = ty.shape()?.to_vec();
        let row = Type::tile(Elem::I32, &[1, shape[1]]);
        let m = &mut self.m;
        let column = m.op(OpCode::Iota, &[], &[("axis", Attr::Int(1))], row.clone());
        let limit = m.op(OpCode::Splat, &[self.missing], &[], row);
        let there = m.cmp(Pred::Ge, column, limit);
        let there = m.broadcast(there, &shape);
        let none = m.constant(Scalar::Float(f64::NEG_INFINITY), ty);
        let masked = m.select(there, tile, none);
        self.wide.insert((s, 1), masked);
        Some(masked)
    }

    fn widened(&self, ty: &Type, axis: usize) -> Option<Type> {
        let mut shape = ty.shape()?.to_vec();
        shape[axis] *= 2;
        Some(Type::tile(ty.elem()?, &shape))
    }

    /// The tiles of both blocks, joined along the axis that runs over keys.
    fn wide(&mut self, v: Value, axis: usize) -> Option<Value> {
        if let Some(&tile) = self.wide.get(&(v, axis)) {
            return Some(tile);
        }
        let ty = self.m.kernel.ty(v).clone();
        if ty.shape()?.len() != 2 || ty.shape()?[axis] != self.n {
            return None;
        }
        let op = self.m.kernel.op(self.defs[v.index()]?).clone();
        let to = self.widened(&ty, axis)?;
        let arg = |i: usize| op.operands[i];
        let tile = match op.code.class() {
            Class::Const => self.m.op(op.code, &[], &attrs(&op), to),
            Class::Iota => {
                let places = self.m.op(op.code, &[], &attrs(&op), to.clone());
                if op.int("axis") == Some(axis as i64) {
                    let (zero, n) = (self.m.int(0), self.m.int(self.n as i64));
                    let start = self.halves(to, axis, [zero, n]);
                    self.m.same(OpCode::Sub, &[places, start])
                } else {
                    places
                }
            }
            Class::Splat => match self.both.get(&arg(0)) {
                Some(&pair) => self.halves(to, axis, pair),
                None => {
                    let x = self.whole(arg(0))?;
                    self.m.op(op.code, &[x], &[], to)
                }
            },
            Class::Broadcast => {
                let from = self.m.kernel.ty(arg(0)).shape()?[axis];
                let x = if from == self.n { self.wide(arg(0), axis)? } else { self.whole(arg(0))? };
                self.m.op(op.code, &[x], &[], to)
            }
            Class::Transpose => {
                let x = self.wide(arg(0), 1 - axis)?;
                self.m.op(op.code, &[x], &[], to)
            }
            Class::Dot if op.operands.len() == 2 && axis == 1 => {
                let keys = if op.flag("tb") { 0 } else { 1 };
                let (a, b) = (self.whole(arg(0))?, self.wide(arg(1), keys)?);
                self.m.op(op.code, &[a, b], &attrs(&op), to)
            }
            Class::Unary | Class::Binary | Class::Fma | Class::Cmp | Class::Select | Class::Cast => {
                let parts: Option<Vec<Value>> = op.operands.iter().map(|&o| self.wide(o, axis)).collect();
                self.m.op(op.code, &parts?, &attrs(&op), to)
            }
            _ => return None,
        };
        self.wide.insert((v, axis), tile);
        Some(tile)
    }

    /// A scalar for each half of a tile.
    fn halves(&mut self, ty: Type, axis: usize, [a, b]: [Value; 2]) -> Value {
        let m = &mut self.m;
        let places = ty.with_elem(Elem::I32);
        let place = m.op(OpCode::Iota, &[], &[("axis", Attr::Int(axis as i64))], places.clone());
        let middle = m.constant(Scalar::Int(self.n as i64), places);
        let first = m.cmp(Pred::Lt, place, middle);
        let tiles = [a, b].map(|x| m.op(OpCode::Splat, &[x], &[], ty.clone()));
        m.select(first, tiles[0], tiles[1])
    }
}

fn attrs(op: &Op) -> Vec<(&'static str, Attr)> {
    op.attrs.iter().map(|(&k, v)| (k, v.clone())).collect()
}
