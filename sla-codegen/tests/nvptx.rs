//! The GPU target without a GPU: every case becomes PTX that ptxas accepts for every architecture, attention without local memory.

mod gpu_cases;
mod tools;

use gpu_cases::cases;
use sla_codegen::ptxas::assemble;
use sla_codegen::{Arch, Artifact, CodegenError, GpuImage, Options, Target, compile};

fn image(case: &gpu_cases::Case, arch: Arch) -> Result<GpuImage, CodegenError> {
    match compile(&case.kernel(), &Options::new(Target::Cuda(arch)))? {
        Artifact::Gpu(image) => Ok(image),
        Artifact::Host(_) => panic!("a GPU target yields a GPU image"),
    }
}

fn assembles(arch: Arch) {
    let tools = tools::ptxas();
    let mut wrong = Vec::new();
    for case in cases() {
        let image = match image(&case, arch) {
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
    assembles(Arch::Sm80);
}

#[test]
fn sm_89() {
    assembles(Arch::Sm89);
}

#[test]
fn sm_90a() {
    assembles(Arch::Sm90a);
}

#[test]
fn sm_100a() {
    assembles(Arch::Sm100a);
}

#[test]
fn sm_120a() {
    assembles(Arch::Sm120a);
}
