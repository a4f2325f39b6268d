//! The stages of a ring, pass by pass: acquired, full, released, empty.
//!
//! A barrier of the hardware has one bit of phase. Here passes are counted, and whatever could take one pass for another is a fault.

use super::error::{Fault, Stage};
use sla_dsl::ir::{Elem, Kernel, Op, OpId, Type};

/// How far a role is with a stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader {
    /// Passes that it waited for.
    pub awaited: u32,
    /// Passes that it gave back.
    pub released: u32,
    /// The latest `await`.
    pub op: Option<OpId>,
}

/// One stage.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// Passes that were acquired.
    pub acquired: u32,
    /// Passes that were filled.
    pub full: u32,
    /// Passes that got all their arrivals.
    pub empty: u32,
    /// Arrivals of the pass after those.
    pub arrived: u32,
    /// Rows filled in this pass, as `first..end`.
    rows: Vec<(usize, usize)>,
    /// What was put into it last, in a ring of numbers.
    number: i32,
    /// By role.
    pub readers: Vec<Reader>,
}

/// A ring.
pub struct Ring {
    pub name: String,
    pub arrivals: u32,
    pub slots: Vec<Slot>,
    /// Role and op of the latest `acquire`, and the position behind it.
    pub acquirer: Option<(usize, OpId, u32)>,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    line: bool,
}

impl Ring {
    /// All stages empty, for so many roles.
    pub fn new(k: &Kernel, op: &Op, roles: usize) -> Ring {
        let (stages, rows, columns, elem) = match k.ty(op.results[0]) {
            Type::Ring(e, [s, m, n]) => (*s, *m, *n, e.bytes()),
            _ => (1, 1, 1, 1),
        };
        let slot = Slot { readers: vec![Reader::default(); roles], ..Slot::default() };
        Ring {
            name: op.str("name").to_string(),
            arrivals: op.int("arrivals").and_then(|a| u32::try_from(a).ok()).unwrap_or(0),
            slots: vec![slot; stages],
            acquirer: None,
            rows,
            columns,
            row_bytes: columns * elem,
            line: matches!(k.ty(op.results[0]), Type::Ring(Elem::F32, [_, 1, _])),
        }
    }

    /// Stage and pass of a position.
    pub fn at(&self, position: u32) -> (usize, u32) {
        let n = self.slots.len() as u32;
        ((position % n) as usize, position / n)
    }

    /// A position, for a message.
    pub fn stage(&self, position: u32) -> Stage {
        let (slot, pass) = self.at(position);
        self.pass(slot, pass)
    }

    /// A stage and a pass, for a message.
    pub fn pass(&self, slot: usize, pass: u32) -> Stage {
        Stage { ring: self.name.clone(), stage: slot as u32, pass }
    }

    /// Whether its stages are lines of f32.
    pub fn is_line(&self) -> bool {
        self.line
    }

    /// Elements of a row of a stage.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of a stage.
    pub fn bytes(&self) -> usize {
        self.rows * self.row_bytes
    }

    /// Bytes copied to a stage in its latest pass.
    pub fn filled(&self, slot: usize) -> usize {
        let s = &self.slots[slot];
        if s.full == s.acquired {
            self.bytes()
        } else {
            s.rows.iter().map(|(a, b)| b - a).sum::<usize>() * self.row_bytes
        }
    }

    /// Acquires a stage, if it is empty.
    pub fn acquire(&mut self, position: u32, role: usize, op: OpId) -> Result<bool, Fault> {
        let (slot, pass) = self.at(position);
        let s = &mut self.slots[slot];
        if s.acquired != pass {
            let expected = s.acquired;
            return Err(Fault::Pass { stage: self.stage(position), expected });
        }
        if s.empty < pass {
            return Ok(false);
        }
        s.acquired += 1;
        s.rows.clear();
        self.acquirer = Some((role, op, position + 1));
        Ok(true)
    }

    /// Copies to some rows of a stage; the stage is full when it has all.
    pub fn fill(&mut self, position: u32, first: usize, end: usize) -> Result<(), Fault> {
        let (slot, pass) = self.at(position);
        let stage = self.stage(position);
        let s = &mut self.slots[slot];
        if s.acquired != pass + 1 {
            return Err(Fault::NotAcquired { stage });
        }
        if s.full > pass || s.rows.iter().any(|&(a, b)| first < b && a < end) {
            return Err(Fault::FilledTwice { stage, first, end });
        }
        s.rows.push((first, end));
        if s.rows.iter().map(|(a, b)| b - a).sum::<usize>() == self.rows {
            s.full += 1;
        }
        Ok(())
    }

    /// Puts a number into a stage.
    pub fn put(&mut self, position: u32, number: i32) -> Result<(), Fault> {
        let (slot, _) = self.at(position);
        self.slots[slot].number = number;
        self.fill(position, 0, self.rows)
    }

    /// The number in a stage.
    pub fn number(&self, position: u32) -> i32 {
        self.slots[self.at(position).0].number
    }

    /// Whether a stage is full. Only the next pass may be waited for: the phase bit of any other could say the wrong thing.
    pub fn wait(&mut self, position: u32, role: usize, op: OpId) -> Result<bool, Fault> {
        let (slot, pass) = self.at(position);
        let s = &mut self.slots[slot];
        let Reader { awaited, released, .. } = s.readers[role];
        if pass + 1 == awaited && released <= pass {
            return Ok(true);
        }
        if pass != awaited {
            return Err(Fault::Pass { stage: self.stage(position), expected: awaited });
        }
        if released < awaited {
            let stage = self.pass(slot, released);
            return Err(Fault::NotReleased { stage });
        }
        let full = s.full > pass;
        s.readers[role].awaited += full as u32;
        s.readers[role].op = Some(op);
        Ok(full)
    }

    /// Gives a stage back, with so many arrivals.
    pub fn release(&mut self, position: u32, role: usize, arrivals: u32) -> Result<(), Fault> {
        let (slot, pass) = self.at(position);
        let (stage, needed) = (self.stage(position), self.arrivals);
        let s = &mut self.slots[slot];
        let reader = &mut s.readers[role];
        if pass < reader.released {
            return Err(Fault::Release { stage, found: "twice" });
        }
        if pass >= reader.awaited {
            return Err(Fault::Release { stage, found: "by a role that has not waited for it" });
        }
        reader.released = pass + 1;
        let found = arrivals + if s.empty > pass { needed } else { s.arrived };
        if found > needed {
            return Err(Fault::TooManyArrivals { stage, found, needed });
        }
        s.arrived = found;
        if found == needed {
            s.arrived = 0;
            s.empty += 1;
        }
        Ok(())
    }

    /// Whether a role gave a stage back in this pass.
    pub fn is_released(&self, position: u32, role: usize) -> bool {
        let (slot, pass) = self.at(position);
        self.slots[slot].readers[role].released > pass
    }
}
