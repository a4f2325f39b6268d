//! Where a tile that is made of positions and scalars is largest and smallest: at a corner, and which one follows from the sign of its
//! slope along each axis. Its value there is a scalar.

use crate::passes::make::Maker;
use crate::passes::rewrite::constant;
use sla_dsl::ir::{Elem, Kernel, Op, OpCode, OpId, Scalar, Type, Value};

/// Answers for one kernel.
pub struct Corners<'k> {
    pub kernel: &'k Kernel,
    /// [`Kernel::defs`].
    pub defs: &'k [Option<OpId>],
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
pub fn at(m: &mut Maker<'_>, defs: &[Option<OpId>], v: Value, upper: bool) -> Value {
    let slopes = Corners { kernel: m.kernel, defs }.slopes(v).unwrap_or([0, 0]);
    element(m, defs, v, slopes.map(|s| (s > 0) == upper))
}

/// The element at the end (else at the start) of each axis.
fn element(m: &mut Maker<'_>, defs: &[Option<OpId>], v: Value, end: [bool; 2]) -> Value {
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
            let place = if end[axis] { shape[axis] - 1 } else { 0 };
            m.constant(Scalar::Int(place as i64), scalar)
        }
        OpCode::Splat => operands[0],
        OpCode::Broadcast => element(m, defs, operands[0], end),
        _ => {
            let parts: Vec<Value> = operands.iter().map(|&o| element(m, defs, o, end)).collect();
            m.op(*code, &parts, &[], scalar)
        }
    }
}
