//! Passes on tile IR: free functions, one a file. Their order is in [`crate::pipeline`].
//!
//! A pass takes a verified kernel and leaves a verified kernel with the same meaning, up to the freedom that the semantics of
//! [`sla_dsl::ir`] give (the order of sums, one rounding instead of two in `fma`, faults that no longer happen).
//!
//! [`reference_max`] makes ops that only some targets have; the schedule of such a target calls it.

mod canonicalise;
mod cse;
mod dce;
mod licm;
mod make;
mod reference_max;
pub mod rewrite;

pub use canonicalise::canonicalise;
pub use cse::cse;
pub use dce::dce;
pub use licm::licm;
pub use reference_max::reference_max;
