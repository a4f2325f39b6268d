//! `sla bench`: kernels timed on a device, beside peers. How it is done is [`crate::bench`]'s business.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sla_codegen::Target;
use sla_runtime::{Device, DeviceName};
use thiserror::Error;

use super::error::CliError;
use super::nearest;
use super::progress::Bar;
use crate::attention::OperatorError;
use crate::attention::run::open;
use crate::bench::case::{Case, Goal, Pass, Sizes, What};
use crate::bench::cases::ALL;
use crate::bench::shape::{Shape, numbers};
use crate::bench::timing::Plan;
use crate::bench::variant::Variant;
use crate::bench::{self, BenchError, Request, peers};
use crate::files::PendingFile;
use crate::progress::Progress;

/// Time kernels on a device, beside what others have for the same.
///
/// Each kernel is checked against float64 on sampled tiles, then timed in turns with the others. Sizes are those of the table (see --list)
/// on a GPU, and small ones elsewhere. Ends with status 1 when a kernel fails or is wrong.
#[derive(Args)]
pub struct Bench {
    /// List the cases with their sizes and goals.
    #[arg(long)]
    list: bool,
    /// Groups of cases.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "dense,sparse,matmul")]
    what: Vec<What>,
    /// Single cases by name instead of groups.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = known)]
    case: Vec<Case>,
    /// The directions.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fwd")]
    pass: Vec<Pass>,
    /// Where to run: auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Other sizes of attention; of cases that become the same, one is measured.
    #[arg(long, value_name = "B,H,L,D")]
    shape: Option<Shape>,
    /// Other sizes of the matrix product.
    #[arg(long, value_name = "M,N,K", value_parser = product)]
    matmul: Option<Product>,
    /// A variant: constants in capitals, settings of the compiler in small letters, of one kernel with its part's name before (`dq.stages=2`); may be
    /// repeated, and empty for the chosen ones.
    #[arg(long, value_name = "NAME=VALUE,...")]
    set: Vec<String>,
    /// Run kernels by their defaults, whatever records of tuning there are. Variants always start from the defaults.
    #[arg(long)]
    untuned: bool,
    /// Turns of each kernel.
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    rounds: usize,
    /// Milliseconds of timed launches in a turn, and a quarter as many untimed before; at least three launches are timed.
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    turn: u64,
    /// Determines inputs, lists and the tiles that are checked.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=u64::from(u32::MAX)))]
    seed: u64,
    /// Measure peers too, with Python on the same GPU: PyTorch's attention, cuBLAS, and what else is installed.
    #[arg(long)]
    peers: bool,
    /// The Python that has them.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// Write everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Sizes of a matrix product; clap would take a plain array for a list of options.
#[derive(Clone, Copy)]
pub(super) struct Product(pub [usize; 3]);

/// Why nothing was measured, or not all.
#[derive(Debug, Error)]
pub enum BenchCliError {
    /// A variant that cannot be.
    #[error(transparent)]
    Variant(#[from] bench::variant::VariantError),
    /// Kernels that failed or are wrong.
    #[error("{failed} of {rows} rows failed: {first}: {reason}")]
    Failed {
        /// Rows that failed.
        failed: usize,
        /// All rows.
        rows: usize,
        /// The first of the failed ones.
        first: String,
        /// Why it did.
        reason: String,
    },
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// [`CliError`]; the figures are printed and written also when some kernel failed.
    pub fn run(self) -> Result<(), CliError> {
        if self.list {
            // A closed standard output takes nothing from the work.
            let _ = std::io::stdout().write_all(list().as_bytes());
            return Ok(());
        }
        let variants: Vec<Variant> = self
            .set
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(BenchCliError::from)?;
        let json = self.json.as_deref().map(PendingFile::create).transpose()?;
        let device = open(self.device)?;
        let cases = self.cases(&device);
        let ms = Duration::from_millis;
        let gpu = matches!(device.name(), DeviceName::Cuda(_));
        let plan = Plan {
            rounds: self.rounds,
            warm: ms(self.turn / 4),
            sample: ms(self.turn),
            pause: ms(if gpu { self.turn.min(500) } else { 0 }),
            bursts: 5,
            rest: ms(if gpu { 150 } else { 0 }),
        };
        let request = Request { cases, variants, tuned: !self.untuned, plan, seed: self.seed };
        let failed = |source| OperatorError::Failed { operator: device.name().to_string(), source };
        let mut bar = Bar::new();
        let mut record = bench::run(&device, &request, &mut bar).map_err(|error| match error {
            BenchError::Variant(e) => CliError::from(BenchCliError::from(e)),
            BenchError::Runtime(e) => failed(e.into()).into(),
        })?;
        if self.peers {
            bar.begin("peers", 1);
            let ordinal = match device.name() {
                DeviceName::Cuda(ordinal) => ordinal,
                _ => 0,
            };
            // What is computed in two ways here is measured once there.
            let mut once: Vec<Case> = Vec::new();
            for &case in &request.cases {
                if once.iter().all(|known| (known.work, known.pass) != (case.work, case.pass)) {
                    once.push(case);
                }
            }
            record.peers = Some(peers::measure(&self.python, &once, ordinal, self.seed));
        }
        drop(bar);
        if let Some(json) = json {
            let bytes = serde_json::to_vec_pretty(&record)
                .map_err(|error| CliError::Make { what: "the record", reason: error.to_string() })?;
            json.commit(&bytes)?;
        }
        let _ = write!(std::io::stdout(), "{record}");
        let mut failures = record.failures();
        let Some((row, reason)) = failures.next() else { return Ok(()) };
        let first = format!("{} {}", row.case.name, row.variant).trim_end().to_owned();
        let (failed, rows, reason) = (1 + failures.count(), record.rows.len(), reason.to_owned());
        Err(BenchCliError::Failed { failed, rows, first, reason }.into())
    }

    /// The cases asked for, at the sizes asked for, each once.
    fn cases(&self, device: &Device) -> Vec<Case> {
        let sizes = sizes(device.target(), self.shape, self.matmul);
        let asked = match self.case.is_empty() {
            true => ALL
                .iter()
                .copied()
                .filter(|c| self.what.contains(&c.what()) && self.pass.contains(&c.pass))
                .collect(),
            false => self.case.clone(),
        };
        let mut cases: Vec<Case> = Vec::new();
        for case in asked.into_iter().map(|case| case.at(&sizes)) {
            let what = |c: &Case| (c.work, c.pass, c.fused);
            if cases.iter().all(|known| what(known) != what(&case)) {
                cases.push(case);
            }
        }
        cases
    }
}

/// The sizes asked for; without any those of the table on a GPU, and small ones elsewhere.
pub(super) fn sizes(target: Option<Target>, shape: Option<Shape>, matmul: Option<Product>) -> Sizes {
    let small = match target {
        Some(Target::Cuda(_)) => Sizes::default(),
        Some(Target::Cpu) => Sizes { attention: Some([1, 1, 2048]), matmul: Some([512; 3]), dim: None },
        None => Sizes { attention: Some([1, 1, 256]), matmul: Some([128; 3]), dim: None },
    };
    Sizes {
        attention: shape.map(|s| [s.batch, s.heads, s.length]).or(small.attention),
        dim: shape.map(|s| s.dim),
        matmul: matmul.map(|p| p.0).or(small.matmul),
    }
}

/// The case of a name.
pub(super) fn known(name: &str) -> Result<Case, String> {
    let names = || ALL.iter().map(|case| case.name);
    ALL.iter().copied().find(|case| case.name == name).ok_or_else(|| {
        let all: Vec<_> = names().collect();
        format!("unknown case `{name}`; the cases are {}{}", all.join(", "), nearest::hint(name, names()))
    })
}

/// Sizes of a matrix product.
pub(super) fn product(text: &str) -> Result<Product, String> {
    let sizes = numbers(text).ok_or_else(|| format!("found `{text}`, needed three positive sizes M,N,K"))?;
    Ok(Product(sizes))
}

/// A line for each case.
fn list() -> String {
    let line = |case: &Case| {
        let goal = match case.goal {
            None => String::new(),
            Some(Goal::Milliseconds(most)) => format!("at most {most} ms"),
            Some(Goal::Tflops(least)) => format!("at least {least:.0} TFLOP/s"),
            Some(Goal::Within { of, percent }) => format!("within {percent:.0} % of {of}"),
        };
        format!("{:<20} {:<50} {goal}\n", case.name, case.work.to_string())
    };
    ALL.iter().map(line).collect()
}
