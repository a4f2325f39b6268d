//! Points in the order of a device's work, and the time between them.

use super::cuda::Event;
use crate::RuntimeError;
use std::time::{Duration, Instant};

/// A point in the order of a device's work: on a GPU an event between what was enqueued before and what is enqueued after, elsewhere an
/// instant of the clock, since launches there have ended when they return. See [`crate::Device::mark`].
pub struct Mark(pub(super) Point);

pub(super) enum Point {
    Clock(Instant),
    Event(Event),
}

impl Mark {
    /// The device's time from this point to `end`, a later one of the same device. Waits until `end` has passed.
    ///
    /// # Errors
    /// A launch that failed on the device; marks of different devices.
    pub fn until(&self, end: &Mark) -> Result<Duration, RuntimeError> {
        match (&self.0, &end.0) {
            (Point::Clock(start), Point::Clock(end)) => Ok(end.saturating_duration_since(*start)),
            (Point::Event(start), Point::Event(end)) => Ok(start.until(end)?),
            _ => Err(RuntimeError::Marks),
        }
    }
}
