//! The search: from the default from one neighbour to the next, as far as they are faster, then a paired run of the best two against the default.
//!
//! Every candidate that is looked at becomes a row: pruned, refused, wrong, hung, crashed or timed. Nothing is timed that was not right before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::bundle::{Offered, Offers};
use super::hands::{Lost, Measure, NoHands};
use super::job::Job;
use super::journal::{Fate, Journal, JournalError, Row};
use super::prune::prune;
use super::space::{Candidate, Space};
use crate::bench::stats::median;
use crate::progress::Progress;
use crate::tuned::Made;

/// How long is searched.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// All of it, the paired run and the compilation too. What runs when it ends is still ended.
    pub all: Duration,
    /// Milliseconds of timed launches of a candidate.
    pub turn: u64,
    /// The same in each round of the paired run.
    pub final_turn: u64,
    /// Rounds of the paired run.
    pub rounds: usize,
}

/// Faster by less than this share, a neighbour is noise.
const NOISE: f64 = 0.002;

/// A search that cannot go on.
#[derive(Debug, Error)]
pub enum SearchError {
    /// Nobody measures.
    #[error(transparent)]
    Hands(#[from] NoHands),
    /// The journal cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The kernel as it is without tuning.
    #[error("the default of {kernel} cannot be measured: {reason}")]
    Default {
        /// The kernel.
        kernel: &'static str,
        /// What became of it.
        reason: String,
    },
}

/// A candidate of the paired run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finalist {
    /// As `sla bench --set` takes it; empty for the default.
    pub set: String,
    /// The median of each round, in milliseconds.
    pub rounds: Vec<f64>,
    /// What it takes.
    pub made: Made,
}

impl Finalist {
    /// The median of the rounds, in milliseconds.
    pub fn ms(&self) -> f64 {
        median(&self.rounds).unwrap_or(f64::INFINITY)
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Every candidate that was looked at, in order.
    pub rows: Vec<Row>,
    /// The default and the best two, which took turns; the default first.
    pub finalists: Vec<Finalist>,
    /// Seconds that it took, those before an interruption among them.
    pub seconds: f64,
    /// Whether no neighbour of the best was left to try.
    pub exhausted: bool,
}

/// A search in progress.
pub struct Search<'s> {
    job: &'s Job,
    /// Candidates that were compiled elsewhere, if no others are looked at.
    offers: Option<HashMap<&'s str, &'s Offered>>,
    space: Space,
    hands: &'s mut dyn Measure,
    journal: &'s mut Journal,
    progress: &'s mut dyn Progress,
    budget: Budget,
    start: Instant,
    /// Seconds before an interruption.
    before: f64,
    rows: Vec<Row>,
    known: HashMap<String, usize>,
    /// What compiled candidates take that have not run yet.
    made: HashMap<String, Made>,
    /// The first candidate of each code.
    codes: HashMap<String, String>,
}

