//! Element-wise ops and the broadcasting before them.

use super::{Builder, broadcast_shapes, cast_hint, check_shape};
use crate::diag::Loc;
use crate::ir::{Attr, Class, Elem, OpCode, Pred, Type, Value};

impl Builder {
    /// Copies `v` to `shape` by numpy's rules: a scalar to anything, axes of size 1 to any size, missing leading axes put in front.
    pub fn broadcast_to(&self, v: Value, shape: &[usize], loc: Loc) -> Value {
        let ty = self.ty(v);
        let (Some(elem), Some(from)) = (ty.elem(), ty.shape()) else {
            return if ty == Type::Invalid {
                v
            } else {
                self.error(loc, format!("a {ty} is not a value: load from it first"))
            };
        };
        if from == shape {
            return v;
        }
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        if from.is_empty() {
            return match self.as_const(v) {
                Some(c) => self.full(shape, c, elem, loc),
                None => self.push(OpCode::Splat, &[v], &[], Some(Type::tile(elem, shape)), loc),
            };
        }
        if from.len() > shape.len() {
            return self.error(loc, format!("a tile of shape {from:?} does not broadcast to {shape:?}"));
        }
        let mut full = vec![1; shape.len() - from.len()];
        full.extend_from_slice(from);
        if full.iter().zip(shape).any(|(f, s)| f != s && *f != 1) {
            return self.error(loc, format!("a tile of shape {from:?} does not broadcast to {shape:?}"));
        }
        let v = if full.len() != from.len() { self.reshape(v, &full, loc) } else { v };
        if full == shape {
            v
        } else {
            self.push(OpCode::Broadcast, &[v], &[], Some(Type::tile(elem, shape)), loc)
        }
    }

    /// Brings operands to one shape and checks that they have one element type.
    fn unify(&self, vs: &[Value], loc: Loc) -> Option<(Vec<Value>, Elem, Vec<usize>)> {
        if self.any_invalid(vs) {
            return None;
        }
        let mut shape: Vec<usize> = Vec::new();
        let mut elem: Option<Elem> = None;
        for &v in vs {
            let ty = self.ty(v);
            let (Some(e), Some(s)) = (ty.elem(), ty.shape()) else {
                self.error(loc, format!("a {ty} is not a value: load from it first"));
                return None;
            };
            match elem {
                Some(other) if other != e => {
                    self.error(loc, format!("operands have types {other} and {e}; cast one of them"));
                    return None;
                }
                _ => elem = Some(e),
            }
            match broadcast_shapes(&shape, s) {
                Some(joint) => shape = joint,
                None => {
                    self.error(loc, format!("tiles of shape {shape:?} and {s:?} do not broadcast"));
                    return None;
                }
            }
        }
        let vs = vs.iter().map(|&v| self.broadcast_to(v, &shape, loc)).collect();
        Some((vs, elem?, shape))
    }

    /// A unary op.
    pub fn unary(&self, code: OpCode, x: Value, loc: Loc) -> Value {
        let ty = self.ty(x);
        let ok = match (&ty, code) {
            (Type::Invalid, _) => return x,
            (Type::Tensor(_), _) => false,
            (_, OpCode::Not) => ty.elem() == Some(Elem::Bool),
            (_, OpCode::Neg | OpCode::Abs) => ty.elem().is_some_and(Elem::is_arith),
            _ => ty.elem() == Some(Elem::F32),
        };
        if code.class() != Class::Unary || !ok {
            return self.error(loc, format!("`{}` is not defined on {ty}{}", code.name(), cast_hint(&ty)));
        }
        self.push(code, &[x], &[], Some(ty), loc)
    }

    /// A binary op, with broadcasting.
    pub fn binary(&self, code: OpCode, a: Value, b: Value, loc: Loc) -> Value {
        let Some((vs, elem, shape)) = self.unify(&[a, b], loc) else { return self.invalid() };
        let ok = match code {
            OpCode::And | OpCode::Or | OpCode::Xor => matches!(elem, Elem::I32 | Elem::Bool),
            OpCode::Rem | OpCode::Shl | OpCode::Shr => elem == Elem::I32,
            _ => elem.is_arith(),
        };
        let ty = Type::of(elem, &shape);
        if code.class() != Class::Binary || !ok {
            return self.error(loc, format!("`{}` is not defined on {ty}{}", code.name(), cast_hint(&ty)));
        }
        self.push(code, &vs, &[], Some(ty), loc)
    }

    /// `a * b + c`, rounded once, with broadcasting; f32.
    pub fn fma(&self, a: Value, b: Value, c: Value, loc: Loc) -> Value {
        let Some((vs, elem, shape)) = self.unify(&[a, b, c], loc) else { return self.invalid() };
        let ty = Type::of(elem, &shape);
        if elem != Elem::F32 {
            return self.error(loc, format!("`fma` is not defined on {ty}{}", cast_hint(&ty)));
        }
        self.push(OpCode::Fma, &vs, &[], Some(ty), loc)
    }

    /// A comparison, with broadcasting.
    pub fn cmp(&self, pred: Pred, a: Value, b: Value, loc: Loc) -> Value {
        let Some((vs, elem, shape)) = self.unify(&[a, b], loc) else { return self.invalid() };
        let ordered = !matches!(pred, Pred::Eq | Pred::Ne);
        if elem.is_half() || elem == Elem::I8 || elem == Elem::Bool && ordered {
            let ty = Type::of(elem, &shape);
            return self.error(loc, format!("`{}` is not defined on {ty}{}", pred.name(), cast_hint(&ty)));
        }
        self.push(OpCode::Cmp, &vs, &[("pred", Attr::Pred(pred))], Some(Type::of(Elem::Bool, &shape)), loc)
    }

    /// `a` where `c` holds, else `b`, with broadcasting.
    pub fn select(&self, c: Value, a: Value, b: Value, loc: Loc) -> Value {
        let Some((ab, elem, shape)) = self.unify(&[a, b], loc) else { return self.invalid() };
        let ty = self.ty(c);
        if ty == Type::Invalid {
            return c;
        }
        if ty.elem() != Some(Elem::Bool) || matches!(ty, Type::Tensor(_)) {
            return self.error(loc, format!("the condition of `select` is a {ty}, not a bool"));
        }
        let Some(joint) = broadcast_shapes(&shape, ty.shape().unwrap_or(&[])) else {
            return self
                .error(loc, format!("a condition {ty} does not broadcast with a tile of shape {shape:?}"));
        };
        let vs: Vec<Value> = [c, ab[0], ab[1]].iter().map(|&v| self.broadcast_to(v, &joint, loc)).collect();
        self.push(OpCode::Select, &vs, &[], Some(Type::of(elem, &joint)), loc)
    }

    /// Another element type; nothing when it is the same.
    pub fn cast(&self, x: Value, to: Elem, loc: Loc) -> Value {
        let ty = self.ty(x);
        match &ty {
            Type::Invalid => x,
            Type::Tensor(_) => self.error(loc, format!("a {ty} is not a value: load from it first")),
            _ if ty.elem() == Some(to) => x,
            _ => {
                let to = ty.with_elem(to);
                self.push(OpCode::Cast, &[x], &[], Some(to), loc)
            }
        }
    }
}
