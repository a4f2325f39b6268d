//! One role as a machine: runs its ops until it must wait, and keeps its products in flight.
//!
//! Warpgroups of a role run one program and decide alike, so they are one machine whose releases count once a warpgroup. Turns do not change that: `places`
//! sees to it that who has one waits for nothing until it is passed on.

use super::barriers::Ring;
use super::cases::Question;
use super::error::Fault;
use super::numbers::{Num, Numbers};
use super::program::Program;
use super::share::Shares;
use sla_dsl::ir::{BlockId, Kernel, Op, OpCode, OpId, Value};

/// What a value is in a simulation.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// Mathematics.
    Other,
    Num(Num),
    /// By its place among the rings.
    Ring(usize),
    /// A position, and the ring that it was advanced along.
    Cursor(u32, Option<usize>),
    /// A ring and a position.
    View(usize, u32),
    /// A tile that was read from a stage, by its place among the role's.
    Read(usize),
    /// By its place among the role's.
    Pending(usize),
}

/// What all roles see.
pub struct World<'k> {
    pub kernel: &'k Kernel,
    pub program: &'k Program,
    pub rings: Vec<Ring>,
    pub numbers: Numbers<'k>,
    /// Programs drawn.
    pub drawn: i32,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Ran,
    /// It waits for a position of a ring: until it is full, or else empty.
    Waits {
        ring: usize,
        position: u32,
        full: bool,
    },
    Ended,
}

struct Frame {
    block: BlockId,
    next: usize,
    /// The `for` or `if`; the role itself at the bottom.
    op: OpId,
    /// Steps to go after this one.
    left: i64,
    counter: i32,
}

/// A product in flight, or once so.
struct Pending {
    op: OpId,
    /// The group that ends it.
    group: usize,
    taken: Option<&'static str>,
}

/// What a group of products reads.
struct Group {
    stages: Vec<(usize, u32)>,
}

/// A tile that was read from a stage.
struct Read {
    ring: usize,
    position: u32,
    /// The first group that takes it.
    group: Option<usize>,
    /// The stage was given back when no product had shown that the reading has ended.
    early: bool,
}

/// A role.
pub struct Role<'k> {
    pub index: usize,
    pub name: &'k str,
    /// Where it is.
    pub op: OpId,
    arrivals: u32,
    warps: u32,
    env: Vec<Val>,
    frames: Vec<Frame>,
    pendings: Vec<Pending>,
    groups: Vec<Group>,
    /// Groups that have ended: the first ones.
    retired: usize,
    reads: Vec<Read>,
    shares: Shares,
}

