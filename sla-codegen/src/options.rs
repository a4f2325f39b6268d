//! Everything besides the kernel that can change an artifact, and where the external tools are.
//!
//! Whatever is in [`Options`] belongs to a cache key; [`Tools`] holds only places, and their versions go into the key where they are used.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An NVIDIA architecture that PTX is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// A100 and everything later.
    Sm80,
    /// RTX 40, L4, L40.
    Sm89,
    /// H100, H200.
    Sm90a,
    /// B200.
    Sm100a,
    /// RTX 50.
    Sm120a,
}

impl Arch {
    /// Every architecture, oldest first.
    pub const ALL: [Arch; 5] = [Arch::Sm80, Arch::Sm89, Arch::Sm90a, Arch::Sm100a, Arch::Sm120a];

    /// The name that LLVM and ptxas use.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Sm80 => "sm_80",
            Arch::Sm89 => "sm_89",
            Arch::Sm90a => "sm_90a",
            Arch::Sm100a => "sm_100a",
            Arch::Sm120a => "sm_120a",
        }
    }

    /// Dynamic shared memory that one program may have on its GPUs, in bytes. Code for sm_80 also runs on GPUs that have 99 KiB only.
    pub const fn shared_bytes(self) -> u32 {
        match self {
            Arch::Sm80 => 163 * 1024,
            Arch::Sm89 | Arch::Sm120a => 99 * 1024,
            Arch::Sm90a | Arch::Sm100a => 227 * 1024,
        }
    }
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The machine this process runs on.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(Arch),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Cpu => f.write_str("cpu"),
            Target::Cuda(arch) => f.write_str(arch.name()),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(s: &str) -> Result<Target, String> {
        if s == "cpu" {
            return Ok(Target::Cpu);
        }
        let names: Vec<_> = Arch::ALL.iter().map(|a| a.name()).collect();
        Arch::ALL
            .into_iter()
            .find(|a| a.name() == s)
            .map(Target::Cuda)
            .ok_or_else(|| format!("unknown target `{s}`; the targets are cpu, {}", names.join(", ")))
    }
}

/// How programs are mapped to a GPU's threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScheduleKind {
    /// The best one that the architecture has and the kernel fits.
    #[default]
    Auto,
    /// Warps that load for themselves and multiply by `mma.sync`: runs on every architecture.
    Baseline,
    /// Warpgroups with roles: some copy, some multiply. Hopper only.
    Roles,
    /// One warpgroup that copies for itself, with several such programs on a multiprocessor. Hopper only, products of 64 rows.
    SelfLoading,
}

impl ScheduleKind {
    /// Every kind.
    pub const ALL: [ScheduleKind; 4] =
        [ScheduleKind::Auto, ScheduleKind::Baseline, ScheduleKind::Roles, ScheduleKind::SelfLoading];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            ScheduleKind::Auto => "auto",
            ScheduleKind::Baseline => "baseline",
            ScheduleKind::Roles => "roles",
            ScheduleKind::SelfLoading => "self",
        }
    }
}

/// In which order the blocks of threads of a persistent kernel take programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProgramOrder {
    /// The queue for kernels whose loops are as long as counts in memory say, and static for all others.
    #[default]
    Auto,
    /// By number: what a block of threads runs is known before.
    Static,
    /// Each takes the next one that nobody has: balanced, for programs of different length.
    Queue,
}

impl ProgramOrder {
    /// Every order.
    pub const ALL: [ProgramOrder; 3] = [ProgramOrder::Auto, ProgramOrder::Static, ProgramOrder::Queue];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            ProgramOrder::Auto => "auto",
            ProgramOrder::Static => "static",
            ProgramOrder::Queue => "queue",
        }
    }
}

/// What tells an online softmax that its reference no longer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watch {
    /// The largest score, found before weights are computed.
    Scores,
    /// The sum of the weights, which are computed again where it is too large.
    Weights,
}

impl Watch {
    /// Both.
    pub const ALL: [Watch; 2] = [Watch::Scores, Watch::Weights];

    /// The name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Watch::Scores => "scores",
            Watch::Weights => "weights",
        }
    }
}

/// Everything besides the kernel that can change an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// What to compile for.
    pub target: Target,
    /// Warps per program on a GPU; chosen from the kernel's tiles when absent.
    pub warps: Option<u32>,
    /// Buffers per pipelined load on a GPU; chosen from shared memory when absent.
    pub stages: Option<u32>,
    /// Bytes of shared memory that one program may have on the GPU at hand, where that is less than its architecture's.
    pub shared: Option<u32>,
    /// How programs are mapped to threads.
    pub schedule: ScheduleKind,
    /// Who runs which program, where blocks of threads run several.
    pub order: ProgramOrder,
    /// Blocks of threads that are to share a multiprocessor under a schedule of roles; chosen from the number of warpgroups when absent.
    pub ctas_per_sm: Option<u32>,
    /// Groups of roles in a block of threads, each with programs and rings of its own; chosen by the schedule when absent.
    pub groups: Option<u32>,
    /// Whether tiles that a loop's products read all along as first operands are held in registers: if so, as many as there is room for; chosen by
    /// the schedule when absent.
    pub held_in_registers: Option<bool>,
    /// Whether two blocks of a list make one step of a loop over it, under a schedule of roles; they do not when absent.
    pub pair: Option<bool>,
    /// Whether the warpgroups of a role start their products in turn, so that one multiplies while another computes weights; chosen by the
    /// schedule when absent.
    pub ping_pong: Option<bool>,
    /// Whether an online softmax may keep its maxima where they are until one rises by more than 8 (in base 2). Exact either way.
    pub reference_max: bool,
    /// What such a softmax looks at to know whether one rose; chosen from a thread's registers when absent.
    pub watch: Option<Watch>,
    /// Whether a step's late products (see the schedule of roles) are waited for before what follows from its front products is computed; chosen with
    /// `watch` when absent.
    pub settle_early: Option<bool>,
    /// On a GPU, look at every box, assertion and integer divisor as the host always does, and print: slower, and off by default.
    /// Code is then that of the baseline schedule.
    pub checks: bool,
    /// On a GPU, whether instructions know their lines in the Rust source, down to SASS. The instructions are the same.
    pub lines: bool,
}

impl Options {
    /// The defaults for a target.
    pub fn new(target: Target) -> Options {
        Options {
            target,
            warps: None,
            stages: None,
            shared: None,
            schedule: ScheduleKind::Auto,
            order: ProgramOrder::Auto,
            ctas_per_sm: None,
            groups: None,
            held_in_registers: None,
            pair: None,
            ping_pong: None,
            reference_max: true,
            watch: None,
            settle_early: None,
            checks: false,
            lines: false,
        }
    }
}

impl From<Target> for Options {
    fn from(target: Target) -> Options {
        Options::new(target)
    }
}

/// Where external tools are. Only stages that need a tool fail without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// NVIDIA's assembler, for `cubin` and `sass`.
    pub ptxas: Option<PathBuf>,
    /// NVIDIA's disassembler, for `sass`.
    pub nvdisasm: Option<PathBuf>,
}
