//! The role that computes: the author's ops in their order, with the loop's products started and waited for as `steps` says.
//!
//! Here is what surrounds the loop: residents are waited for and given back, the ops before and after are copied, results are stored. Where no
//! producers do, it copies to shared memory too, as `own` says; products after the loop are the business of `last`.

use super::Rings;
use super::added;
use super::own::Refill;
use super::parts::Parts;
use super::plan::{Copier, Plan};
use super::programs::{Ahead, Next, advance, programs, some, start};
use super::shape::{Product, Shape, Source};
use super::steps;
use super::writer::Writer;
use sla_dsl::ir::{Attr, Elem, OpCode, OpId, Type, Value};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// Writes the role.
pub fn write(w: &mut Writer<'_>, shape: &Shape, rings: &Rings, plan: &Plan) {
    let warps = 4 * shape.warpgroups;
    w.role("compute", (plan.consumer_warp, warps, plan.groups), plan.consumer_registers, |w| {
        let init: Vec<Value> =
            (0..rings.residents.len() + added::places(shape, plan)).map(|_| start(w)).collect();
        let parts = Parts::new(w.tile, shape);
        // Only a block of threads that runs many programs has a next one to look at.
        let ahead = match plan.copier {
            Copier::Producers => Ahead::of(w, &shape.scalars),
            Copier::Consumer => Ahead::none(),
        };
        let known: HashSet<OpId> = ahead.loads.iter().copied().collect();
        programs(w, rings.programs, ahead, &init, |w, at, next| {
            let (held, flowing) = at.split_at(rings.residents.len());
            let mut consumer = Consumer {
                shape,
                rings,
                plan,
                parts: &parts,
                held: held.to_vec(),
                views: vec![],
                contents: vec![],
                awaited: RefCell::default(),
            };
            consumer.program(w, flowing, &known, next)
        });
    });
}

/// One program of the role.
pub(super) struct Consumer<'c> {
    pub shape: &'c Shape,
    pub rings: &'c Rings,
    pub plan: &'c Plan,
    pub parts: &'c Parts,
    /// Where the residents are.
    pub held: Vec<Value>,
    /// Their content.
    pub(super) views: Vec<Value>,
    /// The same in registers, for those that the plan wants there.
    pub(super) contents: Vec<Option<Value>>,
    /// The stages of streams that were waited for, by stream and place: once is enough.
    pub(super) awaited: RefCell<HashMap<(usize, Value), Value>>,
}

