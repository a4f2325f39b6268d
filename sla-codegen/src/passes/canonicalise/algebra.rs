//! Identities that hold for every value, floats included.

use super::{Canon, Step};
use sla_dsl::ir::{Elem, OpCode, OpId, Scalar, Value};

pub fn rule(c: &mut Canon<'_>, id: OpId) -> Step {
    let op = c.kernel.op(id);
    let arg = |i: usize| op.operands[i];
    let same_type = |v: Value| c.kernel.ty(v) == c.result_type(id);
    let (left, right) = match op.operands[..] {
        [a, b, ..] => (c.constant(a), c.constant(b)),
        [a] => (c.constant(a), None),
        [] => (None, None),
    };
    let keep = |found: bool, v: Value| if found { Step::Become(v) } else { Step::Keep };
    match op.code {
        OpCode::Add if is(right, 0, -0.0) => Step::Become(arg(0)),
        OpCode::Add => keep(is(left, 0, -0.0), arg(1)),
        OpCode::Sub => keep(is(right, 0, 0.0), arg(0)),
        OpCode::Mul if is(right, 1, 1.0) => Step::Become(arg(0)),
        OpCode::Mul if is(left, 1, 1.0) => Step::Become(arg(1)),
        // Not for floats: NaN and infinity times 0 is NaN.
        OpCode::Mul if right == Some(Scalar::Int(0)) => Step::Become(arg(1)),
        OpCode::Mul => keep(left == Some(Scalar::Int(0)), arg(0)),
        OpCode::Div => keep(is(right, 1, 1.0), arg(0)),
        OpCode::Shl | OpCode::Shr => keep(right == Some(Scalar::Int(0)), arg(0)),
        OpCode::Min | OpCode::Max => keep(arg(0) == arg(1), arg(0)),
        OpCode::And | OpCode::Or => logic(c, id, left, right),
        OpCode::Neg | OpCode::Not | OpCode::Transpose => match c.def(arg(0), op.code) {
            Some(inner) => Step::Become(inner.operands[0]),
            None => Step::Keep,
        },
        OpCode::Select => match left {
            Some(Scalar::Bool(holds)) => Step::Become(arg(if holds { 1 } else { 2 })),
            _ => keep(arg(1) == arg(2), arg(1)),
        },
        OpCode::Cast => match c.def(arg(0), OpCode::Cast) {
            Some(inner) if same_type(inner.operands[0]) && is_exact(c, inner.operands[0], arg(0)) => {
                Step::Become(inner.operands[0])
            }
            _ => Step::Keep,
        },
        OpCode::Broadcast | OpCode::Reshape if same_type(arg(0)) => Step::Become(arg(0)),
        OpCode::Broadcast | OpCode::Reshape => {
            let code = op.code;
            let through = |code| c.def(arg(0), code).map(|inner| inner.operands[0]);
            match (through(OpCode::Splat), through(code)) {
                (Some(scalar), _) => c.become_op(id, OpCode::Splat, vec![scalar], &[]),
                (_, Some(x)) => c.become_op(id, code, vec![x], &[]),
                _ => Step::Keep,
            }
        }
        _ => Step::Keep,
    }
}

/// Whether a constant is this integer or exactly this float.
fn is(found: Option<Scalar>, int: i64, float: f64) -> bool {
    match found {
        Some(Scalar::Int(v)) => v == int,
        Some(Scalar::Float(v)) => v.to_bits() == float.to_bits(),
        _ => false,
    }
}

/// `x & x`, and `and` and `or` with all bits or none.
fn logic(c: &Canon<'_>, id: OpId, left: Option<Scalar>, right: Option<Scalar>) -> Step {
    let op = c.kernel.op(id);
    let (a, b) = (op.operands[0], op.operands[1]);
    let all = |s| matches!(s, Some(Scalar::Bool(true) | Scalar::Int(-1)));
    let none = |s| matches!(s, Some(Scalar::Bool(false) | Scalar::Int(0)));
    let and = op.code == OpCode::And;
    let unit = |s| if and { all(s) } else { none(s) };
    let zero = |s| if and { none(s) } else { all(s) };
    if a == b || unit(right) || zero(left) {
        Step::Become(a)
    } else if unit(left) || zero(right) {
        Step::Become(b)
    } else {
        Step::Keep
    }
}

/// Whether the element type of `to` holds every value of that of `from`.
fn is_exact(c: &Canon<'_>, from: Value, to: Value) -> bool {
    match (c.kernel.ty(from).elem(), c.kernel.ty(to).elem()) {
        (Some(Elem::F16 | Elem::BF16), Some(Elem::F32)) | (Some(Elem::Bool), Some(_)) => true,
        (Some(Elem::I8), Some(to)) => to != Elem::Bool,
        _ => false,
    }
}
