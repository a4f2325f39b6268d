//! The clock and the power of a GPU while it works, as nvidia-smi reads them. Where that is not there, nothing is reported.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::stats::median;

/// Milliseconds between readings.
const PERIOD: u32 = 50;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    at: Instant,
    mhz: f64,
    watts: f64,
}

/// Readings of a GPU from now until it is dropped.
pub struct Clock {
    child: Child,
    reader: Option<JoinHandle<()>>,
    readings: Arc<Mutex<Vec<Reading>>>,
}

impl Clock {
    /// Starts reading the GPU at a place of the PCI bus; `None` where nvidia-smi cannot be started.
    pub fn start(bus_id: &str) -> Option<Clock> {
        let mut command = Command::new("nvidia-smi");
        command.args(["-i", bus_id, "--query-gpu=clocks.sm,power.draw", "--format=csv,noheader,nounits"]);
        command.arg("-lms").arg(PERIOD.to_string());
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let stdout = child.stdout.take()?;
        let readings = Arc::new(Mutex::new(Vec::new()));
        let kept = readings.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((mhz, watts)) = parse(&line) {
                    let reading = Reading { at: Instant::now(), mhz, watts };
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
                }
            }
        });
        Some(Clock { child, reader: Some(reader), readings })
    }

    /// The medians of MHz and watts over some stretches of time; `None` without a reading in them.
    pub fn during(&self, stretches: &[(Instant, Instant)]) -> Option<(f64, f64)> {
        let readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |r: &&Reading| stretches.iter().any(|(from, to)| (*from..=*to).contains(&r.at));
        let (mhz, watts): (Vec<f64>, Vec<f64>) =
            readings.iter().filter(within).map(|r| (r.mhz, r.watts)).unzip();
        Some((median(&mhz)?, median(&watts)?))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait, and with it the reader's input.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// MHz and watts of a line.
fn parse(line: &str) -> Option<(f64, f64)> {
    let (mhz, watts) = line.split_once(',')?;
    Some((mhz.trim().parse().ok()?, watts.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbers_or_nothing() {
        assert_eq!(parse("1980, 612.34"), Some((1980.0, 612.34)));
        assert_eq!(parse("[N/A], 612.34"), None);
        assert_eq!(parse("1980"), None);
    }
}
