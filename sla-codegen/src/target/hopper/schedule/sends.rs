//! Which stores after the loop go through shared memory, as copies that nobody waits for. How is the consumer's business.

use super::shape::Finder;
use sla_dsl::ir::{Op, OpCode, OpId, Scalar, Type, Value};

impl Finder<'_> {
    /// Whether a store is one of whole rows of halves, which the hardware can copy from shared memory.
    pub(super) fn can_send(&self, id: OpId, rows: usize) -> bool {
        let k = self.k;
        let op = k.op(id);
        if op.code != OpCode::Store {
            return false;
        }
        let (Some(param), Type::Tile(elem, shape)) = (k.param_of(op.operands[0]), k.ty(op.operands[1]))
        else {
            return false;
        };
        let uses = self.tensors[param];
        elem.is_half()
            && shape.len() == 2
            && shape[0] == rows
            && shape[1].is_multiple_of(64)
            && self.is_box(op, param, k.ty(op.operands[1]))
            && uses.atomics == 0
            && self.stores_apart(op, param, uses.stores)
            && self.reads_only_what_it_writes(id, uses.loads)
    }

    /// Whether a program's stores to a tensor, of which there are so many, keep clear of this one: nothing orders copies that are on their way together. On
    /// some axis their places are numbers further apart than either reaches.
    fn stores_apart(&self, store: &Op, param: usize, count: usize) -> bool {
        let k = self.k;
        let number = |v: Value| match self.defs[v.index()].and_then(|d| k.op(d).scalar()) {
            Some(Scalar::Int(n)) => Some(n),
            _ => None,
        };
        let apart = |other: &Op| {
            let extents = store.ints("box").iter().zip(other.ints("box")).map(|(&a, &b)| a.max(b));
            let places = store.offsets().iter().zip(other.offsets());
            let gaps = places.map(|(&a, &b)| Some((number(a)? - number(b)?).abs()));
            gaps.zip(extents).any(|(gap, extent)| gap.is_some_and(|g| g >= extent))
        };
        let stores = k.block(k.body).ops.iter().map(|&o| k.op(o));
        let here = stores.filter(|o| o.code == OpCode::Store && k.param_of(o.operands[0]) == Some(param));
        // The store itself, and those that keep clear of it: all that there are.
        1 + here.filter(|o| apart(o)).count() == count
    }

    /// Whether a program reads of a store's tensor at most what the store overwrites, and that before: each thread has then got what it adds to when the
    /// warpgroup meets before the copy, and no other program looks at it.
    fn reads_only_what_it_writes(&self, store: OpId, loads: usize) -> bool {
        let (k, op) = (self.k, self.k.op(store));
        let before = k.block(k.body).ops.iter().take_while(|&&o| o != store);
        let same = |o: &&OpId| {
            let load = k.op(**o);
            load.code == OpCode::Load
                && load.operands[0] == op.operands[0]
                && load.offsets() == op.offsets()
                && load.ints("box") == op.ints("box")
        };
        before.filter(same).count() == loads
    }
}
