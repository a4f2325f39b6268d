//! How a kernel uses its tensors, and how a box of a tensor lies against a tile.

use sla_dsl::ir::{Kernel, Op, OpCode, Type};

/// What a kernel does with one parameter, over all its ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TensorUse {
    /// Number of loads.
    pub loads: usize,
    /// Number of stores.
    pub stores: usize,
    /// Number of atomic adds.
    pub atomics: usize,
}

impl TensorUse {
    /// Whether no op writes it.
    pub fn read_only(&self) -> bool {
        self.stores + self.atomics == 0
    }
}

/// One entry per parameter.
pub fn tensor_uses(kernel: &Kernel) -> Vec<TensorUse> {
    let mut uses = vec![TensorUse::default(); kernel.params.len()];
    kernel.walk(&mut |k, _, id| {
        let op = k.op(id);
        let count: fn(&mut TensorUse) -> &mut usize = match op.code {
            OpCode::Load => |u| &mut u.loads,
            OpCode::Store => |u| &mut u.stores,
            OpCode::AtomicAdd => |u| &mut u.atomics,
            _ => return,
        };
        if let Some(p) = op.operands.first().and_then(|&t| k.param_of(t)) {
            *count(&mut uses[p]) += 1;
        }
    });
    uses
}

/// For each axis of the tensor of a memory op, the axis of the tile that runs along it; `None` where the box has extent 1.
pub fn box_axes(op: &Op, tile: &Type) -> Vec<Option<usize>> {
    let shape = tile.shape().unwrap_or(&[]);
    let mut long = (0..shape.len()).filter(|&a| shape[a] != 1);
    op.ints("box").iter().map(|&e| if e == 1 { None } else { long.next() }).collect()
}
