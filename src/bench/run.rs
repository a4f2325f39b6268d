//! A whole run: every case with every variant is made, checked and then timed in turns with all others.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sla_codegen::Options;
use sla_dsl::lang::Consts;
use sla_runtime::{Device, DeviceName, RuntimeError};

use super::case::Case;
use super::clock::Clock;
use super::problem::{Operands, Prepared, Problem};
use super::record::{METHOD, Part, Record, Row, Takes, Time};
use super::stats::{Summary, median};
use super::steps::Step;
use super::timing::{Bursts, Calls, Plan, Timer, Turn};
use super::variant::{Variant, VariantError};
use super::verify::{Expected, Wrong, compare, expected};
use crate::progress::Progress;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Request {
    /// The cases.
    pub cases: Vec<Case>,
    /// Variants of each.
    pub variants: Vec<Variant>,
    /// Whether kernels run by their records of tuning, where no variant is asked for.
    pub tuned: bool,
    /// How much.
    pub plan: Plan,
    /// Determines inputs, lists and the tiles that are checked.
    pub seed: u64,
}

/// A run that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A variant that a case does not have.
    #[error(transparent)]
    Variant(#[from] VariantError),
    /// A device that fails.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// A case with a variant that is timed.
struct Entry {
    row: usize,
    problem: usize,
    prepared: Prepared,
    each: Duration,
    turns: Vec<Turn>,
    bursts: Bursts,
    calls: Option<Calls>,
}

/// Measures. A variant that does not compile, fails or is wrong is a row that says so.
///
/// # Errors
/// [`BenchError`]: a variant that no case has, before anything runs; a device that fails at something else than a kernel.
pub fn run(device: &Device, request: &Request, progress: &mut dyn Progress) -> Result<Record, BenchError> {
    let Request { cases, variants, tuned, plan, seed } = request;
    let plain = &[Variant::default()][..];
    let variants = if variants.is_empty() { plain } else { variants };
    progress.begin("inputs", cases.len());
    let mut operands = Operands::new(device, *seed);
    let mut problems = Vec::new();
    for &case in cases {
        problems.push(Problem::new(case, &mut operands)?);
        progress.step();
    }
    let mut chosen = Vec::new();
    for (at, problem) in problems.iter().enumerate() {
        for variant in variants {
            chosen.push((at, variant, variant.apply(&problem.case, &device.options())?));
        }
    }

    let mut timer = Timer::new(device, *plan)?;
    let (mut rows, mut entries): (Vec<Row>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut right: Option<(usize, Expected)> = None;
    progress.begin("compiling and checking", chosen.len());
    for (at, variant, mut prepared) in chosen {
        let problem = &mut problems[at];
        let by_record = if *tuned && *variant == Variant::default() {
            problem.by_record(&mut prepared)
        } else {
            vec![false; prepared.len()]
        };
        let mut row = plain_row(problem, variant, &prepared, &by_record);
        // Told before it runs: a kernel may hang.
        progress.note(&format!("{} {}", row.case.name, row.variant));
        right = right.filter(|(of, _)| *of == at);
        let checked = match right.take() {
            Some((_, known)) => Ok(known),
            None => problem.start().map_err(Wrong::from).and_then(|()| expected(problem, *seed)),
        }
        .and_then(|known| {
            let right = &right.insert((at, known)).1;
            check(device, &mut timer, problem, right, &prepared, &mut row)
        });
        match checked {
            Ok(each) => {
                let (turns, bursts, row) = (Vec::new(), Bursts::default(), rows.len());
                entries.push(Entry { row, problem: at, prepared, each, turns, bursts, calls: None });
            }
            Err(wrong) => row.failed = Some(wrong.to_string()),
        }
        progress.note(&format!("  {}", told(&row)));
        rows.push(row);
        progress.step();
    }

    let clock = device.bus_id().and_then(|id| Clock::start(&id));
    progress.begin("timing", plan.rounds * entries.len());
    for _ in 0..plan.rounds {
        entries.retain_mut(|entry| {
            let Entry { row, problem, prepared, each, turns, .. } = entry;
            let turn = timer.turn(*each, || problems[*problem].launch(prepared));
            progress.step();
            kept(&mut rows[*row], turn.map(|turn| turns.push(turn)))
        });
    }
    let several = |entry: &Entry| problems[entry.problem].steps.len() > 1;
    progress.begin("kernels alone", entries.iter().filter(|entry| several(entry)).count());
    entries.retain_mut(|entry| {
        if problems[entry.problem].steps.len() < 2 {
            return true;
        }
        let made = parts(&mut timer, &mut problems[entry.problem], entry, &mut rows[entry.row]);
        progress.step();
        kept(&mut rows[entry.row], made)
    });
    progress.begin("single launches after a rest", entries.len());
    entries.retain_mut(|entry| {
        let Entry { row, problem, prepared, bursts, .. } = entry;
        let made = timer.bursts(|| problems[*problem].launch(prepared));
        progress.step();
        kept(&mut rows[*row], made.map(|made| *bursts = made))
    });
    if gpu(device) {
        entries.retain_mut(|entry| {
            let Entry { row, problem, prepared, calls, .. } = entry;
            let made = timer.calls(|| problems[*problem].launch(prepared));
            kept(&mut rows[*row], made.map(|made| *calls = Some(made)))
        });
    }
    entries.retain_mut(|entry| {
        let (row, found) = (&mut rows[entry.row], problems[entry.problem].extra_bytes());
        row.extra_bytes = *found.as_ref().unwrap_or(&None);
        kept(row, found.map(drop))
    });
    for entry in &entries {
        rows[entry.row].time = time(rows[entry.row].flops, entry, clock.as_ref());
    }
    Ok(Record {
        version: env!("CARGO_PKG_VERSION"),
        device: device.describe(),
        method: METHOD,
        plan: *plan,
        seed: *seed,
        unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
        rows,
        peers: None,
    })
}

fn plain_row(problem: &Problem, variant: &Variant, prepared: &Prepared, tuned: &[bool]) -> Row {
    let part = |((step, (consts, _)), &tuned): ((&Step, &(Consts, Options)), &bool)| Part {
        name: step.name,
        kernel: step.kernel.name,
        consts: consts.to_string(),
        tuned,
        flops: problem.step_flops(step),
        takes: None,
        ms: None,
        tflops: None,
    };
    Row {
        case: problem.case,
        sizes: problem.case.work.to_string(),
        variant: variant.to_string(),
        flops: problem.flops(),
        first_seconds: None,
        parts: problem.steps.iter().zip(prepared).zip(tuned).map(part).collect(),
        errors: None,
        time: None,
        extra_bytes: None,
        failed: None,
    }
}

/// One turn of each kernel of a problem alone.
fn parts(timer: &mut Timer, problem: &mut Problem, entry: &Entry, row: &mut Row) -> Result<(), RuntimeError> {
    for (i, part) in row.parts.iter_mut().enumerate() {
        let each = timer.estimate(|| problem.launch_step(i, &entry.prepared))?;
        let turn = timer.turn(each, || problem.launch_step(i, &entry.prepared))?;
        part.ms = Summary::of(&turn.samples);
        part.tflops = part.ms.map(|ms| tflops(part.flops, ms.median));
    }
    Ok(())
}

/// Whether a row is measured on; one whose launches fail is not.
fn kept(row: &mut Row, outcome: Result<(), RuntimeError>) -> bool {
    row.failed = outcome.err().map(|e| e.to_string());
    row.failed.is_none()
}

/// What is known of a row once it was checked.
fn told(row: &Row) -> String {
    let seconds = row.first_seconds.map_or(String::new(), |s| format!("first launch {s:.2} s"));
    let takes = |part: &Part| {
        part.takes.as_ref().map_or(String::new(), |t| {
            let spill = t.spill_stores.unwrap_or(t.local);
            format!(
                "; {}: {} registers, {spill} bytes spilled, {} shared, {} a multiprocessor",
                part.name, t.registers, t.shared, t.blocks_per_sm
            )
        })
    };
    let takes: String = row.parts.iter().map(takes).collect();
    let errors: Vec<String> =
        row.errors.iter().flatten().map(|m| format!(", {} {:.1e}", m.name, m.error)).collect();
    match &row.failed {
        Some(reason) => format!("failed: {reason}"),
        None => format!("{seconds}{}{takes}", errors.concat()),
    }
}

/// Compiles, runs and checks a solution; then tells roughly how long it takes.
fn check(
    device: &Device,
    timer: &mut Timer,
    problem: &mut Problem,
    right: &Expected,
    prepared: &Prepared,
    row: &mut Row,
) -> Result<Duration, Wrong> {
    problem.clear()?;
    let start = Instant::now();
    problem.launch(prepared)?;
    device.synchronize()?;
    row.first_seconds = Some(start.elapsed().as_secs_f64());
    for (i, part) in row.parts.iter_mut().enumerate() {
        part.takes = problem.resources(i, prepared)?.map(Takes::from);
    }
    row.errors = Some(compare(problem, right)?);
    Ok(timer.estimate(|| problem.launch(prepared))?)
}

/// Whether calls return before their work has run, so that what they cost the host is a figure of its own.
fn gpu(device: &Device) -> bool {
    matches!(device.name(), DeviceName::Cuda(_))
}

/// 10^12 operations per second.
fn tflops(flops: f64, ms: f64) -> f64 {
    flops / ms.max(1e-9) / 1e9
}

fn time(flops: f64, entry: &Entry, clock: Option<&Clock>) -> Option<Time> {
    let all: Vec<f64> = entry.turns.iter().flat_map(|turn| turn.samples.iter().copied()).collect();
    let ms = Summary::of(&all)?;
    let burst = Summary::of(&entry.bursts.samples);
    let stretches: Vec<_> = entry.turns.iter().map(|turn| (turn.from, turn.to)).collect();
    let read = clock.and_then(|clock| clock.during(&stretches));
    Some(Time {
        ms,
        rounds_ms: entry.turns.iter().filter_map(|turn| median(&turn.samples)).collect(),
        tflops: tflops(flops, ms.median),
        burst_ms: burst,
        burst_tflops: burst.map(|b| tflops(flops, b.median)),
        host_us: entry.calls.as_ref().and_then(|calls| median(&calls.us)),
        launches: entry.calls.as_ref().and_then(|calls| calls.launches),
        mhz: read.map(|(mhz, _)| mhz),
        watts: read.map(|(_, watts)| watts),
    })
}
