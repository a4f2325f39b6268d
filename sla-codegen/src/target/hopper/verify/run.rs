//! All roles side by side in one case, until all have ended or none can go on; then what is left over.

use super::barriers::Ring;
use super::cases::{Case, Log};
use super::error::{Fault, ProtocolError, Wait};
use super::numbers::{Num, Numbers};
use super::program::Program;
use super::role::{Role, Step, Val, World};
use sla_dsl::ir::{Kernel, OpCode, OpId, ParamKind};

/// Ops that all cases of a kernel may take together; kernels with very long constant loops are looked at as far as this goes.
pub const BUDGET: usize = 100_000;

/// Ops that one case may take.
const CASE_BUDGET: usize = 20_000;

/// Simulates a case and says what was asked of it.
pub fn run(k: &Kernel, program: &Program, case: Case, budget: &mut usize) -> Result<Log, Vec<ProtocolError>> {
    let mut w = World {
        kernel: k,
        program,
        rings: program.rings.iter().map(|&id| Ring::new(k, k.op(id), program.roles.len())).collect(),
        numbers: Numbers::new(k, program, case),
        drawn: 0,
    };
    let env = body(&mut w);
    let mut roles: Vec<Role> =
        program.roles.iter().enumerate().map(|(i, &id)| Role::new(k, i, id, env.clone())).collect();
    let mut waits = vec![None; roles.len()];
    let mut left = CASE_BUDGET.min(*budget);
    *budget -= left;
    loop {
        let mut moved = false;
        for (role, wait) in roles.iter_mut().zip(&mut waits) {
            while !role.ended() {
                if left == 0 {
                    // Longer than looked at: nothing is said about its end.
                    return Ok(w.numbers.log);
                }
                left -= 1;
                match role.step(&mut w) {
                    Ok(Step::Waits { ring, position, full }) => {
                        *wait = Some((ring, position, full));
                        break;
                    }
                    Ok(Step::Ran | Step::Ended) => {
                        moved = true;
                        *wait = None;
                    }
                    Err(fault) => return Err(vec![error(&w, Some(role), role.op, fault)]),
                }
            }
        }
        if roles.iter().all(Role::ended) {
            break;
        }
        if !moved {
            return Err(stuck(&w, &roles, &waits));
        }
    }
    *budget += left;
    let errors = left_over(&w, &roles);
    if errors.is_empty() { Ok(w.numbers.log) } else { Err(errors) }
}

/// The values of the kernel's body: parameters, rings, scalars.
fn body(w: &mut World) -> Vec<Val> {
    let k = w.kernel;
    let mut env = vec![Val::Other; k.types.len()];
    for (param, &v) in k.params.iter().zip(&k.block(k.body).args) {
        if matches!(param.kind, ParamKind::Scalar(_)) {
            env[v.index()] = Val::Num(w.numbers.param(v));
        }
    }
    let mut rings = 0;
    for &id in &w.program.ops[k.body.index()] {
        let op = k.op(id);
        let [result] = op.results[..] else { continue };
        env[result.index()] = match op.code {
            OpCode::Ring => {
                rings += 1;
                Val::Ring(rings - 1)
            }
            OpCode::Cursor => Val::Cursor(0, None),
            _ => {
                let num = |v: &sla_dsl::ir::Value| match env[v.index()] {
                    Val::Num(n) => n,
                    _ => Num::Known(0),
                };
                let args: Vec<Num> = op.operands.iter().map(num).collect();
                Val::Num(w.numbers.op(op, &args))
            }
        };
    }
    env
}

type Waiting = Option<(usize, u32, bool)>;

/// Nobody can go on: the reason if there is one, and where everybody is.
fn stuck(w: &World, roles: &[Role], waits: &[Waiting]) -> Vec<ProtocolError> {
    let k = w.kernel;
    let mut errors = Vec::new();
    let mut places = Vec::new();
    let mut first = None;
    for (role, wait) in roles.iter().zip(waits) {
        let name = role.name.to_string();
        let Some((ring, position, full)) = *wait else {
            places.push(Wait::Ended { role: name });
            continue;
        };
        first = first.or(Some(role));
        let (r, loc) = (&w.rings[ring], k.op(role.op).loc);
        let (slot, pass) = r.at(position);
        let stage = r.stage(position);
        if full {
            let begun = r.slots[slot].acquired > pass;
            let found = if begun { r.filled(slot) } else { 0 };
            if let Some((filler, op, behind)) = r.acquirer.filter(|_| begun)
                && (roles[filler].ended() || behind > position + 1)
            {
                let fault = Fault::Partial { stage: stage.clone(), found, needed: r.bytes() };
                errors.push(error(w, Some(&roles[filler]), op, fault));
            }
            places.push(Wait::Full { role: name, loc, stage, found, needed: r.bytes() });
        } else {
            let s = &r.slots[slot];
            let read = |i: usize| w.program.reads[i][ring];
            let done = |other: &Role| other.ended() || s.readers[other.index].released == pass;
            let mut readers = roles.iter().filter(|other| read(other.index)).peekable();
            let before = r.pass(slot, pass - 1);
            if readers.peek().is_none() {
                errors.push(error(w, Some(role), role.op, Fault::NeverRead { stage: before }));
            } else if s.empty < pass && readers.all(done) {
                let fault = Fault::TooFewArrivals { stage: before, found: s.arrived, needed: r.arrivals };
                errors.push(error(w, Some(role), role.op, fault));
            }
            places.push(Wait::Empty { role: name, loc, stage, found: s.arrived, needed: r.arrivals });
        }
    }
    let op = first.map_or(k.block(k.body).ops[0], |r| r.op);
    errors.push(error(w, first, op, Fault::Deadlock { waits: places }));
    errors
}

/// What a launch must not leave behind: products nobody waited for, stages that are half filled, unread or not given back.
fn left_over(w: &World, roles: &[Role]) -> Vec<ProtocolError> {
    let mut errors = Vec::new();
    for role in roles {
        errors.extend(role.dropped().map(|op| error(w, Some(role), op, Fault::Dropped)));
    }
    for r in &w.rings {
        let Some((filler, op, _)) = r.acquirer else { continue };
        for (i, s) in r.slots.iter().enumerate() {
            let fault = if s.acquired > s.full {
                Fault::Partial { stage: r.pass(i, s.full), found: r.filled(i), needed: r.bytes() }
            } else if s.readers.iter().all(|reader| reader.awaited < s.full) {
                Fault::NeverRead { stage: r.pass(i, s.full - 1) }
            } else if let Some(reader) = s.readers.iter().position(|reader| reader.released < reader.awaited)
            {
                let fault = Fault::NotReleased { stage: r.pass(i, s.full - 1) };
                let op = s.readers[reader].op.unwrap_or(roles[reader].op);
                errors.push(error(w, Some(&roles[reader]), op, fault));
                continue;
            } else if s.empty < s.full {
                let stage = r.pass(i, s.empty);
                Fault::TooFewArrivals { stage, found: s.arrived, needed: r.arrivals }
            } else {
                continue;
            };
            errors.push(error(w, Some(&roles[filler]), op, fault));
        }
    }
    errors
}

fn error(w: &World, role: Option<&Role>, op: OpId, fault: Fault) -> ProtocolError {
    let op = w.kernel.op(op);
    ProtocolError {
        role: role.map_or(String::new(), |r| r.name.to_string()),
        op: op.code.name(),
        loc: op.loc,
        fault,
        case: w.numbers.log.describe(),
    }
}
