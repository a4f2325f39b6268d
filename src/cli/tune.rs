//! `sla tune`: kernels tuned on a device, and what was best kept in a file. How it is done is [`crate::tune`]'s business.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use sla_codegen::{Arch, Target};
use sla_runtime::DeviceName;
use thiserror::Error;

use super::bench::{Product, known, product, sizes};
use super::error::CliError;
use super::nearest;
use super::progress::Bar;
use crate::attention::run::open;
use crate::bench::case::Case;
use crate::bench::cases::ALL;
use crate::bench::shape::Shape;
use crate::files::PendingFile;
use crate::tune::bundle::{self, BundlesError, Manifest, Offered, Offers};
use crate::tune::check::check;
use crate::tune::hands::{Hands, Limits};
use crate::tune::job::Job;
use crate::tune::journal::Row;
use crate::tune::lengths::lines as lengths;
use crate::tune::plot;
use crate::tune::search::{Budget, SearchError, shown};
use crate::tune::worker::ServeError;
use crate::tune::{Order, TuneError, tune};
use crate::tuned::hash::hash;
use crate::tuned::record::{Entry, RecordError, Records};

/// Find out how kernels are run best, and keep it.
///
/// A kernel declares beside itself what may be varied: constants in capitals, settings of the compiler in small letters (see --list). Starting from the
/// default, candidates are pruned, compiled side by side, checked against float64 and only then timed; those that fail, are wrong or hang are rows with their
/// reasons. The best two are timed in turns with the default at the end. The winner goes to DIR/ARCH.json, everything that is known of candidates to a journal in
/// DIR/journal as it becomes known: the same command goes on where an interrupted one stopped.
#[derive(Args)]
pub struct Tune {
    /// The kernels; without any, those of the cases.
    kernel: Vec<String>,
    /// List the kernels that can be tuned, with their spaces and the cases that run them.
    #[arg(long)]
    list: bool,
    /// The cases whose problem is solved (`sla bench --list`); without any, the first that runs the kernel.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = known)]
    case: Vec<Case>,
    /// Other sizes of attention; may be repeated, for a record each.
    #[arg(long, value_name = "B,H,L,D")]
    shape: Vec<Shape>,
    /// Other sizes of the matrix product; may be repeated.
    #[arg(long, value_name = "M,N,K", value_parser = product)]
    matmul: Vec<Product>,
    /// Where to run: auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Seconds for each kernel and problem, compilation and the last run of the best among them.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    budget: u64,
    /// Seconds after which a candidate that runs and gives no answer is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    limit: u64,
    /// Milliseconds of timed launches of a candidate; four times as many in each round of the last run.
    #[arg(long, value_name = "MS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    turn: u64,
    /// Rounds of the last run.
    #[arg(long, default_value_t = 8, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    rounds: usize,
    /// The folder of records and journals.
    #[arg(long, value_name = "DIR", default_value = "tuned")]
    out: PathBuf,
    /// Say of each record in DIR/ARCH.json whether it still holds: what it would run is compiled and compared with what was measured. Needs no GPU.
    #[arg(long, conflicts_with = "list")]
    check: bool,
    /// Without a GPU: the architecture that --bundle compiles for, or whose records --check looks at (sm_90a).
    #[arg(long, value_parser = super::explain::arch)]
    arch: Option<Arch>,
    /// With --arch, compile candidates into this folder, judged and ranked, for a machine that has a GPU and need not have a compiler; without, measure what is in
    /// it on this one.
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Candidates of each kernel and problem that a bundle has at most.
    #[arg(long, default_value_t = 96, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    most: usize,
    /// Also draw each search into this folder, as SVG.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Only draw: runs of `sla bench --json FILE` at several lengths, with peers where they have them, as time against length, a picture for each case.
    #[arg(long, value_name = "FILE", requires = "plot")]
    lengths: Vec<PathBuf>,
    /// Begin anew, whatever an interrupted search left.
    #[arg(long)]
    fresh: bool,
    /// Determines inputs, lists and the tiles that are checked.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=u64::from(u32::MAX)))]
    seed: u64,
}

