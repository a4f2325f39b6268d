//! What can be known of a kernel without changing it: one question a file.

mod ahead;
mod divisor;
mod dots;
mod memory;
mod sign;
mod uses;

pub use ahead::ahead_slice;
pub use divisor::Divisors;
pub use dots::{DotOperand, dot_operand, dot_size};
pub use memory::{TensorUse, box_axes, tensor_uses};
pub use sign::is_positive;
pub use uses::{Parents, Uses};
