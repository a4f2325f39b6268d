//! Common subexpressions: equal ops in scope become one.
//!
//! ```text
//! %2 = mul %0, %1 : i32              %2 = mul %0, %1 : i32
//! %3 = mul %0, %1 : i32        =>    %4 = add %2, %2 : i32
//! %4 = add %2, %3 : i32
//! ```
//! Ops are equal when code, operands, attributes and result type are. Only ops without effect are merged, and loads from tensors
//! that the kernel never writes; an op in a region merges with one before it in an enclosing block, never the other way round.
//! It knows no algebra: `a + b` and `b + a` stay two.

use super::rewrite::{read_only_tensors, resolve};
use sla_dsl::ir::{BlockId, Effect, Kernel, OpCode, Type, Value};
use std::collections::{HashMap, HashSet};

/// Merges equal ops.
pub fn cse(kernel: &mut Kernel) {
    let constant_tensors = read_only_tensors(kernel);
    let mut c = Cse { constant_tensors, seen: HashMap::new(), replaced: HashMap::new() };
    let body = kernel.body;
    c.block(kernel, body);
}

/// What makes two ops one. Attributes are compared as printed, so that constants differ by the sign of zero and NaNs are equal.
type Key = (OpCode, Vec<Value>, String, Vec<Type>);

struct Cse {
    constant_tensors: HashSet<Value>,
    seen: HashMap<Key, Value>,
    replaced: HashMap<Value, Value>,
}

impl Cse {
    fn block(&mut self, kernel: &mut Kernel, block: BlockId) {
        let mut entered = Vec::new();
        let mut kept = Vec::new();
        for id in std::mem::take(&mut kernel.block_mut(block).ops) {
            for v in &mut kernel.op_mut(id).operands {
                *v = resolve(&self.replaced, *v);
            }
            for region in kernel.op(id).regions.clone() {
                self.block(kernel, region);
            }
            let op = kernel.op(id);
            let pure = match op.code.effect() {
                Effect::None => true,
                Effect::Read => self.constant_tensors.contains(&op.operands[0]),
                _ => false,
            };
            if pure && op.results.len() == 1 {
                let types = vec![kernel.ty(op.results[0]).clone()];
                let key = (op.code, op.operands.clone(), format!("{:?}", op.attrs), types);
                if let Some(&first) = self.seen.get(&key) {
                    self.replaced.insert(op.results[0], first);
                    continue;
                }
                self.seen.insert(key.clone(), op.results[0]);
                entered.push(key);
            }
            kept.push(id);
        }
        kernel.block_mut(block).ops = kept;
        for key in entered {
            self.seen.remove(&key);
        }
    }
}