impl<'s> Search<'s> {
    /// A search that goes on from the rows of an interrupted one.
    pub fn new(
        job: &'s Job,
        offers: Option<&'s Offers>,
        hands: &'s mut dyn Measure,
        journal: &'s mut Journal,
        kept: Vec<Row>,
        budget: Budget,
        progress: &'s mut dyn Progress,
    ) -> Search<'s> {
        let before = kept.iter().map(|row| row.at).fold(0.0, f64::max);
        let mut search = Search {
            job,
            offers: offers.map(|all| all.candidates.iter().map(|c| (c.set.as_str(), &c.fate)).collect()),
            space: job.space(),
            hands,
            journal,
            progress,
            budget,
            start: Instant::now(),
            before,
            rows: Vec::new(),
            known: HashMap::new(),
            made: HashMap::new(),
            codes: HashMap::new(),
        };
        kept.into_iter().for_each(|row| search.keep(row));
        search
    }

    /// Searches.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn run(mut self) -> Result<Found, SearchError> {
        self.progress.begin(self.job.def().name, self.budget.all.as_secs() as usize);
        self.hands.about()?;
        let default = self.space.default_candidate();
        self.judge(std::slice::from_ref(&default))?;
        let mut best = default;
        if self.ms(&best).is_none() {
            let reason = self.row(&best).and_then(|row| row.fate.reason()).unwrap_or_default();
            return Err(SearchError::Default { kernel: self.job.def().name, reason });
        }
        // What the climb leaves of the budget goes to others near the default, of values that
        // ran with some code of their own; one that is faster is climbed from as well.
        let mut others = self.space.nearest(MOST).into_iter();
        let mut exhausted;
        loop {
            exhausted = self.climb(&mut best)?;
            let ran = |c: &Candidate| self.ms(c).is_some();
            let new = |c: &Candidate| self.row(c).is_none() && self.space.alone(c).iter().all(ran);
            let some: Vec<Candidate> = others.by_ref().filter(new).take(BATCH).collect();
            if some.is_empty() || self.is_over() {
                break;
            }
            self.judge(&some)?;
            if let Some(next) = self.faster(&some, &best) {
                best = next;
            }
        }
        let finalists = self.paired()?;
        self.journal.done()?;
        let seconds = self.now();
        Ok(Found { rows: self.rows, finalists, seconds, exhausted })
    }

    /// Goes from a candidate to its fastest neighbour as long as that is faster; whether every neighbour of the last one is known.
    fn climb(&mut self, best: &mut Candidate) -> Result<bool, SearchError> {
        loop {
            let around = self.space.neighbours(best);
            self.judge(&around)?;
            match self.faster(&around, best) {
                Some(next) => *best = next,
                None => return Ok(around.iter().all(|c| self.row(c).is_some())),
            }
        }
    }

    /// The fastest of some candidates, if it is faster than another by more than noise.
    fn faster(&self, some: &[Candidate], than: &Candidate) -> Option<Candidate> {
        let limit = self.ms(than)? * (1.0 - NOISE);
        let timed = some.iter().filter_map(|c| Some((self.ms(c)?, c))).filter(|(ms, _)| *ms < limit);
        timed.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, c)| c.clone())
    }

    /// Looks at candidates that are not known yet, as far as the budget goes: prunes, compiles all others side by side, then runs each of their codes.
    fn judge(&mut self, candidates: &[Candidate]) -> Result<(), SearchError> {
        let mut left = Vec::new();
        for candidate in candidates {
            let set = self.space.name(candidate);
            if self.is_over() && !set.is_empty() {
                break;
            }
            if self.known.contains_key(&set) || left.contains(&set) {
                continue;
            }
            if let Some(offers) = &self.offers {
                match offers.get(set.as_str()).copied() {
                    Some(Offered::Made(_)) => left.push(set),
                    Some(Offered::Same(other)) => self.note(set, Fate::Same(other.clone()))?,
                    Some(Offered::Pruned(why)) => self.note(set, Fate::Pruned(why.clone()))?,
                    Some(Offered::Refused(why)) => self.note(set, Fate::Refused(why.clone()))?,
                    None => {}
                }
                continue;
            }
            match prune(self.job, &self.space, candidate) {
                // The default is what everybody runs, whatever a model thinks of it.
                Err(reason) if !set.is_empty() => self.note(set, Fate::Pruned(reason))?,
                _ => left.push(set),
            }
        }
        let unmade: Vec<String> = left.iter().filter(|set| !self.made.contains_key(*set)).cloned().collect();
        let mut answers = Vec::new();
        if !unmade.is_empty() {
            let progress = &mut self.progress;
            self.hands.make(&unmade, &mut |set, made| {
                answers.push((set.to_owned(), made));
                progress.note(&format!("  compiled {}", shown(set)));
            })?;
        }
        for (set, made) in answers {
            match made {
                Ok(made) => match made.refusal().filter(|_| !set.is_empty()) {
                    Some(reason) => self.note(set, Fate::Refused(reason))?,
                    None => {
                        self.made.insert(set, made);
                    }
                },
                Err(lost) => self.note(set, fate(lost, Fate::Refused))?,
            }
        }
        for set in left {
            let Some(made) = self.made.get(&set).cloned() else { continue };
            let first = self.codes.entry(made.code.clone()).or_insert_with(|| set.clone()).clone();
            if first != set && !made.code.is_empty() {
                self.note(set, Fate::Same(first))?;
            } else if set.is_empty() || !self.is_over() {
                let fate = self.measure(&set, made)?;
                self.note(set, fate)?;
            }
        }
        Ok(())
    }

    /// Checks a candidate and times it.
    fn measure(&mut self, set: &str, made: Made) -> Result<Fate, SearchError> {
        let error = match self.hands.check(set)? {
            Ok(error) => error,
            Err(lost) => return Ok(fate(lost, Fate::Failed)),
        };
        Ok(match self.hands.turn(set, self.budget.turn)? {
            Ok(samples) => {
                let (ms, samples) = (median(&samples).unwrap_or(f64::INFINITY), samples.len());
                Fate::Timed { ms, samples, error, made }
            }
            Err(lost) => fate(lost, Fate::Failed),
        })
    }

    /// Rounds of the default and the best two others, one after the other. Who fails now is out.
    fn paired(&mut self) -> Result<Vec<Finalist>, SearchError> {
        let mut timed: Vec<(f64, String, Made)> = Vec::new();
        for row in &self.rows {
            if let Fate::Timed { ms, made, .. } = &row.fate {
                timed.push((*ms, row.set.clone(), made.clone()));
            }
        }
        timed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (default, others): (Vec<_>, Vec<_>) = timed.into_iter().partition(|(_, set, _)| set.is_empty());
        let all = default.into_iter().chain(others.into_iter().take(2));
        let mut finalists: Vec<Finalist> =
            all.map(|(_, set, made)| Finalist { set, rounds: Vec::new(), made }).collect();
        for round in 0..self.budget.rounds {
            if round >= FEWEST && self.now() > self.budget.all.as_secs_f64() {
                break;
            }
            let text = format!("paired run, round {} of {}", round + 1, self.budget.rounds);
            self.progress.at(self.now() as usize, &text);
            let mut out = Vec::new();
            for (i, finalist) in finalists.iter_mut().enumerate() {
                match self.hands.turn(&finalist.set, self.budget.final_turn)? {
                    Ok(samples) => finalist.rounds.extend(median(&samples)),
                    Err(lost) if finalist.set.is_empty() => {
                        let (kernel, reason) = (self.job.def().name, lost.to_string());
                        return Err(SearchError::Default { kernel, reason });
                    }
                    Err(lost) => out.push((i, lost)),
                }
            }
            for (i, lost) in out.into_iter().rev() {
                let set = finalists.remove(i).set;
                self.note(set, fate(lost, Fate::Failed))?;
            }
        }
        Ok(finalists)
    }

    /// Keeps what became of a candidate, in the journal too.
    fn note(&mut self, set: String, fate: Fate) -> Result<(), SearchError> {
        let row = Row { set, at: self.now(), fate };
        self.journal.row(&row)?;
        let said = match &row.fate {
            Fate::Timed { ms, error, .. } => {
                format!("  {ms:>9.4} ms, error {error:.1e}: {}", shown(&row.set))
            }
            fate => format!("  {}: {}", shown(&row.set), fate.reason().unwrap_or_default()),
        };
        self.progress.note(&said);
        self.keep(row);
        let best = self.rows.iter().filter_map(|row| Some((row.fate.ms()?, &row.set)));
        if let Some((ms, set)) = best.min_by(|a, b| a.0.total_cmp(&b.0)) {
            self.progress.at(self.now() as usize, &format!("best {ms:.4} ms: {}", shown(set)));
        }
        Ok(())
    }

    /// A later row of a candidate is the truer one.
    fn keep(&mut self, row: Row) {
        if let Fate::Timed { made, .. } = &row.fate
            && !made.code.is_empty()
        {
            self.codes.entry(made.code.clone()).or_insert_with(|| row.set.clone());
        }
        match self.known.get(&row.set) {
            Some(&at) => self.rows[at] = row,
            None => {
                self.known.insert(row.set.clone(), self.rows.len());
                self.rows.push(row);
            }
        }
    }

    fn row(&self, candidate: &Candidate) -> Option<&Row> {
        self.known.get(&self.space.name(candidate)).map(|&at| &self.rows[at])
    }

    fn ms(&self, candidate: &Candidate) -> Option<f64> {
        self.row(candidate)?.fate.ms()
    }

    /// Seconds of search.
    fn now(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    /// Whether only the time for the paired run is left.
    fn is_over(&self) -> bool {
        // A turn, as many launches that are not timed, the rest before, and the host's part.
        let each = 2.5 * self.budget.final_turn as f64 / 1e3;
        let all = self.budget.all.as_secs_f64();
        self.now() + (3.0 * self.budget.rounds as f64 * each).min(all / 2.0) > all
    }
}

