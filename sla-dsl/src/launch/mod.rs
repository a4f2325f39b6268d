//! Arguments of a launch and the checks that every launch passes, whatever device runs it.

mod arg;

pub use arg::{Arg, Element, Launcher, Space, TensorArg, TensorLike};
