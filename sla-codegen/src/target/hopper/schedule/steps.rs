//! The steps of the loop: what is started before what is waited for.
//!
//! With front products, or operands that the loop computes, a step's late products run during the next step's front products (see the
//! parent module), and warpgroups can start such products in turn. A loop with late products of streams alone keeps them in flight from step to step, and gives a step's stages
//! back when the next step's products have started and its own have ended. Where registers do not suffice for two steps, `in_step` takes them one by
//! one.

use super::consumer::Consumer;
use super::own::Refill;
use super::shape::is_zero;
use super::writer::Writer;
use sla_dsl::ir::{Attr, OpCode, Value};

/// What goes from one step to the next.
#[derive(Clone)]
struct State {
    /// First operands of late products, to be started in the next step.
    left: Vec<Value>,
    /// What the late products add to.
    accumulators: Vec<Value>,
    /// The carried values that are no accumulators.
    others: Vec<Value>,
    /// Places of the streams for front products.
    front: Vec<Value>,
    /// Places of the streams for late products.
    late: Vec<Value>,
}

impl State {
    fn flat(&self) -> Vec<Value> {
        [&self.left, &self.accumulators, &self.others, &self.front, &self.late]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    /// The same parts with other values.
    fn with(&self, values: &[Value]) -> State {
        let mut values = values.iter().copied();
        let mut take = |like: &Vec<Value>| -> Vec<Value> { values.by_ref().take(like.len()).collect() };
        State {
            left: take(&self.left),
            accumulators: take(&self.accumulators),
            others: take(&self.others),
            front: take(&self.front),
            late: take(&self.late),
        }
    }
}

/// Writes a loop that has at least one iteration; `init` are the carried values by slot, `flowing` the places of the streams. Gives the loop's results and
/// the places after it.
pub fn write(
    c: &Consumer<'_>,
    w: &mut Writer<'_>,
    lo: Value,
    hi: Value,
    init: &[Value],
    flowing: &[Value],
) -> (Vec<Value>, Vec<Value>) {
    let main = w.tile.op(c.shape.main);
    let step = main.int("step").unwrap_or(1);
    let args = w.tile.block(main.regions[0]).args.clone();
    w.known.insert(args[0], lo);
    w.known.extend(args[1..].iter().copied().zip(init.iter().copied()));
    let by = w.int(step);
    let second = w.arith(OpCode::Add, lo, by);
    let loop_ = Loop { c, args, step, second, hi };
    if c.shape.front.is_empty() && c.parts.left.is_empty() {
        loop_.in_flight(w, init, flowing)
    } else if c.plan.in_step {
        loop_.in_step(w, lo, init, flowing)
    } else {
        loop_.overlapped(w, flowing)
    }
}

/// The loop that is being written.
pub(super) struct Loop<'l, 'c> {
    pub c: &'l Consumer<'c>,
    /// Counter and carried values inside, in the tile kernel.
    pub args: Vec<Value>,
    pub step: i64,
    /// The second iteration's counter.
    second: Value,
    pub hi: Value,
}

impl Loop<'_, '_> {
    fn overlapped(&self, w: &mut Writer<'_>, flowing: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let (c, p) = (self.c, self.c.parts);
        // The first step has nothing late to run beside it.
        let front = self.front(w, flowing, None).0;
        c.copy(w, &p.middle, flowing);
        c.release_residents(w, |i| c.is_early(i));
        copy(w, &p.pack);
        copy(w, &p.before_late);
        let first = self.leave(w, front, flowing.to_vec());

        let open = w.begin_for(self.second, self.hi, self.step, &first.flat());
        let state = first.with(&open.carried);
        w.known.insert(self.args[0], open.counter);
        for (&slot, &v) in p.others.iter().zip(&state.others) {
            w.known.insert(self.args[1 + slot], v);
        }
        let (front, late) = self.front(w, &state.front, Some(&state));
        if !c.plan.settle_early {
            c.copy(w, &p.middle, &state.front);
        }
        let ahead = self.ahead_of_last(w, open.counter);
        let tiles = c.wait(w, &late, 0);
        c.release(w, &p.late, &state.late, ahead.as_ref());
        for (&slot, &tile) in c.shape.slots.iter().zip(&tiles) {
            w.known.insert(self.args[1 + slot], tile);
        }
        if c.plan.settle_early {
            c.copy(w, &p.middle, &state.front);
        }
        copy(w, &p.pack);
        copy(w, &p.before_late);
        let after = c.advance(w, &state.late);
        let next = self.leave(w, front, after);
        let results = w.end_for(open, &next.flat());

        let last = first.with(&results);
        c.release_residents(w, |i| !c.is_early(i) && !p.late_residents.contains(&i));
        let late = self.late(w, &last);
        let tiles = c.wait(w, &late, 0);
        c.release(w, &p.late, &last.late, None);
        c.release_residents(w, |i| p.late_residents.contains(&i));
        let after = c.advance(w, &last.late);
        let ends = (0..after.len()).map(|i| if p.front.contains(&i) { last.front[i] } else { after[i] });
        (self.by_slot(&tiles, &last.others), ends.collect())
    }

