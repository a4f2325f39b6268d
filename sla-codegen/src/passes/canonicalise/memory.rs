//! Axes of size 1: a memory op reads and writes a box in any shape that differs only in them.

use super::{Canon, Step};
use sla_dsl::ir::{OpCode, OpId, Value};

pub fn rule(c: &mut Canon<'_>, id: OpId) -> Step {
    let op = c.kernel.op(id);
    match op.code {
        OpCode::Reshape => {
            let (from, to) = (op.operands[0], op.results[0]);
            let load = c.def_id(from, OpCode::Load);
            // The load takes the reshaped type, so nothing else may see the old one.
            if load.is_some() && c.uses[from.index()] == 1 && same_but_ones(c, from, to) {
                c.kernel.types[from.index()] = c.kernel.ty(to).clone();
                return Step::Become(from);
            }
            Step::Keep
        }
        OpCode::Store | OpCode::AtomicAdd => {
            let value = op.operands[1];
            let inner = c.def(value, OpCode::Reshape).map(|r| r.operands[0]);
            let Some(inner) = inner.filter(|&x| same_but_ones(c, x, value)) else { return Step::Keep };
            c.uses[inner.index()] += 1;
            c.kernel.op_mut(id).operands[1] = inner;
            Step::Again
        }
        _ => Step::Keep,
    }
}

/// Whether two tiles have the same shape apart from axes of size 1.
fn same_but_ones(c: &Canon<'_>, a: Value, b: Value) -> bool {
    let core = |v: Value| c.kernel.ty(v).shape().unwrap_or(&[]).iter().filter(|&&d| d != 1);
    core(a).eq(core(b))
}
