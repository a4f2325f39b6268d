//! Products after the loop: which they are, and how a consumer makes them.
//!
//! Their second operands are residents that are loaded after the loop: producers copy them while it runs. First operands are tiles in registers, or
//! residents of the loop, which are then kept until their last product ends. Each product ends before the next one starts: there is one of each, or
//! few, and what the author wrote between them has the registers.
//!
//! A resident that nothing but the end of a program reads is read there, so that its registers are free while the loop runs.

use super::consumer::{Consumer, view};
use super::shape::{Finder, Found, Product, Source, Staged, is_zero};
use super::writer::Writer;
use crate::analysis::{dot_operand, dot_size};
use sla_dsl::ir::{Elem, OpCode, OpId, Value};
use std::collections::HashSet;

impl Finder<'_> {
    /// The products after the loop; their second operands become residents.
    pub(super) fn last(
        &self,
        after: &[OpId],
        rows: usize,
        before: &HashSet<OpId>,
        straight: bool,
        residents: &mut Vec<Staged>,
    ) -> Found<Vec<Product>> {
        let k = self.k;
        let mut products = Vec::new();
        let place = |staged: Staged, residents: &mut Vec<Staged>| {
            residents.iter().position(|r| r.value == staged.value).unwrap_or_else(|| {
                residents.push(staged);
                residents.len() - 1
            })
        };
        let dots = || after.iter().copied().filter(|&o| k.op(o).code == OpCode::Dot);
        let first = |op: OpId| {
            let resident = |s: &Staged| s.loads.len() == 1 && before.contains(&s.loads[0]);
            self.staged(dot_operand(k, &self.defs, op, 0).value).filter(resident)
        };
        // What is loaded before the loop comes before what is loaded after it. Without steps, tiles that nothing multiplies are worth a ring too.
        for staged in dots().filter_map(first) {
            place(staged, residents);
        }
        if straight {
            let loads = k.block(k.body).ops.iter().filter(|o| before.contains(o));
            let tiles = loads.filter(|&&o| k.op(o).code == OpCode::Load).map(|&o| k.op(o).results[0]);
            for staged in tiles.filter_map(|v| self.staged(v)) {
                place(staged, residents);
            }
        }
        for op in dots() {
            let [m, n, kk] = dot_size(k, &self.defs, op);
            if m != rows || !n.is_multiple_of(8) || n > 256 || !kk.is_multiple_of(16) {
                let reason = format!("a product of [{m}, {kk}] by [{kk}, {n}] after a loop over {rows} rows");
                return self.refuse(op, reason);
            }
            let [left, right] = [0, 1].map(|index| dot_operand(k, &self.defs, op, index));
            if left.transposed || !k.ty(left.value).elem().is_some_and(Elem::is_half) {
                return self.refuse(op, "a product after the loop whose first operand is f32, or transposed");
            }
            let a = match first(op) {
                Some(staged) => Source::Resident(place(staged, residents)),
                None => Source::Registers(left.value),
            };
            let alone = |s: &Staged| !s.read && s.loads.len() == 1 && after.contains(&s.loads[0]);
            let Some(staged) = self.staged(right.value).filter(alone) else {
                let reason = "a product after the loop whose second operand is not loaded for it, after the loop, from a packed and aligned tensor \
                              of halves";
                return self.refuse(op, reason);
            };
            let b = Source::Resident(place(Staged { last: true, ..staged }, residents));
            products.push(Product { op, a, b, turned: [false, right.transposed] });
        }
        for r in residents.iter_mut().filter(|r| r.read) {
            r.read_after = self.readers(r.value).all(|u| after.contains(&u));
            r.read = !r.read_after;
        }
        let both = |p: &&Product| residents.iter().any(|r| r.last && p.a == Source::Registers(r.value));
        match products.iter().find(both) {
            Some(p) => {
                self.refuse(p.op, "a tile loaded after the loop that is a first operand and a second one")
            }
            None => Ok(products),
        }
    }

    /// Those of `ops`, in their order, that the values come from.
    pub(super) fn needed(&self, ops: &[OpId], values: &[Value]) -> Vec<OpId> {
        let mut wanted: HashSet<Value> = values.iter().copied().collect();
        let mut found = Vec::new();
        for &id in ops.iter().rev() {
            let op = self.k.op(id);
            if op.results.iter().any(|r| wanted.contains(r)) {
                wanted.extend(&op.operands);
                found.push(id);
            }
        }
        found.reverse();
        found
    }
}