    /// The front products, beside the late products of the step before where there are any. Gives the places after the front products, and the late
    /// products, in flight.
    fn front(&self, w: &mut Writer<'_>, at: &[Value], before: Option<&State>) -> (Vec<Value>, Vec<Value>) {
        let (c, p) = (self.c, self.c.parts);
        let in_turn = before.filter(|_| c.plan.ping_pong);
        if let Some(state) = in_turn {
            c.await_operands(w, &c.shape.front, at);
            c.await_operands(w, &c.shape.late, &state.late);
            w.op(OpCode::TakeTurn, &[], &[], &[]);
        }
        let pending = c.start(w, &c.shape.front, at, &vec![None; c.shape.front.len()]);
        let late = before.map_or(Vec::new(), |state| self.late(w, state));
        if in_turn.is_some() {
            w.op(OpCode::PassTurn, &[], &[], &[]);
        }
        let done: Vec<usize> = p.front.iter().copied().filter(|i| !p.late.contains(i)).collect();
        let counter = w.get(self.args[0]);
        let ahead = c.ahead(w, &done, counter, self.hi);
        let tiles = c.wait(w, &pending, late.len());
        for (product, tile) in c.shape.front.iter().zip(tiles) {
            let result = w.tile.op(product.op).results[0];
            w.known.insert(result, tile);
        }
        c.release(w, &done, at, ahead.as_ref());
        (c.advance(w, at), late)
    }

    /// What follows when the late products' stages of the step before the one at `counter` are given back.
    fn ahead_of_last(&self, w: &mut Writer<'_>, counter: Value) -> Option<Refill> {
        let by = w.int(self.step);
        let last = w.arith(OpCode::Sub, counter, by);
        self.c.ahead(w, &self.c.parts.late, last, self.hi)
    }

    fn late(&self, w: &mut Writer<'_>, state: &State) -> Vec<Value> {
        for (&v, &tile) in self.c.parts.left.iter().zip(&state.left) {
            w.known.insert(v, tile);
        }
        let accumulators: Vec<Option<Value>> = state.accumulators.iter().copied().map(Some).collect();
        self.c.start(w, &self.c.shape.late, &state.late, &accumulators)
    }

    /// What the next step gets.
    fn leave(&self, w: &mut Writer<'_>, front: Vec<Value>, late: Vec<Value>) -> State {
        let p = self.c.parts;
        let mut get = |vs: &[Value]| -> Vec<Value> { vs.iter().map(|&v| w.get(v)).collect() };
        let others: Vec<Value> = p.others.iter().map(|&s| p.yields[s]).collect();
        State { left: get(&p.left), accumulators: get(&p.accumulators), others: get(&others), front, late }
    }

    fn in_flight(&self, w: &mut Writer<'_>, init: &[Value], flowing: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let (c, p) = (self.c, self.c.parts);
        let (defs, main) = (w.tile.defs(), w.tile.op(c.shape.main));
        let zero = |slot: usize| is_zero(w.tile, &defs, main.operands[2 + slot]);
        let accumulators: Vec<Option<Value>> =
            c.shape.slots.iter().map(|&s| (!zero(s)).then_some(init[s])).collect();
        c.copy(w, &p.middle, flowing);
        let running = c.start(w, &c.shape.late, flowing, &accumulators);
        let first = State { left: vec![], front: vec![], ..self.leave(w, vec![], flowing.to_vec()) };
        let first = State { accumulators: running, ..first };

        let open = w.begin_for(self.second, self.hi, self.step, &first.flat());
        let state = first.with(&open.carried);
        w.known.insert(self.args[0], open.counter);
        for (&slot, &v) in p.others.iter().zip(&state.others) {
            w.known.insert(self.args[1 + slot], v);
        }
        let at = c.advance(w, &state.late);
        c.copy(w, &p.middle, &at);
        let running: Vec<Option<Value>> = state.accumulators.iter().copied().map(Some).collect();
        let running = c.start(w, &c.shape.late, &at, &running);
        let ahead = self.ahead_of_last(w, open.counter);
        // When only this step's products are in flight, those of the step before have ended.
        w.op(OpCode::MmaWait, &[], &[], &[("left", Attr::Int(running.len() as i64))]);
        c.release(w, &p.late, &state.late, ahead.as_ref());
        let next = State { accumulators: running, late: at, ..self.leave(w, vec![], vec![]) };
        let next = State { left: vec![], ..next };
        let results = w.end_for(open, &next.flat());

        let last = first.with(&results);
        let tiles = c.wait(w, &last.accumulators, 0);
        c.release(w, &p.late, &last.late, None);
        c.release_residents(w, |_| true);
        let ends = c.advance(w, &last.late);
        (self.by_slot(&tiles, &last.others), ends)
    }

    /// The loop's results in the order of its slots.
    fn by_slot(&self, tiles: &[Value], others: &[Value]) -> Vec<Value> {
        let (slots, rest) = (&self.c.shape.slots, &self.c.parts.others);
        let find = |slot: usize| {
            let tile = slots.iter().position(|&s| s == slot).map(|i| tiles[i]);
            tile.or_else(|| rest.iter().position(|&s| s == slot).map(|i| others[i]))
        };
        (0..slots.len() + rest.len()).filter_map(find).collect()
    }
}

fn copy(w: &mut Writer<'_>, ops: &[sla_dsl::ir::OpId]) {
    ops.iter().for_each(|&op| w.copy(op));
}
