//! Dead code: ops that nothing needs, and carried values that nothing reads.
//!
//! ```text
//! %3 = exp2 %2 : f32                                      %4 = for %5 in %0..%1 carry(%6 = %2) {step=1} : f32 {
//! %4, %9 = for %5 in %0..%1 carry(%6 = %2, %8 = %3)         %7 = add %6, %6 : f32
//!     {step=1} : f32, f32 {                        =>       yield %7
//!   %7 = add %6, %6 : f32                                 }
//!   yield %7, %8                                          store ... %4 ...
//! }
//! store ... %4 ...
//! ```
//! Needed are ops that write or that a person sees, what they use, and the loops and branches around them. A loop carries only
//! values whose results, or whose values inside, are needed. Loads that nothing needs are removed with the faults they might have had.

use super::rewrite::{live_ops, remove_ops};
use sla_dsl::ir::{Class, Effect, Kernel, OpId, Value};
use std::collections::{HashMap, HashSet};

/// Removes what nothing needs.
pub fn dce(kernel: &mut Kernel) {
    let mut marks = Marks::new(kernel);
    for (_, id) in live_ops(kernel) {
        if matches!(kernel.op(id).code.effect(), Effect::Write | Effect::Visible) {
            marks.op(kernel, id);
        }
    }
    while let Some(v) = marks.pending.pop() {
        marks.follow(kernel, v);
    }
    let dead: HashSet<OpId> = live_ops(kernel)
        .into_iter()
        .map(|(_, id)| id)
        .filter(|id| !marks.ops.contains(id) && kernel.op(*id).code.class() != Class::Yield)
        .collect();
    remove_ops(kernel, &dead);
    for (_, id) in live_ops(kernel) {
        drop_slots(kernel, id, &marks.values);
    }
}

/// Where a value comes from, seen from a control op that carries it.
#[derive(Clone, Copy)]
enum Source {
    /// The result of an op.
    Result(OpId, usize),
    /// The value of carried slot `i` inside a loop.
    Carried(OpId, usize),
    /// The counter of a loop.
    Counter(OpId),
}

struct Marks {
    source: HashMap<Value, Source>,
    /// The op whose region each op is in.
    owner: HashMap<OpId, OpId>,
    ops: HashSet<OpId>,
    values: HashSet<Value>,
    pending: Vec<Value>,
}

impl Marks {
    fn new(kernel: &Kernel) -> Marks {
        let mut source = HashMap::new();
        let mut owner = HashMap::new();
        for (_, id) in live_ops(kernel) {
            let op = kernel.op(id);
            for (i, &r) in op.results.iter().enumerate() {
                source.insert(r, Source::Result(id, i));
            }
            for &region in &op.regions {
                let block = kernel.block(region);
                owner.extend(block.ops.iter().map(|&inner| (inner, id)));
                for (i, &arg) in block.args.iter().enumerate() {
                    let from = if i == 0 { Source::Counter(id) } else { Source::Carried(id, i - 1) };
                    source.insert(arg, from);
                }
            }
        }
        Marks { source, owner, ops: HashSet::new(), values: HashSet::new(), pending: Vec::new() }
    }

    fn value(&mut self, v: Value) {
        if self.values.insert(v) {
            self.pending.push(v);
        }
    }

    /// An op is needed: so are the ops around it and what it uses; of a loop or branch, what decides whether it runs.
    fn op(&mut self, kernel: &Kernel, id: OpId) {
        if !self.ops.insert(id) {
            return;
        }
        if let Some(&owner) = self.owner.get(&id) {
            self.op(kernel, owner);
        }
        let op = kernel.op(id);
        let used = match op.code.class() {
            Class::For => &op.operands[..2],
            _ => &op.operands[..],
        };
        used.iter().for_each(|&v| self.value(v));
        if op.flag("drawn") {
            self.value(op.results[0]);
        }
    }

    /// A value is needed: so is what makes it.
    fn follow(&mut self, kernel: &Kernel, v: Value) {
        let Some(&source) = self.source.get(&v) else { return };
        let (Source::Result(id, _) | Source::Carried(id, _) | Source::Counter(id)) = source;
        self.op(kernel, id);
        let op = kernel.op(id);
        match source {
            Source::Result(_, slot) | Source::Carried(_, slot) if !op.regions.is_empty() => {
                self.value(op.results[slot]);
                if op.code.class() == Class::For {
                    self.value(op.operands[slot + 2]);
                    self.value(kernel.block(op.regions[0]).args[slot + 1]);
                }
                for &region in &op.regions {
                    if let Some(&last) = kernel.block(region).ops.last() {
                        self.value(kernel.op(last).operands[slot]);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Removes the results of a loop or branch that are not needed, with what they are carried in.
fn drop_slots(kernel: &mut Kernel, id: OpId, needed: &HashSet<Value>) {
    let op = kernel.op(id);
    if op.regions.is_empty() {
        return;
    }
    let is_loop = op.code.class() == Class::For;
    let regions = op.regions.clone();
    let keep: Vec<bool> = op.results.iter().map(|r| needed.contains(r)).collect();
    if keep.iter().all(|&k| k) {
        return;
    }
    let filter = |values: &mut Vec<Value>, head: usize| {
        let mut i = 0;
        values.retain(|_| {
            i += 1;
            i <= head || keep[i - 1 - head]
        });
    };
    filter(&mut kernel.op_mut(id).results, 0);
    if is_loop {
        filter(&mut kernel.op_mut(id).operands, 2);
        filter(&mut kernel.block_mut(regions[0]).args, 1);
    }
    for region in regions {
        if let Some(&last) = kernel.block(region).ops.last() {
            filter(&mut kernel.op_mut(last).operands, 0);
        }
    }
}
