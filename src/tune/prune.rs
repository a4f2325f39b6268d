//! What need not be compiled: candidates that the kernel refuses, and those that the [`model`](super::model) of the hardware rules out.

use sla_codegen::{Arch, ScheduleKind, Target};

use super::job::Job;
use super::model::Tiles;
use super::space::{Candidate, Space};

/// A candidate whose limit is below this share of the default's has no chance.
const HOPELESS: f64 = 0.5;

/// How fast a candidate could be at most by the model, in 10^12 operations per second, if it is worth to be compiled; 0 where there is no model.
///
/// # Errors
/// Why it is not, for people.
pub fn prune(job: &Job, space: &Space, candidate: &Candidate) -> Result<f64, String> {
    let (consts, options) = job.consts(space, candidate).map_err(|e| e.to_string())?;
    let kernel = job.kernel(&consts).map_err(|e| e.to_string())?;
    let Some(Target::Cuda(arch)) = job.target else { return Ok(0.0) };
    let tiles = Tiles::of(&kernel);
    let roles = arch == Arch::Sm90a && options.schedule != ScheduleKind::Baseline;
    let multiple = if roles { 8 } else { 16 };
    if let Some([m, n, k]) = tiles.products.iter().find(|[m, n, k]| m % 16 + n % multiple + k % 16 > 0) {
        return Err(format!("a product of {m} by {n} by {k} is no multiple of a matrix instruction's sizes"));
    }
    let (groups, ctas) = (options.groups.unwrap_or(1), options.ctas_per_sm.unwrap_or(1));
    let shared = arch.shared_bytes() as usize;
    let copies = options.stages.unwrap_or(1).max(1) * groups;
    let needed = tiles.streamed * copies as usize;
    if needed > shared {
        return Err(format!(
            "{copies} stages of its tiles are {needed} bytes, and a block of threads may have {shared}"
        ));
    }
    if roles
        && let Some((needed, most)) = tiles.registers(groups, ctas)
        && needed > most
    {
        return Err(format!("its tiles take {needed} registers a thread at least, and there are {most}"));
    }
    let rate = tiles.rate(arch, job.programs(&consts).unwrap_or(0.0), options.schedule);
    let default = job.limit(space);
    if rate < HOPELESS * default {
        return Err(format!("its tiles allow {rate:.0} TFLOP/s at most, those of the default {default:.0}"));
    }
    Ok(rate)
}
