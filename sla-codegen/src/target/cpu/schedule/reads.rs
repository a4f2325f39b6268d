//! What an op reads from buffers when it is lowered, through the inline expressions of its operands.

use super::place::untransposed;
use super::{Form, Home, Nest, Schedule, dims, vector_axis};
use sla_dsl::ir::{Class, Kernel, Op, OpCode, OpId, ParamKind, Type, Value};

/// A buffered value that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The value.
    pub value: Value,
    /// The axis that must be contiguous; `None` if the value is a vector or is read element by element.
    pub axis: Option<usize>,
    /// Whether element (i, j) of it is read only for element (i, j) of what is written.
    pub pointwise: bool,
}

/// The tile axis along which a memory access is contiguous, if there is one with more than one element.
pub fn memory_axis(kernel: &Kernel, op: &Op, ty: &Type) -> Option<usize> {
    let param = kernel.param_of(op.operands[0])?;
    if !kernel.params[param].memory.packed || !matches!(kernel.params[param].kind, ParamKind::Tensor(_)) {
        return None;
    }
    if op.ints("box").last().is_none_or(|&n| n == 1) {
        return None;
    }
    Some(vector_axis(dims(ty)).unwrap_or(1))
}

/// Every buffered value that lowering `id` reads.
pub fn reads(kernel: &Kernel, nest: &Nest, s: &Schedule, id: OpId) -> Vec<Read> {
    let mut out = Vec::new();
    let mut go = Walk { kernel, nest, s, out: &mut out };
    let op = kernel.op(id);
    if let Some(&(dot, other)) = s.fused.get(&id) {
        go.dot(dot);
        go.value(other, s.axis(op.results[0]), true);
        return out;
    }
    let result = op.results.first().copied();
    if result.is_some_and(|r| matches!(s.home(r), Home::Inline | Home::Fused)) {
        return out;
    }
    match op.code.class() {
        Class::Dot => {
            go.dot(id);
            if let (Some(&acc), Some(r)) = (op.operands.get(2), result) {
                go.value(acc, s.axis(r), true);
            }
        }
        Class::Reduce => go.value(op.operands[0], reduce_axis(kernel, nest, s, op), false),
        Class::Pack => op.operands.iter().for_each(|&v| go.value(v, 1, false)),
        Class::Reshape if !super::place::trivial_reshape(kernel, op) => {
            out.push(Read { value: op.operands[0], axis: need(kernel, op.operands[0], 1), pointwise: false });
        }
        Class::Store => {
            let v = op.operands[1];
            // Element by element, as atomic additions are made, any way will do.
            let vectors = if op.code == OpCode::Store { memory_axis(kernel, op, kernel.ty(v)) } else { None };
            let axis = vectors.or_else(|| preference(kernel, nest, s, v)).unwrap_or(1);
            go.value(v, axis, false);
        }
        Class::Debug => {
            for &v in op.operands.iter().filter(|v| kernel.ty(**v).is_tile()) {
                out.push(Read { value: v, axis: need(kernel, v, 1), pointwise: false });
            }
        }
        Class::For => {
            let args = &kernel.block(op.regions[0]).args;
            for (&v, &arg) in op.operands[2..].iter().zip(&args[1..]) {
                go.value(v, s.axis(arg), false);
            }
        }
        Class::Yield => {
            if let Some(&owner) = nest.owner.get(&nest.block[&id]) {
                let outer = kernel.op(owner);
                for (&v, &r) in op.operands.iter().zip(&outer.results) {
                    go.value(v, s.axis(r), false);
                }
            }
        }
        Class::If | Class::Load | Class::Index => {}
        _ => {
            if let Some(r) = result.filter(|&r| s.home(r) == Home::Buffer) {
                go.inside(id, s.axis(r), true);
            }
        }
    }
    out
}

/// The axis along which a reduction's operand is read.
pub fn reduce_axis(kernel: &Kernel, nest: &Nest, s: &Schedule, op: &Op) -> usize {
    let v = op.operands[0];
    vector_axis(dims(kernel.ty(v))).unwrap_or_else(|| preference(kernel, nest, s, v).unwrap_or(1))
}

/// The contiguous axis of the first rank-2 buffer that an expression reads.
pub fn preference(kernel: &Kernel, nest: &Nest, s: &Schedule, v: Value) -> Option<usize> {
    let ty = kernel.ty(v);
    if !ty.is_tile() || vector_axis(dims(ty)).is_some() {
        return None;
    }
    match s.home(v) {
        Home::Buffer => Some(s.axis(v)),
        Home::Inline => {
            let op = kernel.op(nest.def[v.index()]?);
            let mut found = op.operands.iter().filter_map(|&v| preference(kernel, nest, s, v));
            match op.code.class() {
                Class::Transpose => found.next().map(|a| 1 - a),
                Class::Broadcast | Class::Splat => None,
                _ => found.next(),
            }
        }
        _ => None,
    }
}

fn need(kernel: &Kernel, v: Value, axis: usize) -> Option<usize> {
    vector_axis(dims(kernel.ty(v))).is_none().then_some(axis)
}

struct Walk<'a> {
    kernel: &'a Kernel,
    nest: &'a Nest,
    s: &'a Schedule,
    out: &'a mut Vec<Read>,
}

impl Walk<'_> {
    fn value(&mut self, v: Value, axis: usize, pointwise: bool) {
        match self.s.home(v) {
            Home::Buffer => {
                self.out.push(Read { value: v, axis: need(self.kernel, v, axis), pointwise });
            }
            Home::Inline => {
                if let Some(def) = self.nest.def[v.index()] {
                    self.inside(def, axis, pointwise);
                }
            }
            _ => {}
        }
    }

    fn inside(&mut self, id: OpId, axis: usize, pointwise: bool) {
        let op = self.kernel.op(id);
        match op.code.class() {
            Class::Transpose => self.value(op.operands[0], 1 - axis, false),
            Class::Broadcast | Class::Reshape => self.value(op.operands[0], axis, false),
            _ => op.operands.iter().for_each(|&v| self.value(v, axis, pointwise)),
        }
    }

    fn dot(&mut self, id: OpId) {
        let op = self.kernel.op(id);
        let form = self.s.forms.get(&id).copied().unwrap_or(Form::Rows);
        for (number, flag) in [(0, "ta"), (1, "tb")] {
            let (root, odd) = untransposed(self.kernel, self.nest, op.operands[number]);
            let axis = match (form, number) {
                (Form::Rows, 1) => Some(1),
                (Form::Columns, 0) => Some(0),
                _ => None,
            };
            let flip = odd != op.flag(flag);
            let axis = axis.map(|a| if flip { 1 - a } else { a });
            let axis = axis.and_then(|a| need(self.kernel, root, a));
            self.out.push(Read { value: root, axis, pointwise: false });
        }
    }
}
