//! What was measured, as JSON and as a table.

use std::fmt;

use serde::Serialize;

use super::methods::Method;
use crate::attention::{Config, Tally};

/// Everything that a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the program.
    pub version: &'static str,
    /// Device.
    pub device: String,
    /// `--seed`.
    pub seed: u64,
    /// Standard deviation of the noise, where white is 1.
    pub noise: f64,
    /// Strength `h^2` of the filter.
    pub strength: f64,
    /// Frames that the methods are judged on, and frames that the projections are fitted on, counted from 0.
    pub judged: [usize; 2],
    /// First frame fitted on, and the one after the last.
    pub fitted: [usize; 2],
    /// Height and width of the frames.
    pub pixels: [usize; 2],
    /// Tokens attended to by each.
    pub tokens: usize,
    /// Settings of SLA.
    pub config: Config,
    /// What SLA's block mask holds.
    pub mask: Option<Tally>,
    /// PSNR of the noisy clip in decibels.
    pub noisy_psnr: f64,
    /// One row a method.
    pub methods: Vec<Row>,
    /// The fits.
    pub fits: Vec<Fit>,
    /// From start to finish, in seconds.
    pub seconds: f64,
}

/// How a method did on the frames that it is judged on.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The method.
    pub method: Method,
    /// PSNR against the clean clip in decibels.
    pub psnr: f64,
    /// Relative L2 error of the output against dense attention's.
    pub error_to_dense: f64,
    /// Floating-point operations of its matrix products, in per cent of dense attention's.
    pub work_percent: f64,
    /// Routing and attention, in seconds, without compilation.
    pub seconds: f64,
}

/// How a projection was fitted.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// For which method.
    pub method: Method,
    /// Steps taken.
    pub steps: usize,
    /// In seconds, compilation included.
    pub seconds: f64,
    /// Squared distance to dense attention, over that of its output from zero, at every step.
    pub losses: Vec<f64>,
}

impl fmt::Display for Report {
    /// The table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12} {:>8} {:>15} {:>10} {:>9}", "", "PSNR", "error to dense", "work", "time")?;
        writeln!(f, "{:<12} {:>5.2} dB", "noisy", self.noisy_psnr)?;
        for Row { method, psnr, error_to_dense, work_percent, seconds } in &self.methods {
            let name = method.name();
            let error = match method {
                Method::Dense => "-".to_owned(),
                _ => format!("{error_to_dense:.4}"),
            };
            writeln!(f, "{name:<12} {psnr:>5.2} dB {error:>15} {work_percent:>8.1} % {seconds:>7.3} s")?;
        }
        Ok(())
    }
}
