//! Hopper's way to run a tile kernel: warpgroups with roles, copies by the tensor memory accelerator, matrix products in flight.
//!
//! [`schedule`] makes a scheduled kernel of a tile kernel. The lowering of scheduled kernels is [`nvptx`](super::nvptx)'s.

mod schedule;

pub use schedule::{Refusal, Scheduled, schedule};