/// Why kernels were not tuned.
#[derive(Debug, Error)]
pub enum TuneCliError {
    /// No such kernel, or one without a space.
    #[error("kernel `{found}` has nothing to tune; those that have are {}{}", tunable().join(", "), nearest::hint(found, tunable()))]
    Kernel {
        /// The name given.
        found: String,
    },
    /// A case that does not run a kernel.
    #[error("no case given runs {kernel}; it is run by {}", cases_of(kernel).join(", "))]
    Case {
        /// The kernel.
        kernel: String,
    },
    /// Nothing to do.
    #[error("needed a kernel or --case; kernels that can be tuned are {}", tunable().join(", "))]
    Nothing,
    /// A kernel that the case does not have.
    #[error("the case has {kernels} kernels, there is no number {found}")]
    Index {
        /// The number given.
        found: usize,
        /// How many there are.
        kernels: usize,
    },
    /// An architecture for nothing.
    #[error("--arch says what is compiled without a GPU, needed --bundle DIR or --check with it")]
    Arch,
    /// A bundle that cannot be made or read.
    #[error(transparent)]
    Bundle(#[from] BundlesError),
    /// A bundle for another GPU.
    #[error("the bundle is for {found}, and the device runs {needed}")]
    Target {
        /// What it was compiled for.
        found: String,
        /// What the device needs.
        needed: String,
    },
    /// A problem that this program does not have.
    #[error("the bundle has case {case} with kernel {kernel}, which this program has not")]
    Offers {
        /// The case.
        case: String,
        /// The kernel.
        kernel: String,
    },
    /// A folder that cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Records that no longer hold.
    #[error("{stale} of {records} in {} no longer hold and are not used; `sla tune KERNEL` on a GPU measures again", path.display())]
    Stale {
        /// How many.
        stale: usize,
        /// Of how many.
        records: usize,
        /// Where.
        path: PathBuf,
    },
    /// This program cannot be found, to start it again.
    #[error("the program cannot find itself: {0}")]
    Program(std::io::Error),
    /// A search that failed.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// Records that cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The process that measures.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl TuneCliError {
    /// Whether something failed that the user did not ask wrongly for.
    pub fn is_a_failure(&self) -> bool {
        match self {
            TuneCliError::Tune(TuneError::Search(error)) => !matches!(error, SearchError::Journal(_)),
            TuneCliError::Tune(_)
            | TuneCliError::Serve(_)
            | TuneCliError::Program(_)
            | TuneCliError::Stale { .. } => true,
            _ => false,
        }
    }
}

impl Tune {
    /// Tunes, keeps and prints.
    ///
    /// # Errors
    /// [`CliError`]; what was tuned before is kept.
    pub fn run(self) -> Result<(), CliError> {
        if self.list {
            // A closed standard output takes nothing from the work.
            let _ = std::io::stdout().write_all(list().as_bytes());
            return Ok(());
        }
        if let (false, Some(folder)) = (self.lengths.is_empty(), &self.plot) {
            return draw_lengths(folder, &self.lengths);
        }
        if self.check {
            return Ok(self.check()?);
        }
        if let (Some(arch), Some(folder)) = (self.arch, &self.bundle) {
            return Ok(self.make(arch, folder)?);
        }
        if self.arch.is_some() {
            return Err(TuneCliError::Arch.into());
        }
        let device = open(self.device)?;
        let (name, target) = (device.name(), device.target());
        let manifest = self.bundle.as_deref().map(Manifest::read).transpose().map_err(TuneCliError::from)?;
        let jobs = match &manifest {
            Some(manifest) => offered(manifest, target)?,
            None => {
                let jobs = self.jobs(target, &self.cases()?);
                jobs.into_iter().map(|(job, size)| (job, size, None)).collect()
            }
        };
        // Whoever measures has the device to itself.
        drop(device);
        std::fs::create_dir_all(&self.out)
            .map_err(|source| TuneCliError::Folder { path: self.out.clone(), source })?;
        let arch = target.map_or("interp".to_owned(), |target| target.to_string());
        let path = Records::place(&self.out, &arch);
        let mut records = Records::read(&path, &arch).map_err(TuneCliError::from)?;
        // Whether it can be written is known before anything is measured.
        records.write(&path).map_err(TuneCliError::from)?;
        // Everything that is known is in the journal. Without a handler the signal ends the program as well, only without a word.
        let _ = ctrlc::set_handler(|| {
            let _ = writeln!(std::io::stderr(), "\ninterrupted: the same command goes on from here");
            std::process::exit(INTERRUPTED);
        });
        let program = std::env::current_exe().map_err(TuneCliError::Program)?;
        for (job, size, offers) in &jobs {
            let mut bar = Bar::new();
            let (arguments, program) = (self.arguments(job, name, size), program.clone());
            let start = move || {
                let mut command = Command::new(&program);
                command.args(&arguments);
                command
            };
            let mut hands = Hands::new(start, self.limits());
            let journals = self.out.join("journal");
            let compiler = manifest.as_ref().map_or_else(sla_codegen::toolchain, |m| m.compiler.clone());
            let order = Order {
                job,
                offers: *offers,
                journals: &journals,
                fresh: self.fresh,
                compiler: &compiler,
                budget: self.budget(),
            };
            let outcome = tune(&order, &mut hands, &mut bar);
            let (entry, found) = outcome.map_err(TuneCliError::from)?;
            drop(bar);
            if let Some(folder) = &self.plot {
                draw(folder, &entry, &found.rows)?;
            }
            let _ = std::io::stdout().write_all(told(&entry).as_bytes());
            // Somebody else may have written it meanwhile.
            records = Records::read(&path, &arch).map_err(TuneCliError::from)?;
            records.insert(entry);
            records.write(&path).map_err(TuneCliError::from)?;
        }
        let _ = writeln!(std::io::stdout(), "{} in {}", count(jobs.len(), "record"), path.display());
        Ok(())
    }

