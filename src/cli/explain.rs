//! `sla explain`: what a shipped kernel is made of on a GPU. The facts are the code generator's; here they are put into words.

use std::fmt::Write as _;

use clap::Args;
use sla_codegen::explain::{Explanation, Machine, Mapping, RingFacts, RoleFacts, explain};
use sla_codegen::{Arch, GridKind, Options, Target};

use super::emit::{self, EmitError};
use super::error::CliError;

/// Say what a kernel is made of on a GPU: roles, rings, shared memory, registers, instructions.
#[derive(Args)]
pub struct Explain {
    /// The kernel; `sla emit --list` lists them.
    kernel: String,
    /// The GPU: sm_80, sm_89, sm_90a, sm_100a or sm_120a.
    #[arg(long, default_value = "sm_90a", value_parser = arch)]
    target: Arch,
    /// Another value for one of the kernel's constants (in capitals) or one of the compiler's settings (in small letters); may be repeated.
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,
    /// For sizes that are multiples of their blocks, so that there are no tails.
    #[arg(long)]
    even: bool,
}

impl Explain {
    /// Explains.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        let entry = emit::entry(&self.kernel)?;
        let mut options = Options::new(Target::Cuda(self.target));
        let consts = emit::apply(entry, &self.set, &mut options)?;
        let kernel = entry.kernel(&consts, self.even).map_err(EmitError::Build)?;
        let tools = sla_runtime::env::tools();
        let found = explain(&kernel, self.target, &options, &tools).map_err(EmitError::from)?;
        let text = format!("{} on {}\n{}", self.kernel, self.target.name(), describe(&found));
        Ok(emit::print(text.as_bytes())?)
    }
}

/// A GPU's architecture by name.
pub(super) fn arch(text: &str) -> Result<Arch, String> {
    match emit::target(text)? {
        Target::Cuda(arch) => Ok(arch),
        Target::Cpu => Err("found cpu, needed a GPU: the host's programs have no roles".to_owned()),
    }
}

fn describe(e: &Explanation) -> String {
    let mut out = String::new();
    let image = &e.image;
    let grid = match image.grid {
        GridKind::Programs => "one for each program".to_owned(),
        GridKind::Persistent { per_sm } => {
            format!("{per_sm} on each multiprocessor, which go on from program to program")
        }
    };
    line(&mut out, "blocks of threads", &format!("{} threads, {grid}", image.threads));
    line(&mut out, "shared memory", &format!("{} bytes", image.shared_bytes));
    if !image.maps.is_empty() {
        line(&mut out, "tensor maps", &image.maps.len().to_string());
    }
    match &e.mapping {
        Mapping::Roles { roles, rings } => {
            roles.iter().for_each(|r| line(&mut out, &format!("role {}", r.name), &role(r)));
            rings.iter().for_each(|r| line(&mut out, &format!("ring {}", r.name), &ring(r)));
            let barriers: usize = rings.iter().map(RingFacts::barriers).sum();
            line(&mut out, "barriers", &format!("{barriers} in shared memory"));
        }
        Mapping::Baseline { warps, buffers, ahead } => {
            line(&mut out, "warps", &format!("{warps}, all alike"));
            for b in buffers {
                let ([rows, columns], by) = (b.shape, if b.by_copy { "cp.async" } else { "registers" });
                let text = format!("{} x [{rows}x{columns}x{}], filled by {by}", b.copies, b.elem);
                line(&mut out, &format!("buffer {}", b.tensor), &text);
            }
            for a in ahead {
                let text = format!("{} loaded {} iterations ahead", a.tensors.join(", "), a.iterations);
                line(&mut out, "ring", &text);
            }
        }
    }
    match &e.machine {
        Some(m) => machine(&mut out, m),
        None => line(&mut out, "registers", "unknown, as there is no ptxas (cargo xtask setup fetches one)"),
    }
    out
}

fn role(r: &RoleFacts) -> String {
    let warps = match r.warps * r.groups {
        1 => format!("warp {}", r.first),
        n => format!("warps {} to {}", r.first, r.first + n - 1),
    };
    let warps = match r.groups {
        1 => warps,
        n => format!("{warps} ({n} groups)"),
    };
    let registers = match r.registers {
        0 => "registers as launched".to_owned(),
        n => format!("{n} registers"),
    };
    let steps: Vec<String> = r.steps.iter().map(|(name, n)| format!("{n} {name}")).collect();
    format!("{warps}, {registers}: {}", steps.join(", "))
}

fn ring(r: &RingFacts) -> String {
    let ([rows, columns], bytes) = (r.shape, r.bytes());
    let mut text = format!("{} x [{rows}x{columns}x{}], {bytes} bytes", r.stages, r.elem);
    for (what, who) in [("filled", &r.filled_by), ("read", &r.read_by), ("sent through", &r.sent_by)] {
        if !who.is_empty() {
            let _ = write!(text, ", {what} by {}", who.join(" and "));
        }
    }
    if r.arrivals > 0 {
        let _ =
            write!(text, ", empty after {} arrival{}", r.arrivals, if r.arrivals == 1 { "" } else { "s" });
    }
    text
}

fn machine(out: &mut String, m: &Machine) {
    let r = &m.report;
    let spills = match (r.spill_stores, r.spill_loads) {
        (0, 0) => "no spills".to_owned(),
        (stores, loads) => format!("{stores} bytes of spilled stores, {loads} of loads"),
    };
    line(
        out,
        "registers",
        &format!("{} a thread at launch, {spills}, {} bytes of stack", r.registers, r.stack),
    );
    if let Some(version) = m.version {
        let known = m.finding.map_or(String::new(), |f| format!("; known of it: {f}"));
        line(out, "assembler", &format!("ptxas {version}{known}"));
    }
    let fits = m.resident;
    let each = (fits.by_shared, fits.by_registers, fits.by_threads);
    let by = format!("shared memory {}, registers {}, threads {}", each.0, each.1, each.2);
    line(out, "on a multiprocessor", &format!("{} blocks of threads ({by})", fits.blocks()));
    if let Some(i) = &m.instructions {
        let counts = [
            (i.all, "in all"),
            (i.group_products, "HGMMA"),
            (i.group_waits, "WARPGROUP.DEPBAR"),
            (i.warp_products, "HMMA"),
            (i.box_loads, "UTMALDG"),
            (i.box_stores, "UTMASTG"),
            (i.small_copies, "LDGSTS"),
            (i.barriers, "SYNCS"),
            (i.block_barriers, "BAR"),
        ];
        let counts = counts.iter().filter(|c| c.0 > 0).map(|(n, name)| format!("{n} {name}"));
        line(out, "instructions", &counts.collect::<Vec<_>>().join(", "));
    }
    r.notes.iter().for_each(|note| line(out, "ptxas", note));
}

fn line(out: &mut String, what: &str, text: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{what:<20} {text}");
}
