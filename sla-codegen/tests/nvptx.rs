//! The GPU target without a GPU: every case becomes PTX that ptxas accepts for every architecture, attention without local memory. On Hopper
//! that holds for the schedule that is chosen, and where that is one of roles, for the baseline as well.

mod gpu_cases;
mod tools;

use gpu_cases::cases;
use sla_codegen::ptxas::assemble;
use sla_codegen::{Arch, Artifact, CodegenError, GpuImage, Options, ScheduleKind, Target, compile};

fn image(case: &gpu_cases::Case, arch: Arch, schedule: ScheduleKind) -> Result<GpuImage, CodegenError> {
    match compile(&case.kernel(), &Options { schedule, ..Options::new(Target::Cuda(arch)) })? {
        Artifact::Gpu(image) => Ok(image),
        Artifact::Host(_) => panic!("a GPU target yields a GPU image"),
    }
}

fn assembles(arch: Arch, schedule: ScheduleKind, cases: &[gpu_cases::Case]) {
    let tools = tools::ptxas();
    let mut wrong = Vec::new();
    for case in cases {
        let image = match image(case, arch, schedule) {
            Ok(image) => image,
            Err(e) => {
                wrong.push(format!("{}: {e}", case.name));
                continue;
            }
        };
        let Some(tools) = &tools else { continue };
        match assemble(tools, &image.ptx, arch) {
            Err(e) => wrong.push(format!("{}: {e}", case.name)),
            Ok(a) => {
                let r = &a.report;
                eprintln!(
                    "{:28} {} {:3} registers {:6} shared",
                    case.name,
                    arch.name(),
                    r.registers,
                    image.shared_bytes
                );
                if case.lean && (r.stack > 0 || r.spill_stores > 0) {
                    wrong.push(format!("{}: {r:?}", case.name));
                }
            }
        }
        if case.lean && image.ptx.contains(".local") {
            wrong.push(format!("{}: local memory in its PTX", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", arch.name(), wrong.join("\n"));
}

#[test]
fn sm_80() {
    assembles(Arch::Sm80, ScheduleKind::Auto, &cases());
}

#[test]
fn sm_89() {
    assembles(Arch::Sm89, ScheduleKind::Auto, &cases());
}

#[test]
fn sm_90a() {
    assembles(Arch::Sm90a, ScheduleKind::Auto, &cases());
}

#[test]
fn baseline_of_what_runs_by_roles_on_sm_90a() {
    let by_roles = |case: &gpu_cases::Case| {
        image(case, Arch::Sm90a, ScheduleKind::Auto).is_ok_and(|image| !image.maps.is_empty())
    };
    let cases: Vec<_> = cases().into_iter().filter(|case| case.lean && by_roles(case)).collect();
    assert!(!cases.is_empty(), "nothing runs by roles");
    assembles(Arch::Sm90a, ScheduleKind::Baseline, &cases);
}

#[test]
fn sm_100a() {
    assembles(Arch::Sm100a, ScheduleKind::Auto, &cases());
}

#[test]
fn sm_120a() {
    assembles(Arch::Sm120a, ScheduleKind::Auto, &cases());
}