    /// A line for each record.
    fn check(&self) -> Result<(), TuneCliError> {
        let arch = self.arch.unwrap_or(Arch::Sm90a);
        let path = Records::place(&self.out, arch.name());
        let records = Records::read(&path, arch.name())?;
        let mut stale = 0;
        for entry in &records.entries {
            let said = match check(entry, arch) {
                Ok(()) => "holds".to_owned(),
                Err(why) => {
                    stale += 1;
                    format!("is stale: {why}")
                }
            };
            let _ = writeln!(std::io::stdout(), "{} {} {said}", entry.kernel, entry.key);
        }
        match stale {
            0 => Ok(()),
            _ => Err(TuneCliError::Stale { stale, records: records.entries.len(), path }),
        }
    }

    fn limits(&self) -> Limits {
        let run = Duration::from_secs(self.limit);
        Limits { ready: Duration::from_secs(120).max(run), make: Duration::from_secs(60).max(run), run }
    }

    fn budget(&self) -> Budget {
        let all = Duration::from_secs(self.budget);
        Budget { all, turn: self.turn, final_turn: 4 * self.turn, rounds: self.rounds }
    }

    /// Cases with the kernel that is tuned in each, where one is named.
    fn cases(&self) -> Result<Vec<(Case, Option<&str>)>, TuneCliError> {
        let mut chosen = Vec::new();
        for kernel in &self.kernel {
            let Some(first) = cases_of(kernel).first().copied() else {
                return Err(TuneCliError::Kernel { found: kernel.clone() });
            };
            let runs = |case: &&Case| cases_of(kernel).contains(&case.name);
            let given: Vec<Case> = match self.case.is_empty() {
                true => ALL.iter().filter(|case| case.name == first).copied().collect(),
                false => self.case.iter().filter(runs).copied().collect(),
            };
            if given.is_empty() {
                return Err(TuneCliError::Case { kernel: kernel.clone() });
            }
            chosen.extend(given.into_iter().map(|case| (case, Some(kernel.as_str()))));
        }
        if self.kernel.is_empty() {
            chosen.extend(self.case.iter().map(|case| (*case, None)));
        }
        if chosen.is_empty() { Err(TuneCliError::Nothing) } else { Ok(chosen) }
    }

    /// Compiles candidates into a folder.
    fn make(&self, arch: Arch, folder: &Path) -> Result<(), TuneCliError> {
        let jobs = self.jobs(Some(Target::Cuda(arch)), &self.cases()?);
        let tools = sla_runtime::env::tools();
        let mut bar = Bar::new();
        let made = bundle::make(folder, arch, &jobs, &tools, self.most, &mut bar)?;
        drop(bar);
        let _ = std::io::stdout().write_all(ranked(&made, folder).as_bytes());
        Ok(())
    }

