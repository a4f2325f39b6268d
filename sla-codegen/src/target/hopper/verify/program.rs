//! What the simulation looks at: the steps of the protocol, what carries their values, and the scalars that decide what runs.
//!
//! Mathematics is left out, and so are offsets of copies; what remains of an attention kernel's inner loop is about ten ops a role.

use super::places::{is_protocol, is_step, ring_operand};
use sla_dsl::ir::{BlockId, Class, DimExpr, Kernel, Op, OpCode, OpId, Scalar, Type, Value};
use std::collections::BTreeSet;

/// Constants of a kernel worth trying in a condition: no more than these, so that a case stays short.
const MAX_CONSTANTS: usize = 24;

/// A kernel without its mathematics.
pub struct Program {
    /// Ops to run, by block.
    pub ops: Vec<Vec<OpId>>,
    /// Loops that hold another one with steps of the protocol, at a role's top: rounds of a persistent kernel. By op.
    pub rounds: Vec<bool>,
    /// The rings, in order.
    pub rings: Vec<OpId>,
    /// The roles, in order.
    pub roles: Vec<OpId>,
    /// For each role, by ring: whether it waits for its stages.
    pub reads: Vec<Vec<bool>>,
    /// Counts of stages of the rings that copies fill.
    pub stages: BTreeSet<u32>,
    /// Integers of the kernel, for conditions.
    pub constants: BTreeSet<i32>,
    /// The largest number that the kernel divides by: the size of a block, where it counts blocks.
    pub block: i32,
}

impl Program {
    /// Of a verified kernel whose ops stand where they should.
    pub fn new(k: &Kernel) -> Program {
        let top = &k.block(k.body).ops;
        let of = |code| top.iter().copied().filter(|&id| k.op(id).code == code).collect::<Vec<OpId>>();
        let (rings, roles) = (of(OpCode::Ring), of(OpCode::Role));
        let mut p = Program {
            ops: vec![Vec::new(); k.blocks.len()],
            rounds: vec![false; k.ops.len()],
            reads: roles.iter().map(|&r| reads(k, &rings, r)).collect(),
            stages: rings
                .iter()
                .filter(|&&id| k.op(id).flag("arrivals"))
                .filter_map(|&id| match k.ty(k.op(id).results[0]) {
                    Type::Ring(_, [stages, ..]) => u32::try_from(*stages).ok(),
                    _ => None,
                })
                .collect(),
            rings,
            roles,
            constants: BTreeSet::new(),
            block: 1,
        };
        p.integers(k);
        let mut needs = Needs { k, needed: vec![false; k.types.len()], grown: true };
        while needs.grown {
            needs.grown = false;
            needs.block(k.body);
        }
        let needed = needs.needed;
        for (i, block) in k.blocks.iter().enumerate() {
            p.ops[i] = block.ops.iter().copied().filter(|&id| keep(k, &needed, k.op(id))).collect();
        }
        for &role in &p.roles {
            for &id in &k.block(k.op(role).regions[0]).ops {
                let op = k.op(id);
                p.rounds[id.index()] = op.code == OpCode::For && holds_loop(k, op.regions[0]);
            }
        }
        p
    }

    fn integers(&mut self, k: &Kernel) {
        let defs = k.defs();
        let int = |v: Value| {
            let op = defs[v.index()].map(|id| k.op(id)).filter(|op| op.code == OpCode::Const)?;
            match (op.scalar(), k.ty(v)) {
                (Some(Scalar::Int(c)), Type::Scalar(_)) => i32::try_from(c).ok(),
                _ => None,
            }
        };
        k.walk(&mut |k, _, id| {
            let op = k.op(id);
            if let Some(c) = op.results.first().and_then(|&r| int(r))
                && self.constants.len() < MAX_CONSTANTS
            {
                self.constants.insert(c);
            }
            if matches!(op.code, OpCode::Div | OpCode::Rem)
                && let Some(c) = int(op.operands[1])
            {
                self.block = self.block.max(c);
            }
        });
    }
}

