//! Products: transpositions into `dot`'s flags, sums into `dot`'s accumulator and into `fma`.
//!
//! A product is only taken into a sum of the same block, so that no loop repeats it, and only if nothing else uses it.

use super::{Canon, Step};
use sla_dsl::ir::{Attr, Elem, OpCode, OpId, Scalar, Value};

pub fn rule(c: &mut Canon<'_>, id: OpId) -> Step {
    match c.kernel.op(id).code {
        OpCode::Dot => match transposed(c, id) {
            Step::Keep => from_zero(c, id),
            step => step,
        },
        OpCode::Add => accumulated(c, id),
        _ => Step::Keep,
    }
}

/// `dot(transpose a, b)` to `dot(a, b) {ta}`, and so for `b`.
fn transposed(c: &mut Canon<'_>, id: OpId) -> Step {
    for (slot, flag) in [(0, "ta"), (1, "tb")] {
        let op = c.kernel.op(id);
        let (operand, set) = (op.operands[slot], op.flag(flag));
        let Some(inner) = c.def(operand, OpCode::Transpose).map(|t| t.operands[0]) else { continue };
        c.uses[inner.index()] += 1;
        let op = c.kernel.op_mut(id);
        op.operands[slot] = inner;
        op.attrs.insert(flag, Attr::Int(!set as i64));
        return Step::Again;
    }
    Step::Keep
}

/// An accumulator of zeros is what a `dot` without one starts from.
fn from_zero(c: &mut Canon<'_>, id: OpId) -> Step {
    let acc = c.kernel.op(id).operands.get(2).and_then(|&v| c.constant(v));
    if matches!(acc, Some(Scalar::Float(z)) if z.to_bits() == 0) {
        c.kernel.op_mut(id).operands.truncate(2);
        return Step::Again;
    }
    Step::Keep
}

/// `c + dot(a, b)` to `dot(a, b, c)`; `a * b + c` to `fma(a, b, c)` in f32. Products on the right are looked for first, and `dot`s before
/// element-wise ones.
fn accumulated(c: &mut Canon<'_>, id: OpId) -> Step {
    if c.result_type(id).elem() != Some(Elem::F32) {
        return Step::Keep;
    }
    let (a, b) = (c.kernel.op(id).operands[0], c.kernel.op(id).operands[1]);
    for (product, rest) in [(b, a), (a, b)] {
        if let Some(dot) =
            only_use(c, id, product, OpCode::Dot).filter(|&d| c.kernel.op(d).operands.len() == 2)
        {
            let dot = c.kernel.op(dot);
            let flag = |key| (key, Attr::Int(dot.flag(key) as i64));
            let (operands, attrs) = (vec![dot.operands[0], dot.operands[1], rest], [flag("ta"), flag("tb")]);
            return c.become_op(id, OpCode::Dot, operands, &attrs);
        }
    }
    for (product, rest) in [(b, a), (a, b)] {
        if let Some(mul) = only_use(c, id, product, OpCode::Mul) {
            let mul = c.kernel.op(mul);
            let operands = vec![mul.operands[0], mul.operands[1], rest];
            return c.become_op(id, OpCode::Fma, operands, &[]);
        }
    }
    Step::Keep
}

/// The op with `code` that defines `v` in the block of `user`, if `user` is all that uses it.
fn only_use(c: &Canon<'_>, user: OpId, v: Value, code: OpCode) -> Option<OpId> {
    let def = c.def_id(v, code)?;
    (c.uses[v.index()] == 1 && c.home.get(&def) == c.home.get(&user)).then_some(def)
}