    /// What is tuned: every case at every size, and how the sizes are told to another process.
    fn jobs(&self, target: Option<Target>, chosen: &[(Case, Option<&str>)]) -> Vec<(Job, Vec<String>)> {
        let mut jobs: Vec<(Job, Vec<String>)> = Vec::new();
        for (case, kernel) in chosen {
            let several: Vec<(Option<Shape>, Option<Product>)> = match case.work.shape() {
                Some(_) => self.shape.iter().map(|shape| (Some(*shape), None)).collect(),
                None => self.matmul.iter().map(|product| (None, Some(*product))).collect(),
            };
            let plain = [(None, None)];
            for &(shape, matmul) in if several.is_empty() { &plain[..] } else { &several } {
                let at = case.at(&sizes(target, shape, matmul));
                let mut size = Vec::new();
                if let Some(Shape { batch, heads, length, dim }) = shape {
                    size.extend(["--shape".to_owned(), format!("{batch},{heads},{length},{dim}")]);
                }
                if let Some(Product([m, n, k])) = matmul {
                    size.extend(["--matmul".to_owned(), format!("{m},{n},{k}")]);
                }
                for job in Job::of(at, target) {
                    let asked = kernel.is_none_or(|kernel| job.def().name == kernel);
                    let same = |(other, _): &(Job, Vec<String>)| {
                        other.key() == job.key() && other.def().name == job.def().name
                    };
                    if asked && !jobs.iter().any(same) {
                        jobs.push((job, size.clone()));
                    }
                }
            }
        }
        jobs
    }

    fn arguments(&self, job: &Job, device: DeviceName, size: &[String]) -> Vec<String> {
        let mut all: Vec<String> = ["tune-worker", "--case", job.case.name].map(str::to_owned).to_vec();
        all.extend(["--index".to_owned(), job.index.to_string()]);
        all.extend(["--device".to_owned(), device.to_string()]);
        all.extend(["--seed".to_owned(), self.seed.to_string()]);
        if let Some(folder) = &self.bundle {
            all.extend(["--bundle".to_owned(), bundle::kernels_of(folder).display().to_string()]);
        }
        all.extend_from_slice(size);
        all
    }
}

/// The exit status after Ctrl-C, as shells have it.
const INTERRUPTED: i32 = 130;

/// A problem with its sizes as arguments, and the candidates of a bundle.
type Asked<'m> = (Job, Vec<String>, Option<&'m Offers>);

/// The problems of a bundle.
fn offered(manifest: &Manifest, target: Option<Target>) -> Result<Vec<Asked<'_>>, TuneCliError> {
    let needed = target.map_or("no code at all".to_owned(), |target| target.to_string());
    if needed != manifest.arch {
        return Err(TuneCliError::Target { found: manifest.arch.clone(), needed });
    }
    let job = |offers: &Offers| {
        let case = known(&offers.case).ok()?;
        let (shape, matmul) = match &offers.sizes[..] {
            [] => (None, None),
            [name, value] if name == "--shape" => (Some(value.parse().ok()?), None),
            [name, value] if name == "--matmul" => (None, Some(product(value).ok()?)),
            _ => return None,
        };
        let at = case.at(&sizes(target, shape, matmul));
        Job::of(at, target)
            .into_iter()
            .find(|job| job.index == offers.index && job.def().name == offers.kernel)
    };
    let find = |offers| {
        let found = job(offers).map(|job| (job, offers.sizes.clone(), Some(offers)));
        found.ok_or_else(|| TuneCliError::Offers { case: offers.case.clone(), kernel: offers.kernel.clone() })
    };
    manifest.jobs.iter().map(find).collect()
}

/// What a bundle has, for people.
fn ranked(manifest: &Manifest, folder: &Path) -> String {
    let mut text = String::new();
    for offers in &manifest.jobs {
        let count = |of: fn(&Offered) -> bool| offers.candidates.iter().filter(|c| of(&c.fate)).count();
        let counts = [
            (count(|f| matches!(f, Offered::Made(_))), "compiled"),
            (count(|f| matches!(f, Offered::Same(_))), "same code"),
            (count(|f| matches!(f, Offered::Refused(_))), "refused"),
            (count(|f| matches!(f, Offered::Pruned(_))), "pruned"),
        ];
        let counts: Vec<String> = counts.iter().map(|(n, what)| format!("{n} {what}")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{} {} {}: {}",
            offers.kernel,
            offers.case,
            offers.sizes.join(" "),
            counts.join(", ")
        );
        let made = offers.candidates.iter().filter(|c| matches!(c.fate, Offered::Made(_)));
        for offer in made.take(SHOWN) {
            let _ =
                writeln!(text, "  at most {:>5.0} TFLOP/s by the model: {}", offer.limit, shown(&offer.set));
        }
    }
    let _ = writeln!(text, "`sla tune --bundle {}` measures them on a GPU", folder.display());
    text
}

