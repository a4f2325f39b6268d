//! How much memory a device's tensors take, now and at most: counted where memory is allocated and freed, in the order in which the host asks.
//! And how many kernels were launched.
//!
//! Work is enqueued in that order, so that the count is what the work has at a time; what the driver keeps for later is not in it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that tensors and kernels' own buffers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Allocated and not freed.
    pub now: u64,
    /// The most at a time since the device was opened or [`Device::reset_peak`](super::Device::reset_peak) was called.
    pub peak: u64,
}

/// Counts bytes and launches.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    now: AtomicU64,
    peak: AtomicU64,
    launches: AtomicU64,
}

impl Meter {
    pub fn add(&self, bytes: usize) {
        let bytes = bytes as u64;
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    pub fn take(&self, bytes: usize) {
        self.now.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    pub fn launched(&self) {
        self.launches.fetch_add(1, Ordering::Relaxed);
    }

    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    pub fn read(&self) -> MemoryUse {
        MemoryUse { now: self.now.load(Ordering::Relaxed), peak: self.peak.load(Ordering::Relaxed) }
    }

    pub fn reset_peak(&self) {
        self.peak.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_most_at_a_time() {
        let meter = Meter::default();
        meter.add(10);
        meter.add(20);
        meter.take(10);
        assert_eq!(meter.read(), MemoryUse { now: 20, peak: 30 });
        meter.reset_peak();
        meter.add(5);
        meter.take(25);
        assert_eq!(meter.read(), MemoryUse { now: 0, peak: 25 });
    }
}
