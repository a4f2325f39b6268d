//! Every shipped kernel as PTX that ptxas accepts, on every architecture; the attention kernels without local memory.

use sla::kernels::ALL;
use sla_codegen::ptxas::assemble;
use sla_codegen::{Arch, Artifact, Options, Target, compile};
use sla_dsl::ir::Elem;
use sla_dsl::lang::{Const, Consts};
#[path = "../sla-codegen/tests/tools/mod.rs"]
mod tools;
use tools::ptxas;

/// The default constants with some of them changed, where the kernel has them.
fn constants(defaults: &[(&str, Const)], changes: &[(&str, Const)]) -> Consts {
    let value = |name: &str, default: Const| changes.iter().find(|c| c.0 == name).map_or(default, |c| c.1);
    Consts(defaults.iter().map(|&(name, default)| (name.to_string(), value(name, default))).collect())
}

/// Compiles kernels (`only` these; all if empty), for whole blocks if `even`, and returns what went wrong; the `lean` ones may not touch local memory.
fn problems(arch: Arch, changes: &[(&str, Const)], even: bool, only: &[&str], lean: &[&str]) -> Vec<String> {
    let tools = ptxas();
    let mut wrong = Vec::new();
    for entry in ALL {
        if !only.is_empty() && !only.contains(&entry.def.name) {
            continue;
        }
        let consts = constants(entry.defaults, changes);
        let name = format!("{} {consts}", entry.def.name);
        let kernel = match entry.kernel(&consts, even) {
            Ok(kernel) => kernel,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let image = match compile(&kernel, &Options::new(Target::Cuda(arch))) {
            Ok(Artifact::Gpu(image)) => image,
            Ok(Artifact::Host(_)) => panic!("a GPU target yields a GPU image"),
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let Some(tools) = &tools else { continue };
        match assemble(tools, &image.ptx, arch) {
            Err(e) => wrong.push(format!("{name}: {e}")),
            Ok(a) => {
                let r = &a.report;
                eprintln!(
                    "{name}: {} threads, {} registers, {} shared, {} spilled",
                    image.threads, r.registers, image.shared_bytes, r.spill_stores
                );
                if lean.contains(&entry.def.name) && r.stack > 0 {
                    wrong.push(format!("{name}: {r:?}"));
                }
            }
        }
    }
    wrong
}

fn none(arch: Arch, changes: &[(&str, Const)], only: &[&str], lean: &[&str]) {
    let wrong = problems(arch, changes, false, only, lean);
    assert!(wrong.is_empty(), "{}:\n{}", arch.name(), wrong.join("\n"));
}

const ATTENTION: &[&str] = &[
    "flash_fwd",
    "flash_bwd_dq",
    "flash_bwd_dkdv",
    "sparse_fwd",
    "sla_fwd",
    "sla_bwd_pre",
    "sla_bwd_dq",
    "sla_bwd_dkdv",
];

/// Those whose tiles still fit the registers at 128 columns.
const WIDE: &[&str] = &["flash_fwd", "flash_bwd_dq", "sparse_fwd"];

const D128: &[(&str, Const)] = &[("D", Const::Int(128)), ("BQ", Const::Int(128))];

#[test]
fn defaults_on_sm_80() {
    none(Arch::Sm80, &[], &[], ATTENTION);
}

#[test]
fn whole_blocks_on_sm_80() {
    let wrong = problems(Arch::Sm80, &[], true, &[], ATTENTION);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wide_heads_on_sm_90a() {
    none(Arch::Sm90a, D128, &[], WIDE);
}

#[test]
fn wide_heads_on_sm_120a() {
    none(Arch::Sm120a, D128, &[], WIDE);
}

#[test]
fn single_precision_on_sm_89() {
    none(Arch::Sm89, &[("T", Const::Elem(Elem::F32))], &[], &[]);
}

#[test]
fn half_precision_on_sm_100a() {
    none(Arch::Sm100a, &[("T", Const::Elem(Elem::F16)), ("CAUSAL", Const::Bool(true))], &[], ATTENTION);
}
