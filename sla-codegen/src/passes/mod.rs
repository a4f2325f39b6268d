//! Passes on tile IR: free functions, one a file. Their order is in [`crate::pipeline`].
//!
//! A pass takes a verified kernel and leaves a verified kernel with the same meaning, up to the freedom that the semantics of
//! [`sla_dsl::ir`] give (the order of sums, one rounding instead of two in `fma`, faults that no longer happen).
//!
//! [`reference_max`] makes ops that only some targets have, [`guard_masks`] branches that pay on some; the schedules of such targets call them.

mod canonicalise;
mod cse;
mod dce;
mod guard_masks;
mod licm;
mod make;
mod reference_max;
pub mod rewrite;

pub use canonicalise::canonicalise;
pub use cse::cse;
pub use dce::dce;
pub use guard_masks::guard_masks;
pub use licm::licm;
pub use reference_max::reference_max;
