//! Tuning: for a kernel at some sizes ([`job`]) the candidates of its space ([`space`]) are pruned ([`prune`]), compiled, checked and timed by a process
//! that may fail ([`worker`], watched by [`hands`]), one neighbour after the other ([`search`]); what is known is in a journal ([`journal`]), and what was best in
//! a record ([`crate::tuned`]), which launches ask.
//!
//! What a case is, how it is checked and how it is timed is [`crate::bench`]'s business; the command line is not here.

pub mod bundle;
pub mod check;
pub mod hands;
pub mod job;
pub mod journal;
pub mod lengths;
pub mod model;
pub mod own;
pub mod plot;
pub mod prune;
mod run;
pub mod search;
pub mod space;
mod verdict;
pub mod wire;
pub mod worker;

pub use run::{Order, TuneError, tune};
