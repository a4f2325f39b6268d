//! Tuning a kernel of one's own, in one's own program: the candidates of its space are compiled, checked by whoever knows the answer, and timed in turns.
//!
//! It goes from the default outwards, those candidates first that differ from it in few values, as far as the budget goes; the best two and the default then
//! take turns. Shipped kernels are tuned by processes that may die ([`super::tune`]); here a candidate that hangs, hangs the program, and one that
//! breaks a GPU ends the search. What comes of it is an entry of a record, which [`Tuned`](crate::tuned::Tuned) launches by.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use sla_codegen::Options;
use sla_dsl::lang::{Const, Consts, KernelDef};
use sla_dsl::launch::{Arg, Launcher, bind};
use sla_runtime::{Device, RuntimeError};
use thiserror::Error;

use super::search::{Finalist, shown};
use super::space::Space;
use super::verdict::{Verdict, counted};
use crate::bench::stats::median;
use crate::bench::timing::{Plan, Timer};
use crate::progress::Progress;
use crate::tuned::record::{Entry, Provenance, date, fingerprint};
use crate::tuned::{Key, Made};

/// Turns of the best and the default, at the end.
const ROUNDS: usize = 6;
/// Candidates of the last turns, the default among them.
const FINALISTS: usize = 3;
/// Most candidates that are looked at.
const MOST: usize = 1000;
/// Timed launches of a turn, and the most time that they may take.
const LAUNCHES: u32 = 24;
const SAMPLE: Duration = Duration::from_millis(60);

/// A turn of launches that take so long. Each is timed with caches overwritten before it, which takes longer than many kernels.
fn turn(each: Duration) -> Plan {
    Plan {
        rounds: ROUNDS,
        warm: Duration::from_millis(5),
        sample: (each * LAUNCHES).min(SAMPLE),
        pause: Duration::ZERO,
        bursts: 0,
        rest: Duration::ZERO,
    }
}

/// A problem with an answer, whose kernel is to be tuned.
pub trait Problem {
    /// Makes outputs hold no answer, so that a candidate that writes nothing is found. Not timed.
    ///
    /// # Errors
    /// A device that fails.
    fn clear(&mut self) -> Result<(), RuntimeError>;

    /// Launches the kernel, in place of a device on this, with the constants that are its default.
    ///
    /// # Errors
    /// Whatever the launch returns.
    fn launch(&mut self, on: &Trial<'_>) -> Result<(), RuntimeError>;

    /// Whether the outputs hold the answer.
    ///
    /// # Errors
    /// What is wrong with them, for the candidate's row.
    fn check(&mut self) -> Result<(), String>;
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It does not run, or not well: why.
    Refused(String),
    /// Its answer is wrong: how.
    Wrong(String),
    /// Milliseconds.
    Timed(f64),
}

impl Fate {
    /// Its name in a record's counts.
    fn name(&self) -> &'static str {
        match self {
            Fate::Refused(_) => "refused",
            Fate::Wrong(_) => "wrong",
            Fate::Timed(_) => "timed",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Refused(why) => write!(f, "refused: {why}"),
            Fate::Wrong(how) => write!(f, "wrong: {how}"),
            Fate::Timed(ms) => write!(f, "{ms:.4} ms"),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How the kernel is best run.
    pub entry: Entry,
    /// Every candidate that was looked at, by what differs from the default; the default is first and has no name.
    pub rows: Vec<(String, Fate)>,
}

/// Why nothing was tuned.
#[derive(Debug, Error)]
pub enum OwnError {
    /// A kernel without a space.
    #[error(
        "kernel {kernel} has nothing to vary; declare it as `tune(BLOCK in [64, 128])` in #[kernel(...)]"
    )]
    NoSpace {
        /// The kernel.
        kernel: &'static str,
    },
    /// [`Problem::launch`] launched another kernel, or none.
    #[error("the problem does not launch kernel {kernel} on what it is given")]
    NotLaunched {
        /// The kernel.
        kernel: &'static str,
    },
    /// The default does not run or is wrong, so that there is nothing to compare with.
    #[error("kernel {kernel} with its default values: {fate}")]
    Default {
        /// The kernel.
        kernel: &'static str,
        /// What became of it.
        fate: Fate,
    },
    /// A device that fails.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Launches one candidate of one kernel where it is given in place of a device; other kernels run as they are.
pub struct Trial<'d> {
    device: &'d Device,
    kernel: &'static KernelDef,
    set: Vec<(&'static str, &'static str)>,
    seen: RefCell<Option<Seen>>,
}

