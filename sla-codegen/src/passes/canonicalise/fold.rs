//! Ops on constants. A tile constant is one value repeated, so most ops are evaluated on one element.

use super::{Canon, Step};
use sla_dsl::interp::{Data, eval};
use sla_dsl::ir::{Class, OpId, Type};

/// Reductions of constant tiles up to this size are evaluated in full.
const MAX_REDUCED: usize = 1 << 14;

pub fn rule(c: &mut Canon<'_>, id: OpId) -> Step {
    let op = c.kernel.op(id);
    let values: Option<Vec<_>> = op.operands.iter().map(|&v| c.constant(v)).collect();
    let Some(values) = values.filter(|v| !v.is_empty()) else { return Step::Keep };
    let types: Vec<&Type> = op.operands.iter().map(|&v| c.kernel.ty(v)).collect();
    let count = match op.code.class() {
        Class::Splat | Class::Broadcast | Class::Reshape | Class::Transpose => {
            return c.become_const(id, values[0]);
        }
        Class::Unary
        | Class::Binary
        | Class::Fma
        | Class::Cmp
        | Class::Select
        | Class::Cast
        | Class::Vote => 1,
        Class::Reduce if types[0].count() <= MAX_REDUCED => types[0].count(),
        _ => return Step::Keep,
    };
    let args: Option<Vec<Data>> =
        values.iter().zip(&types).map(|(&v, t)| Data::fill(v, t.elem()?, count)).collect();
    let Some(args) = args else { return Step::Keep };
    let args: Vec<&Data> = args.iter().collect();
    // An op that faults stays: it faults when it runs, if it runs.
    match eval(op, &types, c.result_type(id), &args).ok().and_then(|d| d.scalar(0)) {
        Some(value) => c.become_const(id, value),
        None => Step::Keep,
    }
}
