//! Canonical form: each op in the simplest form that means the same.
//!
//! * [`fold`]: ops on constants become constants, computed by the interpreter's own functions.
//! * [`algebra`]: `x * 1`, `x + 0`, a cast there and back, a broadcast or reshape that changes nothing, a `select` that is decided.
//! * [`contract`]: `acc + dot(a, b)` becomes `dot(a, b, acc)`, `dot(a, transpose b)` sets `tb`, `a * b + c` in f32 becomes `fma`.
//! * [`memory`]: a reshape that only adds or drops axes of size 1 disappears into its load or store.
//! * [`control`]: a branch on a constant and a loop that never runs disappear; values that a loop only passes through are not carried.
//!
//! ```text
//! %3 = const {value=2} : i32
//! %4 = mul %3, %3 : i32                      %4 = const {value=4} : i32
//! %6 = transpose %1 : tile<16x8xf32>         %7 = dot %0, %1, %2 {ta=0, tb=1} : tile<8x8xf32>
//! %7 = dot %0, %6 {ta=0, tb=0}         =>
//!     : tile<8x8xf32>
//! %8 = add %2, %7 : tile<8x8xf32>
//! ```
//! Floats keep their exact value, except that `fma` rounds once where `mul` and `add` rounded twice: `x + 0.0` is not `x` for `-0.0` and
//! stays. Rules are applied until none fits; what they leave unused is removed.

mod algebra;
mod contract;
mod control;
mod fold;
mod memory;

use super::dce;
use super::rewrite::{constant, live_ops, resolve, use_counts};
use sla_dsl::ir::{Attr, BlockId, Class, Kernel, Op, OpCode, OpId, Scalar, Type, Value};
use std::collections::HashMap;

/// Brings a kernel into canonical form.
pub fn canonicalise(kernel: &mut Kernel) {
    // Every rule makes the kernel smaller or moves an op toward its final form, so this ends; the limit is for safety.
    for _ in 0..20 {
        let mut c = Canon::new(kernel);
        let body = c.kernel.body;
        c.block(body);
        let changed = c.changed;
        dce(kernel);
        if !changed {
            return;
        }
    }
}

/// What a rule did with an op.
enum Step {
    /// Nothing.
    Keep,
    /// Changed it in place; other rules may fit now.
    Again,
    /// Its only result is this value; it goes.
    Become(Value),
}

/// One walk over a kernel in program order.
struct Canon<'k> {
    kernel: &'k mut Kernel,
    replaced: HashMap<Value, Value>,
    /// The op that defines each value.
    defs: Vec<Option<OpId>>,
    /// The block each op is in, once it was visited.
    home: HashMap<OpId, BlockId>,
    /// Number of uses of each value; never less than the truth.
    uses: Vec<u32>,
    changed: bool,
}

impl<'k> Canon<'k> {
    fn new(kernel: &'k mut Kernel) -> Canon<'k> {
        let (defs, uses) = (kernel.defs(), use_counts(kernel));
        let home = live_ops(kernel).into_iter().map(|(b, op)| (op, b)).collect();
        Canon { kernel, replaced: HashMap::new(), defs, home, uses, changed: false }
    }

    fn block(&mut self, block: BlockId) {
        for id in std::mem::take(&mut self.kernel.block_mut(block).ops) {
            self.op(id, block);
        }
    }

    /// Visits an op and puts what remains of it at the end of `block`.
    fn op(&mut self, id: OpId, block: BlockId) {
        self.home.insert(id, block);
        for v in &mut self.kernel.op_mut(id).operands {
            *v = resolve(&self.replaced, *v);
        }
        match self.kernel.op(id).code.class() {
            Class::For => return control::for_(self, id, block),
            Class::If => return control::if_(self, id, block),
            Class::Role => {
                self.kernel.op(id).regions.clone().into_iter().for_each(|region| self.block(region))
            }
            _ => {}
        }
        // A rule that changes an op in place makes it simpler; four of them in a row is more than there are forms.
        for _ in 0..8 {
            match self.rules(id) {
                Step::Keep => break,
                Step::Again => self.changed = true,
                Step::Become(v) => {
                    let result = self.kernel.op(id).results[0];
                    return self.replace(result, v);
                }
            }
        }
        self.kernel.block_mut(block).ops.push(id);
    }

    fn rules(&mut self, id: OpId) -> Step {
        for rule in [fold::rule, algebra::rule, contract::rule, memory::rule] {
            match rule(self, id) {
                Step::Keep => {}
                done => return done,
            }
        }
        Step::Keep
    }

    fn replace(&mut self, old: Value, new: Value) {
        self.uses[new.index()] += self.uses[old.index()];
        self.replaced.insert(old, new);
        self.changed = true;
    }

    /// The constant that a value is.
    fn constant(&self, v: Value) -> Option<Scalar> {
        constant(self.kernel, &self.defs, v)
    }

    /// The op that defines a value, if it has the code.
    fn def(&self, v: Value, code: OpCode) -> Option<&Op> {
        self.def_id(v, code).map(|id| self.kernel.op(id))
    }

    fn def_id(&self, v: Value, code: OpCode) -> Option<OpId> {
        self.defs[v.index()].filter(|&id| self.kernel.op(id).code == code)
    }

    fn result_type(&self, id: OpId) -> &Type {
        self.kernel.ty(self.kernel.op(id).results[0])
    }

    /// Turns an op into another with the same results.
    fn become_op(
        &mut self,
        id: OpId,
        code: OpCode,
        operands: Vec<Value>,
        attrs: &[(&'static str, Attr)],
    ) -> Step {
        for v in &operands {
            self.uses[v.index()] += 1;
        }
        let op = self.kernel.op_mut(id);
        op.code = code;
        op.operands = operands;
        op.attrs = attrs.iter().cloned().collect();
        Step::Again
    }

    fn become_const(&mut self, id: OpId, value: Scalar) -> Step {
        self.become_op(id, OpCode::Const, Vec::new(), &[("value", Attr::Scalar(value))])
    }
}
