//! Many problems on one device.

use super::Problem;
use sla::Device;
use sla::attention::module::Compiled;
use sla_dsl::launch::Space;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What one problem may take on a GPU, nearly all of it the compilation of its kernels.
const BUDGET: Duration = Duration::from_secs(60);

/// Checks every problem. For a GPU that is on as many threads as the machine has cores, so that kernels are compiled at the same time, and what
/// each took is printed; the host has use for every core itself.
pub fn check_all(device: &Device, problems: &[Problem]) {
    let gpu = device.space() != Space::Host;
    let (next, wrong) = (Mutex::new(problems.iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(problem) = next.lock().unwrap().next() else { return };
            let start = Instant::now();
            let outcome = problem.outcome(&Compiled::new(device.clone()));
            if gpu {
                tell(&format!("{device}: {}", problem.name()), start.elapsed());
            }
            wrong.lock().unwrap().extend(outcome.err());
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = if gpu { cores.min(problems.len()) } else { 1 };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn tell(what: &str, took: Duration) {
    let within = if took > BUDGET { "OVER the" } else { "of" };
    let line = format!("{what}: {:.1} s {within} {} s\n", took.as_secs_f64(), BUDGET.as_secs());
    // Past the harness, which keeps what tests that pass print; in one piece, as tests run side by side.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