impl Consumer<'_> {
    /// The ops after the loop.
    pub(super) fn after(&mut self, w: &mut Writer<'_>, ops: &[OpId]) {
        let (tile, shape) = (w.tile, self.shape);
        for (i, r) in shape.residents.iter().enumerate().filter(|(_, r)| r.read_after) {
            let content = match self.contents[i] {
                Some(content) => content,
                None => w.one(OpCode::Read, &[self.views[i]], tile.ty(r.value).clone(), &[]),
            };
            w.known.insert(r.value, content);
            if self.is_kept(i) && !shape.last.iter().any(|p| p.a == Source::Resident(i)) {
                w.op(OpCode::Release, &[self.rings.residents[i], self.held[i]], &[], &[]);
            }
        }
        let lasts: Vec<&Staged> = shape.residents.iter().filter(|r| r.last).collect();
        let mut staged: HashSet<Value> = lasts.iter().map(|r| r.value).collect();
        for &id in ops {
            let op = tile.op(id);
            let send = shape.sends.iter().position(|&s| s == id);
            if let Some(&staging) = send.and_then(|send| self.plan.sends.get(send)) {
                self.send(w, id, staging);
            } else if let Some(product) = shape.last.iter().find(|p| p.op == id) {
                self.last(w, product);
            } else if op.code == OpCode::Transpose && staged.contains(&op.operands[0]) {
                staged.extend(&op.results);
            } else if !lasts.iter().any(|r| r.loads.contains(&id)) {
                w.copy(id);
            }
        }
    }

    /// Whether a resident of the loop stays until what follows it is done with its stage.
    pub(super) fn is_kept(&self, resident: usize) -> bool {
        let r = &self.shape.residents[resident];
        let multiplied = self.shape.last.iter().any(|p| p.a == Source::Resident(resident));
        !r.last && (multiplied || r.read_after && !self.plan.in_registers[resident])
    }

    /// A product after the loop, from its start to its end. The last one of a resident gives it back.
    fn last(&mut self, w: &mut Writer<'_>, product: &Product) {
        let (tile, shape) = (w.tile, self.shape);
        let op = tile.op(product.op);
        w.at(op.loc);
        let Source::Resident(i) = product.b else { return };
        let first = shape.last.iter().find(|p| p.b == product.b).is_some_and(|p| p.op == product.op);
        if first {
            let r = &shape.residents[i];
            self.views.push(view(w, self.rings.residents[i], self.held[i], r.elem, r.size));
            self.contents.push(None);
        }
        let defs = tile.defs();
        let acc = op.operands.get(2).filter(|&&v| !is_zero(tile, &defs, v)).map(|&v| w.get(v));
        let started = self.start(w, std::slice::from_ref(product), &[], &[acc]);
        let tiles = self.wait(w, &started, 0);
        w.known.extend(op.results.iter().copied().zip(tiles));
        for (source, kept) in [(product.a, true), (product.b, false)] {
            let Source::Resident(i) = source else { continue };
            let ends = shape.last.iter().rfind(|p| [p.a, p.b].contains(&source));
            if ends.is_some_and(|p| p.op == product.op) && (!kept || self.is_kept(i)) {
                w.op(OpCode::Release, &[self.rings.residents[i], self.held[i]], &[], &[]);
            }
        }
    }
}
