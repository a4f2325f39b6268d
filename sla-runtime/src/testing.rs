//! What tests of several crates share: a GPU, or the printed reason why a test is skipped.

use crate::{Device, RuntimeError};
use std::io::Write;

/// The first GPU. Where there is none, prints that the test is skipped and why, and returns `None`.
///
/// # Panics
/// If there is a GPU that fails: that is no reason to skip.
pub fn gpu_or_skip(test: &str) -> Option<Device> {
    match Device::cuda(0) {
        Ok(device) => Some(device),
        Err(RuntimeError::Cuda(e)) if e.is_absence() => {
            // Not by `eprintln!`, which the test harness keeps to itself while tests pass; in one piece, as tests run side by side.
            let line = format!("{test}: skipped: {e}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
        Err(e) => panic!("{test}: {e}"),
    }
}
