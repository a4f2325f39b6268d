//! Constants, sizes, program ids, positions.

use super::{Builder, check_shape};
use crate::diag::Loc;
use crate::ir::{Attr, DimExpr, Elem, OpCode, Scalar, Type, Value};

impl Builder {
    /// A scalar constant.
    pub fn constant(&self, value: Scalar, elem: Elem, loc: Loc) -> Value {
        self.full(&[], value, elem, loc)
    }

    /// A tile filled with a constant (a scalar for the empty shape).
    pub fn full(&self, shape: &[usize], value: Scalar, elem: Elem, loc: Loc) -> Value {
        let fits = match value {
            Scalar::Float(_) => elem.is_float(),
            Scalar::Int(i) => {
                elem == Elem::I32 && i32::try_from(i).is_ok() || elem == Elem::I8 && i8::try_from(i).is_ok()
            }
            Scalar::Bool(_) => elem == Elem::Bool,
        };
        if !fits {
            return self.error(loc, format!("the constant {value:?} is not a value of type {elem}"));
        }
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        self.push(OpCode::Const, &[], &[("value", Attr::Scalar(value))], Some(Type::of(elem, shape)), loc)
    }

    /// An i32 scalar constant.
    pub fn int(&self, value: i64, loc: Loc) -> Value {
        self.constant(Scalar::Int(value), Elem::I32, loc)
    }

    /// The value of a runtime dim.
    pub fn dim(&self, name: &str, loc: Loc) -> Value {
        if !self.state.borrow().kernel.dims.iter().any(|d| d == name) {
            return self.error(loc, format!("`{name}` is not a dim of this kernel"));
        }
        self.push(
            OpCode::Dim,
            &[],
            &[("name", Attr::Str(name.to_string()))],
            Some(Type::Scalar(Elem::I32)),
            loc,
        )
    }

    /// A size as an i32 scalar: ops on dims and constants.
    pub fn size(&self, e: &DimExpr, loc: Loc) -> Value {
        use DimExpr::*;
        let two = |code, a: &DimExpr, b: &DimExpr| {
            let (x, y) = (self.size(a, loc), self.size(b, loc));
            self.binary(code, x, y, loc)
        };
        match e {
            Const(c) => self.int(*c, loc),
            Name(n) => self.dim(n, loc),
            Add(a, b) => two(OpCode::Add, a, b),
            Sub(a, b) => two(OpCode::Sub, a, b),
            Mul(a, b) => two(OpCode::Mul, a, b),
            Div(a, b) => two(OpCode::Div, a, b),
            Rem(a, b) => two(OpCode::Rem, a, b),
            Min(a, b) => two(OpCode::Min, a, b),
            Max(a, b) => two(OpCode::Max, a, b),
            DivCeil(a, b) => {
                let (x, y) = (self.size(a, loc), self.size(b, loc));
                let less = self.binary(OpCode::Sub, y, self.int(1, loc), loc);
                let up = self.binary(OpCode::Add, x, less, loc);
                self.binary(OpCode::Div, up, y, loc)
            }
        }
    }

    /// This program's place on a grid axis.
    pub fn program_id(&self, axis: usize, loc: Loc) -> Value {
        self.push(
            OpCode::ProgramId,
            &[],
            &[("axis", Attr::Int(axis as i64))],
            Some(Type::Scalar(Elem::I32)),
            loc,
        )
    }

    /// An i32 tile that counts along `axis`.
    pub fn iota(&self, shape: &[usize], axis: usize, loc: Loc) -> Value {
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        if axis >= shape.len() {
            return self.error(loc, format!("axis {axis} is out of range for a tile of shape {shape:?}"));
        }
        self.push(
            OpCode::Iota,
            &[],
            &[("axis", Attr::Int(axis as i64))],
            Some(Type::tile(Elem::I32, shape)),
            loc,
        )
    }
}