/// Rounds of the paired run that are done whatever they take.
const FEWEST: usize = 3;

/// Candidates of a space that are looked at when the neighbours of the best are known.
const MOST: usize = 1000;

/// How many of them are compiled at a time.
const BATCH: usize = 32;

fn fate(lost: Lost, failed: fn(String) -> Fate) -> Fate {
    match lost {
        Lost::Failed(reason) => failed(reason),
        Lost::Hung { .. } => Fate::Hung(lost.to_string()),
        Lost::Crashed(_) => Fate::Crashed(lost.to_string()),
    }
}

/// A candidate's name for people.
pub fn shown(set: &str) -> &str {
    if set.is_empty() { "the default" } else { set }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::ALL;
    use crate::tune::wire::About;
    use sla_codegen::{Arch, Target};
    use std::path::Path;

    /// A GPU of the imagination: what a candidate takes follows from its name.
    #[derive(Default)]
    struct Fake {
        /// Candidates that ran, in order.
        ran: Vec<String>,
        /// Dies, for good, after so many.
        dies_after: Option<usize>,
    }

    impl Fake {
        fn ms(set: &str) -> f64 {
            let gain = |what: &str, ms: f64| if set.contains(what) { ms } else { 0.0 };
            1.0 - gain("stages=4", 0.1) - gain("order=static", 0.2) + gain("pair=true", 0.3)
        }
    }

    impl Measure for Fake {
        fn about(&mut self) -> Result<About, NoHands> {
            Ok(About { device: "imagined".into(), driver: None })
        }

        fn make(
            &mut self,
            sets: &[String],
            done: &mut dyn FnMut(&str, Result<Made, Lost>),
        ) -> Result<(), NoHands> {
            for set in sets {
                done(
                    set,
                    match set {
                        set if set.contains("groups=2") => Err(Lost::Failed("no registers".into())),
                        set if set.contains("ctas_per_sm=2") => Ok(Made { local: 8, ..Made::default() }),
                        // What the compiler chooses by itself.
                        set if ["", "stages=3", "pair=false"].contains(&set.as_str()) => {
                            Ok(Made { code: "own".into(), ..Made::default() })
                        }
                        set => Ok(Made { code: set.clone(), ..Made::default() }),
                    },
                );
            }
            Ok(())
        }

        fn check(&mut self, set: &str) -> Result<Result<f64, Lost>, NoHands> {
            if self.dies_after.is_some_and(|most| self.ran.len() >= most) {
                return Err(NoHands("the machine is gone".into()));
            }
            self.ran.push(set.to_owned());
            Ok(match set {
                set if set.contains("held_in_registers=true") => Err(Lost::Failed("out is off by 1".into())),
                set if set.contains("schedule=self") => Err(Lost::Hung { seconds: 20 }),
                set if set.contains("schedule=baseline") => Err(Lost::Crashed("signal: 11".into())),
                _ => Ok(1e-3),
            })
        }

        fn turn(&mut self, set: &str, _: u64) -> Result<Result<Vec<f64>, Lost>, NoHands> {
            Ok(Ok(vec![Fake::ms(set); 3]))
        }
    }

    fn searched(path: &Path, fake: &mut Fake) -> Result<Found, SearchError> {
        let case = *ALL.iter().find(|case| case.name == "sparse").unwrap();
        let job = Job::of(case, Some(Target::Cuda(Arch::Sm90a)))[0];
        let (mut journal, kept, _) = Journal::open(path, "sparse", false).unwrap();
        let budget = Budget { all: Duration::from_secs(1000), turn: 1, final_turn: 1, rounds: 3 };
        Search::new(&job, None, fake, &mut journal, kept, budget, &mut ()).run()
    }

    fn fate(found: &Found, set: &str) -> Fate {
        found.rows.iter().find(|row| row.set == set).unwrap_or_else(|| panic!("{set}")).fate.clone()
    }

    #[test]
    fn the_best_is_found_and_everybody_else_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut fake = Fake::default();
        let found = searched(&folder.path().join("j"), &mut fake).unwrap();
        let best: Vec<_> = found.finalists.iter().map(|f| (f.set.as_str(), f.ms())).collect();
        assert_eq!(best[0], ("", 1.0));
        assert_eq!((best[1].0, best.len()), ("stages=4,order=static", 3));
        assert!((best[1].1 - 0.7).abs() < 1e-9 && found.exhausted && found.finalists[1].rounds.len() == 3);
        assert_eq!(fate(&found, "stages=3"), Fate::Same(String::new()));
        assert_eq!(fate(&found, "groups=2"), Fate::Refused("no registers".into()));
        assert!(matches!(fate(&found, "ctas_per_sm=2"), Fate::Refused(why) if why.contains("8 bytes")));
        assert!(
            matches!(fate(&found, "held_in_registers=true"), Fate::Failed(why) if why.contains("off by 1"))
        );
        assert!(matches!(fate(&found, "schedule=self"), Fate::Hung(_)));
        assert!(matches!(fate(&found, "schedule=baseline"), Fate::Crashed(_)));
        let idle = |set: &&String| set.contains("groups=2") || set.contains("pair=false,");
        assert_eq!(fake.ran.iter().find(idle), None, "refused alone, or the code of the default");
    }

    #[test]
    fn an_interrupted_search_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = (folder.path().join("j"), folder.path().join("whole"));
        let mut all = Fake::default();
        let expected = searched(&whole, &mut all).unwrap();
        let mut first = Fake { dies_after: Some(7), ..Fake::default() };
        assert!(matches!(searched(&path, &mut first), Err(SearchError::Hands(_))));
        let mut second = Fake::default();
        let found = searched(&path, &mut second).unwrap();
        assert_eq!(found.finalists, expected.finalists);
        assert_eq!([first.ran, second.ran].concat(), all.ran, "nothing runs twice, nothing is left out");
    }

    #[test]
    fn a_search_without_a_default_is_an_error() {
        struct Wrong(Fake);
        impl Measure for Wrong {
            fn about(&mut self) -> Result<About, NoHands> {
                self.0.about()
            }
            fn make(
                &mut self,
                sets: &[String],
                done: &mut dyn FnMut(&str, Result<Made, Lost>),
            ) -> Result<(), NoHands> {
                self.0.make(sets, done)
            }
            fn check(&mut self, _: &str) -> Result<Result<f64, Lost>, NoHands> {
                Ok(Err(Lost::Failed("lse is off".into())))
            }
            fn turn(&mut self, set: &str, ms: u64) -> Result<Result<Vec<f64>, Lost>, NoHands> {
                self.0.turn(set, ms)
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let case = *ALL.iter().find(|case| case.name == "sparse").unwrap();
        let job = Job::of(case, Some(Target::Cuda(Arch::Sm90a)))[0];
        let (mut journal, kept, _) = Journal::open(&folder.path().join("j"), "sparse", false).unwrap();
        let budget = Budget { all: Duration::from_secs(1000), turn: 1, final_turn: 1, rounds: 3 };
        let mut wrong = Wrong(Fake::default());
        let error =
            Search::new(&job, None, &mut wrong, &mut journal, kept, budget, &mut ()).run().unwrap_err();
        let needed = "the default of sparse_fwd cannot be measured: failed: lse is off";
        assert_eq!(error.to_string(), needed);
    }
}
