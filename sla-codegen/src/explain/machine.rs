//! What the assembler made of a kernel: registers, spills, instructions, and how many blocks of threads a multiprocessor holds.

use crate::ptxas::{Finding, Report, Version};
use crate::{Arch, GpuImage};

/// A kernel's machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Registers, spills and remarks.
    pub report: Report,
    /// The version of ptxas, if it says one.
    pub version: Option<Version>,
    /// What is known against that version.
    pub finding: Option<&'static Finding>,
    /// Counts of instructions; absent without a disassembler.
    pub instructions: Option<Instructions>,
    /// Blocks of threads on a multiprocessor.
    pub resident: Resident,
}

/// Instructions of a kernel, as they stand, not as they run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instructions {
    /// All.
    pub all: usize,
    /// Matrix products of a warpgroup (`HGMMA`).
    pub group_products: usize,
    /// Waits for those (`WARPGROUP.DEPBAR`).
    pub group_waits: usize,
    /// Matrix products of a warp (`HMMA`).
    pub warp_products: usize,
    /// Copies of boxes to shared memory (`UTMALDG`).
    pub box_loads: usize,
    /// Copies of boxes from shared memory (`UTMASTG`).
    pub box_stores: usize,
    /// Copies of 16 bytes to shared memory (`LDGSTS`).
    pub small_copies: usize,
    /// Work on barriers in shared memory (`SYNCS`).
    pub barriers: usize,
    /// Barriers of a block of threads (`BAR`).
    pub block_barriers: usize,
}

impl Instructions {
    /// Counts those of a disassembly.
    pub fn count(sass: &str) -> Instructions {
        let mut n = Instructions::default();
        for line in sass.lines() {
            let Some(name) = mnemonic(line) else { continue };
            n.all += 1;
            let base = name.split('.').next().unwrap_or(name);
            match base {
                "HGMMA" => n.group_products += 1,
                "HMMA" => n.warp_products += 1,
                "UTMALDG" => n.box_loads += 1,
                "UTMASTG" => n.box_stores += 1,
                "LDGSTS" => n.small_copies += 1,
                "SYNCS" => n.barriers += 1,
                "BAR" => n.block_barriers += 1,
                "WARPGROUP" if name.starts_with("WARPGROUP.DEPBAR") => n.group_waits += 1,
                _ => {}
            }
        }
        n
    }
}

/// The instruction of a line `/*0010*/ @P0 NAME operands ;`.
fn mnemonic(line: &str) -> Option<&str> {
    let (_, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
    rest.split_whitespace()
        .find(|word| !word.starts_with('@'))
        .filter(|w| w.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// How many blocks of threads a multiprocessor holds, by each of its resources alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// By shared memory.
    pub by_shared: u32,
    /// By registers.
    pub by_registers: u32,
    /// By threads.
    pub by_threads: u32,
}

impl Resident {
    /// By all of them.
    pub fn blocks(&self) -> u32 {
        self.by_shared.min(self.by_registers).min(self.by_threads)
    }
}

/// Shared memory that the system keeps of each block of threads, in bytes.
const RESERVED: u32 = 1024;

/// Registers of a multiprocessor.
const REGISTERS: u32 = 65536;

/// Shared memory of a multiprocessor in bytes, its threads, its blocks of threads.
const fn multiprocessor(arch: Arch) -> (u32, u32, u32) {
    match arch {
        Arch::Sm80 => (164 * 1024, 2048, 32),
        Arch::Sm89 | Arch::Sm120a => (100 * 1024, 1536, 24),
        Arch::Sm90a | Arch::Sm100a => (228 * 1024, 2048, 32),
    }
}

impl Machine {
    /// From what the tools say.
    pub fn new(
        arch: Arch,
        image: &GpuImage,
        report: Report,
        version: Option<Version>,
        sass: Option<&str>,
    ) -> Machine {
        let (shared, threads, most) = multiprocessor(arch);
        // A warp gets registers for 32 threads, of each a multiple of 8.
        let of_block = report.registers.max(1).next_multiple_of(8) * image.threads.next_multiple_of(32);
        let resident = Resident {
            by_shared: (shared / (image.shared_bytes + report.shared + RESERVED)).min(most),
            by_registers: (REGISTERS / of_block.max(1)).min(most),
            by_threads: (threads / image.threads.max(1)).min(most),
        };
        let (instructions, finding) =
            (sass.map(Instructions::count), version.and_then(|v| Finding::of(v, arch)));
        Machine { report, version, finding, instructions, resident }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GridKind;

    #[test]
    fn instructions_are_counted_by_name() {
        let sass = "\t.text.k:\n        /*0000*/                   LDC R1, c[0x0][0x28] ;\n\
            \n        /*0010*/              @!P0 HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4], RZ, !UPT ;\n\
            \n        /*0020*/                   WARPGROUP.ARRIVE ;\n\
            \n        /*0030*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;\n\
            \n        /*0040*/                   UTMALDG.4D [UR8], [UR6] ;\n\
            \n        /*0050*/              @P1 SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R2 ;\n";
        let found = Instructions::count(sass);
        let want =
            Instructions { all: 6, group_products: 1, group_waits: 1, box_loads: 1, barriers: 1, ..found };
        assert_eq!(found, want);
        assert_eq!(found.warp_products + found.block_barriers + found.small_copies + found.box_stores, 0);
    }

    #[test]
    fn blocks_on_a_multiprocessor() {
        let image = |threads, shared_bytes| GpuImage {
            entry: "k".into(),
            ptx: String::new(),
            threads,
            shared_bytes,
            maps: Vec::new(),
            grid: GridKind::Programs,
            log: None,
            queue: false,
        };
        let report = |registers| Report { registers, ..Report::default() };
        // A producer and two consumer warpgroups fill a multiprocessor alone.
        let m = Machine::new(Arch::Sm90a, &image(384, 200 * 1024), report(168), None, None);
        assert_eq!(m.resident, Resident { by_shared: 1, by_registers: 1, by_threads: 5 });
        // A warpgroup with 82,944 bytes twice, by shared memory.
        let m = Machine::new(Arch::Sm90a, &image(128, 82_944), report(138), None, None);
        assert_eq!((m.resident.blocks(), m.resident.by_registers), (2, 3));
    }
}
