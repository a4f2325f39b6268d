//! Where a tile that is made of positions and scalars is largest and smallest: at a corner, and which one follows from the sign of its
//! slope along each axis. Its value there is a scalar.
//!
//! A tile may be made of two halves, as `pair_blocks` makes them: `select (iota < c), a, b`. Then each half has its corners ([`parts`]).

use crate::passes::make::Maker;
use crate::passes::rewrite::constant;
use sla_dsl::ir::{Elem, Kernel, Op, OpCode, OpId, Pred, Scalar, Type, Value};

/// A part of a tile of rank 2: its first and last place along each axis.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    first: [i64; 2],
    last: [i64; 2],
}

/// Answers for one kernel and a part of its tiles.
pub struct Corners<'k> {
    pub kernel: &'k Kernel,
    /// [`Kernel::defs`].
    pub defs: &'k [Option<OpId>],
    /// The part that is looked at.
    pub part: Part,
}

/// The parts in which every choice by `iota < constant` that these tiles are made of is decided: one, or two halves.
pub fn parts(kernel: &Kernel, defs: &[Option<OpId>], tiles: &[Value]) -> Vec<Part> {
    let mut todo = tiles.to_vec();
    let mut cut = None;
    while let Some(v) = todo.pop() {
        let Some(op) = defs[v.index()].filter(|_| kernel.ty(v).is_tile()).map(|id| kernel.op(id)) else {
            continue;
        };
        cut = cut.or(half(kernel, defs, op));
        todo.extend(op.operands.iter().filter(|&&o| kernel.ty(o).is_tile()));
    }
    let shape = tiles.first().and_then(|&v| kernel.ty(v).shape()).unwrap_or(&[]);
    let last = [0, 1].map(|axis| shape.get(axis).map_or(0, |&n| n as i64 - 1));
    let whole = Part { first: [0, 0], last };
    match cut {
        Some((axis, at)) if 0 < at && at <= last[axis] => {
            let (mut one, mut two) = (whole, whole);
            one.last[axis] = at - 1;
            two.first[axis] = at;
            vec![one, two]
        }
        _ => vec![whole],
    }
}

/// The axis and the place at which a `select` goes over from one tile to the other.
fn half(kernel: &Kernel, defs: &[Option<OpId>], op: &Op) -> Option<(usize, i64)> {
    if op.code != OpCode::Select {
        return None;
    }
    let cmp = kernel.op(defs[op.operands[0].index()]?);
    let iota = kernel.op(defs[cmp.operands.first()?.index()]?);
    let at = constant(kernel, defs, *cmp.operands.get(1)?)?;
    match (cmp.pred(), iota.code, iota.int("axis"), at) {
        (Some(Pred::Lt), OpCode::Iota, Some(axis @ 0..=1), Scalar::Int(at)) => Some((axis as usize, at)),
        _ => None,
    }
}

impl Part {
    /// Which of the two tiles of a `select` that goes over at a place this part has.
    fn side(self, (axis, at): (usize, i64)) -> Option<usize> {
        match () {
            _ if self.last[axis] < at => Some(1),
            _ if self.first[axis] >= at => Some(2),
            _ => None,
        }
    }
}

impl Corners<'_> {
    /// For each of two axes, whether a tile of rank 2 grows (1), shrinks (-1) or stays (0) along it; `None` if it is not made as we look for.
    pub fn slopes(&self, v: Value) -> Option<[i32; 2]> {
        let rank = self.kernel.ty(v).shape()?.len();
        let op = self.kernel.op(self.defs[v.index()]?);
        if rank != 2 {
            return None;
        }
        let of = |i: usize| self.slopes(op.operands[i]);
        let turned = |[a, b]: [i32; 2]| [-a, -b];
        let int = |i: usize| match constant(self.kernel, self.defs, op.operands[i]) {
            Some(Scalar::Int(c)) => Some(c),
            _ => None,
        };
        match op.code {
            OpCode::Const | OpCode::Splat => Some([0, 0]),
            OpCode::Iota => Some(if op.int("axis") == Some(0) { [1, 0] } else { [0, 1] }),
            OpCode::Broadcast => of(0),
            OpCode::Neg => of(0).map(turned),
            OpCode::Add | OpCode::Max | OpCode::Min => joined(of(0)?, of(1)?),
            OpCode::Sub => joined(of(0)?, turned(of(1)?)),
            OpCode::Mul => {
                let (c, i) = int(1).map(|c| (c, 0)).or(int(0).map(|c| (c, 1)))?;
                of(i).map(|s| s.map(|along| along * c.signum() as i32))
            }
            OpCode::Div => int(1).filter(|&c| c > 0).and_then(|_| of(0)),
            OpCode::Select => of(self.part.side(half(self.kernel, self.defs, op)?)?),
            OpCode::Cast => {
                let elems = (self.kernel.ty(op.operands[0]).elem(), self.kernel.ty(v).elem());
                if elems == (Some(Elem::I32), Some(Elem::F32)) { of(0) } else { None }
            }
            _ => None,
        }
    }
}

/// The slopes of a sum.
fn joined(a: [i32; 2], b: [i32; 2]) -> Option<[i32; 2]> {
    let one = |axis: usize| match (a[axis], b[axis]) {
        (x, y) if x * y >= 0 => Some((x + y).signum()),
        _ => None,
    };
    Some([one(0)?, one(1)?])
}

/// The largest (`upper`) or smallest element of a tile that has slopes.
pub fn at(m: &mut Maker<'_>, defs: &[Option<OpId>], v: Value, part: Part, upper: bool) -> Value {
    let slopes = Corners { kernel: m.kernel, defs, part }.slopes(v).unwrap_or([0, 0]);
    element(m, defs, v, part, slopes.map(|s| (s > 0) == upper))
}

/// The element at the end (else at the start) of the part along each axis.
fn element(m: &mut Maker<'_>, defs: &[Option<OpId>], v: Value, part: Part, end: [bool; 2]) -> Value {
    let ty = m.kernel.ty(v).clone();
    let (Some(op), Type::Tile(elem, shape)) = (defs[v.index()].map(|id| m.kernel.op(id).clone()), ty) else {
        return v;
    };
    let Op { code, operands, .. } = &op;
    let scalar = Type::Scalar(elem);
    match code {
        OpCode::Const => {
            let value = op.scalar().unwrap_or(Scalar::Int(0));
            m.constant(value, scalar)
        }
        OpCode::Iota => {
            let axis = op.int("axis").unwrap_or(0) as usize;
            let place = if end[axis] { part.last[axis] } else { part.first[axis] };
            // Along an axis of extent 1 there is one place, wherever it will be repeated to.
            m.constant(Scalar::Int(place.min(shape[axis] as i64 - 1)), scalar)
        }
        OpCode::Splat => operands[0],
        OpCode::Broadcast => element(m, defs, operands[0], part, end),
        OpCode::Select => {
            let side = half(m.kernel, defs, &op).and_then(|cut| part.side(cut)).unwrap_or(1);
            element(m, defs, operands[side], part, end)
        }
        _ => {
            let parts: Vec<Value> = operands.iter().map(|&o| element(m, defs, o, part, end)).collect();
            m.op(*code, &parts, &[], scalar)
        }
    }
}
