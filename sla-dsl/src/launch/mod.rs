//! Arguments of a launch and the checks that every launch passes, whatever device runs it.

mod arg;
mod bind;
mod error;
mod memory;
mod sizes;
#[cfg(test)]
mod tests;

pub use arg::{Arg, Element, Float, Half, Launcher, Space, TensorArg, TensorLike};
pub use bind::{Bound, bind};
pub use error::{LaunchError, Refusal};
