//! The interpreter: runs tile IR directly and defines what it means.
//!
//! It is the oracle that every target is compared with, so it computes as well as the semantics of [`ir`](crate::ir) allow:
//! element-wise arithmetic in f32, products of `dot` exact and summed in f64 before one rounding to f32, and likewise float sums.
//! Every access is checked against the tensor's shape and every division against zero; a fault is an error at its op's place.
//!
//! * [`Data`] holds the elements of a value; [`eval()`] is the meaning of the ops without effect, shared with constant folding.
//! * `memory` is the one file that touches the tensors' memory.
//! * `program` runs one program; [`run`] checks arguments and runs the grid.
//! * [`Interpreter`] is a device: it launches kernel definitions.
//!
//! Programs run in parallel, except where a kernel adds atomically or prints: there they run in order, so that results repeat.

mod data;
mod device;
mod error;
mod eval;
mod matrix;
mod memory;
mod program;
mod run;

pub use data::Data;
pub use device::{DeviceError, Interpreter};
pub use error::{Fault, InterpError};
pub use eval::{EvalError, eval};
pub use run::{run, run_to};
