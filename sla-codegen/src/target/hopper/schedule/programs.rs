//! The persistent loop that every role has: the programs of a block of threads, one after the other.
//!
//! What a role carries (its places in rings) runs on from one program to the next, so that producers may be ahead of consumers across programs.
//! Which programs a block of threads runs is decided here and nowhere else:
//! * *by number*: block `c` of `n` runs programs `c`, `c + n`, `c + 2n`, …, whichever role asks.
//! * *drawn*: block `c` starts with program `c`; one role then draws the next one from a counter in global memory, and hands it to the other roles
//!   through a ring of numbers. It draws shortly before it is done with the program before, so nobody waits for the counter, and no block holds long
//!   programs at the end while others have none. If all draw as many steps before their program's end, programs go to whoever ends first. Each block draws
//!   once for each program that it has, so a launch of `p` programs draws `p` times, and a counter that wraps there is 0 for the next launch without
//!   anyone resetting it.
//!
//! Where a block of threads has several groups of roles, each counts as a block here.
//!
//! A role that would wait for numbers in memory at the start of each program (how long its list is) reads them one program ahead: [`Ahead`].

use super::writer::{Known, OpenFor, Writer};
use sla_dsl::ir::{Attr, Elem, OpCode, OpId, Pred, Type, Value};

/// Steps of a program that are left to be copied when the next one is drawn. The consumers are further back by as many as a ring has stages, and these
/// together take longer than a draw, a look into the lists of the program that was drawn and its first copies.
const DRAWN_BEFORE: i64 = 4;

/// Numbers that a role reads from memory one program ahead.
pub struct Ahead<'s> {
    /// The scalar ops before the loop, the loads among them.
    pub scalars: &'s [OpId],
    /// The loads.
    pub loads: Vec<OpId>,
}

impl<'s> Ahead<'s> {
    /// Nothing.
    pub fn none() -> Ahead<'s> {
        Ahead { scalars: &[], loads: Vec::new() }
    }

    /// All loads among these ops.
    pub fn of(w: &Writer<'_>, scalars: &'s [OpId]) -> Ahead<'s> {
        let loads = scalars.iter().copied().filter(|&op| w.tile.op(op).code == OpCode::Load);
        Ahead { scalars, loads: loads.collect() }
    }

    /// What a program will find.
    fn read(&self, w: &mut Writer<'_>, extents: &[Value], program: Value) -> Vec<Value> {
        if self.loads.is_empty() {
            return Vec::new();
        }
        let (known, place): (Known, Vec<Value>) = (w.known.clone(), w.place.clone());
        place_of(w, extents, program);
        self.scalars.iter().for_each(|&op| w.copy(op));
        let values = self.loads.iter().map(|&op| w.get(w.tile.op(op).results[0])).collect();
        (w.known, w.place) = (known, place);
        values
    }
}

/// Where the numbers of programs come from.
#[derive(Clone, Copy)]
pub struct Source {
    /// The ring that they are drawn through; by number where there is none.
    pub queue: Option<Value>,
    /// Whether there may be no program of a group's number: where a block of threads has several groups.
    pub groups: bool,
}

/// The program after the one that is being written.
pub struct Next<'s> {
    queue: Option<Queue>,
    /// Its number, once it is taken.
    number: Option<Value>,
    ahead: Ahead<'s>,
    extents: Vec<Value>,
    total: Value,
    program: Value,
    read: Vec<Value>,
}

struct Queue {
    ring: Value,
    cursor: Value,
}

