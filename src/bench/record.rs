//! What a run of measurements found, as it is written to JSON.

use serde::Serialize;
use sla_runtime::Resources;

use super::case::{Case, Goal};
use super::peers::Peers;
use super::stats::Summary;
use super::timing::Plan;
use crate::attention::compare::Measured;

/// How figures came about, for whoever reads the JSON.
pub const METHOD: &str = "bf16, normal inputs; each kernel checked against float64 on sampled tiles before it is timed (the operator: a small problem \
     against the float64 reference, and all of its results written and finite); events around a whole solution (one kernel; row sums, dq and dkdv of \
     gradients; one call of the operator, its allocations among it), caches overwritten before each; solutions take turns, rounds times; median of all; \
     parts are kernels of a solution alone, one turn each; bursts are single solutions after a rest; TFLOP/s counts work done (4 pairs D for attention, \
     pairs of a query and a key it attends to; 10 pairs D for gradients; critical blocks of the operator; of a part the products it computes; 2 M N K); \
     lists of block-sparse cases, those of the transposed mask too, are made before and are not timed; the operator makes its own";

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Version of the program.
    pub version: &'static str,
    /// The device and the hardware behind it.
    pub device: String,
    /// How it was measured.
    pub method: &'static str,
    /// How much was measured.
    pub plan: Plan,
    /// Seed of inputs and lists.
    pub seed: u64,
    /// Seconds since 1970.
    pub unix_time: u64,
    /// Every case with every variant.
    pub rows: Vec<Row>,
    /// What others have, if they were asked.
    pub peers: Option<Peers>,
}

/// One case with one variant.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub case: Case,
    /// Sizes for people.
    pub sizes: String,
    /// What the user asked to be different; empty for the chosen constants.
    pub variant: String,
    /// Floating-point operations of the result.
    pub flops: f64,
    /// Seconds of the first solution, which compiles or loads what is kept on disk.
    pub first_seconds: Option<f64>,
    /// The kernels in their order; none for the operator.
    pub parts: Vec<Part>,
    /// How far each output is from the right answer.
    pub errors: Option<Vec<Measured>>,
    /// How long it takes.
    pub time: Option<Time>,
    /// Bytes of a GPU that a forward and a backward of the operator take at most beyond inputs, output and gradients.
    pub extra_bytes: Option<u64>,
    /// Why it was not measured.
    pub failed: Option<String>,
}

/// One kernel of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// What variants call it.
    pub name: &'static str,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The kernel's constants.
    pub consts: String,
    /// Whether it runs by a record of tuning.
    pub tuned: bool,
    /// Floating-point operations that it does.
    pub flops: f64,
    /// What it takes of a GPU.
    pub takes: Option<Takes>,
    /// How long it takes alone, in milliseconds, where it is one of several.
    pub ms: Option<Summary>,
    /// 10^12 operations per second at the median.
    pub tflops: Option<f64>,
}

/// How long a solution takes.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// Milliseconds of all timed solutions.
    pub ms: Summary,
    /// The median of each round, in milliseconds.
    pub rounds_ms: Vec<f64>,
    /// 10^12 operations per second at the median.
    pub tflops: f64,
    /// Milliseconds of single solutions after a rest.
    pub burst_ms: Option<Summary>,
    /// 10^12 operations per second at their median.
    pub burst_tflops: Option<f64>,
    /// Microseconds of the host to enqueue one solution, the median of calls that repeat with room in the GPU's queue; on a GPU only.
    pub host_us: Option<f64>,
    /// Kernels that one solution launches; on a GPU only.
    pub launches: Option<u64>,
    /// The GPU's clock while it ran, where that can be read.
    pub mhz: Option<f64>,
    /// The GPU's power while it ran, where that can be read.
    pub watts: Option<f64>,
}

/// What a kernel takes of a GPU. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // the names are those of `Resources`
pub struct Takes {
    pub threads: u32,
    pub registers: u32,
    pub local: u32,
    pub shared: u32,
    pub blocks_per_sm: u32,
    pub persistent: bool,
    pub maps: usize,
    /// Whether ptxas assembled it, rather than the driver.
    pub ptxas: bool,
    pub spill_stores: Option<u32>,
    pub spill_loads: Option<u32>,
    /// What ptxas remarked.
    pub notes: Vec<String>,
}

impl From<Resources> for Takes {
    fn from(r: Resources) -> Takes {
        let report = r.report.as_ref();
        Takes {
            threads: r.threads,
            registers: r.registers,
            local: r.local_bytes,
            shared: r.shared_bytes,
            blocks_per_sm: r.blocks_per_sm,
            persistent: r.persistent,
            maps: r.maps,
            ptxas: report.is_some(),
            spill_stores: report.map(|r| r.spill_stores),
            spill_loads: report.map(|r| r.spill_loads),
            notes: r.report.map_or_else(Vec::new, |r| r.notes),
        }
    }
}

impl Record {
    /// Whether a row reaches its goal; `None` without a goal or a time.
    pub fn reached(&self, row: &Row) -> Option<bool> {
        let time = row.time.as_ref()?;
        let speed = time.tflops;
        match row.case.goal? {
            Goal::Tflops(least) => Some(speed >= least),
            Goal::Milliseconds(most) => Some(time.ms.median <= most),
            Goal::Within { of, percent } => {
                let other = self.rows.iter().filter(|r| r.case.name == of && r.variant == row.variant);
                let best = other.filter_map(|r| Some(r.time.as_ref()?.tflops)).reduce(f64::max)?;
                Some(speed >= best / (1.0 + percent / 100.0))
            }
        }
    }

    /// Bytes that a row's kernels spill, and the most registers that a thread of one has; with `true` where the driver assembled one.
    pub fn registers(row: &Row) -> Option<(u32, u32, bool)> {
        let takes = || row.parts.iter().filter_map(|part| part.takes.as_ref());
        let registers = takes().map(|t| t.registers).max()?;
        let spilled = takes().map(|t| t.spill_stores.unwrap_or(t.local)).sum();
        Some((registers, spilled, takes().any(|t| t.spill_stores.is_none())))
    }

    /// The rows that were not measured.
    pub fn failures(&self) -> impl Iterator<Item = (&Row, &str)> {
        self.rows.iter().filter_map(|row| Some((row, row.failed.as_deref()?)))
    }
}
