//! A space of tuning at one problem: candidates, the way from one to its neighbours, and their names.

use std::fmt::Write as _;

use sla_codegen::Target;
use sla_dsl::lang::{Consts, TuneSpace};

use crate::bench::choices::Choice;

/// A way to run a kernel: for each axis of its space a value, or what the table of choices has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Candidate(Vec<Option<usize>>);

/// An axis with the values that differ from what the table of choices has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Axis {
    name: &'static str,
    values: Vec<&'static str>,
}

/// The space of one kernel, on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    axes: Vec<Axis>,
    /// What comes before names where several kernels solve a case: `dq.`.
    before: String,
}

impl Space {
    /// The space that a kernel declares, beside the choice that it has without tuning. Settings of the compiler are GPUs'.
    pub fn new(declared: &TuneSpace, choice: &Choice, target: Option<Target>, before: &str) -> Space {
        let chosen = |name: &str| {
            let constant = choice.consts.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
            constant.or(choice.settings.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        Space::beside(declared, target, before, chosen)
    }

    /// The space of a kernel whose default has these constants, and the compiler's own settings.
    pub fn of_constants(declared: &TuneSpace, default: &Consts, target: Option<Target>) -> Space {
        let chosen = |name: &str| {
            let constant = default.0.iter().find(|(n, _)| *n == name);
            constant.map(|(_, value)| value.to_string())
        };
        Space::beside(declared, target, "", chosen)
    }

    /// The space beside a default that has these values of constants and settings; constants that it lacks are not free.
    fn beside(
        declared: &TuneSpace,
        target: Option<Target>,
        before: &str,
        chosen: impl Fn(&str) -> Option<String>,
    ) -> Space {
        let gpu = matches!(target, Some(Target::Cuda(_)));
        let free = |name: &str| chosen(name).is_some();
        let axes = declared.axes.iter().filter(|axis| if axis.is_const() { free(axis.name) } else { gpu });
        let axes = axes.map(|axis| {
            let now = chosen(axis.name);
            let values = axis.values.iter().copied().filter(|value| now.as_deref() != Some(*value)).collect();
            Axis { name: axis.name, values }
        });
        Space { axes: axes.collect(), before: before.to_owned() }
    }

    /// What the table of choices has.
    pub fn default_candidate(&self) -> Candidate {
        Candidate(vec![None; self.axes.len()])
    }

    /// Candidates of the whole space.
    pub fn size(&self) -> usize {
        self.axes.iter().map(|axis| axis.values.len() + 1).product()
    }

    /// The candidates that differ from one in one axis, in the order of axes and values.
    pub fn neighbours(&self, of: &Candidate) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (i, axis) in self.axes.iter().enumerate() {
            let values = (0..axis.values.len()).map(Some).chain([None]);
            all.extend(values.filter(|value| *value != of.0[i]).map(|value| {
                let mut next = of.clone();
                next.0[i] = value;
                next
            }));
        }
        all
    }

    /// Every candidate, the default first, those that differ from it in few axes before others; at most so many.
    pub fn nearest(&self, most: usize) -> Vec<Candidate> {
        let mut all = vec![self.default_candidate()];
        let mut from = 0;
        while from < all.len() && all.len() < most {
            let (more, changes) = (self.neighbours(&all[from]), all[from].changes());
            for candidate in more.into_iter().filter(|c| c.changes() > changes) {
                if all.len() < most && !all.contains(&candidate) {
                    all.push(candidate);
                }
            }
            from += 1;
        }
        all
    }

    /// For each value in which a candidate differs from the default, the candidate that differs in it alone.
    pub fn alone(&self, of: &Candidate) -> Vec<Candidate> {
        let changed = of.0.iter().enumerate().filter(|(_, value)| value.is_some());
        changed
            .map(|(i, value)| {
                let mut one = self.default_candidate();
                one.0[i] = *value;
                one
            })
            .collect()
    }

    /// Names and values that differ from the default's.
    pub fn pairs(&self, of: &Candidate) -> Vec<(&'static str, &'static str)> {
        let pair = |(axis, value): (&Axis, &Option<usize>)| value.map(|i| (axis.name, axis.values[i]));
        self.axes.iter().zip(&of.0).filter_map(pair).collect()
    }

    /// As `sla bench --set` takes it; empty for the default.
    pub fn name(&self, of: &Candidate) -> String {
        self.pairs(of).into_iter().fold(String::new(), |mut text, (name, value)| {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a String does not fail.
            let _ = write!(text, "{comma}{}{name}={value}", self.before);
            text
        })
    }
}

impl Candidate {
    /// Axes in which it differs from the default.
    pub fn changes(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_codegen::Arch;
    use sla_dsl::lang::TuneAxis;

    const DECLARED: TuneSpace = TuneSpace {
        axes: &[
            TuneAxis { name: "BQ", values: &["64", "128"] },
            TuneAxis { name: "BK", values: &["64"] },
            TuneAxis { name: "stages", values: &["2", "3"] },
        ],
        key: &[],
    };

    fn space(target: Option<Target>) -> Space {
        Space::new(&DECLARED, &Choice { consts: &[("BQ", 128)], settings: &[] }, target, "dq.")
    }

    #[test]
    fn the_space_has_what_is_free_and_differs() {
        let gpu = space(Some(Target::Cuda(Arch::Sm90a)));
        assert_eq!(gpu.size(), 6, "BK follows from the case, and BQ=128 is the default");
        let all: Vec<String> = gpu.nearest(100).iter().map(|c| gpu.name(c)).collect();
        let needed =
            ["", "dq.BQ=64", "dq.stages=2", "dq.stages=3", "dq.BQ=64,dq.stages=2", "dq.BQ=64,dq.stages=3"];
        assert_eq!(all, needed);
        assert_eq!(gpu.nearest(3).len(), 3);
        assert_eq!(space(Some(Target::Cpu)).size(), 2, "the host has no settings");
    }

    #[test]
    fn neighbours_differ_in_one_axis() {
        let gpu = space(Some(Target::Cuda(Arch::Sm90a)));
        let at = gpu.nearest(100).pop().unwrap();
        let names: Vec<String> = gpu.neighbours(&at).iter().map(|c| gpu.name(c)).collect();
        assert_eq!(names, ["dq.stages=3", "dq.BQ=64,dq.stages=2", "dq.BQ=64"]);
        let alone: Vec<String> = gpu.alone(&at).iter().map(|c| gpu.name(c)).collect();
        assert_eq!(alone, ["dq.BQ=64", "dq.stages=3"]);
    }
}
