//! The protocol verifier: whether the roles of a scheduled kernel ever wait for what nobody does, or touch what somebody still uses.
//!
//! Types say that a product in flight is not read, and no more. What is left is a protocol: producers wait for empty stages and fill them,
//! consumers wait for full ones, start products on them and give them back after these have retired. A mistake there shows on a GPU as a
//! hang, or as a wrong tile once in a thousand launches. Here it is an error with a role and an op, before any code exists.
//!
//! ```text
//! launch    warps and registers of the roles, shared memory: sums
//! places    which role may hold which op, who fills and who reads a ring, what may depend on a `vote`
//! cases     numbers of rounds, of steps and ways through `if`s to try
//! numbers   scalars: constants, and unknowns that are chosen so that loops take the wanted steps
//! program   which ops of a role the simulation must look at
//! barriers  the stages of a ring, pass by pass
//! role      one role as a machine that runs until it must wait
//! share     stages that the warpgroups of a role write and read together
//! run       all roles side by side; what is left over at the end
//! ```
//!
//! One order of the roles is enough. A stage's pass has one filler, and all its arrivals are counted by pass, so a role that may go on may
//! still go on later, and gets to see the same: what blocks in one order blocks in every other, and so do copies that end late. A release that
//! could be taken for another pass's is an error by its number, whether or not it would come at that time.
//!
//! What holds is bounded: it is shown for the tried numbers of steps, not for all. Bounds and conditions from memory are chosen freely, and alike
//! in all roles where the same place of the same tensor is read. Names of barriers, fences and phases are the lowering's business.

mod barriers;
mod cases;
mod error;
mod launch;
mod numbers;
mod places;
mod program;
mod role;
mod run;
mod share;
mod solve;

pub use error::{Fault, ProtocolError, Stage, Wait};
pub use launch::{MAX_WARPS, launch_registers, launch_warps};

use sla_dsl::ir::{Kernel, Level};

/// Checks a verified, scheduled kernel. One without any op of the schedule is fine.
///
/// # Errors
/// All that is wrong with the roles and rings as declared; or else what goes wrong first in the smallest case that goes wrong.
pub fn verify_protocol(kernel: &Kernel) -> Result<(), Vec<ProtocolError>> {
    let mut scheduled = false;
    kernel.walk(&mut |k, _, id| scheduled |= k.op(id).code.level() == Level::Sched);
    if !scheduled {
        return Ok(());
    }
    let mut errors = Vec::new();
    launch::check(kernel, &mut errors);
    places::check(kernel, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let program = program::Program::new(kernel);
    let mut budget = run::BUDGET;
    let mut tried: Vec<cases::Log> = Vec::new();
    for case in cases::all(&program) {
        if tried.iter().any(|log| log.answered_alike_by(&case)) {
            continue;
        }
        let log = run::run(kernel, &program, case, &mut budget)?;
        tried.push(log);
        if budget == 0 {
            break;
        }
    }
    Ok(())
}
