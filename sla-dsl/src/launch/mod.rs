//! Arguments of a launch and the checks that every launch passes, whatever device runs it.
//!
//! What is checked where:
//!
//! | | interpreter | host | GPU | GPU with checks |
//! |---|---|---|---|---|
//! | numbers, element types, ranks, sizes, strides, alignment, memory, overlap of the arguments; the grid | yes | yes | yes | yes |
//! | boxes against their tensors, `assert!`, integer division by zero, while programs run | yes | yes | no | yes |
//!
//! The second line is about numbers that only programs see: offsets that they compute, and entries and counts of lists that lie in
//! tensors. **On a GPU without checks such a number is trusted**: an entry of a list beyond the tensor that it points into reads or writes other
//! memory, also from a safe launch, as a division by zero gives 0 there. Whoever passes lists of his own runs his kernels on the host
//! once, or on a GPU with checks (`SLA_CHECKS=1`, or `Device::with_checks` of the runtime), where it is an error with its place
//! in the Rust source. Lists that the operator makes are right by construction, and masks of a user are checked before lists are made of them.

mod arg;
mod bind;
mod error;
mod form;
mod memory;
mod sizes;
#[cfg(test)]
mod tests;

pub use arg::{Arg, Element, Float, Half, Launcher, Space, TensorArg, TensorLike};
pub use bind::{Bound, bind};
pub use error::{LaunchError, Refusal};
pub use form::Form;
