//! What kernels are written in: kernel definitions and the vocabulary that `#[kernel]` bodies expand to.
//!
//! Kernel authors use `sla_dsl::prelude`; what is here is called by expanded code. A body becomes plain Rust that runs
//! once, when the kernel is built: [`Val`]s stand for what exists when the kernel runs, `i64`, `f64` and `bool` for what is known now, and
//! traits decide for each operator which of the two its operands are.

mod arith;
mod control;
mod cx;
mod def;
mod infer;
mod math;
mod reduce;
mod softmax;
mod tune;
mod value;
mod view;

pub use arith::*;
pub use control::{Carry, Range, entry, for_, if_, param, program_id, range, runtime_dim, unroll};
pub use cx::{Cx, GenericArg};
pub use def::{Const, Consts, Generic, GenericKind, Holds, KernelDef, Require, whole_blocks};
pub use infer::{ArgPat, ElemPat, GenericArgs, Infer, Tiles, checked};
pub use math::*;
pub use reduce::*;
pub use softmax::OnlineSoftmax;
pub use tune::{TuneAxis, TuneSpace};
pub use value::{Assign, Either, Join, Konst, Opd, Operand, Promote, Val, assign, join, konst, promote};
pub use view::*;
