//! Where ops of the protocol stand: which role may hold which, who fills, reads and sends, and what depends on a `vote`.
//!
//! All of it holds for every launch, so nothing is simulated here.

use super::Fault;
use super::error::ProtocolError;
use super::launch::error;
use sla_dsl::ir::{BlockId, Class, Effect, Kernel, Level, Op, OpCode, OpId, Type, Value};

/// Whether an op is a step of the protocol: warps must do it alike, and in order.
pub fn is_step(op: &Op) -> bool {
    op.code.level() == Level::Sched
        && op.code.effect() == Effect::Visible
        && !matches!(op.code, OpCode::Ring | OpCode::Role)
}

/// The ring among an op's operands.
pub fn ring_operand(op: &Op) -> Option<Value> {
    let at = match op.code {
        OpCode::Acquire
        | OpCode::Release
        | OpCode::Await
        | OpCode::Advance
        | OpCode::Lap
        | OpCode::Draw
        | OpCode::Take => 0,
        OpCode::Fill | OpCode::Share => 1,
        OpCode::Send | OpCode::SendAdd => 2,
        _ => return None,
    };
    op.operands.get(at).copied()
}

/// What a role does with a ring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Fill,
    Read,
    Send,
    Share,
}

struct Checker<'k, 'e> {
    k: &'k Kernel,
    defs: Vec<Option<OpId>>,
    /// Values that warps of one role may see differently.
    own: Vec<bool>,
    /// Ring, use and role, each once.
    uses: Vec<(Value, Use, &'k Op)>,
    out: &'e mut Vec<ProtocolError>,
}

/// Reports every op at a wrong place.
pub fn check(k: &Kernel, out: &mut Vec<ProtocolError>) {
    let mut c = Checker { k, defs: k.defs(), own: vec![false; k.types.len()], uses: Vec::new(), out };
    for &id in &k.block(k.body).ops {
        let op = k.op(id);
        match op.code {
            OpCode::Role => {
                c.votes(op.regions[0]);
                c.region(op, op.regions[0], false);
            }
            OpCode::Ring => {}
            _ => c.outside(op),
        }
    }
}

impl<'k> Checker<'k, '_> {
    /// An op of the body that is neither role nor ring, and what it holds.
    fn outside(&mut self, op: &Op) {
        let fault = match op.code {
            OpCode::Role | OpCode::Ring => {
                Some(Fault::Place { found: "inside a region", needed: "at the top of the kernel" })
            }
            _ if is_step(op) => Some(Fault::Place { found: "outside a role", needed: "inside one" }),
            _ => None,
        };
        self.out.extend(fault.map(|f| error("", op, f)));
        for &r in &op.regions {
            for &id in &self.k.block(r).ops {
                self.outside(self.k.op(id));
            }
        }
    }

    /// The ops of a role; `own` where warps may be here or not, each for itself.
    fn region(&mut self, role: &'k Op, block: BlockId, own: bool) {
        let k = self.k;
        self.turns(role, block);
        for &id in &k.block(block).ops {
            let op = k.op(id);
            if matches!(op.code, OpCode::Role | OpCode::Ring) {
                let fault = Fault::Place { found: "inside a region", needed: "at the top of the kernel" };
                self.report(role, op, fault);
                continue;
            }
            // Cursors and products in flight that come out of such a region would differ as its steps do.
            let carries = op.results.iter().any(|&r| is_protocol(k.ty(r)));
            let chosen = match op.code {
                OpCode::For => self.own[op.operands[0].index()] || self.own[op.operands[1].index()],
                OpCode::If => self.own[op.operands[0].index()],
                _ => false,
            };
            if own && is_step(op) || chosen && carries {
                self.report(role, op, Fault::Vote);
            }
            self.shape(role, op);
            self.ring(role, op);
            for &r in &op.regions {
                self.region(role, r, own || chosen);
            }
        }
    }

    /// Turns are taken and passed on in one region, and in between nothing waits: each warpgroup then gets its own, however far the others are.
    fn turns(&mut self, role: &Op, block: BlockId) {
        let k = self.k;
        let mut taken: Option<&Op> = None;
        for &id in &k.block(block).ops {
            let op = k.op(id);
            let tile = |&v: &Value| k.ty(v).is_tile();
            let fault = match op.code {
                OpCode::TakeTurn if taken.replace(op).is_some() => {
                    Fault::Turn { found: "it is this warpgroup's turn already" }
                }
                OpCode::PassTurn if taken.take().is_none() => {
                    Fault::Turn { found: "it is not this warpgroup's turn" }
                }
                OpCode::TakeTurn | OpCode::PassTurn | OpCode::Mma | OpCode::Yield => continue,
                _ if taken.is_none() => continue,
                _ if is_step(op)
                    || !op.regions.is_empty()
                    || op.operands.iter().chain(&op.results).any(tile) =>
                {
                    Fault::InTurn
                }
                _ => continue,
            };
            self.report(role, op, fault);
        }
        if let Some(op) = taken {
            self.report(role, op, Fault::Turn { found: "it is kept" });
        }
    }