impl Next<'_> {
    /// Draws it. All roles take it when they are done with theirs, this one too.
    pub fn draw(&self, w: &mut Writer<'_>) {
        if let Some(q) = &self.queue {
            w.one(OpCode::Draw, &[q.ring, q.cursor, self.total], Type::Scalar(Elem::I32), &[]);
        }
    }

    /// Where a loop starts its last few steps, or all.
    pub fn last_steps(&self, w: &mut Writer<'_>, [lo, hi]: [Value; 2], step: i64) -> Value {
        let (all, few) = (w.arith(OpCode::Sub, hi, lo), w.int(DRAWN_BEFORE * step));
        let left = w.arith(OpCode::Min, all, few);
        w.arith(OpCode::Sub, hi, left)
    }

    /// In the step at `counter` of a loop: draws it if that is the first one from `start` on.
    pub fn draw_at(&self, w: &mut Writer<'_>, counter: Value, start: Value, step: i64) {
        // Written without the loop's first counter, to which LLVM would compare by a copy of the loop's first step.
        let now = if step == 1 {
            compare(w, counter, Pred::Eq, start)
        } else {
            let (past, zero, step) = (w.arith(OpCode::Sub, counter, start), w.int(0), w.int(step));
            let (from, before) = (compare(w, past, Pred::Ge, zero), compare(w, past, Pred::Lt, step));
            w.one(OpCode::And, &[from, before], Type::Scalar(Elem::Bool), &[])
        };
        self.draw_if(w, now);
    }

    /// Draws it if a loop has no steps to do so in.
    pub fn draw_without(&self, w: &mut Writer<'_>, [lo, hi]: [Value; 2]) {
        let none = compare(w, lo, Pred::Ge, hi);
        self.draw_if(w, none);
    }

    fn draw_if(&self, w: &mut Writer<'_>, cond: Value) {
        let draw = |w: &mut Writer<'_>| {
            self.draw(w);
            Vec::new()
        };
        w.branch(cond, draw, |_| Vec::new());
    }

    /// Reads what is read ahead; where programs are drawn, waits until the next one is.
    pub fn look(&mut self, w: &mut Writer<'_>) {
        if self.ahead.loads.is_empty() {
            return;
        }
        let next = match self.taken(w) {
            Some(next) => next,
            None => {
                let ctas = w.index(OpCode::Ctas, &[]);
                w.arith(OpCode::Add, self.program, ctas)
            }
        };
        // Past the last program the present one is looked at again, and what is found is not used.
        let zero = w.int(0);
        let (below, from) = (compare(w, next, Pred::Lt, self.total), compare(w, next, Pred::Ge, zero));
        let is = w.one(OpCode::And, &[below, from], Type::Scalar(Elem::Bool), &[]);
        let safe = w.one(OpCode::Select, &[is, next, self.program], Type::Scalar(Elem::I32), &[]);
        self.read = self.ahead.read(w, &self.extents, safe);
    }

    /// The next program's number, if programs are drawn.
    fn taken(&mut self, w: &mut Writer<'_>) -> Option<Value> {
        let q = self.queue.as_ref()?;
        let take =
            |w: &mut Writer<'_>| w.one(OpCode::Take, &[q.ring, q.cursor], Type::Scalar(Elem::I32), &[]);
        let next = self.number.unwrap_or_else(|| take(w));
        self.number = Some(next);
        Some(next)
    }

    /// The program and the place in the ring after it, where programs are drawn; what was read ahead.
    fn values(mut self, w: &mut Writer<'_>) -> Vec<Value> {
        let mut values: Vec<Value> = self.taken(w).into_iter().collect();
        if let Some(q) = &self.queue {
            values.push(advance(w, q.ring, q.cursor));
        }
        values.extend(self.read);
        values
    }
}

