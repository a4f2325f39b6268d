//! The operands and sizes of matrix products.

use sla_dsl::ir::{Kernel, OpCode, OpId, Value};

/// A dot's operand with the transpositions in front of it taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotOperand {
    /// The tile.
    pub value: Value,
    /// Whether its axes are exchanged: stored `[K, M]` as a first operand, `[N, K]` as a second.
    pub transposed: bool,
}

/// The first (`index` 0) or second operand of a dot.
pub fn dot_operand(kernel: &Kernel, defs: &[Option<OpId>], dot: OpId, index: usize) -> DotOperand {
    let op = kernel.op(dot);
    let mut at = DotOperand { value: op.operands[index], transposed: op.flag(["ta", "tb"][index]) };
    while let Some(def) = defs[at.value.index()].map(|id| kernel.op(id))
        && def.code == OpCode::Transpose
    {
        at = DotOperand { value: def.operands[0], transposed: !at.transposed };
    }
    at
}

/// Rows, columns and contracted length of a dot.
pub fn dot_size(kernel: &Kernel, defs: &[Option<OpId>], dot: OpId) -> [usize; 3] {
    let a = dot_operand(kernel, defs, dot, 0);
    let shape = |v: Value| kernel.ty(v).shape().unwrap_or(&[]).to_vec();
    match (&shape(kernel.op(dot).results[0])[..], &shape(a.value)[..]) {
        (&[m, n], &[x, y]) => [m, n, if a.transposed { x } else { y }],
        _ => [0; 3],
    }
}
