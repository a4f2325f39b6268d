//! Keeping the arithmetic on tiles in front of a loop where it is written.
//!
//! LLVM sinks arithmetic behind a loop that does not need it, and so keeps several operands alive through the loop in place of one result. Where
//! a thread's registers are short that is the difference between fitting and not. Nothing here changes a value.

use super::{Lower, Val};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{OpCode, OpId, Value};

impl Lower<'_> {
    /// Has the tiles that are needed after an op computed before it. Each is pinned once.
    pub(super) fn pin_tiles(&mut self, before: OpId) {
        let order = &self.schedule.order;
        let end = order[before.index()].1;
        let mut needed: Vec<Value> = self
            .env
            .iter()
            .filter(|(_, held)| matches!(held, Val::Regs(_)))
            .map(|(&v, _)| v)
            .filter(|&v| {
                let Some(def) = self.defs[v.index()] else { return false };
                let copies = [OpCode::Const, OpCode::Splat, OpCode::Broadcast, OpCode::Iota, OpCode::For];
                let wide = self.k.ty(v).shape().is_some_and(|s| s.len() == 2 && s[1] > 1);
                wide && !copies.contains(&self.k.op(def).code)
                    && self.uses.of(v).iter().any(|&(user, _)| order[user.index()].0 >= end)
            })
            .collect();
        needed.retain(|v| self.pinned.insert(*v));
        needed.sort();
        for v in needed {
            let (ty, _) = self.registers(v);
            if !matches!(ty, Ty::F32 | Ty::I32) {
                continue;
            }
            let regs = self.regs(v);
            let pinned: Vec<Ssa> = regs.chunks(16).flat_map(|some| self.t.pinned(some, ty)).collect();
            self.set(v, pinned);
        }
    }
}
