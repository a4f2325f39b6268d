//! Which form of the online softmax a thread has registers for, and when late products are waited for with it.
//!
//! Watching weights ([`Watch`]) saves a step the maxima of its scores, a fifth of its instructions beside products; but the scores are needed until the
//! weights are known to fit. On an H100 that made lists of 128 by 64 blocks 3 % faster and dense attention 1 % with 128 columns and 4 % with 64; two
//! groups of lists with 64 columns, whose threads have 112 registers, spill and become 10 % slower.
//!
//! Weights of few columns are kept in f32 beside the scores and rounded when the last step's late products, which read the registers they go to, have
//! ended: these are waited for as late as that. Where f32 weights do not fit, they are rounded as they are computed, and the wait comes before; ptxas then
//! moves the first exponentials in front of it. Where both fit (64 columns of 128 rows) the later wait was equal or 1 % faster. With scores watched the
//! earlier one is 2 to 4 % slower.

use super::plan::{Plan, REGISTERS_BESIDE, part, registers_in_loop};
use super::shape::{Shape, Source};
use crate::{Options, Watch};
use sla_dsl::ir::{Kernel, OpCode, Value};

/// A form of the softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What tells that a reference no longer serves.
    pub watch: Watch,
    /// Whether a step's late products are waited for before its softmax.
    pub early: bool,
}

/// The forms that the options leave, best first; the last one does for every kernel that any does for.
pub fn forms(options: &Options) -> Vec<Form> {
    let all =
        [(Watch::Weights, false), (Watch::Weights, true), (Watch::Scores, false), (Watch::Scores, true)];
    let asked = |f: &Form| {
        options.watch.is_none_or(|watch| f.watch == watch)
            && options.settle_early.is_none_or(|early| f.early == early)
    };
    let mut left: Vec<Form> =
        all.map(|(watch, early)| Form { watch, early }).into_iter().filter(asked).collect();
    // With scores watched nothing asks for an early wait but the options.
    if options.settle_early.is_none() {
        left.retain(|f| f.watch == Watch::Weights || !f.early);
    }
    left
}

impl Form {
    /// Whether a thread has the registers for a kernel of this form.
    pub fn fits(self, kernel: &Kernel, shape: &Shape, plan: &Plan) -> bool {
        if self.watch == Watch::Scores {
            return true;
        }
        let defs = kernel.defs();
        // Weights in f32 are rounded by an op of their own.
        let wide = |v: Value| {
            let op = defs[v.index()].map(|d| kernel.op(d)).filter(|op| op.code == OpCode::Cast)?;
            Some((part(kernel, shape, op.operands[0]), part(kernel, shape, v)))
        };
        let mut left: Vec<Value> = Vec::new();
        for p in &shape.late {
            if let Source::Registers(v) = p.a
                && !left.contains(&v)
            {
                left.push(v);
            }
        }
        let mut need = registers_in_loop(kernel, shape, &plan.in_registers) + REGISTERS_BESIDE;
        for v in left {
            match wide(v) {
                // What they are rounded to takes the place of what was waited for.
                Some((weights, rounded)) => {
                    need += if self.early { weights.saturating_sub(rounded) } else { weights }
                }
                // It would be written while a product in flight reads what it becomes in the next step.
                None if !self.early => return false,
                None => {}
            }
        }
        need <= plan.registers
    }
}
