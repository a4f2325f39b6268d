//! The tile language and its IR: what a kernel says.
//!
//! * [`prelude`] is what a file with kernels imports.
//! * [`lang`] is what kernels are written in: the vocabulary that `#[kernel]` bodies expand to, and kernel definitions.
//! * [`ir`] is the tile IR those definitions build: types, ops, printer, parser, verifier.
//! * [`interp`] runs the IR directly and defines what it means.
//! * [`launch`] holds typed arguments and the checks that every launch passes, whatever device runs it.
//! * [`diag`] is the one form of message about a kernel.
//! * `fuzz`, behind the feature of that name, makes random kernels for tests that compare implementations.
//!
//! This crate knows no LLVM, no CUDA, no environment and no disk.

// Expanded code names this crate by its path, here as well.
extern crate self as sla_dsl;

pub mod diag;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod interp;
pub mod ir;
pub mod lang;
pub mod launch;
pub mod prelude;
