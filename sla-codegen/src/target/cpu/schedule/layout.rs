//! Which axis of each buffer is contiguous.
//!
//! A product of `[M, K]` and `[K, N]` reads one operand by vectors and the other element by element. With rows of the result contiguous, the
//! vectors run along N of `b`; with columns contiguous, along M of `a`. The operand that is read element by element may lie either way. Of
//! the two forms the one is taken that transposes less, where transposing outside a loop counts for little.

use super::place::untransposed;
use super::reads::{memory_axis, preference};
use super::{Form, Home, Nest, Schedule, dims, vector_axis};
use sla_dsl::ir::{Class, Kernel, OpId, Value};

/// What a loop around a transposition is taken to multiply its cost by.
const TRIPS: f64 = 64.0;

/// Fills in `axes` and `forms`.
pub fn choose(kernel: &Kernel, nest: &Nest, s: &mut Schedule) {
    for (i, ty) in kernel.types.iter().enumerate() {
        s.axes[i] = vector_axis(dims(ty)).unwrap_or(1);
    }
    // A carried value takes the axis of what it becomes, which is known after the first round.
    for _ in 0..2 {
        for &id in &nest.order {
            visit(kernel, nest, s, id);
        }
    }
}

fn visit(kernel: &Kernel, nest: &Nest, s: &mut Schedule, id: OpId) {
    let op = kernel.op(id);
    if op.code.class() == Class::Dot {
        let form = form(kernel, nest, s, id);
        s.forms.insert(id, form);
    }
    if op.code.class() == Class::Yield {
        let Some(&owner) = nest.owner.get(&nest.block[&id]) else { return };
        let outer = kernel.op(owner);
        for (i, &v) in op.operands.iter().enumerate() {
            if let Some(axis) = preference(kernel, nest, s, v) {
                set(kernel, s, outer.results[i], axis);
                if outer.code.class() == Class::For {
                    set(kernel, s, kernel.block(outer.regions[0]).args[i + 1], axis);
                }
            }
        }
        return;
    }
    let [result] = op.results[..] else { return };
    if s.home(result) != Home::Buffer {
        return;
    }
    let of_form = |form: Form| if form == Form::Rows { 1 } else { 0 };
    let axis = match op.code.class() {
        _ if s.fused.contains_key(&id) => {
            let dot = s.fused[&id].0;
            s.forms.get(&dot).map(|&f| of_form(f))
        }
        Class::Dot => s.forms.get(&id).map(|&f| of_form(f)),
        Class::Load => memory_axis(kernel, op, kernel.ty(result)),
        Class::Reshape | Class::Pack => None,
        Class::For | Class::If => Some(s.axis(result)),
        Class::Transpose => preference(kernel, nest, s, op.operands[0]).map(|a| 1 - a),
        _ => op.operands.iter().find_map(|&v| preference(kernel, nest, s, v)),
    };
    set(kernel, s, result, axis.unwrap_or(1));
}

fn set(kernel: &Kernel, s: &mut Schedule, v: Value, axis: usize) {
    s.axes[v.index()] = vector_axis(dims(kernel.ty(v))).unwrap_or(axis);
}

fn form(kernel: &Kernel, nest: &Nest, s: &Schedule, id: OpId) -> Form {
    let op = kernel.op(id);
    match dims(kernel.ty(op.results[0])) {
        (1, _) => return Form::Rows,
        (_, 1) => return Form::Columns,
        _ => {}
    }
    let cost = |number: usize, flag: &str, axis: usize| {
        let (root, odd) = untransposed(kernel, nest, op.operands[number]);
        let axis = if odd != op.flag(flag) { 1 - axis } else { axis };
        let shape = dims(kernel.ty(root));
        if vector_axis(shape).is_some() || s.axis(root) == axis {
            return 0.0;
        }
        (shape.0 * shape.1) as f64 * TRIPS.powi(nest.value_loops(kernel, root) as i32)
    };
    let (rows, columns) = (cost(1, "tb", 1), cost(0, "ta", 0));
    if columns < rows { Form::Columns } else { Form::Rows }
}
