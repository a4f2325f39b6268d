//! Questions about dots: where their operands are, their sizes, what they are made of.
//!
//! Transpositions in front of an operand are read the other way round, and halves widened to f32 are read as halves: a tf32 part holds them
//! exactly. It knows nothing of schedules, and makes no code.

use super::layout::Family;
use crate::analysis::{DotOperand, Uses, dot_operand, dot_size};
use sla_dsl::ir::{Elem, Kernel, OpCode, OpId, Value};

/// The first (`index` 0) or second operand of a dot, with the widening of halves taken in beside transpositions: a tile of halves, perhaps, where
/// the dot is one of f32.
pub fn dot_source(kernel: &Kernel, defs: &[Option<OpId>], dot: OpId, index: usize) -> DotOperand {
    let mut at = dot_operand(kernel, defs, dot, index);
    while let Some(def) = defs[at.value.index()] {
        let from = kernel.op(def).operands.first().copied();
        match (kernel.op(def).code, from) {
            (OpCode::Transpose, Some(value)) => at = DotOperand { value, transposed: !at.transposed },
            (OpCode::Cast, Some(value)) if widens(kernel, def) => at.value = value,
            _ => break,
        }
    }
    at
}

/// Whether an op makes an f32 tile of a tile of halves.
pub fn widens(kernel: &Kernel, id: OpId) -> bool {
    let op = kernel.op(id);
    let elem = |v: Value| kernel.ty(v).elem();
    op.code == OpCode::Cast
        && elem(op.results[0]) == Some(Elem::F32)
        && elem(op.operands[0]).is_some_and(Elem::is_half)
}

/// Whether a value is a transposition or a widening that only dots read, in place of which they read its source.
pub fn looked_through(kernel: &Kernel, uses: &Uses, defs: &[Option<OpId>], v: Value) -> bool {
    let passes = defs[v.index()].is_some_and(|d| kernel.op(d).code == OpCode::Transpose || widens(kernel, d));
    passes
        && uses.of(v).iter().all(|&(user, operand)| {
            let op = kernel.op(user);
            match op.code {
                OpCode::Dot => operand < 2,
                _ => op.results.iter().any(|&r| looked_through(kernel, uses, defs, r)),
            }
        })
}

/// Whether a dot's operands are f32.
pub fn is_f32(kernel: &Kernel, dot: OpId) -> bool {
    kernel.ty(kernel.op(dot).operands[0]).elem() == Some(Elem::F32)
}

/// Whether a dot is made of whole `mma` instructions; others are made of `fma`.
pub fn fits_tensor_cores(kernel: &Kernel, defs: &[Option<OpId>], dot: OpId) -> bool {
    let [m, n, k] = dot_size(kernel, defs, dot);
    let step = if is_f32(kernel, dot) { 8 } else { 16 };
    m.is_multiple_of(16) && n.is_multiple_of(8) && k.is_multiple_of(step)
}

/// Whether an f32 dot, written out, would be so many instructions that its contraction is a loop instead.
pub fn is_long(kernel: &Kernel, defs: &[Option<OpId>], family: &Family, dot: OpId) -> bool {
    /// Instructions of a dot that is written out, in each warp.
    const WRITTEN: usize = 64;
    let [m, n, k] = dot_size(kernel, defs, dot);
    let held = family.canonical(&[m, n]).regs.len() / 4;
    is_f32(kernel, dot) && held * (k / 8) * f32_products(kernel, defs, dot) > WRITTEN
}

/// Products of tf32 parts that an f32 dot takes: three, less one for each operand that is exact in one part.
pub fn f32_products(kernel: &Kernel, defs: &[Option<OpId>], dot: OpId) -> usize {
    let exact = |i| kernel.ty(dot_source(kernel, defs, dot, i).value).elem() != Some(Elem::F32);
    3 - usize::from(exact(0)) - usize::from(exact(1))
}
