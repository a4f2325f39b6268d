//! Roles and rings of a scheduled kernel, from its ops alone.

use sla_dsl::ir::{BlockId, Elem, Kernel, Op, OpCode, Type, Value};

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// First warp.
    pub first: u32,
    /// Warps of one group.
    pub warps: u32,
    /// How many groups have it, each with rings of its own.
    pub groups: u32,
    /// Registers a thread that it asks for; 0 for as launched.
    pub registers: u32,
    /// What of the protocol stands in it, by name and how often: `fill` 2, `mma` 4.
    pub steps: Vec<(&'static str, usize)>,
}

/// A ring in shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingFacts {
    /// Its name.
    pub name: String,
    /// Stages.
    pub stages: usize,
    /// Rows and columns of a stage.
    pub shape: [usize; 2],
    /// Element type.
    pub elem: Elem,
    /// Arrivals that make a stage empty; 0 for a ring without barriers.
    pub arrivals: u32,
    /// Roles that fill it.
    pub filled_by: Vec<String>,
    /// Roles that read it.
    pub read_by: Vec<String>,
    /// Roles that send through it.
    pub sent_by: Vec<String>,
}

impl RingFacts {
    /// Bytes of all stages.
    pub fn bytes(&self) -> usize {
        self.stages * self.shape[0] * self.shape[1] * self.elem.bytes()
    }

    /// Barriers in shared memory: "full" and "empty" of each stage.
    pub fn barriers(&self) -> usize {
        if self.arrivals > 0 { 2 * self.stages } else { 0 }
    }
}

const STEPS: [OpCode; 14] = [
    OpCode::Acquire,
    OpCode::Fill,
    OpCode::Await,
    OpCode::Mma,
    OpCode::MmaWait,
    OpCode::Release,
    OpCode::Vote,
    OpCode::Send,
    OpCode::SendAdd,
    OpCode::Share,
    OpCode::Draw,
    OpCode::Take,
    OpCode::TakeTurn,
    OpCode::PassTurn,
];

/// The roles and rings of a scheduled kernel; nothing of any other.
pub fn roles_and_rings(kernel: &Kernel) -> (Vec<RoleFacts>, Vec<RingFacts>) {
    let (mut roles, mut rings, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for &id in &kernel.block(kernel.body).ops {
        let op = kernel.op(id);
        match op.code {
            OpCode::Ring => {
                rings.extend(ring(kernel, op));
                values.extend(&op.results);
            }
            OpCode::Role => {
                let mut steps: Vec<(&'static str, usize)> = STEPS.iter().map(|s| (s.name(), 0)).collect();
                let name = op.str("name").to_string();
                visit(kernel, op.regions[0], &mut |inner| {
                    steps.iter_mut().filter(|s| s.0 == inner.code.name()).for_each(|s| s.1 += 1);
                    note(inner, &name, &values, &mut rings);
                });
                steps.retain(|s| s.1 > 0);
                let int = |key| op.int(key).and_then(|v| u32::try_from(v).ok()).unwrap_or(0);
                let (first, warps, registers) = (int("first"), int("warps"), int("registers"));
                let groups = int("groups").max(1);
                roles.push(RoleFacts { name, first, warps, groups, registers, steps });
            }
            _ => {}
        }
    }
    (roles, rings)
}

fn ring(kernel: &Kernel, op: &Op) -> Option<RingFacts> {
    let Type::Ring(elem, [stages, rows, columns]) = *kernel.ty(*op.results.first()?) else { return None };
    Some(RingFacts {
        name: op.str("name").to_string(),
        stages,
        shape: [rows, columns],
        elem,
        arrivals: op.int("arrivals").and_then(|a| u32::try_from(a).ok()).unwrap_or(0),
        filled_by: Vec::new(),
        read_by: Vec::new(),
        sent_by: Vec::new(),
    })
}

/// Keeps what an op of a role does with a ring.
fn note(op: &Op, role: &str, values: &[Value], rings: &mut [RingFacts]) {
    let at = |i: usize| op.operands.get(i).and_then(|v| values.iter().position(|r| r == v));
    let (found, list): (_, fn(&mut RingFacts) -> &mut Vec<String>) = match op.code {
        OpCode::Draw => (at(0), |r| &mut r.filled_by),
        OpCode::Fill => (at(1), |r| &mut r.filled_by),
        OpCode::Await | OpCode::Take => (at(0), |r| &mut r.read_by),
        OpCode::Send | OpCode::SendAdd => (at(2), |r| &mut r.sent_by),
        OpCode::Share => (at(1), |r| &mut r.sent_by),
        _ => return,
    };
    if let Some(list) = found.and_then(|i| rings.get_mut(i)).map(list)
        && !list.iter().any(|name| name == role)
    {
        list.push(role.to_string());
    }
}

fn visit(kernel: &Kernel, block: BlockId, f: &mut dyn FnMut(&Op)) {
    for &id in &kernel.block(block).ops {
        let op = kernel.op(id);
        f(op);
        op.regions.iter().for_each(|&r| visit(kernel, r, f));
    }
}