/// What a launch of the kernel was.
#[derive(Clone)]
struct Seen {
    given: Consts,
    consts: Consts,
    key: Key,
    made: Made,
    refused: Option<String>,
}

impl Trial<'_> {
    /// Constants and options of the candidate.
    fn choice(&self, given: &Consts) -> Result<(Consts, Options), String> {
        let (mut consts, mut options) = (given.clone(), self.device.options());
        for &(name, value) in &self.set {
            match consts.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, constant)) => {
                    let size = value.parse().map_err(|_| format!("{name} is `{value}`, needed a number"))?;
                    *constant = Const::Int(size);
                }
                None => options.set(name, value).map_err(|e| e.to_string())?,
            }
        }
        Ok((consts, options))
    }
}

impl Launcher for Trial<'_> {
    type Error = RuntimeError;

    fn launch(
        &self,
        kernel: &'static KernelDef,
        given: &Consts,
        args: &[Arg<'_>],
    ) -> Result<(), RuntimeError> {
        if !std::ptr::eq(kernel, self.kernel) {
            return self.device.launch(kernel, given, args);
        }
        let mut seen = self.seen.borrow_mut();
        let (consts, options) = match self.choice(given) {
            Ok(choice) => choice,
            Err(why) => {
                let (given, consts) = (given.clone(), given.clone());
                let (key, made, refused) = (Key::default(), Made::default(), Some(why));
                *seen = Some(Seen { given, consts, key, made, refused });
                return Ok(());
            }
        };
        if seen.as_ref().is_none_or(|seen| seen.consts != consts) {
            let bound = bind(kernel, &consts, args)?;
            let key = Key::of(kernel, given, &bound);
            let made = self.device.resources(kernel, &consts, args, &options)?;
            let made = made.map_or_else(Made::default, Made::from);
            // What everybody runs is measured, whatever it is.
            let refused = made.refusal().filter(|_| !self.set.is_empty());
            *seen = Some(Seen { given: given.clone(), consts: consts.clone(), key, made, refused });
        }
        if seen.as_ref().is_some_and(|seen| seen.refused.is_some()) {
            return Ok(());
        }
        self.device.launch_with(kernel, &consts, args, &options)
    }
}

/// A candidate that was right.
struct Runner<'d> {
    trial: Trial<'d>,
    set: String,
    each: Duration,
    ms: f64,
}