impl<'k> Role<'k> {
    /// At its start, with the values of the kernel's body.
    pub fn new(k: &'k Kernel, index: usize, id: OpId, env: Vec<Val>) -> Role<'k> {
        let op = k.op(id);
        let warps = op.int("warps").and_then(|w| u32::try_from(w).ok()).unwrap_or(1);
        let frame = Frame { block: op.regions[0], next: 0, op: id, left: 0, counter: 0 };
        Role {
            index,
            name: op.str("name"),
            op: id,
            arrivals: warps.div_ceil(4),
            warps,
            env,
            frames: vec![frame],
            pendings: Vec::new(),
            groups: Vec::new(),
            retired: 0,
            reads: Vec::new(),
            shares: Shares::default(),
        }
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.frames.is_empty()
    }

    /// The op of a product that nobody took.
    pub fn dropped(&self) -> Option<OpId> {
        self.pendings.iter().find(|p| p.taken.is_none()).map(|p| p.op)
    }

    /// Runs one op.
    pub fn step(&mut self, w: &mut World<'k>) -> Result<Step, Fault> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Step::Ended) };
        let id = w.program.ops[frame.block.index()][frame.next];
        frame.next += 1;
        self.op = id;
        let op = w.kernel.op(id);
        match op.code {
            OpCode::Yield => self.leave(w, op),
            OpCode::For => self.enter_for(w, id, op),
            OpCode::If => {
                let taken = w.numbers.truth(self.num(op.operands[0]));
                let block = op.regions[!taken as usize];
                self.frames.push(Frame { block, next: 0, op: id, left: 0, counter: 0 });
            }
            OpCode::Acquire | OpCode::Await => {
                let (ring, position) = self.turn(w, op)?;
                let full = op.code == OpCode::Await;
                let ready = if full {
                    w.rings[ring].wait(position, self.index, id)?
                } else {
                    w.rings[ring].acquire(position, self.index, id)?
                };
                if !ready {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.next -= 1;
                    }
                    return Ok(Step::Waits { ring, position, full });
                }
                if full {
                    self.set(op.results[0], Val::View(ring, position));
                }
            }
            OpCode::Draw | OpCode::Take => {
                let (ring, position) = self.turn(w, op)?;
                let full = op.code == OpCode::Take;
                let ready = if full {
                    w.rings[ring].wait(position, self.index, id)?
                } else {
                    w.rings[ring].acquire(position, self.index, id)?
                };
                if !ready {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.next -= 1;
                    }
                    return Ok(Step::Waits { ring, position, full });
                }
                if full {
                    w.rings[ring].release(position, self.index, self.warps)?;
                } else {
                    let total = self.num(op.operands[2]);
                    let program = w.numbers.ask(Question::Ctas) + w.drawn;
                    w.drawn += 1;
                    let some = program < w.numbers.eval(total).unwrap_or(0);
                    w.rings[ring].put(position, if some { program } else { -1 })?;
                }
                let program = w.rings[ring].number(position);
                self.set(op.results[0], Val::Num(Num::Known(program)));
            }
            OpCode::Fill => self.fill(w, op)?,
            OpCode::Release => self.release(w, op)?,
            OpCode::Advance | OpCode::Lap => {
                let (ring, position) = self.turn(w, op)?;
                let by = if op.code == OpCode::Lap { w.rings[ring].slots.len() as u32 } else { 1 };
                self.set(op.results[0], Val::Cursor(position + by, Some(ring)));
            }
            OpCode::Cursor => self.set(op.results[0], Val::Cursor(0, None)),
            OpCode::Read => {
                let Val::View(ring, position) = self.get(op.operands[0]) else { return Ok(Step::Ran) };
                self.usable(w, ring, position)?;
                if self.shares.holds(&w.rings[ring], ring, position) {
                    return Err(Fault::SharedRead { stage: w.rings[ring].stage(position) });
                }
                self.reads.push(Read { ring, position, group: None, early: false });
                self.set(op.results[0], Val::Read(self.reads.len() - 1));
            }
            OpCode::Mma => self.mma(w, id, op)?,
            OpCode::MmaWait => self.mma_wait(op)?,
            OpCode::Send | OpCode::SendAdd => {}
            OpCode::Share => {
                let (ring, position) = self.turn(w, op)?;
                self.shares.write(&w.rings[ring], ring, position, self.retired)?;
                self.set(op.results[0], Val::View(ring, position));
            }
            _ => {
                let args: Vec<Num> = op.operands.iter().map(|&v| self.num(v)).collect();
                if let [r] = op.results[..] {
                    let n = w.numbers.op(op, &args);
                    self.set(r, Val::Num(n));
                }
            }
        }
        Ok(if self.ended() { Step::Ended } else { Step::Ran })
    }

    fn get(&self, v: Value) -> Val {
        self.env[v.index()]
    }

    fn set(&mut self, v: Value, val: Val) {
        self.env[v.index()] = val;
    }

    fn num(&self, v: Value) -> Num {
        if let Val::Num(n) = self.get(v) { n } else { Num::Known(0) }
    }

    fn enter_for(&mut self, w: &mut World<'k>, id: OpId, op: &Op) {
        let (lo, hi) = (self.num(op.operands[0]), self.num(op.operands[1]));
        let step = op.int("step").unwrap_or(1);
        let (counter, trips) = w.numbers.trips(lo, hi, step, w.program.rounds[id.index()]);
        let over = op.flag("drawn") && self.is_over(w, op.operands[2]);
        if trips == 0 || over {
            for (&r, &init) in op.results.iter().zip(&op.operands[2..]) {
                self.set(r, self.get(init));
            }
            return;
        }
        let block = op.regions[0];
        let args = &w.kernel.block(block).args;
        self.set(args[0], Val::Num(Num::Known(counter)));
        for (&arg, &init) in args[1..].iter().zip(&op.operands[2..]) {
            self.set(arg, self.get(init));
        }
        self.frames.push(Frame { block, next: 0, op: id, left: trips - 1, counter });
    }

    /// Whether a drawn program is none.
    fn is_over(&self, w: &mut World<'k>, program: Value) -> bool {
        w.numbers.eval(self.num(program)).is_ok_and(|p| p < 0)
    }

    /// Ends a region: another step of a loop, or on behind it.
    fn leave(&mut self, w: &mut World<'k>, yielded: &Op) {
        let Some(mut frame) = self.frames.pop() else { return };
        let owner = w.kernel.op(frame.op);
        let values: Vec<Val> = yielded.operands.iter().map(|&v| self.get(v)).collect();
        let over = owner.flag("drawn") && self.is_over(w, yielded.operands[0]);
        if owner.code == OpCode::For && frame.left > 0 && !over {
            let args = &w.kernel.block(frame.block).args;
            frame.left -= 1;
            frame.counter = frame.counter.wrapping_add(owner.int("step").unwrap_or(1) as i32);
            self.set(args[0], Val::Num(Num::Known(frame.counter)));
            for (&arg, val) in args[1..].iter().zip(values) {
                self.set(arg, val);
            }
            frame.next = 0;
            self.frames.push(frame);
        } else {
            for (&r, val) in owner.results.iter().zip(values) {
                self.set(r, val);
            }
        }
    }

    /// The ring and the position that an op names.
    fn turn(&self, w: &World<'k>, op: &Op) -> Result<(usize, u32), Fault> {
        let at = matches!(op.code, OpCode::Fill | OpCode::Share) as usize;
        let Val::Ring(ring) = self.get(op.operands[at]) else { return Err(Fault::UnknownRing) };
        let Val::Cursor(position, along) = self.get(op.operands[at + 1]) else {
            return Err(Fault::UnknownRing);
        };
        match along {
            Some(other) if w.rings[other].slots.len() != w.rings[ring].slots.len() => {
                let name = |r: usize| w.rings[r].name.clone();
                Err(Fault::OtherRing { found: name(other), needed: name(ring) })
            }
            _ => Ok((ring, position)),
        }
    }

    fn fill(&mut self, w: &mut World<'k>, op: &Op) -> Result<(), Fault> {
        let (ring, position) = self.turn(w, op)?;
        let size = |v: i64| usize::try_from(v).unwrap_or(0);
        let cells: usize = op.ints("box").iter().map(|&e| size(e)).product();
        let first = size(op.int("row").unwrap_or(0));
        let rows = cells / w.rings[ring].columns();
        w.rings[ring].fill(position, first, first + rows)
    }

    fn release(&mut self, w: &mut World<'k>, op: &Op) -> Result<(), Fault> {
        let (ring, position) = self.turn(w, op)?;
        let stage = || w.rings[ring].stage(position);
        if self.groups[self.retired..].iter().any(|g| g.stages.contains(&(ring, position))) {
            return Err(Fault::InFlight { stage: stage() });
        }
        for read in self.reads.iter_mut().filter(|r| (r.ring, r.position) == (ring, position)) {
            match read.group {
                Some(g) if g < self.retired => {}
                Some(_) => return Err(Fault::ReadInFlight { stage: stage() }),
                None => read.early = true,
            }
        }
        // Of a line every warp reads its own part and arrives for itself.
        let arrivals = if w.rings[ring].is_line() { self.warps } else { self.arrivals };
        w.rings[ring].release(position, self.index, arrivals)
    }

    fn usable(&self, w: &World<'k>, ring: usize, position: u32) -> Result<(), Fault> {
        if w.rings[ring].is_released(position, self.index) {
            return Err(Fault::UsedAfterRelease { stage: w.rings[ring].stage(position) });
        }
        Ok(())
    }

    fn mma(&mut self, w: &World<'k>, id: OpId, op: &Op) -> Result<(), Fault> {
        let group = self.groups.len();
        let mut stages = Vec::new();
        for &v in &op.operands[..2] {
            match self.get(v) {
                Val::View(ring, position) => {
                    self.usable(w, ring, position)?;
                    self.shares.read(&w.rings[ring], ring, position, group)?;
                    stages.push((ring, position));
                }
                Val::Read(r) => {
                    let read = &mut self.reads[r];
                    read.group.get_or_insert(group);
                    if read.early {
                        let stage = w.rings[read.ring].stage(read.position);
                        return Err(Fault::ReadInFlight { stage });
                    }
                }
                _ => {}
            }
        }
        if let Some(Val::Pending(p)) = op.operands.get(2).map(|&v| self.get(v)) {
            self.take(p, op)?;
        }
        self.groups.push(Group { stages });
        self.pendings.push(Pending { op: id, group, taken: None });
        self.set(op.results[0], Val::Pending(self.pendings.len() - 1));
        Ok(())
    }

    fn mma_wait(&mut self, op: &Op) -> Result<(), Fault> {
        let left = op.int("left").and_then(|l| usize::try_from(l).ok()).unwrap_or(0);
        self.retired = self.retired.max(self.groups.len().saturating_sub(left));
        for (&v, &r) in op.operands.iter().zip(&op.results) {
            if let Val::Pending(p) = self.get(v) {
                self.take(p, op)?;
                let group = self.pendings[p].group;
                if group >= self.retired {
                    return Err(Fault::NotRetired { newer: self.groups.len() - 1 - group, left });
                }
            }
            self.set(r, Val::Other);
        }
        Ok(())
    }

    fn take(&mut self, pending: usize, by: &Op) -> Result<(), Fault> {
        match self.pendings[pending].taken.replace(by.code.name()) {
            Some(found) => Err(Fault::TakenTwice { found }),
            None => Ok(()),
        }
    }
}
