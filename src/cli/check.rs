//! `sla check`: random problems on a device, against the float64 reference.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use sla_runtime::DeviceName;

use super::error::CliError;
use crate::attention::cases::case;
use crate::attention::compare::{Measured, compare};
use crate::attention::{Request, run};
use crate::files::PendingFile;

/// Compare devices with the float64 reference on random problems.
///
/// Sizes, masks, scopes, feature maps, block shapes and element types are drawn from the seed; every output and gradient is
/// compared. Ends with status 1 when one is out of tolerance (relative L2 error 5e-3 for bf16, 8e-4 for f16, 1e-5 for f32).
#[derive(Args)]
pub struct Check {
    /// The device to check; without it, every device that is present.
    #[arg(long)]
    device: Option<DeviceName>,
    /// Seed of the first case; the others follow it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Cases to run on each device.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    cases: u64,
    /// Write every measurement as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One case on one device.
#[derive(Serialize)]
struct Checked {
    device: String,
    operator: String,
    seed: u64,
    case: String,
    outputs: Vec<Measured>,
}

impl Check {
    /// Runs the cases and prints the largest error of every output.
    ///
    /// # Errors
    /// [`CliError`]; [`CliError::Wrong`] when an output is out of tolerance.
    pub fn run(self) -> Result<(), CliError> {
        let json = self.json.as_deref().map(PendingFile::create).transpose()?;
        let devices = self.device.map_or_else(run::present, |device| vec![device]);
        let mut checked = Vec::new();
        for device in devices {
            for index in 0..self.cases {
                progress(&format!("{device}: case {} of {}", index + 1, self.cases));
                checked.push(one(device, self.seed.wrapping_add(index))?);
            }
        }
        progress("");
        print_table(&checked);
        if let Some(json) = json {
            let bytes = serde_json::to_vec_pretty(&checked)
                .map_err(|error| CliError::Make { what: "the measurements", reason: error.to_string() })?;
            json.commit(&bytes)?;
        }
        let wrong: Vec<_> = checked.iter().filter_map(|case| Some((case, worst_failure(case)?))).collect();
        let Some((case, output)) = wrong.first() else { return Ok(()) };
        Err(CliError::Wrong {
            wrong: wrong.len(),
            cases: checked.len(),
            first: format!("seed {} on {} ({})", case.seed, case.device, case.case),
            output: output.name,
            error: output.error,
            tolerance: output.tolerance,
        })
    }
}

/// Runs and measures one case.
fn one(device: DeviceName, seed: u64) -> Result<Checked, CliError> {
    let reject = |reason: String| CliError::Make { what: "a random case", reason };
    let request = case(seed).map_err(|error| reject(error.to_string()))?;
    let (answer, operator) = run::run(device, &request)?;
    let outputs = compare(&request, &answer).map_err(|error| reject(error.to_string()))?;
    Ok(Checked { device: device.to_string(), operator, seed, case: describe(&request), outputs })
}

fn describe(request: &Request) -> String {
    let (config, mask) = (request.config(), if request.mask().is_some() { "given" } else { "routed" });
    let (dtype, dims) = (request.inputs().q.dtype(), request.dims());
    format!(
        "{dtype} {dims} scope {} phi {} blocks {} mask {mask}",
        config.scope(),
        config.phi(),
        config.blocks()
    )
}

/// The output that is furthest beyond its tolerance.
fn worst_failure(case: &Checked) -> Option<&Measured> {
    let failed = case.outputs.iter().filter(|output| !output.passes());
    failed.max_by(|a, b| a.error.total_cmp(&b.error))
}

/// The largest error of every output, one line per device, element type and output.
fn print_table(checked: &[Checked]) {
    let mut rows: Vec<(String, f64, f64)> = Vec::new();
    for case in checked {
        let dtype = case.case.split(' ').next().unwrap_or_default();
        for output in &case.outputs {
            let name = format!("{:<8} {dtype:<5} {:<17}", case.device, output.name);
            match rows.iter_mut().find(|row| row.0 == name) {
                Some(row) => row.1 = row.1.max(output.error),
                None => rows.push((name, output.error, output.tolerance)),
            }
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = std::io::stdout();
    // A closed standard output takes nothing from the work.
    let _ = writeln!(out, "{:<8} {:<5} {:<17} {:>9} {:>9}", "device", "type", "output", "worst", "allowed");
    for (name, error, tolerance) in rows {
        let _ = writeln!(out, "{name} {error:>9.1e} {tolerance:>9.1e}");
    }
}

/// Shows what is being done, on a terminal only.
fn progress(text: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}
