//! Targets: how a kernel runs on a kind of machine. Each has a check (what it supports), a schedule, a lowering to MLIR and a back end.

pub mod cpu;
pub mod hopper;
pub mod nvptx;
mod printed;
