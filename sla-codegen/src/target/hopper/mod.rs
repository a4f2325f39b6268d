//! Hopper's way to run a tile kernel: warpgroups with roles, copies by the tensor memory accelerator, matrix products in flight.
//!
//! [`schedule`] makes a scheduled kernel of a tile kernel, and [`verify`] asks whether its roles can hang or get into each other's way. The
//! lowering of scheduled kernels is [`nvptx`](super::nvptx)'s.

mod schedule;
pub mod verify;

pub(crate) use schedule::schedule_seen;
pub use schedule::{Refusal, Scheduled, schedule};
