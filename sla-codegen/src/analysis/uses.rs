//! Who uses a value, and in which block an op stands.

use sla_dsl::ir::{BlockId, Kernel, OpCode, OpId, Value};

/// For every value, the live ops that use it, with the operand's index.
pub struct Uses(Vec<Vec<(OpId, usize)>>);

impl Uses {
    /// Looks at every live op.
    pub fn new(kernel: &Kernel) -> Uses {
        let mut uses = vec![Vec::new(); kernel.types.len()];
        kernel.walk(&mut |k, _, id| {
            for (i, v) in k.op(id).operands.iter().enumerate() {
                uses[v.index()].push((id, i));
            }
        });
        Uses(uses)
    }

    /// The uses of a value, in program order.
    pub fn of(&self, v: Value) -> &[(OpId, usize)] {
        &self.0[v.index()]
    }
}

/// The block of every live op, and the op that holds every block.
pub struct Parents {
    block_of: Vec<Option<BlockId>>,
    holder: Vec<Option<OpId>>,
}

impl Parents {
    /// Looks at every live op.
    pub fn new(kernel: &Kernel) -> Parents {
        let mut block_of = vec![None; kernel.ops.len()];
        let mut holder = vec![None; kernel.blocks.len()];
        kernel.walk(&mut |k, block, id| {
            block_of[id.index()] = Some(block);
            for r in &k.op(id).regions {
                holder[r.index()] = Some(id);
            }
        });
        Parents { block_of, holder }
    }

    /// The block of an op.
    pub fn block(&self, op: OpId) -> Option<BlockId> {
        self.block_of[op.index()]
    }

    /// The op that holds a block; `None` for the body.
    pub fn holder(&self, block: BlockId) -> Option<OpId> {
        self.holder[block.index()]
    }

    /// The innermost `for` around an op.
    pub fn loop_of(&self, kernel: &Kernel, op: OpId) -> Option<OpId> {
        let mut at = op;
        while let Some(up) = self.block(at).and_then(|b| self.holder(b)) {
            if kernel.op(up).code == OpCode::For {
                return Some(up);
            }
            at = up;
        }
        None
    }
}
