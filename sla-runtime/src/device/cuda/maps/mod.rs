//! Tensor maps: what a kernel's bulk copies (TMA) know of its tensors, made from the arguments of a launch.
//!
//! [`describe`] checks the hardware's rules without a driver, `encode` has the driver write the 128 bytes, and `recent` keeps the last ones,
//! because launches repeat.

mod describe;
mod encode;
mod recent;

pub use describe::MapRefusal;
pub(super) use describe::{Description, describe};
pub(super) use encode::available;
pub(super) use recent::RecentMaps;
