//! Tuning one job from end to end: its journal, its search, and the entry that comes of it.

use std::path::Path;
use std::time::SystemTime;

use sla_dsl::lang::Const;
use thiserror::Error;

use super::bundle::Offers;
use super::hands::Measure;
use super::job::Job;
use super::journal::Journal;
use super::search::{Budget, Found, Search, SearchError};
use super::verdict::{Verdict, counted};
use super::wire::About;
use crate::bench::variant::VariantError;
use crate::progress::Progress;
use crate::tuned::hash::hash;
use crate::tuned::record::{Entry, Provenance, date, fingerprint};

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
    let verdict = Verdict::of(&found.finalists);
    let (default, best) = (&found.finalists[0], &found.finalists[verdict.winner]);
    let (consts, _) = job.prepared(&best.set, &job.plain())?;
    let tuned = |name: &str| job.def().tune.axes.iter().any(|axis| axis.name == name);
    let consts = consts.0.iter().filter(|(name, _)| tuned(name)).filter_map(|(name, value)| match value {
        Const::Int(n) => Some((name.to_string(), *n)),
        _ => None,
    });
    let pairs = best.set.split(',').filter_map(|pair| pair.split_once('='));
    let bare = pairs.map(|(name, value)| (name.rsplit('.').next().unwrap_or(name), value));
    let settings = bare.filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_lowercase()));
    Ok(Entry {
        kernel: job.def().name.to_owned(),
        key: job.key(),
        consts: consts.collect(),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        measured: format!("{} {}", job.case.name, job.case.work),
        ms: best.ms(),
        default_ms: default.ms(),
        margin: verdict.margin,
        runner_up: verdict.runner_up(),
        candidates: counted(found.rows.iter().map(|row| row.fate.name())),
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
