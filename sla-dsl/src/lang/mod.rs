//! What kernels are written in: kernel definitions and the vocabulary that `#[kernel]` bodies expand to.

mod def;

pub use def::{Const, Consts, Generic, GenericKind, Holds, KernelDef, Require};
