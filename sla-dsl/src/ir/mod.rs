//! The tile IR: what a kernel means, before anybody decides how it runs.
//!
//! # What a kernel is
//! A [`Kernel`] is one function, run once for every point of a *grid* of *programs*. Its parameters are tensors in
//! memory and scalars; its *dims* are named sizes, known only at launch, that tensor shapes are written in. Programs run
//! in any order and may run at the same time; none sees another's stores, except that `atomic_add`s to one place all count.
//!
//! # Values
//! Every op yields SSA values. A value is a *scalar*, or a *tile*: a dense array of one element type whose shape is known
//! when the kernel is built (rank 1 or 2; a dimension may be 1). Tiles have no address and no layout: where their elements
//! live is decided by a target's schedule. Tensors are parameters only; they are read by `load` and written by `store`
//! and `atomic_add`.
//!
//! # Control
//! Regions are structured: `for` and `if` hold blocks of ops that end in `yield`. A `for` counts an `i32` from its lower bound
//! while it is below its upper bound, by a positive constant step, and carries values from one iteration to the next; with no
//! iteration its results are its initial values. A value is visible after its definition in the same block and in the blocks
//! nested there.
//!
//! # Memory
//! `load` reads a box: one element offset and one extent for each axis of the tensor. Axes marked in `check` may reach past
//! the tensor's end (the ragged last block): elements outside read as zero and are not written by `store`. On an axis that
//! is not marked, the whole box must lie inside; no box may start before the tensor. The interpreter and the host report a
//! violation and touch no memory by it; code for a GPU assumes there is none. Within one program, loads and stores happen in
//! program order.
//!
//! # Numbers
//! * `f16` and `bf16` are storage types: they can be loaded, stored, moved, selected, cast and contracted. Arithmetic is in `f32`.
//! * A `mul` whose result is added may be contracted with the `add` to one rounding, as `fma`, by passes and by targets; the interpreter
//!   rounds twice.
//! * `dot` multiplies its operands exactly and accumulates in `f32`, in any order.
//! * `div` of `f32` may be off by two units in the last place.
//! * `i32` arithmetic wraps; `div` and `rem` truncate toward zero.
//! * `max` and `min` (and the reduction `max`) return the other operand when one is NaN.
//! * Comparisons with NaN are false, except `ne`.
//! * Casts from `f32` to a 16-bit float round to nearest even; to `i32` they truncate and saturate, with NaN to 0; from `i32` to `i8` they wrap.
//!   Other casts go through `f32` or `i32`: 16-bit floats are widened first, `f32` to `i8` passes through `i32`, `i32` to a 16-bit float through `f32`.
//!   A cast to `bool` asks whether the value is not 0 (NaN is not); a `bool` becomes 0 or 1.
//! * Reductions run in any order, so float sums agree between targets within rounding only.
//!
//! # Schedules
//! Nothing above knows a target. The same data structure later carries a schedule: ops whose [`Level`] is `Sched` are made by
//! passes of the code generator and never by a kernel's author. Such a kernel is what one block of threads does. Its body declares *rings*
//! (stages in shared memory, each with a "full" and an "empty" barrier) and *roles* (what a range of warps does, side by side). A role that fills
//! a ring waits for a stage to be empty (`acquire`) and starts copies into it (`fill`); one that reads it waits until it is full (`await`, which
//! gives a *view*), and gives it back (`release`). Where a role is in a ring is a *cursor*, carried by its loops. Matrix products are started
//! by `mma`, which gives a value *in flight*, and `mma_wait` makes tiles of those.

mod abi;
mod builder;
mod dims;
mod entities;
mod kernel;
mod ops;
mod parse;
mod print;
mod types;
mod verify;

pub use abi::AbiArg;
pub use builder::Builder;
pub use dims::DimExpr;
pub use entities::{BlockId, OpId, Value};
pub use kernel::{Attr, Block, Facts, GridAxis, Kernel, MemFacts, Op, Param, ParamKind};
pub use ops::{ATTRS, Class, Effect, Level, OpCode, Pred};
pub use parse::{ParseError, ParseErrorKind, ParseErrors, parse};
pub use types::{Elem, Scalar, TensorType, Type};
pub use verify::verify;
