//! Passes on tile IR: free functions, one a file. Their order is in [`crate::pipeline`].
//!
//! A pass takes a verified kernel and leaves a verified kernel with the same meaning, up to the freedom that the semantics of
//! [`sla_dsl::ir`] give (the order of sums, one rounding instead of two in `fma`, faults that no longer happen).
//!
//! [`pair_blocks`], [`reference_max`] and [`guard_masks`], in this order, are for targets that have the ops they make and on which they pay: the
//! schedules of such targets call them.

mod canonicalise;
mod cse;
mod dce;
mod guard_masks;
mod licm;
mod make;
mod pair_blocks;
mod reference_max;
pub mod rewrite;

pub use canonicalise::canonicalise;
pub use cse::cse;
pub use dce::dce;
pub use guard_masks::guard_masks;
pub use licm::licm;
pub use pair_blocks::pair_blocks;
pub use reference_max::reference_max;
