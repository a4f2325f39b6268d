//! Where ops stand: their position in program order, the block and the op around them, and who uses what.

use sla_dsl::ir::{BlockId, Kernel, OpCode, OpId, Value};
use std::collections::HashMap;

/// Facts on the nesting of a kernel.
pub struct Nest {
    /// Live ops in program order, outer before inner.
    pub order: Vec<OpId>,
    /// Per op: its index in `order`.
    pub position: HashMap<OpId, usize>,
    /// Per op: the position of the last op inside it, or its own.
    pub end: HashMap<OpId, usize>,
    /// Per op: the block it is in.
    pub block: HashMap<OpId, BlockId>,
    /// Per block other than the body: the op whose region it is.
    pub owner: HashMap<BlockId, OpId>,
    /// Per value: the op that defines it.
    pub def: Vec<Option<OpId>>,
    /// Per value: the block it is defined in, as a result or an argument.
    pub home: Vec<Option<BlockId>>,
    /// Per value: ops that use it, with the operand's number.
    pub uses: Vec<Vec<(OpId, usize)>>,
}

impl Nest {
    /// Walks a kernel.
    pub fn new(kernel: &Kernel) -> Nest {
        let values = kernel.types.len();
        let mut nest = Nest {
            order: Vec::new(),
            position: HashMap::new(),
            end: HashMap::new(),
            block: HashMap::new(),
            owner: HashMap::new(),
            def: kernel.defs(),
            home: vec![None; values],
            uses: vec![Vec::new(); values],
        };
        nest.visit(kernel, kernel.body);
        nest
    }

    fn visit(&mut self, kernel: &Kernel, block: BlockId) {
        for &arg in &kernel.block(block).args {
            self.home[arg.index()] = Some(block);
        }
        for &id in &kernel.block(block).ops {
            let op = kernel.op(id);
            self.position.insert(id, self.order.len());
            self.order.push(id);
            self.block.insert(id, block);
            for (i, &v) in op.operands.iter().enumerate() {
                self.uses[v.index()].push((id, i));
            }
            for &v in &op.results {
                self.home[v.index()] = Some(block);
            }
            for &region in &op.regions {
                self.owner.insert(region, id);
                self.visit(kernel, region);
            }
            self.end.insert(id, self.order.len() - 1);
        }
    }

    /// The op that is or holds `op` and stands directly in `block`; `op` itself if none does.
    pub fn ancestor_in(&self, op: OpId, block: BlockId) -> OpId {
        let mut at = op;
        while self.block[&at] != block {
            match self.owner.get(&self.block[&at]) {
                Some(&up) => at = up,
                None => return op,
            }
        }
        at
    }

    /// The last position at which a value of `block` is needed if `op` reads it: inside a loop that does not define it, the loop's end.
    pub fn reach(&self, op: OpId, block: BlockId) -> usize {
        let top = self.ancestor_in(op, block);
        if top == op { self.position[&op] } else { self.end[&top] }
    }

    /// Number of loops around a block.
    pub fn loops(&self, kernel: &Kernel, block: BlockId) -> u32 {
        let (mut at, mut n) = (block, 0);
        while let Some(&op) = self.owner.get(&at) {
            n += (kernel.op(op).code == OpCode::For) as u32;
            at = self.block[&op];
        }
        n
    }

    /// Number of loops around a value's definition.
    pub fn value_loops(&self, kernel: &Kernel, v: Value) -> u32 {
        self.home[v.index()].map_or(0, |b| self.loops(kernel, b))
    }
}
