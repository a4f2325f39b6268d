//! `sla tune-worker`: the process that measures for `sla tune`, which starts it and talks to it. Nobody else calls it.

use std::path::PathBuf;

use clap::Args;
use sla_runtime::DeviceName;
use sla_runtime::bundle::Bundle;

use super::bench::{Product, known, product, sizes};
use super::error::CliError;
use super::tune::TuneCliError;
use crate::attention::run::open;
use crate::bench::case::Case;
use crate::bench::shape::Shape;
use crate::bench::steps::steps_of;
use crate::tune::job::Job;
use crate::tune::worker::serve;

/// Measure for `tune`: questions on standard input, answers on standard output, one JSON value a line.
#[derive(Args)]
pub struct TuneWorker {
    #[arg(long, value_parser = known)]
    case: Case,
    /// Which of the case's kernels.
    #[arg(long)]
    index: usize,
    #[arg(long)]
    device: DeviceName,
    #[arg(long)]
    shape: Option<Shape>,
    #[arg(long, value_parser = product)]
    matmul: Option<Product>,
    #[arg(long)]
    seed: u64,
    /// Kernels that are not compiled here.
    #[arg(long)]
    bundle: Option<PathBuf>,
}

impl TuneWorker {
    /// Answers until nobody asks.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        let mut device = open(self.device)?;
        if let Some(path) = &self.bundle {
            let bundle = Bundle::read(path).map_err(|e| TuneCliError::Bundle(e.into()))?;
            device = device.with_bundle(bundle.into());
        }
        let case = self.case.at(&sizes(device.target(), self.shape, self.matmul));
        let kernels = steps_of(&case).len();
        if self.index >= kernels {
            return Err(TuneCliError::Index { found: self.index, kernels }.into());
        }
        let job = Job { case, index: self.index, target: device.target() };
        Ok(serve(&device, &job, self.seed).map_err(TuneCliError::from)?)
    }
}