/// Writes the loop; `body` gets what the loop carries and returns what it carries on.
pub fn programs(
    w: &mut Writer<'_>,
    source: Source,
    ahead: Ahead<'_>,
    init: &[Value],
    body: impl FnOnce(&mut Writer<'_>, &[Value], &mut Next<'_>) -> Vec<Value>,
) {
    let axes = w.tile.grid.len();
    let extents: Vec<Value> =
        (0..axes).map(|a| w.index(OpCode::Extent, &[("axis", Attr::Int(a as i64))])).collect();
    let cta = w.index(OpCode::Cta, &[]);
    let mut total = w.int(1);
    for &e in &extents {
        total = w.arith(OpCode::Mul, total, e);
    }
    // A block of threads is only started if there is a program of its number, or one for its first group.
    let number_or = |w: &mut Writer<'_>, none: i64| {
        if !source.groups {
            return cta;
        }
        let (none, is) = (w.int(none), some(w, cta, total));
        w.one(OpCode::Select, &[is, cta, none], Type::Scalar(Elem::I32), &[])
    };
    let (safe, drawn) = (number_or(w, 0), number_or(w, -1));
    let found = ahead.read(w, &extents, safe);
    let init = [&found[..], init].concat();
    let (open, program, queue) = match source.queue {
        None => {
            let (open, program) = by_number(w, cta, total, &init);
            (open, program, None)
        }
        Some(ring) => {
            let (zero, first) = (w.int(0), start(w));
            let init: Vec<Value> = [drawn, first].into_iter().chain(init).collect();
            let open = w.begin_drawn(zero, total, &init);
            let queue = Queue { ring, cursor: open.carried[1] };
            let program = open.carried[0];
            (open, program, Some(queue))
        }
    };
    let carried = open.carried[if queue.is_some() { 2 } else { 0 }..].to_vec();
    let (found, carried) = carried.split_at(found.len());
    for (&op, &value) in ahead.loads.iter().zip(found) {
        w.known.insert(w.tile.op(op).results[0], value);
    }
    place_of(w, &extents, program);
    let mut next = Next { queue, number: None, ahead, extents, total, program, read: Vec::new() };
    let on = body(w, carried, &mut next);
    let mut yields = next.values(w);
    yields.extend(on);
    w.place.clear();
    w.end_for(open, &yields);
}

/// Where a program is in the grid.
fn place_of(w: &mut Writer<'_>, extents: &[Value], program: Value) {
    let mut rest = program;
    w.place.clear();
    for (a, &extent) in extents.iter().enumerate() {
        if a + 1 == extents.len() {
            w.place.push(rest);
        } else {
            let here = w.arith(OpCode::Rem, rest, extent);
            w.place.push(here);
            rest = w.arith(OpCode::Div, rest, extent);
        }
    }
}

/// The loop over every so-manieth program, and the program's number.
fn by_number(w: &mut Writer<'_>, cta: Value, total: Value, init: &[Value]) -> (OpenFor, Value) {
    let ctas = w.index(OpCode::Ctas, &[]);
    // Rounds: (total - cta + ctas - 1) / ctas; not more blocks are started than there are programs.
    let left = w.arith(OpCode::Sub, total, cta);
    let one = w.int(1);
    let more = w.arith(OpCode::Sub, ctas, one);
    let up = w.arith(OpCode::Add, left, more);
    let rounds = w.arith(OpCode::Div, up, ctas);
    let zero = w.int(0);
    let open = w.begin_for(zero, rounds, 1, init);
    let skipped = w.arith(OpCode::Mul, open.counter, ctas);
    let program = w.arith(OpCode::Add, cta, skipped);
    (open, program)
}

/// The first place in a ring.
pub fn start(w: &mut Writer<'_>) -> Value {
    w.one(OpCode::Cursor, &[], Type::Cursor, &[])
}

/// The place after.
pub fn advance(w: &mut Writer<'_>, ring: Value, cursor: Value) -> Value {
    w.one(OpCode::Advance, &[ring, cursor], Type::Cursor, &[])
}

/// The same stage, the next time around.
pub fn lap(w: &mut Writer<'_>, ring: Value, cursor: Value) -> Value {
    w.one(OpCode::Lap, &[ring, cursor], Type::Cursor, &[])
}

/// Whether a loop has an iteration.
pub fn some(w: &mut Writer<'_>, lo: Value, hi: Value) -> Value {
    compare(w, lo, Pred::Lt, hi)
}

fn compare(w: &mut Writer<'_>, a: Value, pred: Pred, b: Value) -> Value {
    w.one(OpCode::Cmp, &[a, b], Type::Scalar(Elem::Bool), &[("pred", Attr::Pred(pred))])
}
