//! Loads, stores and atomic adds of boxes.

use super::{Builder, check_shape};
use crate::diag::Loc;
use crate::ir::{Attr, Elem, OpCode, Type, Value};

impl Builder {
    /// Checks a box against a tensor; returns the `box` and `check` attributes and the extents without the ones.
    #[allow(clippy::type_complexity)]
    fn access(
        &self,
        tensor: Value,
        offsets: &[Value],
        extent: &[usize],
        check: &[bool],
        loc: Loc,
    ) -> Option<([(&'static str, Attr); 2], Vec<usize>, Elem, bool)> {
        if self.any_invalid(offsets) || self.any_invalid(&[tensor]) {
            return None;
        }
        let Type::Tensor(t) = self.ty(tensor) else {
            self.error(loc, "only tensor parameters can be loaded from and stored to");
            return None;
        };
        let rank = t.dims.len();
        if offsets.len() != rank || extent.len() != rank || check.len() != rank {
            self.error(loc, format!("a tensor of rank {rank} is accessed with {} offsets", offsets.len()));
            return None;
        }
        for &o in offsets {
            let ty = self.ty(o);
            if ty != Type::Scalar(Elem::I32) {
                self.error(loc, format!("an offset must be an i32 scalar, this is a {ty}"));
                return None;
            }
        }
        let shape: Vec<usize> = extent.iter().copied().filter(|&e| e != 1).collect();
        if let Err(m) = check_shape(&shape) {
            self.error(loc, m);
            return None;
        }
        let attrs = [
            ("box", Attr::Ints(extent.iter().map(|&e| e as i64).collect())),
            ("check", Attr::Ints(check.iter().map(|&c| c as i64).collect())),
        ];
        Some((attrs, shape, t.elem, t.mutable))
    }

    /// Reads a box: one offset (i32 scalar, in elements) and one extent per tensor axis. `shape` is the result's shape: the extents, with
    /// ones left out or put in anywhere; all ones with an empty `shape` give a scalar.
    pub fn load(
        &self,
        tensor: Value,
        offsets: &[Value],
        extent: &[usize],
        check: &[bool],
        shape: &[usize],
        loc: Loc,
    ) -> Value {
        let Some((attrs, core, elem, _)) = self.access(tensor, offsets, extent, check, loc) else {
            return self.invalid();
        };
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        if shape.iter().copied().filter(|&e| e != 1).ne(core.iter().copied()) {
            return self
                .error(loc, format!("a box of {extent:?} cannot be read as a tile of shape {shape:?}"));
        }
        let operands: Vec<Value> = std::iter::once(tensor).chain(offsets.iter().copied()).collect();
        self.push(OpCode::Load, &operands, &attrs, Some(Type::of(elem, shape)), loc)
    }

    /// Writes (`Store`) or adds to (`AtomicAdd`) a box. The value's shape is the extents, with ones left out or put in; a scalar is
    /// broadcast. Its element type must be the tensor's.
    #[allow(clippy::too_many_arguments)]
    pub fn store(
        &self,
        code: OpCode,
        tensor: Value,
        value: Value,
        offsets: &[Value],
        extent: &[usize],
        check: &[bool],
        loc: Loc,
    ) {
        let Some((attrs, core, elem, mutable)) = self.access(tensor, offsets, extent, check, loc) else {
            return;
        };
        if self.any_invalid(&[value]) {
            return;
        }
        if !mutable {
            self.error(loc, "this tensor is read-only: take it as `&mut Tensor` to write it");
            return;
        }
        let ty = self.ty(value);
        if ty.elem() != Some(elem) {
            self.error(loc, format!("this stores a {ty} into a tensor of {elem}; cast it first"));
            return;
        }
        if code == OpCode::AtomicAdd && !elem.is_arith() {
            self.error(loc, format!("atomic_add is defined on f32 and i32 tensors, this one holds {elem}"));
            return;
        }
        let value = if ty.shape() == Some(&[]) && !core.is_empty() {
            self.broadcast_to(value, &core, loc)
        } else {
            value
        };
        let ty = self.ty(value);
        let found = ty.shape().unwrap_or(&[]);
        if found.iter().copied().filter(|&e| e != 1).ne(core.iter().copied()) {
            self.error(loc, format!("this stores a tile of shape {found:?} into a block of shape {core:?}"));
            return;
        }
        let operands: Vec<Value> = [tensor, value].into_iter().chain(offsets.iter().copied()).collect();
        self.push(code, &operands, &attrs, None, loc);
    }
}
