//! Measuring kernels: what is measured ([`case`](mod@case), [`cases`]), how it is
//! solved ([`steps`], [`whole`]), that it is right ([`verify`]), and how long it takes ([`timing`]).
//!
//! [`run()`] does everything but print and write files; `sla bench` does that. Peers are measured by a Python script ([`peers`]), since they
//! live there.

pub mod case;
pub mod cases;
pub mod choices;
pub mod clock;

pub mod host;
pub mod inputs;
pub mod lists;
pub mod peers;
pub mod problem;
pub mod record;
mod run;
pub mod shape;
pub mod stats;
pub mod steps;
pub mod table;
pub mod timing;
pub mod variant;
pub mod verify;
pub mod whole;

pub use run::{BenchError, Request, run};
