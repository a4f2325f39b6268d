//! The process that measures for the tuner: it holds the problem and answers one question after the other on its standard output.
//!
//! It may hang or die, whoever started it must see to that; it ends by itself when nobody asks any more.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rayon::prelude::*;
use sla_codegen::Options;
use sla_dsl::lang::Consts;
use sla_runtime::{CudaError, Device, DeviceName, RuntimeError};

use super::job::Job;
use super::wire::{About, Ask, Tell};
use crate::bench::problem::{Operands, Prepared, Problem};
use crate::bench::timing::{Plan, Timer};
use crate::bench::variant::{Variant, VariantError};
use crate::bench::verify::{Expected, Wrong, compare, expected};
use crate::tuned::Made;

/// Why no more questions are answered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A problem that cannot be made, or a forward that gradients start from and that fails.
    #[error(transparent)]
    Problem(#[from] Wrong),
    /// Nobody reads the answers.
    #[error("cannot answer: {0}")]
    Output(#[from] io::Error),
}

/// Answers questions about a job until the input ends.
///
/// # Errors
/// [`ServeError`].
pub fn serve(device: &Device, job: &Job, seed: u64) -> Result<(), ServeError> {
    let asked = listen();
    let mut worker = Worker::new(device, job, seed)?;
    tell(&Tell::Ready(about(device)))?;
    while let Ok(ask) = asked.recv() {
        if worker.answer(&ask)? {
            break;
        }
    }
    Ok(())
}

/// Questions as they come. With the end of the input the process ends at once, whatever it does: who asked is gone.
fn listen() -> Receiver<Ask> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(ask) = serde_json::from_str(&line) else { break };
            if send.send(ask).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    receive
}

fn about(device: &Device) -> About {
    let driver = device.bus_id().and_then(|id| {
        let mut ask = Command::new("nvidia-smi");
        let output =
            ask.args(["-i", &id, "--query-gpu=driver_version", "--format=csv,noheader"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    });
    About { device: device.describe(), driver }
}

struct Worker<'j> {
    device: Device,
    job: &'j Job,
    problem: Problem,
    right: Expected,
    timer: Timer,
    /// Constants and options of candidates, and roughly how long a launch takes.
    known: HashMap<String, (Prepared, Duration)>,
}

impl<'j> Worker<'j> {
    fn new(device: &Device, job: &'j Job, seed: u64) -> Result<Worker<'j>, Wrong> {
        let mut problem = Problem::new(job.case, &mut Operands::new(device, seed))?;
        problem.start()?;
        let right = expected(&problem, seed)?;
        let timer = Timer::new(device, plan(device, 0))?;
        Ok(Worker { device: device.clone(), job, problem, right, timer, known: HashMap::new() })
    }

    /// Answers; `true` when it was the last time.
    fn answer(&mut self, ask: &Ask) -> io::Result<bool> {
        let (set, answer) = match ask {
            Ask::Make(sets) => return self.make(sets).map(|()| false),
            Ask::Check(set) => (set, self.check(set).map(|error| Tell::Right { error })),
            Ask::Turn { set, ms } => (set, self.turn(set, *ms).map(|samples| Tell::Timed { samples })),
        };
        let last = matches!(&answer, Err(wrong) if wrong.is_of_the_device());
        let failed = |wrong: Failure| Tell::Failed { set: set.clone(), reason: wrong.to_string(), last };
        tell(&answer.unwrap_or_else(failed))?;
        Ok(last)
    }

    fn make(&mut self, sets: &[String]) -> io::Result<()> {
        let plain = self.device.options();
        let bound = sets.iter().map(|set| {
            let (consts, options) = self.job.prepared(set, &plain).map_err(|e| e.to_string())?;
            let bound = self.problem.bind(self.job.index, &consts).map_err(|e| e.to_string())?;
            Ok((consts, options, bound))
        });
        let bound: Vec<Result<_, String>> = bound.collect();
        let (device, def) = (&self.device, self.job.def());
        sets.par_iter().zip(bound).try_for_each(|(set, bound)| {
            let made = bound.and_then(|(consts, options, bound): (Consts, Options, _)| {
                device.prepare(def, &consts, &bound, &options).map_err(|e| e.to_string())
            });
            tell(&match made {
                Ok(made) => {
                    Tell::Made { set: set.clone(), made: made.map_or_else(Made::default, Made::from) }
                }
                Err(reason) => Tell::Failed { set: set.clone(), reason, last: false },
            })
        })
    }

    /// The largest relative error of what a candidate gives.
    fn check(&mut self, set: &str) -> Result<f64, Failure> {
        let prepared = set.parse::<Variant>()?.apply(&self.job.case, &self.device.options())?;
        self.problem.clear().map_err(Wrong::from)?;
        self.problem.launch(&prepared).map_err(Wrong::from)?;
        self.device.synchronize().map_err(Wrong::from)?;
        let measured = compare(&self.problem, &self.right)?;
        let (problem, index) = (&mut self.problem, self.job.index);
        let each = self.timer.estimate(|| problem.launch_step(index, &prepared)).map_err(Wrong::from)?;
        self.known.insert(set.to_owned(), (prepared, each));
        Ok(measured.iter().map(|m| m.error).fold(0.0, f64::max))
    }

    /// Milliseconds of the launches of a turn.
    fn turn(&mut self, set: &str, ms: u64) -> Result<Vec<f64>, Failure> {
        if !self.known.contains_key(set) {
            // Another process checked it, and has ended since.
            self.check(set)?;
        }
        self.timer.replan(plan(&self.device, ms));
        let Worker { known, timer, problem, job, .. } = self;
        let Some((prepared, each)) = known.get(set) else { return Ok(Vec::new()) };
        let turn = timer.turn(*each, || problem.launch_step(job.index, prepared)).map_err(Wrong::from)?;
        Ok(turn.samples)
    }
}

/// Why a candidate has no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Variant(#[from] VariantError),
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

impl Failure {
    /// Whether the device failed, so that nothing after it can be trusted.
    fn is_of_the_device(&self) -> bool {
        matches!(self, Failure::Wrong(Wrong::Runtime(RuntimeError::Cuda(CudaError::Driver { .. }))))
    }
}

/// One line, at once.
fn tell(what: &Tell) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A turn of so many milliseconds; on a GPU it begins with a rest, for heat and power.
fn plan(device: &Device, ms: u64) -> Plan {
    let gpu = matches!(device.name(), DeviceName::Cuda(_));
    let time = Duration::from_millis;
    Plan {
        rounds: 1,
        warm: time(ms / 4),
        sample: time(ms),
        pause: time(if gpu { ms.min(250) } else { 0 }),
        bursts: 0,
        rest: Duration::ZERO,
    }
}
