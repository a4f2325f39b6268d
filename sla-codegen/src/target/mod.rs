//! Targets: how a kernel runs on a kind of machine. Each has a check (what it supports), a schedule, a lowering to MLIR and a back end.

#[cfg(feature = "llvm")]
pub mod cpu;
#[cfg(feature = "llvm")]
pub mod hopper;
#[cfg(feature = "llvm")]
pub mod nvptx;
pub(crate) mod printed;