impl Consumer<'_> {
    /// Residents, the ops before the loop, the loop, the ops after it; gives the places in rings that the next program starts at.
    /// `known` are ops whose values are known already, one program ahead.
    fn program(
        &mut self,
        w: &mut Writer<'_>,
        flowing: &[Value],
        known: &HashSet<OpId>,
        next: &mut Next<'_>,
    ) -> Vec<Value> {
        let tile = w.tile;
        let body = &tile.block(tile.body).ops;
        let at = body.iter().position(|&o| o == self.shape.main).unwrap_or(0);
        let own = self.plan.copier == Copier::Consumer;
        if own {
            self.shape.scalars.iter().chain(&self.shape.last_scalars).for_each(|&op| w.copy(op));
            let at = added::spread(self.shape, flowing);
            self.fill_first(w, &at[..self.shape.streams.len()]);
        }
        let mut staged: HashSet<Value> = HashSet::new();
        for (i, r) in self.shape.residents.iter().enumerate().filter(|(_, r)| !r.last) {
            w.at(tile.op(r.loads[0]).loc);
            let view = view(w, self.rings.residents[i], self.held[i], r.elem, r.size);
            self.views.push(view);
            let held = self.plan.in_registers[i];
            let content =
                (r.read || held).then(|| w.one(OpCode::Read, &[view], tile.ty(r.value).clone(), &[]));
            self.contents.push(content.filter(|_| held));
            match content {
                Some(content) if r.read => drop(w.known.insert(r.value, content)),
                _ => drop(staged.insert(r.value)),
            }
        }
        for &id in &body[..at] {
            let op = tile.op(id);
            let of_view = op.code == OpCode::Transpose && staged.contains(&op.operands[0]);
            if of_view {
                staged.extend(&op.results);
            } else if !(self.shape.residents.iter().any(|r| r.loads.contains(&id))
                || own && self.shape.scalars.contains(&id)
                || known.contains(&id))
            {
                w.copy(id);
            }
        }
        let main = tile.op(self.shape.main);
        w.at(main.loc);
        let init: Vec<Value> = main.operands[2..].iter().map(|&v| w.get(v)).collect();
        let (lo, hi) = (w.get(main.operands[0]), w.get(main.operands[1]));
        let mut out = if self.shape.is_straight() {
            self.release_residents(w, |_| true);
            init.clone()
        } else {
            let cond = some(w, lo, hi);
            w.branch(
                cond,
                |w| {
                    let (results, flowing) = steps::write(self, w, lo, hi, &init, flowing);
                    results.into_iter().chain(flowing).collect()
                },
                |w| {
                    self.release_residents(w, |_| true);
                    init.iter().chain(flowing).copied().collect()
                },
            )
        };
        let flowing = out.split_off(init.len());
        w.known.extend(main.results.iter().copied().zip(out));
        // Here what is read has the stores to arrive in. ptxas keeps such numbers in uniform registers, and waits for them at the end of the
        // straight line of code that they are read in: before the loop that is at once.
        next.look(w);
        self.after(w, &body[at + 1..]);
        let held = self.held.iter().enumerate().map(|(i, &c)| advance(w, self.rings.residents[i], c));
        held.collect::<Vec<Value>>().into_iter().chain(flowing).collect()
    }

    /// A store through shared memory.
    pub(super) fn send(&self, w: &mut Writer<'_>, id: OpId, staging: usize) {
        let op = w.tile.op(id);
        w.at(op.loc);
        let ring = self.rings.staging[staging];
        let mut operands = vec![w.get(op.operands[0]), w.get(op.operands[1]), ring];
        operands.extend(op.offsets().iter().map(|&v| w.get(v)));
        w.op(OpCode::Send, &operands, &[], &[("box", Attr::Ints(op.ints("box").to_vec()))]);
    }

    /// Starts products, each a group of its own. `at` are the places of the streams; `accumulators` are what they add to, nothing for 0.
    pub fn start(
        &self,
        w: &mut Writer<'_>,
        products: &[Product],
        at: &[Value],
        accumulators: &[Option<Value>],
    ) -> Vec<Value> {
        let mut started = Vec::new();
        for (p, acc) in products.iter().zip(accumulators) {
            let op = w.tile.op(p.op);
            w.at(op.loc);
            let mut operands: Vec<Value> = Vec::new();
            for (index, source) in [p.a, p.b].into_iter().enumerate() {
                operands.push(self.operand(w, source, index, at));
            }
            operands.extend(acc);
            let size = match w.tile.ty(op.results[0]).shape() {
                Some(&[m, n]) => [m, n],
                _ => unreachable!("the result of a dot has rank 2"),
            };
            let attrs = [("ta", Attr::Int(p.turned[0].into())), ("tb", Attr::Int(p.turned[1].into()))];
            started.push(w.one(OpCode::Mma, &operands, Type::Pending(Elem::F32, size), &attrs));
        }
        started
    }

    /// The first (`index` 0) or second operand of a product.
    pub(super) fn operand(&self, w: &mut Writer<'_>, source: Source, index: usize, at: &[Value]) -> Value {
        match source {
            Source::Registers(v) => w.get(v),
            Source::Resident(i) if index == 0 => self.contents[i].unwrap_or(self.views[i]),
            Source::Resident(i) => self.views[i],
            Source::Stream(i) => self.stage(w, i, at[i]),
        }
    }

    /// The stage of a stream at a place, waited for. Sound to wait only once at a place: stages are given back after their last use, and a step's
    /// places are values of its own region.
    fn stage(&self, w: &mut Writer<'_>, stream: usize, at: Value) -> Value {
        if let Some(&known) = self.awaited.borrow().get(&(stream, at)) {
            return known;
        }
        let s = &self.shape.streams[stream];
        let v = view(w, self.rings.streams[stream], at, s.elem, s.size);
        self.awaited.borrow_mut().insert((stream, at), v);
        v
    }

    /// Waits for what products read, before they start: where they are started in turn, nothing may wait in between.
    pub fn await_operands(&self, w: &mut Writer<'_>, products: &[Product], at: &[Value]) {
        for p in products {
            for source in [p.a, p.b] {
                if let Source::Stream(i) = source {
                    w.at(w.tile.op(p.op).loc);
                    self.stage(w, i, at[i]);
                }
            }
        }
    }

    /// Whether an op of the loop loads a line.
    pub fn is_line(&self, op: OpId) -> bool {
        self.shape.streams.iter().any(|s| s.is_line() && s.loads.contains(&op))
    }

    /// Waits for the lines of a step.
    pub fn await_lines(&self, w: &mut Writer<'_>, at: &[Value]) {
        for i in (0..self.shape.streams.len()).filter(|&i| self.shape.streams[i].is_line()) {
            self.stage(w, i, at[i]);
        }
    }

    /// Copies ops of the loop for the step whose streams are at these places; lines are read where the author loads them.
    pub fn copy(&self, w: &mut Writer<'_>, ops: &[OpId], at: &[Value]) {
        for &id in ops {
            let line = self.shape.streams.iter().position(|s| s.is_line() && s.loads.contains(&id));
            let Some(i) = line else {
                w.copy(id);
                continue;
            };
            w.at(w.tile.op(id).loc);
            let value = self.shape.streams[i].value;
            let stage = self.stage(w, i, at[i]);
            let tile = w.one(OpCode::Read, &[stage], w.tile.ty(value).clone(), &[]);
            w.known.insert(value, tile);
        }
    }

    /// Waits until at most `left` groups are in flight; gives the tiles of these products.
    pub fn wait(&self, w: &mut Writer<'_>, pending: &[Value], left: usize) -> Vec<Value> {
        let types: Vec<Type> = pending
            .iter()
            .map(|&v| match w.out.ty(v) {
                Type::Pending(e, s) => Type::tile(*e, s),
                other => other.clone(),
            })
            .collect();
        w.op(OpCode::MmaWait, pending, &types, &[("left", Attr::Int(left as i64))])
    }

    /// What follows when these streams' stages of the step at `counter` are given back: copies, where they are this role's. To be asked for before
    /// products are waited for.
    pub fn ahead(&self, w: &mut Writer<'_>, streams: &[usize], counter: Value, hi: Value) -> Option<Refill> {
        let own = self.plan.copier == Copier::Consumer && !streams.is_empty();
        own.then(|| self.refill(w, streams, counter, hi))
    }

    /// Gives stages of streams back, whose products have ended.
    pub fn release(&self, w: &mut Writer<'_>, streams: &[usize], at: &[Value], then: Option<&Refill>) {
        for &i in streams {
            w.op(OpCode::Release, &[self.rings.streams[i], at[i]], &[], &[]);
        }
        if let Some(refill) = then {
            self.fill_again(w, streams, at, refill);
        }
    }

    /// The places after those of all streams and shared tiles.
    pub fn advance(&self, w: &mut Writer<'_>, at: &[Value]) -> Vec<Value> {
        let rings = self.rings.streams.iter().chain(&self.rings.shared);
        at.iter().zip(rings).map(|(&c, &ring)| advance(w, ring, c)).collect()
    }

    /// Whether a resident may be given back once the first front products have ended: only they read it, from registers.
    pub fn is_early(&self, resident: usize) -> bool {
        self.plan.in_registers[resident] && !self.parts.late_residents.contains(&resident)
    }

    /// Gives those residents of the loop back for which the condition holds.
    pub fn release_residents(&self, w: &mut Writer<'_>, which: impl Fn(usize) -> bool) {
        for (i, &at) in self.held.iter().enumerate() {
            if which(i) && !self.shape.residents[i].last && !self.is_kept(i) {
                w.op(OpCode::Release, &[self.rings.residents[i], at], &[], &[]);
            }
        }
    }
}

/// Waits for a stage.
pub(super) fn view(w: &mut Writer<'_>, ring: Value, at: Value, elem: Elem, size: [usize; 2]) -> Value {
    w.one(OpCode::Await, &[ring, at], Type::View(elem, size), &[])
}