/// Rings that a role waits for, in the order of `rings`.
fn reads(k: &Kernel, rings: &[OpId], role: OpId) -> Vec<bool> {
    fn go(k: &Kernel, block: BlockId, found: &mut Vec<Value>) {
        for &id in &k.block(block).ops {
            let op = k.op(id);
            found.extend(ring_operand(op).filter(|_| matches!(op.code, OpCode::Await | OpCode::Take)));
            op.regions.iter().for_each(|&r| go(k, r, found));
        }
    }
    let mut found = Vec::new();
    go(k, k.op(role).regions[0], &mut found);
    rings.iter().map(|&r| found.contains(&k.op(r).results[0])).collect()
}

/// How many of a dim's elements are its smallest step, by the kernel's facts.
pub fn dim_unit(k: &Kernel, dim: &str) -> i32 {
    let blocks = k.even.iter().filter_map(|((e, block), holds)| match e {
        DimExpr::Name(n) if n == dim && *holds => i32::try_from(*block).ok(),
        _ => None,
    });
    // Blocks are powers of two in practice; where they are not, the product is a multiple too.
    let unit = blocks.fold(1i32, |unit, b| if unit % b == 0 { unit } else { unit.saturating_mul(b) });
    if unit <= 1 << 16 { unit } else { 1 }
}

fn holds_loop(k: &Kernel, block: BlockId) -> bool {
    k.block(block).ops.iter().map(|&id| k.op(id)).any(|op| match op.code {
        OpCode::For => steps(k, op),
        _ => op.regions.iter().any(|&r| holds_loop(k, r)),
    })
}

/// Whether an op with regions must be run for what happens in it, not for scalars it gives.
fn steps(k: &Kernel, op: &Op) -> bool {
    op.results.iter().any(|&r| is_protocol(k.ty(r)))
        || op
            .regions
            .iter()
            .any(|&r| k.block(r).ops.iter().any(|&id| is_step(k.op(id)) || steps(k, k.op(id))))
}

fn keep(k: &Kernel, needed: &[bool], op: &Op) -> bool {
    is_step(op)
        || matches!(op.code, OpCode::Yield | OpCode::Cursor | OpCode::Advance | OpCode::Lap | OpCode::Ring)
        || op.results.iter().any(|r| needed[r.index()])
        || matches!(op.code, OpCode::For | OpCode::If) && steps(k, op)
}

/// Scalars that decide what runs: bounds and conditions, and what those are made of.
struct Needs<'k> {
    k: &'k Kernel,
    needed: Vec<bool>,
    grown: bool,
}

impl Needs<'_> {
    fn need(&mut self, v: Value) {
        if matches!(self.k.ty(v), Type::Scalar(_)) && !std::mem::replace(&mut self.needed[v.index()], true) {
            self.grown = true;
        }
    }

    fn is_needed(&self, v: Value) -> bool {
        self.needed[v.index()]
    }

    /// Backwards, so that one walk finds most.
    fn block(&mut self, block: BlockId) {
        let k = self.k;
        for &id in k.block(block).ops.iter().rev() {
            let op = k.op(id);
            let wanted = op.results.iter().any(|&r| self.is_needed(r));
            match op.code.class() {
                Class::For => {
                    let args = &k.block(op.regions[0]).args;
                    let out = k.block(op.regions[0]).ops.last().map_or(&[][..], |&y| &k.op(y).operands);
                    for (i, &r) in op.results.iter().enumerate() {
                        if self.is_needed(r) || self.is_needed(args[i + 1]) {
                            out.get(i).into_iter().for_each(|&v| self.need(v));
                            self.need(op.operands[i + 2]);
                        }
                    }
                    if op.flag("drawn") {
                        out.first().into_iter().for_each(|&v| self.need(v));
                        self.need(op.operands[2]);
                    }
                    if wanted || steps(k, op) {
                        self.need(op.operands[0]);
                        self.need(op.operands[1]);
                    }
                }
                Class::If => {
                    for &r in &op.regions {
                        let out = k.block(r).ops.last().map_or(&[][..], |&y| &k.op(y).operands);
                        for (&v, &r) in out.iter().zip(&op.results) {
                            if self.is_needed(r) {
                                self.need(v);
                            }
                        }
                    }
                    if wanted || steps(k, op) {
                        self.need(op.operands[0]);
                    }
                }
                _ if wanted => op.operands.iter().for_each(|&v| self.need(v)),
                _ => {}
            }
            op.regions.iter().for_each(|&r| self.block(r));
        }
    }
}