/// Candidates of a bundle that are listed.
const SHOWN: usize = 5;

/// The cases that run a kernel which has a space.
fn cases_of(kernel: &str) -> Vec<&'static str> {
    let gpu = Some(Target::Cuda(Arch::Sm90a));
    let runs = |case: &&Case| Job::of(**case, gpu).iter().any(|job| job.def().name == kernel);
    ALL.iter().filter(runs).map(|case| case.name).collect()
}

/// The kernels that have a space.
fn tunable() -> Vec<&'static str> {
    let mut names = Vec::new();
    for case in ALL {
        for job in Job::of(*case, Some(Target::Cuda(Arch::Sm90a))) {
            if !names.contains(&job.def().name) {
                names.push(job.def().name);
            }
        }
    }
    names
}

/// Each kernel with its axes.
fn list() -> String {
    let mut text = String::new();
    for kernel in tunable() {
        let cases = cases_of(kernel);
        // Writing to a String does not fail.
        let _ = writeln!(text, "{kernel:<16} {}", cases.join(", "));
        let entry = crate::kernels::find(kernel);
        for axis in entry.iter().flat_map(|entry| entry.def.tune.axes) {
            let _ = writeln!(text, "    {:<20} {}", axis.name, axis.values.join(", "));
        }
    }
    text
}

/// Draws a search.
fn draw(folder: &Path, entry: &Entry, rows: &[Row]) -> Result<(), CliError> {
    let title = format!("{} {}", entry.kernel, entry.key);
    let Some(svg) = plot::search(&title, rows) else { return Ok(()) };
    std::fs::create_dir_all(folder)
        .map_err(|source| TuneCliError::Folder { path: folder.to_owned(), source })?;
    let name = format!("{}-{}.svg", entry.kernel, &hash(&title)[..8]);
    Ok(PendingFile::create(&folder.join(name))?.commit(svg.as_bytes())?)
}

/// Draws times against lengths.
fn draw_lengths(folder: &Path, files: &[PathBuf]) -> Result<(), CliError> {
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|source| RecordError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| RecordError::Parse { path: path.clone(), source })
    };
    let runs: Vec<serde_json::Value> =
        files.iter().map(read).collect::<Result<_, _>>().map_err(TuneCliError::from)?;
    std::fs::create_dir_all(folder)
        .map_err(|source| TuneCliError::Folder { path: folder.to_owned(), source })?;
    for (case, lines) in lengths(&runs) {
        if let Some(svg) = plot::lengths(&case, &lines) {
            let path = folder.join(format!("{case}-lengths.svg"));
            PendingFile::create(&path)?.commit(svg.as_bytes())?;
            let _ = writeln!(std::io::stdout(), "{}", path.display());
        }
    }
    Ok(())
}

/// What came of a search, for people.
fn told(entry: &Entry) -> String {
    let Entry { kernel, key, ms, default_ms, margin, seconds, .. } = entry;
    let consts = entry.consts.iter().map(|(name, value)| format!("{name}={value}"));
    let settings = entry.settings.iter().map(|(name, value)| format!("{name}={value}"));
    let winner = consts.chain(settings).collect::<Vec<_>>().join(",");
    let mut text = format!("{kernel} {key}\n");
    let line = match margin {
        margin if *margin > 0.0 => {
            format!(
                "  best    {ms:>9.4} ms  {winner}, {:.1} % faster than the default ({default_ms:.4} ms)",
                100.0 * margin
            )
        }
        _ => format!("  best    {ms:>9.4} ms  the default: nothing that was tried is faster"),
    };
    let _ = writeln!(text, "{line}");
    if let Some(next) = &entry.runner_up {
        let _ = writeln!(text, "  next    {:>9.4} ms  {}", next.ms, shown(&next.set));
    }
    let counts: Vec<String> =
        entry.candidates.iter().map(|(fate, n)| format!("{n} {}", fate.replace('_', " "))).collect();
    let around = if entry.exhausted { ", every neighbour of the best looked at" } else { "" };
    let _ = writeln!(text, "  {} in {seconds:.0} s{around}", counts.join(", "));
    text
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
