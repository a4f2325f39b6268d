//! `sla demo`: the main job on the bundled clip, with pictures and a report.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use sla_runtime::DeviceName;

use super::error::CliError;
use super::progress::Bar;
use crate::attention::run::open;
use crate::attention::{OperatorError, Share};
use crate::demo::{DemoError, Outcome, Scene, Settings, run};
use crate::files::{FileError, PendingFile};

/// Denoise the bundled clip by dense attention, by SLA, and by each half of SLA alone.
///
/// The projections of SLA and of linear attention are fitted to dense attention's output on four frames by gradient
/// descent through the backward kernels; all methods are judged on four others. Prints a table and writes pictures and
/// report.json.
#[derive(Args)]
pub struct Demo {
    /// Directory for the results; made when it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where to run: auto, cpu, cuda, cuda:N or interp, which takes a crop of the frames.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Determines the noise and the course of the fits.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of each fit.
    #[arg(long, default_value_t = 200, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    steps: usize,
    /// Share of the key blocks of a row that softmax attention takes; at least one block.
    #[arg(long, value_name = "SHARE", default_value = "0.05", allow_hyphen_values = true)]
    critical: Share,
}

const REPORT: &str = "report.json";

impl Demo {
    /// Does the work; the results appear only when all of it is done.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        let refused = |source| FileError::Io { action: "make", path: self.out.clone(), source };
        fs::create_dir_all(&self.out).map_err(refused)?;
        let pending = |name: &str| PendingFile::create(&self.out.join(name));
        let pictures = Outcome::PICTURES.into_iter().map(pending).collect::<Result<Vec<_>, _>>()?;
        let report = pending(REPORT)?;

        let device = open(self.device)?;
        let scene = if self.device == DeviceName::Interp { Scene::small() } else { Scene::whole() };
        let settings = Settings { seed: self.seed, steps: self.steps, critical: self.critical, scene };
        let mut bar = Bar::new();
        let outcome = run(&device, &settings, &mut bar).map_err(|error| self.failed(error))?;
        drop(bar);

        for (file, (_, bytes)) in pictures.into_iter().zip(&outcome.pictures) {
            file.commit(bytes)?;
        }
        let json = serde_json::to_vec_pretty(&outcome.report)
            .map_err(|error| CliError::Make { what: "the report", reason: error.to_string() })?;
        report.commit(&json)?;
        // A closed standard output takes nothing from the work.
        let _ = self.print(&outcome);
        Ok(())
    }

    fn failed(&self, error: DemoError) -> CliError {
        OperatorError::Failed { operator: self.device.to_string(), source: Box::new(error) }.into()
    }

    fn print(&self, outcome: &Outcome) -> std::io::Result<()> {
        let (report, mut out) = (&outcome.report, std::io::stdout());
        let [height, width] = report.pixels;
        let config = &report.config;
        writeln!(
            out,
            "Big Buck Bunny (c) 2008 Blender Foundation, CC BY 3.0: frames {} to {} of 16, {height}x{width} pixels, \
             noise of {:.0}/255, {} tokens, on {}",
            report.judged[0] + 1,
            report.judged[1],
            report.noise * 255.0,
            report.tokens,
            report.device,
        )?;
        writeln!(
            out,
            "SLA: scope {}, phi {}, blocks {}, {:.1} % of the blocks critical; projections fitted on frames {} to {} \
             in {} steps\n",
            config.scope(),
            config.phi(),
            config.blocks(),
            100.0 * report.mask.map_or(0.0, |mask| mask.density()),
            report.fitted[0] + 1,
            report.fitted[1],
            self.steps,
        )?;
        writeln!(out, "{report}")?;
        let place = self.out.display();
        writeln!(
            out,
            "{:.1} s in all. See {place}/comparison.png, mask.png, loss.png and {REPORT}.",
            report.seconds
        )
    }
}
