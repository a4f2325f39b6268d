//! The text form of tile IR: printed, parsed, verified.

mod parse;
mod print;
mod sched;
mod verify;

use sla_dsl::diag::Loc;

/// Where every op of a test kernel was "written".
const AT: Loc = Loc::new("src/k.rs", 3, 5);
