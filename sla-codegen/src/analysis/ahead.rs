//! Whether values of a loop's body can be computed for a later iteration, from the counter alone, and by which ops.

use super::{TensorUse, box_axes};
use sla_dsl::ir::{BlockId, Effect, Kernel, OpCode, OpId, Type, Value};

/// The ops of `block` (the body of a `for`) that `wanted` are computed by, in program order, if they depend only on the loop's counter, on
/// values from outside, and on scalars read from tensors that the kernel never writes. `None` if one of them depends on a carried value.
///
/// `for j in 0..n { b = load lut[j]; o = b * 64; k = load K[o, 0] }`: the slice of `o` is the load of `lut` and the product.
pub fn ahead_slice(
    kernel: &Kernel,
    defs: &[Option<OpId>],
    uses: &[TensorUse],
    block: BlockId,
    wanted: &[Value],
) -> Option<Vec<OpId>> {
    let body = kernel.block(block);
    let mut slice: Vec<OpId> = Vec::new();
    let mut todo: Vec<Value> = wanted.to_vec();
    while let Some(v) = todo.pop() {
        if body.args.contains(&v) {
            if body.args.first() != Some(&v) {
                return None;
            }
            continue;
        }
        let Some(id) = defs[v.index()].filter(|id| body.ops.contains(id)) else { continue };
        if slice.contains(&id) {
            continue;
        }
        let op = kernel.op(id);
        let scalar = op.results.iter().all(|&r| matches!(kernel.ty(r), Type::Scalar(_)));
        let quiet = match op.code {
            OpCode::Load => kernel.param_of(op.operands[0]).is_some_and(|p| uses[p].read_only()),
            _ => op.code.effect() == Effect::None,
        };
        if !scalar || !quiet || op.operands.iter().any(|&o| kernel.ty(o).is_tile()) {
            return None;
        }
        debug_assert!(
            op.code != OpCode::Load || box_axes(op, kernel.ty(op.results[0])).iter().all(Option::is_none)
        );
        slice.push(id);
        todo.extend(op.operands.iter().filter(|&&o| !matches!(kernel.ty(o), Type::Tensor(_))));
    }
    slice.sort_by_key(|id| body.ops.iter().position(|o| o == id));
    Some(slice)
}