    /// Products and what touches tiles take whole warpgroups; copies are started by one thread; turns are for several warpgroups.
    fn shape(&mut self, role: &Op, op: &Op) {
        let int = |key| role.int(key).unwrap_or(0);
        let (first, warps) = (int("first"), int("warps"));
        let groups = first % 4 == 0 && warps % 4 == 0;
        let (found, needed) = match op.code {
            OpCode::Mma | OpCode::MmaWait | OpCode::Read | OpCode::Send | OpCode::SendAdd | OpCode::Share
                if !groups =>
            {
                ("not whole warpgroups", "whole warpgroups")
            }
            OpCode::Acquire | OpCode::Fill if warps > 4 => {
                ("more than a warpgroup", "one warp or one warpgroup")
            }
            OpCode::Draw if warps > 1 => ("more than a warp", "one warp"),
            OpCode::TakeTurn | OpCode::PassTurn if !groups || warps < 8 => {
                ("not several warpgroups", "several warpgroups")
            }
            _ => return,
        };
        self.report(role, op, Fault::RoleShape { first, end: first + warps, found, needed });
    }

    fn ring(&mut self, role: &'k Op, op: &Op) {
        let Some(ring) = ring_operand(op) else { return };
        let def = self.defs[ring.index()].map(|id| self.k.op(id)).filter(|d| d.code == OpCode::Ring);
        let Some(def) = def else { return self.report(role, op, Fault::UnknownRing) };
        let (what, used) = match op.code {
            OpCode::Acquire | OpCode::Fill | OpCode::Draw => (Use::Fill, "filled"),
            OpCode::Await | OpCode::Release | OpCode::Take => (Use::Read, "read"),
            OpCode::Send | OpCode::SendAdd => (Use::Send, "sent through"),
            OpCode::Share => (Use::Share, "shared through"),
            _ => return,
        };
        let arrivals = def.int("arrivals").unwrap_or(0);
        let name = || def.str("name").to_string();
        let own = matches!(what, Use::Send | Use::Share);
        if (arrivals == 0) != own {
            let needed = match what {
                Use::Send => "`send` goes through a ring without barriers, of 0 arrivals",
                Use::Share => "`share` goes through a ring without barriers, of 0 arrivals",
                _ => "without arrivals it has no barriers, and only `send` and `share` go through it",
            };
            self.report(role, op, Fault::RingKind { ring: name(), arrivals, needed });
        }
        let mixed = |u: &Use| own && *u != what && matches!(u, Use::Send | Use::Share);
        if self.uses.iter().any(|(r, u, _)| *r == ring && mixed(u)) {
            let needed = "`send` and `share` do not go through the same ring, neither waits for the other";
            self.report(role, op, Fault::RingKind { ring: name(), arrivals, needed });
        }
        let users = self.uses.iter().filter(|(r, u, _)| *r == ring && *u == what).map(|u| u.2);
        let (mine, others): (Vec<&Op>, Vec<&Op>) = users.partition(|r| std::ptr::eq(*r, role));
        if mine.is_empty() {
            self.uses.push((ring, what, role));
            if let Some(other) = others.first().filter(|_| what != Use::Read) {
                let other = other.str("name").to_string();
                self.report(role, op, Fault::Shared { ring: name(), used, other });
            }
        }
    }

    /// Marks what follows from a `vote`, until nothing new does: loops carry it round.
    fn votes(&mut self, block: BlockId) {
        loop {
            let before = self.own.iter().filter(|&&o| o).count();
            self.vote_region(block);
            if self.own.iter().filter(|&&o| o).count() == before {
                return;
            }
        }
    }

    fn vote_region(&mut self, block: BlockId) {
        let k = self.k;
        for &id in &k.block(block).ops {
            let op = k.op(id);
            for &r in &op.regions {
                self.vote_region(r);
            }
            let any = op.operands.iter().any(|v| self.own[v.index()]);
            let yields = |i: usize, c: &Self| {
                op.regions.iter().any(|&r| {
                    let last = k.block(r).ops.last().map(|&id| k.op(id));
                    last.and_then(|y| y.operands.get(i)).is_some_and(|v| c.own[v.index()])
                })
            };
            match op.code.class() {
                Class::For => {
                    let bounds = op.operands[..2].iter().any(|v| self.own[v.index()]);
                    let args = &k.block(op.regions[0]).args;
                    self.own[args[0].index()] |= self.own[op.operands[0].index()];
                    for (i, &r) in op.results.iter().enumerate() {
                        let own = bounds || self.own[op.operands[i + 2].index()] || yields(i, self);
                        self.own[args[i + 1].index()] |= own;
                        self.own[r.index()] |= own;
                    }
                }
                Class::If => {
                    for (i, &r) in op.results.iter().enumerate() {
                        let own = self.own[op.operands[0].index()] || yields(i, self);
                        self.own[r.index()] |= own;
                    }
                }
                _ => {
                    let own = op.code == OpCode::Vote || any;
                    for &r in &op.results {
                        // Only scalars decide what runs, and a tile becomes one by a vote alone.
                        self.own[r.index()] |= own && matches!(k.ty(r), Type::Scalar(_));
                    }
                }
            }
        }
    }

    fn report(&mut self, role: &Op, op: &Op, fault: Fault) {
        self.out.push(error(role.str("name"), op, fault));
    }
}

/// Whether values of this type belong to the protocol and not to the mathematics.
pub fn is_protocol(ty: &Type) -> bool {
    matches!(ty, Type::Cursor | Type::Pending(..) | Type::View(..) | Type::Ring(..))
}
