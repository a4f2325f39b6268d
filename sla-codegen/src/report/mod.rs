//! What each pass changed, for people who look for the one that did it: a table of all steps of a compilation, and the lines that each took away and added.
//!
//! `lines` compares texts, `text` and `html` write the report down. Where it is kept is the caller's business.

mod html;
mod lines;
mod text;

use crate::trace::{Step, trace};
use crate::{CodegenError, Options, Stage};
use lines::{Fate, Line, compare};
use sla_dsl::ir::Kernel;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The steps of a kernel's compilation, as far as it got.
pub struct Report {
    title: String,
    steps: Vec<Entry>,
    failed: Option<CodegenError>,
}

/// A step, beside the one before it.
struct Entry {
    step: Step,
    ops_before: usize,
    change: Change,
}

/// What a step did to the text.
enum Change {
    /// It is the first of its language, or what is gone on with after a way was given up.
    Made,
    /// Nothing.
    Nothing,
    /// All lines of before and afterwards.
    Lines(Vec<Line>),
}

impl Report {
    /// Compiles a kernel to assembly and notes every step. A kernel that does not compile has a report too: of the steps before, and why.
    pub fn new(kernel: &Kernel, options: &Options) -> Report {
        let mut steps = Vec::new();
        let done = trace(kernel, options, &mut |step| steps.push(step));
        Report::of(kernel, options, steps, done.err())
    }

    pub(crate) fn of(
        kernel: &Kernel,
        options: &Options,
        steps: Vec<Step>,
        failed: Option<CodegenError>,
    ) -> Report {
        let set: Vec<String> = options.chosen().iter().map(|(name, v)| format!(" {name}={v}")).collect();
        let title = format!("{} for {}{}", kernel.name, options.target, set.concat());
        let mut entries: Vec<Entry> = Vec::with_capacity(steps.len());
        for step in steps {
            let (ops_before, change) = match entries.last() {
                Some(Entry { step: before, .. })
                    if is_tile(before.stage) == is_tile(step.stage)
                        && (is_tile(step.stage) || before.stage == step.stage)
                        && step.given_up.is_none() =>
                {
                    let change = match before.text == step.text {
                        true => Change::Nothing,
                        false => Change::Lines(compare(&before.text, &step.text)),
                    };
                    (before.ops, change)
                }
                _ => (step.ops, Change::Made),
            };
            entries.push(Entry { step, ops_before, change });
        }
        Report { title, steps: entries, failed }
    }

    /// Why the kernel does not compile, if it does not.
    pub fn failed(self) -> Option<CodegenError> {
        self.failed
    }

    fn changing(&self) -> usize {
        self.steps.iter().filter(|e| matches!(e.change, Change::Lines(_))).count()
    }

    /// The first lines of every report.
    fn summary(&self) -> String {
        let (steps, ms) = (self.steps.len(), self.steps.iter().map(|e| e.ms()).sum::<f64>());
        format!("{steps} steps in {ms:.1} ms, {} of which changed the text they were given", self.changing())
    }
}

/// Tile IR and what is scheduled are one language.
fn is_tile(stage: Stage) -> bool {
    stage <= Stage::Sched
}

impl Entry {
    /// Milliseconds.
    fn ms(&self) -> f64 {
        1e3 * self.step.took.as_secs_f64()
    }

    /// `181 -> 164`, or one number.
    fn ops(&self) -> String {
        match self.ops_before == self.step.ops {
            true => self.step.ops.to_string(),
            false => format!("{} -> {}", self.ops_before, self.step.ops),
        }
    }

    /// `-20 +3`, `nothing` or `made`.
    fn effect(&self) -> String {
        match &self.change {
            Change::Made if self.step.given_up.is_some() => "given up".to_string(),
            Change::Made => "made".to_string(),
            Change::Nothing => "nothing".to_string(),
            Change::Lines(lines) => {
                let count = |fate| lines.iter().filter(|l| l.fate == fate).count();
                format!("-{} +{}", count(Fate::Gone), count(Fate::New))
            }
        }
    }

    /// Whether a reader who asked for certain steps asked for this one.
    fn is_wanted(&self, only: Option<&str>) -> bool {
        only.is_none_or(|text| self.step.name.contains(text) || self.step.stage.name() == text)
    }
}

#[cfg(test)]
mod tests;
