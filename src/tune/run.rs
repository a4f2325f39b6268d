//! Tuning one job from end to end: its journal, its search, and the entry that comes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use sla_dsl::lang::Const;
use thiserror::Error;

use super::bundle::Offers;
use super::hands::Measure;
use super::job::Job;
use super::journal::{Fate, Journal};
use super::search::{Budget, Finalist, Found, Search, SearchError};
use super::wire::About;
use crate::bench::stats::median;
use crate::bench::variant::VariantError;
use crate::progress::Progress;
use crate::tuned::hash::hash;
use crate::tuned::record::{Entry, Provenance, RunnerUp, date, fingerprint};

/// A winner is faster than the default by more than this share, in three of four rounds at least; otherwise the default is as good.
const LEAST: f64 = 0.005;

/// Why nothing was tuned.
#[derive(Debug, Error)]
pub enum TuneError {
    /// The search.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A setting that the compiler does not have, in a kernel's space.
    #[error(transparent)]
    Variant(#[from] VariantError),
}

/// What is to be tuned, and how.
#[derive(Clone, Copy)]
pub struct Order<'o> {
    /// The kernel with its problem.
    pub job: &'o Job,
    /// Candidates of a bundle, if no others are looked at.
    pub offers: Option<&'o Offers>,
    /// The folder of journals.
    pub journals: &'o Path,
    /// Whether what an interrupted search left is thrown away.
    pub fresh: bool,
    /// Who compiles; part of what a journal is for.
    pub compiler: &'o str,
    /// How long it may take.
    pub budget: Budget,
}

/// Tunes a kernel.
///
/// # Errors
/// [`TuneError`].
pub fn tune(
    order: &Order<'_>,
    hands: &mut dyn Measure,
    progress: &mut dyn Progress,
) -> Result<(Entry, Found), TuneError> {
    let Order { job, offers, journals, fresh, compiler, budget } = *order;
    let about = hands.about().map_err(SearchError::from)?;
    let (kernel, key) = (job.def().name, job.key());
    let what = format!("{kernel} {key} {} on {} with {compiler}", job.case.work, about.device);
    let identity = format!("{what} {about:?} {}", fingerprint(&job.def().tune));
    let name = format!("{kernel}-{}.jsonl", &hash(&identity)[..12]);
    let (mut journal, kept, damaged) =
        Journal::open(&journals.join(name), &what, fresh).map_err(SearchError::from)?;
    progress.note(&what);
    if damaged > 0 {
        progress.note(&format!("warning: {damaged} damaged lines of the journal are left out"));
    }
    if !kept.is_empty() {
        progress.note(&format!("going on from {} candidates of an interrupted search", kept.len()));
    }
    let found = Search::new(job, offers, hands, &mut journal, kept, budget, progress).run()?;
    let entry = entry(job, &found, about, compiler)?;
    Ok((entry, found))
}

/// The entry for what was found.
fn entry(job: &Job, found: &Found, about: About, compiler: &str) -> Result<Entry, VariantError> {
    let (winner, margin) = winner(&found.finalists);
    let (default, best) = (&found.finalists[0], &found.finalists[winner]);
    let others = found.finalists.iter().enumerate().filter(|(i, _)| *i != winner).map(|(_, f)| f);
    let runner_up = others.min_by(|a, b| a.ms().total_cmp(&b.ms()));
    let (consts, _) = job.prepared(&best.set, &job.plain())?;
    let tuned = |name: &str| job.def().tune.axes.iter().any(|axis| axis.name == name);
    let consts = consts.0.iter().filter(|(name, _)| tuned(name)).filter_map(|(name, value)| match value {
        Const::Int(n) => Some((name.to_string(), *n)),
        _ => None,
    });
    let pairs = best.set.split(',').filter_map(|pair| pair.split_once('='));
    let bare = pairs.map(|(name, value)| (name.rsplit('.').next().unwrap_or(name), value));
    let settings = bare.filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_lowercase()));
    let mut candidates = BTreeMap::new();
    for row in &found.rows {
        let fate = match &row.fate {
            Fate::Pruned(_) => "pruned",
            Fate::Refused(_) => "refused",
            Fate::Same(_) => "same_code",
            Fate::Failed(_) => "failed",
            Fate::Hung(_) => "hung",
            Fate::Crashed(_) => "crashed",
            Fate::Timed { .. } => "timed",
        };
        *candidates.entry(fate.to_owned()).or_insert(0) += 1;
    }
    Ok(Entry {
        kernel: job.def().name.to_owned(),
        key: job.key(),
        consts: consts.collect(),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        measured: format!("{} {}", job.case.name, job.case.work),
        ms: best.ms(),
        default_ms: default.ms(),
        margin,
        runner_up: runner_up.map(|f| RunnerUp { set: f.set.clone(), ms: f.ms() }),
        candidates,
        exhausted: found.exhausted,
        seconds: (found.seconds * 10.0).round() / 10.0,
        made: Provenance {
            device: about.device,
            driver: about.driver,
            compiler: compiler.to_owned(),
            ptxas: best.made.ptxas.clone(),
            code: best.made.code.clone(),
            space: fingerprint(&job.def().tune),
            date: date(SystemTime::now()),
        },
    })
}

/// Which finalist wins, and by how much over the default, which is the first.
pub(super) fn winner(finalists: &[Finalist]) -> (usize, f64) {
    let Some((default, others)) = finalists.split_first() else { return (0, 0.0) };
    let gains = |of: &Finalist| -> Vec<f64> {
        default.rounds.iter().zip(&of.rounds).map(|(default, ms)| default / ms - 1.0).collect()
    };
    let sure = |(i, of): (usize, &Finalist)| {
        let gains = gains(of);
        let gain = median(&gains)?;
        let ahead = gains.iter().filter(|&&gain| gain > 0.0).count();
        (gain > LEAST && 4 * ahead >= 3 * gains.len()).then_some((i + 1, gain))
    };
    let best = others.iter().enumerate().filter_map(sure).max_by(|a, b| a.1.total_cmp(&b.1));
    best.unwrap_or((0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuned::Made;

    fn finalist(set: &str, rounds: &[f64]) -> Finalist {
        Finalist { set: set.to_owned(), rounds: rounds.to_vec(), made: Made::default() }
    }

    #[test]
    fn a_winner_is_ahead_of_the_default_round_by_round() {
        let default = finalist("", &[1.0, 1.02, 1.01, 1.0]);
        let faster = finalist("a=1", &[0.98, 1.0, 0.99, 0.98]);
        let once = finalist("a=2", &[0.5, 1.03, 1.02, 1.01]);
        let barely = finalist("a=3", &[0.999, 1.019, 1.009, 0.999]);
        let all = [default.clone(), once.clone(), faster.clone()];
        let (at, margin) = winner(&all);
        assert!(at == 2 && (margin - 0.0203).abs() < 1e-3, "{at} {margin}");
        assert_eq!(winner(&[default.clone(), once, barely]), (0, 0.0), "no winner but the default");
        assert_eq!(winner(&[default]), (0, 0.0));
    }
}
