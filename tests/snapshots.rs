//! What the compiler makes of a few kernels, as text that a reviewer reads: `.tile` as written, `.sched` for two architectures,
//! `.ptx` where it is short enough to be read. Every PTX must also pass ptxas, without local memory.
//!
//! `INSTA_UPDATE=always cargo test --test snapshots` accepts what the compiler makes now; read the difference before you commit it.

use sla::kernels;
use sla_codegen::ptxas::{assemble, hopper_gate};
use sla_codegen::{Arch, Options, ScheduleKind, Stage, Target, snapshot};
use sla_dsl::lang::Const;

const ARCHS: [Arch; 2] = [Arch::Sm80, Arch::Sm90a];

fn text(kernel: &str, target: Target, stage: Stage) -> String {
    text_with(kernel, &[], &Options::new(target), stage)
}

fn text_with(kernel: &str, consts: &[(&str, Const)], options: &Options, stage: Stage) -> String {
    let entry = kernels::find(kernel).unwrap();
    let consts = entry.consts_with(consts);
    let text = snapshot(|facts| entry.def.build(&consts, facts), options.clone(), stage);
    text.unwrap_or_else(|e| panic!("{kernel} {} {stage}: {e}", options.target))
}

fn matches(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn snapshots(kernel: &str, with_ptx: &[Arch]) {
    matches(&format!("{kernel}.tile"), &text(kernel, Target::Cpu, Stage::Tile));
    let tools = sla_runtime::env::tools();
    if tools.ptxas.is_none() {
        eprintln!("{kernel}: its PTX is not assembled: no ptxas; `cargo xtask setup` installs it");
    }
    for arch in ARCHS {
        let name = arch.name();
        matches(&format!("{kernel}.{name}.sched"), &text(kernel, Target::Cuda(arch), Stage::Sched));
        let ptx = text(kernel, Target::Cuda(arch), Stage::Ptx);
        if with_ptx.contains(&arch) {
            matches(&format!("{kernel}.{name}.ptx"), &ptx);
        }
        if tools.ptxas.is_some() {
            let report =
                assemble(&tools, &ptx, arch).unwrap_or_else(|e| panic!("{kernel} {name}: {e}")).report;
            let local = (report.stack, report.spill_stores, report.spill_loads);
            assert_eq!(local, (0, 0, 0), "{kernel} {name} uses local memory: {report:?}");
        }
    }
}

#[test]
fn matmul() {
    snapshots("matmul", &[Arch::Sm80]);
}

#[test]
fn flash_fwd() {
    snapshots("flash_fwd", &ARCHS);
}

#[test]
fn sparse_fwd() {
    snapshots("sparse_fwd", &[Arch::Sm80]);
}

#[test]
fn sla_fwd() {
    snapshots("sla_fwd", &[Arch::Sm80]);
}

#[test]
fn sla_bwd_dkdv() {
    snapshots("sla_bwd_dkdv", &[]);
}

/// Hopper's schedules of one tile program: one warpgroup that copies for itself, and producers beside two that multiply. Both pass the gate.
#[test]
fn flash_fwd_by_roles() {
    let tools = sla_runtime::env::tools();
    for (schedule, rows) in [(ScheduleKind::SelfLoading, 64), (ScheduleKind::Roles, 128)] {
        let options = Options { schedule, ..Options::new(Target::Cuda(Arch::Sm90a)) };
        let name = format!("flash_fwd.sm_90a.{}", schedule.name());
        let text = |stage| text_with("flash_fwd", &[("BQ", Const::Int(rows))], &options, stage);
        matches(&format!("{name}.sched"), &text(Stage::Sched));
        let ptx = text(Stage::Ptx);
        matches(&format!("{name}.ptx"), &ptx);
        if tools.ptxas.is_some() {
            let assembled = assemble(&tools, &ptx, Arch::Sm90a).unwrap_or_else(|e| panic!("{name}: {e}"));
            hopper_gate(&tools, &assembled).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
