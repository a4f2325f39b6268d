//! Sums over the declared roles and rings: warps, registers, shared memory. It looks at no op inside a role.
//!
//! A launch gives every thread the same registers, as many as fit; `setmaxnreg` then moves them between warpgroups. An increase waits until there
//! are enough, so a sum above what was launched with hangs: 32/240/240 did on an H100, 24/240/240 runs.

use super::{Fault, ProtocolError};
use sla_dsl::ir::{Kernel, Op, OpCode, OpId, Type};

/// The most warps a block of threads can have.
pub const MAX_WARPS: i64 = 32;

/// Registers of a multiprocessor.
const REGISTERS: i64 = 65536;

/// Shared memory that a block of threads can have, in bytes.
const SHARED: usize = 232_448;

/// Warps of a launch whose last role ends before the warp `end`: whole warpgroups.
pub fn launch_warps(end: i64) -> i64 {
    (end + 3) / 4 * 4
}

/// Registers a thread that a launch of so many warps starts with, one block of threads on a multiprocessor: a multiple of 8, at most 256.
pub fn launch_registers(warps: i64) -> i64 {
    (REGISTERS / (32 * warps.max(1)) / 8 * 8).min(256)
}

struct Role<'k> {
    op: &'k Op,
    name: &'k str,
    first: i64,
    end: i64,
    registers: i64,
}

/// Reports every sum that does not fit.
pub fn check(k: &Kernel, out: &mut Vec<ProtocolError>) {
    let top = &k.block(k.body).ops;
    let of = |code: OpCode| top.iter().map(|&id: &OpId| k.op(id)).filter(move |op| op.code == code);
    let role = |op| {
        let int = |key| Op::int(op, key).unwrap_or(0);
        let (first, warps, groups) = (int("first"), int("warps"), groups(op));
        Role { op, name: op.str("name"), first, end: first + warps * groups, registers: int("registers") }
    };
    let roles: Vec<Role> = of(OpCode::Role).map(role).collect();
    let mut report = |role: &Role, fault: Fault| out.push(error(role.name, role.op, fault));
    for (i, r) in roles.iter().enumerate() {
        if r.end > MAX_WARPS {
            report(r, Fault::Warps { found: r.end, needed: MAX_WARPS });
        }
        if r.registers != 0 && !(r.registers % 8 == 0 && (24..=256).contains(&r.registers)) {
            report(r, Fault::RegisterCount { found: r.registers });
        }
        for other in &roles[..i] {
            if r.first < other.end && other.first < r.end {
                report(
                    r,
                    Fault::Overlap {
                        first: r.first,
                        end: r.end,
                        other: other.name.to_string(),
                        other_first: other.first,
                        other_end: other.end,
                    },
                );
            } else if r.first / 4 <= (other.end - 1) / 4
                && other.first / 4 <= (r.end - 1) / 4
                && r.registers != other.registers
            {
                let other_name = other.name.to_string();
                report(
                    r,
                    Fault::Warpgroup { found: r.registers, needed: other.registers, other: other_name },
                );
            }
        }
    }
    let most = roles.iter().map(|r| groups(r.op)).max().unwrap_or(1);
    if let Some(r) = roles.iter().find(|r| groups(r.op) != most) {
        out.push(error(r.name, r.op, Fault::Groups { found: groups(r.op), needed: most }));
    }
    registers(&roles, out);
    // Every group has all rings.
    let bytes = of(OpCode::Ring).map(|op| ring_bytes(k, op)).sum::<usize>().saturating_mul(most as usize);
    if let Some(op) = of(OpCode::Ring).next_back().filter(|_| bytes > SHARED) {
        out.push(error("", op, Fault::SharedMemory { found: bytes, needed: SHARED }));
    }
}

/// How many groups have a role.
fn groups(role: &Op) -> i64 {
    role.int("groups").unwrap_or(1).max(1)
}

/// The rule of `setmaxnreg`; warpgroups without a role, or of roles that ask for nothing, stay as launched.
fn registers(roles: &[Role], out: &mut Vec<ProtocolError>) {
    let Some(last) = roles.iter().max_by_key(|r| r.end) else { return };
    if last.end > MAX_WARPS || roles.iter().all(|r| r.registers == 0) {
        return;
    }
    let warps = launch_warps(last.end);
    let launched = launch_registers(warps);
    let of_group = |group: i64| {
        let role = roles.iter().find(|r| r.first < 4 * group + 4 && 4 * group < r.end);
        role.map_or(0, |r| r.registers)
    };
    let found: i64 =
        (0..warps / 4).map(|g| if of_group(g) == 0 { launched } else { of_group(g) } * 128).sum();
    let needed = launched * 32 * warps;
    if found > needed {
        out.push(error(last.name, last.op, Fault::Registers { found, needed, threads: 32 * warps }));
    }
}

/// Stages, and a barrier for "full" and one for "empty" of 8 bytes each where the ring has them.
fn ring_bytes(k: &Kernel, op: &Op) -> usize {
    match op.results.first().map(|&r| k.ty(r)) {
        Some(Type::Ring(e, [stages, m, n])) => {
            let barriers = if op.flag("arrivals") { 16 } else { 0 };
            let stage = m.saturating_mul(*n).saturating_mul(e.bytes());
            stages.saturating_mul(stage.saturating_add(barriers))
        }
        _ => 0,
    }
}

/// A fault that does not depend on a case.
pub fn error(role: &str, op: &Op, fault: Fault) -> ProtocolError {
    ProtocolError { role: role.to_string(), op: op.code.name(), loc: op.loc, fault, case: String::new() }
}
