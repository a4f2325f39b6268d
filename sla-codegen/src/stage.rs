//! The stages of compilation: one enum from which dumps, the command line, snapshots and timings take their names.

use std::fmt;
use std::str::FromStr;

/// A form that a kernel takes on its way to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Tile IR as the kernel's author built it.
    Tile,
    /// The same program after target-independent passes, with the target's schedule.
    Sched,
    /// MLIR, before conversion to the LLVM dialect.
    Mlir,
    /// LLVM IR after optimisation.
    Ll,
    /// Assembly: PTX for GPUs, the host's assembly for the CPU.
    Ptx,
    /// The GPU's machine code as ptxas wrote it (bytes).
    Cubin,
    /// The GPU's machine code, disassembled.
    Sass,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 7] =
        [Stage::Tile, Stage::Sched, Stage::Mlir, Stage::Ll, Stage::Ptx, Stage::Cubin, Stage::Sass];

    /// The name, which is also the file extension of a dump.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Tile => "tile",
            Stage::Sched => "sched",
            Stage::Mlir => "mlir",
            Stage::Ll => "ll",
            Stage::Ptx => "ptx",
            Stage::Cubin => "cubin",
            Stage::Sass => "sass",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(s: &str) -> Result<Stage, String> {
        let names: Vec<_> = Stage::ALL.iter().map(|s| s.name()).collect();
        Stage::ALL
            .into_iter()
            .find(|stage| stage.name() == s)
            .ok_or_else(|| format!("unknown stage `{s}`; the stages are {}", names.join(", ")))
    }
}