/// Finds the best way to run a kernel for a problem.
///
/// ```
/// use sla::tune::own::{self, Problem, Trial};
/// use sla::{Device, Tensor};
/// use sla_dsl::prelude::*;
/// use sla_runtime::RuntimeError;
///
/// /// `y = 2 x`
/// #[kernel(dims(N), grid(i in N.div_ceil(BLOCK)), tune(BLOCK in [64, 256], key(N)))]
/// fn doubled<const BLOCK: usize>(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>) {
///     y.block::<BLOCK>(i).store(x.block::<BLOCK>(i).load() * 2.0);
/// }
///
/// struct Mine {
///     device: Device,
///     x: Tensor<f32>,
///     y: Tensor<f32>,
/// }
///
/// impl Problem for Mine {
///     fn clear(&mut self) -> Result<(), RuntimeError> {
///         self.y = Tensor::zeros(&self.device, &[1000])?;
///         Ok(())
///     }
///     fn launch(&mut self, on: &Trial<'_>) -> Result<(), RuntimeError> {
///         doubled::<128>::launch(on, &self.x, &mut self.y)
///     }
///     fn check(&mut self) -> Result<(), String> {
///         let y = self.y.to_vec().map_err(|e| e.to_string())?;
///         if y.iter().all(|&y| y == 6.0) { Ok(()) } else { Err("not twice".into()) }
///     }
/// }
///
/// let device = Device::cpu();
/// let (x, y) = (Tensor::from_vec(&device, &[1000], [3f32; 1000])?, Tensor::zeros(&device, &[1000])?);
/// let mut mine = Mine { device: device.clone(), x, y };
/// let report = own::tune(&device, &doubled, &mut mine, std::time::Duration::from_secs(5), &mut ())?;
/// assert_eq!(report.rows.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OwnError`]. A candidate that does not run or is wrong is a row.
pub fn tune(
    device: &Device,
    kernel: &'static KernelDef,
    problem: &mut dyn Problem,
    budget: Duration,
    progress: &mut dyn Progress,
) -> Result<Report, OwnError> {
    if kernel.tune.is_empty() {
        return Err(OwnError::NoSpace { kernel: kernel.name });
    }
    let start = Instant::now();
    let mut timer = Timer::new(device, turn(SAMPLE))?;
    let trial = |set| Trial { device, kernel, set, seen: RefCell::default() };
    let (mut rows, mut right) = (Vec::new(), Vec::new());
    let first = trial(Vec::new());
    problem.clear()?;
    problem.launch(&first)?;
    let given = first.seen.borrow().as_ref().map(|seen| (seen.given.clone(), seen.key.clone()));
    let Some((given, key)) = given else { return Err(OwnError::NotLaunched { kernel: kernel.name }) };
    let space = Space::of_constants(&kernel.tune, &given, device.target());
    let all = space.nearest(MOST);
    progress.begin("candidates", all.len());
    for candidate in &all {
        if !rows.is_empty() && start.elapsed() >= budget {
            break;
        }
        let (set, trial) = (space.name(candidate), trial(space.pairs(candidate)));
        let fate = match measured(problem, &trial, &mut timer) {
            Ok((each, ms)) => {
                right.push(Runner { trial, set: set.clone(), each, ms });
                Fate::Timed(ms)
            }
            Err(fate) if rows.is_empty() => return Err(OwnError::Default { kernel: kernel.name, fate }),
            Err(fate) => fate,
        };
        progress.note(&format!("{}: {fate}", shown(&set)));
        progress.step();
        rows.push((set, fate));
    }
    right[1..].sort_by(|a, b| a.ms.total_cmp(&b.ms));
    right.truncate(FINALISTS);
    let mut rounds = vec![Vec::new(); right.len()];
    for _ in 0..ROUNDS {
        for (of, runner) in rounds.iter_mut().zip(&right) {
            timer.replan(turn(runner.each));
            let turn = timer.turn(runner.each, || problem.launch(&runner.trial))?;
            of.extend(median(&turn.samples));
        }
    }
    let finalists = right.iter().zip(rounds).map(|(runner, rounds)| {
        let made = runner.trial.seen.borrow().as_ref().map(|seen| seen.made.clone());
        Finalist { set: runner.set.clone(), rounds, made: made.unwrap_or_default() }
    });
    let finalists: Vec<Finalist> = finalists.collect();
    let verdict = Verdict::of(&finalists);
    let choice = &right[verdict.winner].trial;
    let (consts, settings): (Vec<_>, Vec<_>) =
        choice.set.iter().partition(|(name, _)| given.0.iter().any(|(known, _)| known == name));
    let best = &finalists[verdict.winner];
    let entry = Entry {
        kernel: kernel.name.to_owned(),
        key,
        consts: consts.iter().filter_map(|(n, v)| Some(((*n).to_owned(), v.parse().ok()?))).collect(),
        settings: settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        measured: "a program's own problem".to_owned(),
        ms: best.ms(),
        default_ms: finalists[0].ms(),
        margin: verdict.margin,
        runner_up: verdict.runner_up(),
        candidates: counted(rows.iter().map(|(_, fate)| fate.name())),
        exhausted: rows.len() == all.len(),
        seconds: (start.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        made: Provenance {
            device: device.describe(),
            driver: None,
            compiler: sla_codegen::toolchain(),
            ptxas: best.made.ptxas.clone(),
            code: best.made.code.clone(),
            space: fingerprint(&kernel.tune),
            date: date(SystemTime::now()),
        },
    };
    Ok(Report { entry, rows })
}

/// Checks a candidate, then times it: about how long a launch takes, and the median of a turn in milliseconds.
fn measured(
    problem: &mut dyn Problem,
    trial: &Trial<'_>,
    timer: &mut Timer,
) -> Result<(Duration, f64), Fate> {
    let refused = |e: RuntimeError| Fate::Refused(e.to_string());
    problem.clear().map_err(refused)?;
    problem.launch(trial).map_err(refused)?;
    if let Some(why) = trial.seen.borrow().as_ref().and_then(|seen| seen.refused.clone()) {
        return Err(Fate::Refused(why));
    }
    problem.check().map_err(Fate::Wrong)?;
    let each = timer.estimate(|| problem.launch(trial)).map_err(refused)?;
    timer.replan(turn(each));
    let turn = timer.turn(each, || problem.launch(trial)).map_err(refused)?;
    median(&turn.samples).map(|ms| (each, ms)).ok_or_else(|| Fate::Refused("no launch was timed".to_owned()))
}
