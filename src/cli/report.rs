//! The report of `sla attend` as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::attention::{Config, Counts, Dims, Dtype, Grid, Tally};

/// What was asked, what was done, and how long it took.
#[derive(Serialize)]
pub struct Report<'a> {
    /// Version of the program.
    pub version: &'static str,
    /// `--device` as it was given.
    pub device: String,
    /// The back end that served it.
    pub operator: &'a str,
    /// Type of `q`, `k`, `v` and `out`.
    pub dtype: Dtype,
    /// Sizes.
    pub dims: Dims,
    /// Shape of the block mask.
    pub grid: Grid,
    /// Settings.
    pub config: &'a Config,
    /// Whether the user's mask replaced the router.
    pub mask_given: bool,
    /// What the router was to select per row; absent when the mask was given.
    pub asked: Option<Counts>,
    /// What the mask holds.
    pub realised: Tally,
    /// Critical blocks over all blocks.
    pub density: f64,
    /// Whether gradients were computed.
    pub backward: bool,
    /// Wall-clock times.
    pub seconds: Seconds,
}

/// Wall-clock times in seconds.
#[derive(Serialize)]
pub struct Seconds {
    /// Reading and checking the input.
    pub read: f64,
    /// Routing and the forward pass.
    pub forward: f64,
    /// The backward pass, if there was one.
    pub backward: Option<f64>,
    /// Encoding and writing the output.
    pub write: f64,
}

impl Seconds {
    /// Times of one run.
    pub fn new(read: Duration, forward: Duration, backward: Option<Duration>, write: Duration) -> Self {
        let [read, forward, write] = [read, forward, write].map(|time| time.as_secs_f64());
        Seconds { read, forward, backward: backward.map(|time| time.as_secs_f64()), write }
    }
}
