//! Reductions, shapes, matrix products.

use super::{Builder, broadcast_shapes, cast_hint, check_shape};
use crate::diag::Loc;
use crate::ir::{Attr, Class, Elem, OpCode, Type, Value};

impl Builder {
    /// A reduction that keeps its axis with size 1.
    pub fn reduce(&self, code: OpCode, x: Value, axis: usize, loc: Loc) -> Value {
        let ty = self.ty(x);
        let Type::Tile(elem, mut shape) = ty.clone() else {
            return if ty == Type::Invalid {
                x
            } else {
                self.error(loc, format!("a {ty} has no axis to reduce"))
            };
        };
        if axis >= shape.len() {
            return self.error(loc, format!("axis {axis} is out of range for a tile of shape {shape:?}"));
        }
        if code.class() != Class::Reduce || !elem.is_arith() {
            return self.error(loc, format!("`{}` is not defined on {ty}{}", code.name(), cast_hint(&ty)));
        }
        shape[axis] = 1;
        self.push(code, &[x], &[("axis", Attr::Int(axis as i64))], Some(Type::Tile(elem, shape)), loc)
    }

    /// The elements of each row (along the last axis) for which a condition holds, from the row's start on, and zeros behind them.
    pub fn pack(&self, x: Value, keep: Value, loc: Loc) -> Value {
        if self.any_invalid(&[x, keep]) {
            return self.invalid();
        }
        let (Type::Tile(elem, shape), Type::Tile(Elem::Bool, cond)) = (self.ty(x), self.ty(keep)) else {
            let (x, keep) = (self.ty(x), self.ty(keep));
            return self
                .error(loc, format!("pack takes a tile and a tile of bools, these are {x} and {keep}"));
        };
        let Some(joint) = broadcast_shapes(&shape, &cond) else {
            return self
                .error(loc, format!("a condition of shape {cond:?} does not broadcast with {shape:?}"));
        };
        let (x, keep) = (self.broadcast_to(x, &joint, loc), self.broadcast_to(keep, &joint, loc));
        self.push(OpCode::Pack, &[x, keep], &[], Some(Type::Tile(elem, joint)), loc)
    }

    /// The same elements under another shape of the same count.
    pub fn reshape(&self, x: Value, shape: &[usize], loc: Loc) -> Value {
        let ty = self.ty(x);
        let Type::Tile(elem, from) = &ty else {
            return if ty == Type::Invalid {
                x
            } else {
                self.error(loc, format!("a {ty} has no shape to change"))
            };
        };
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        let (a, b) = (from.iter().product::<usize>(), shape.iter().product::<usize>());
        if a != b {
            return self
                .error(loc, format!("reshape keeps the element count: {from:?} has {a}, {shape:?} has {b}"));
        }
        if from == shape {
            return x;
        }
        self.push(OpCode::Reshape, &[x], &[], Some(Type::tile(*elem, shape)), loc)
    }

    /// A rank-2 tile with its axes exchanged.
    pub fn transpose(&self, x: Value, loc: Loc) -> Value {
        match self.ty(x) {
            Type::Tile(elem, s) if s.len() == 2 => {
                self.push(OpCode::Transpose, &[x], &[], Some(Type::tile(elem, &[s[1], s[0]])), loc)
            }
            Type::Invalid => x,
            ty => self.error(loc, format!("only tiles of rank 2 can be transposed, this is a {ty}")),
        }
    }

    /// Matrix product of rank-2 tiles of one float type, in f32, added to `acc` if there is one.
    pub fn dot(&self, a: Value, b: Value, acc: Option<Value>, loc: Loc) -> Value {
        if self.any_invalid(&[a, b]) || acc.is_some_and(|c| self.any_invalid(&[c])) {
            return self.invalid();
        }
        let (ta, tb) = (self.ty(a), self.ty(b));
        let (Type::Tile(ea, sa), Type::Tile(eb, sb)) = (&ta, &tb) else {
            return self.error(loc, format!("dot takes two tiles of rank 2, these are {ta} and {tb}"));
        };
        if sa.len() != 2 || sb.len() != 2 {
            return self.error(loc, format!("dot takes two tiles of rank 2, these are {ta} and {tb}"));
        }
        if ea != eb || !ea.is_float() {
            return self
                .error(loc, format!("dot takes two tiles of one float type, these are {ta} and {tb}"));
        }
        if sa[1] != sb[0] {
            let hint = if sa[1] == sb[1] { "; did you mean `dot(a, b.t())`?" } else { "" };
            return self
                .error(loc, format!("dot contracts {} of {sa:?} with {} of {sb:?}{hint}", sa[1], sb[0]));
        }
        let ty = Type::tile(Elem::F32, &[sa[0], sb[1]]);
        let mut operands = vec![a, b];
        if let Some(c) = acc {
            let tc = self.ty(c);
            if tc != ty {
                return self.error(loc, format!("the accumulator of this dot must be a {ty}, it is a {tc}"));
            }
            operands.push(c);
        }
        self.push(OpCode::Dot, &operands, &[("ta", Attr::Int(0)), ("tb", Attr::Int(0))], Some(ty), loc)
    }
}
