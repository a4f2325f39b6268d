//! The protocol of a measurement: that of Triton's `do_bench`, in turns. A turn is 60 ms of launches that are not timed and 250 ms of launches that
//! are, caches overwritten before each; the figure is the median. Kernels that are compared take turns, each after a rest, so that a GPU at its power limit
//! treats them alike; single launches after a rest show what power and heat take from the sustained ones.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;
use sla_runtime::{Device, RuntimeError, Scrubber};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Turns of every kernel.
    pub rounds: usize,
    /// Launches that are not timed, at the start of a turn.
    pub warm: Duration,
    /// Launches that are timed, in a turn.
    pub sample: Duration,
    /// The rest before a turn: a GPU at its power limit otherwise shows what ran before.
    pub pause: Duration,
    /// Single launches after a rest.
    pub bursts: usize,
    /// The rest before each.
    pub rest: Duration,
}

/// Fewest and most timed launches of a turn.
const FEWEST: usize = 3;
const MOST: usize = 500;

/// A turn of one kernel.
pub struct Turn {
    /// Milliseconds of each timed launch.
    pub samples: Vec<f64>,
    /// When timed launches began and had ended.
    pub from: Instant,
    /// As above.
    pub to: Instant,
}

/// What calls cost the host.
pub struct Calls {
    /// Microseconds of each.
    pub us: Vec<f64>,
    /// Kernels that one of them launches, where that is counted.
    pub launches: Option<u64>,
}

/// Calls that are timed on the host, and how many come one after the other before the device is waited for: in a full queue a call would wait for
/// the device.
const CALLS: usize = 24;
const TOGETHER: usize = 4;

/// Single launches after rests.
#[derive(Default)]
pub struct Bursts {
    /// Milliseconds of each.
    pub samples: Vec<f64>,
}

/// Measures launches on one device.
pub struct Timer {
    device: Device,
    scrubber: Scrubber,
    plan: Plan,
}

impl Timer {
    /// Prepares a device.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn new(device: &Device, plan: Plan) -> Result<Timer, RuntimeError> {
        Ok(Timer { device: device.clone(), scrubber: device.scrubber()?, plan })
    }

    /// Measures from now on as much as another plan says.
    pub fn replan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    /// Roughly how long a launch takes, from the shortest of a few.
    ///
    /// # Errors
    /// Whatever a launch returns.
    pub fn estimate(
        &mut self,
        mut launch: impl FnMut() -> Result<(), RuntimeError>,
    ) -> Result<Duration, RuntimeError> {
        let mut shortest = Duration::MAX;
        for _ in 0..2 {
            shortest = shortest.min(self.one(&mut launch)?);
        }
        Ok(shortest)
    }

    /// One turn of a kernel whose launches take about `each`.
    ///
    /// # Errors
    /// Whatever a launch returns.
    pub fn turn(
        &mut self,
        each: Duration,
        mut launch: impl FnMut() -> Result<(), RuntimeError>,
    ) -> Result<Turn, RuntimeError> {
        sleep(self.plan.pause);
        for _ in 0..count(self.plan.warm, each, 1) {
            launch()?;
        }
        let from = Instant::now();
        let mut marks = Vec::new();
        for _ in 0..count(self.plan.sample, each, FEWEST) {
            self.scrubber.scrub()?;
            let start = self.device.mark()?;
            launch()?;
            marks.push((start, self.device.mark()?));
        }
        self.device.synchronize()?;
        let to = Instant::now();
        let milliseconds =
            |(start, end): &(_, _)| Ok(1e3 * sla_runtime::Mark::until(start, end)?.as_secs_f64());
        let samples = marks.iter().map(milliseconds).collect::<Result<_, RuntimeError>>()?;
        Ok(Turn { samples, from, to })
    }

    /// The host's time of calls that repeat.
    ///
    /// # Errors
    /// Whatever a launch returns.
    pub fn calls(
        &mut self,
        mut launch: impl FnMut() -> Result<(), RuntimeError>,
    ) -> Result<Calls, RuntimeError> {
        let mut us = Vec::with_capacity(CALLS);
        let before = self.device.launches();
        for call in 0..CALLS {
            if call % TOGETHER == 0 {
                self.device.synchronize()?;
            }
            let start = Instant::now();
            launch()?;
            us.push(1e6 * start.elapsed().as_secs_f64());
        }
        self.device.synchronize()?;
        let counted = |before| Some((self.device.launches()? - before) / CALLS as u64);
        Ok(Calls { us, launches: before.and_then(counted) })
    }

    /// Single launches, each after a rest.
    ///
    /// # Errors
    /// Whatever a launch returns.
    pub fn bursts(
        &mut self,
        mut launch: impl FnMut() -> Result<(), RuntimeError>,
    ) -> Result<Bursts, RuntimeError> {
        let mut bursts = Bursts::default();
        for _ in 0..self.plan.bursts {
            self.device.synchronize()?;
            sleep(self.plan.rest);
            bursts.samples.push(1e3 * self.one(&mut launch)?.as_secs_f64());
        }
        Ok(bursts)
    }

    /// The device's time of a single launch.
    fn one(
        &mut self,
        launch: &mut impl FnMut() -> Result<(), RuntimeError>,
    ) -> Result<Duration, RuntimeError> {
        self.scrubber.scrub()?;
        let start = self.device.mark()?;
        launch()?;
        start.until(&self.device.mark()?)
    }
}

/// Launches of so long that fill a time.
fn count(time: Duration, each: Duration, fewest: usize) -> usize {
    let launches = time.as_secs_f64() / each.as_secs_f64().max(1e-6);
    (launches as usize).clamp(fewest, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_as_many_launches_as_fit_its_time() {
        let ms = Duration::from_millis;
        assert_eq!(count(ms(100), ms(10), FEWEST), 10);
        assert_eq!(count(ms(100), ms(90), FEWEST), FEWEST);
        assert_eq!(count(ms(100), Duration::ZERO, FEWEST), MOST);
    }

    #[test]
    fn samples_are_times_of_launches() {
        let plan = Plan {
            rounds: 1,
            warm: Duration::ZERO,
            sample: Duration::ZERO,
            pause: Duration::ZERO,
            bursts: 2,
            rest: Duration::ZERO,
        };
        let mut timer = Timer::new(&Device::cpu(), plan).unwrap();
        let (mut launches, pause) = (0, Duration::from_millis(3));
        let mut launch = || {
            launches += 1;
            sleep(pause);
            Ok(())
        };
        assert!(timer.estimate(&mut launch).unwrap() >= pause);
        let turn = timer.turn(pause, &mut launch).unwrap();
        let bursts = timer.bursts(&mut launch).unwrap();
        assert_eq!((turn.samples.len(), bursts.samples.len(), launches), (3, 2, 2 + 1 + 3 + 2));
        assert!(turn.samples.iter().chain(&bursts.samples).all(|&ms| (3.0..1e3).contains(&ms)));
        assert!(turn.to - turn.from >= 3 * pause);
        let slow = || {
            sleep(pause);
            Ok(())
        };
        let calls = timer.calls(slow).unwrap();
        assert_eq!((calls.us.len(), calls.launches), (CALLS, None));
        assert!(calls.us.iter().all(|&us| us >= 3e3));
    }
}
