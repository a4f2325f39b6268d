//! Turns of a role's warpgroups: each has a named barrier, at which it waits for the warpgroup before it.
//!
//! A barrier counts two warpgroups: all threads of the one whose turn comes, which wait, and of the one that passes it on, which do not. Sound because every
//! warpgroup takes and passes alternately, and waits for nothing in between: of two arrivals at a barrier one is always a taker's, the other a passer's,
//! and no warpgroup passes twice before the next one has taken. The first turn is passed by the last warpgroup when the role starts, and what it
//! passes last is taken by the first when the role ends, so that no barrier is left half full.

use super::Lower;
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{BlockId, Kernel, OpCode};

/// Threads that a barrier counts.
const THREADS: u32 = 256;

/// Whether a region has turns.
pub(super) fn has_turns(k: &Kernel, block: BlockId) -> bool {
    k.block(block)
        .ops
        .iter()
        .map(|&id| k.op(id))
        .any(|op| op.code == OpCode::TakeTurn || op.regions.iter().any(|&region| has_turns(k, region)))
}

impl Lower<'_> {
    /// Passes the first turn, at the start of a role that has turns.
    pub(super) fn begin_turns(&mut self) {
        let (first, each) = self.turns();
        let (group, last) = (self.warpgroup(), self.t.i32(i64::from(each) - 1));
        let passes = self.t.def(format_args!("arith.cmpi eq, {group}, {last} : i32"));
        self.t.open(format_args!("scf.if {passes} {{"));
        self.pass(first);
        self.t.close("}");
    }

    /// Takes the turn that is left when the role ends.
    pub(super) fn end_turns(&mut self) {
        let (first, _) = self.turns();
        let (group, zero) = (self.warpgroup(), self.t.i32(0));
        let takes = self.t.def(format_args!("arith.cmpi eq, {group}, {zero} : i32"));
        self.t.open(format_args!("scf.if {takes} {{"));
        self.t.named_barrier(first, THREADS);
        self.t.close("}");
    }

    pub(super) fn take_turn(&mut self) {
        let (first, _) = self.turns();
        let group = self.warpgroup();
        let mine = self.t.head_bin("arith.addi", first, group, Ty::I32);
        self.t.named_barrier(mine, THREADS);
    }

    pub(super) fn pass_turn(&mut self) {
        let (first, each) = self.turns();
        let (group, one, each) = (self.warpgroup(), self.t.i32(1), self.t.i32(each.into()));
        let next = self.t.head_bin("arith.addi", group, one, Ty::I32);
        let next = self.t.head_bin("arith.remui", next, each, Ty::I32);
        let next = self.t.head_bin("arith.addi", first, next, Ty::I32);
        self.pass(next);
    }

    /// Arrives at a barrier without waiting.
    fn pass(&mut self, barrier: Ssa) {
        let code = format!("bar.arrive $0, {THREADS};");
        self.t.asm(&code, &[(barrier, Ty::I32)], &[], true);
    }
}
