//! Every shipped kernel as PTX of bounded length that ptxas accepts, on every architecture, with places in memory in 64 bits; the attention
//! kernels without local memory.

use sla::kernels::ALL;
use sla_codegen::ptxas::assemble;
use sla_codegen::{Arch, Artifact, Options, Target, compile};
use sla_dsl::ir::{AbiArg, Elem, Kernel};
use sla_dsl::lang::{Const, Consts};
#[path = "../sla-codegen/tests/tools/mod.rs"]
mod tools;
use std::collections::HashSet;
use tools::ptxas;

/// The first instruction that makes a number of 32 bits of a stride, or of anything computed with one.
fn narrowed(kernel: &Kernel, ptx: &str) -> Option<String> {
    const ARITHMETIC: [&str; 13] =
        ["mul", "mad", "add", "sub", "shl", "shr", "and", "or", "xor", "cvt", "mov", "selp", "min"];
    let is_stride = |(i, arg): (usize, AbiArg)| {
        matches!(arg, AbiArg::Stride { .. }).then(|| format!("[{}_param_{i}]", kernel.name))
    };
    let strides: HashSet<String> = kernel.abi().into_iter().enumerate().filter_map(is_stride).collect();
    let mut derived: HashSet<&str> = HashSet::new();
    loop {
        let before = derived.len();
        for line in ptx.lines().map(|l| l.trim().trim_end_matches(';')) {
            let Some((op, operands)) = line.split_once(['\t', ' ']) else { continue };
            let (to, from) = operands.trim().split_once(", ").unwrap_or(("", ""));
            let names = |n: &str| derived.contains(n) || strides.contains(n);
            let arithmetic = op.split('.').next().is_some_and(|o| ARITHMETIC.contains(&o));
            if !(arithmetic || op.starts_with("ld.param")) || !from.split(", ").any(names) {
                continue;
            }
            if !to.starts_with("%rd") {
                return Some(line.to_string());
            }
            derived.insert(to);
        }
        if derived.len() == before {
            return None;
        }
    }
}

#[test]
fn narrow_places_would_be_found() {
    let entry = ALL.iter().find(|e| e.def.name == "row_softmax").unwrap();
    let kernel = entry.kernel(&entry.consts(), false).unwrap();
    let Ok(Artifact::Gpu(image)) = compile(&kernel, &Options::new(Target::Cuda(Arch::Sm80))) else {
        panic!("it compiles for a GPU")
    };
    let stride = kernel.abi().iter().position(|a| matches!(a, AbiArg::Stride { axis: 0, .. })).unwrap();
    let load = format!(", [row_softmax_param_{stride}];");
    let line = image.ptx.lines().find(|l| l.ends_with(&load)).unwrap();
    let register = line.trim().trim_end_matches(&load).rsplit([' ', '\t']).next().unwrap();
    assert_eq!(narrowed(&kernel, &image.ptx), None);
    for (more, bad) in [
        (format!("cvt.u32.u64 \t%r1, {register};"), true),
        (format!("add.s64 \t%rd900, %rd901, {register};\ncvt.u32.u64 \t%r1, %rd900;"), true),
        ("cvt.u32.u64 \t%r1, %rd902;".to_string(), false),
    ] {
        assert_eq!(narrowed(&kernel, &(image.ptx.clone() + &more)).is_some(), bad, "{more}");
    }
}

/// Bytes of PTX that a kernel may have.
const LONGEST: usize = 300_000;

/// The default constants with some of them changed, where the kernel has them.
fn constants(defaults: &[(&str, Const)], changes: &[(&str, Const)]) -> Consts {
    let value = |name: &str, default: Const| changes.iter().find(|c| c.0 == name).map_or(default, |c| c.1);
    Consts(defaults.iter().map(|&(name, default)| (name.to_string().into(), value(name, default))).collect())
}

/// Compiles every kernel, for whole blocks if `even`, and returns what went wrong; the `lean` ones may not touch local memory.
fn problems(arch: Arch, changes: &[(&str, Const)], even: bool, lean: &[&str]) -> Vec<String> {
    let tools = ptxas();
    let mut wrong = Vec::new();
    for entry in ALL {
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
        wrong.extend(
            narrowed(&kernel, &image.ptx).map(|line| format!("{name}: a stride ends in 32 bits: {line}")),
        );
        if image.ptx.len() > LONGEST {
            wrong.push(format!("{name}: {} bytes of PTX", image.ptx.len()));
        }
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

fn none(arch: Arch, changes: &[(&str, Const)], lean: &[&str]) {
    let wrong = problems(arch, changes, false, lean);
    assert!(wrong.is_empty(), "{}:\n{}", arch.name(), wrong.join("\n"));
}

const ATTENTION: &[&str] = &[
    "flash_fwd",
    "flash_bwd_dq",
    "flash_bwd_dkdv",
    "sparse_fwd",
    "sla_fwd",
    "sla_bwd_pre",
    "sla_bwd_state",
    "sla_bwd_turned_state",
    "linear_state",
    "sla_bwd_dq",
    "sla_bwd_linear",
    "sla_bwd_dkdv",
];

#[test]
fn defaults_on_sm_80() {
    none(Arch::Sm80, &[], ATTENTION);
}

#[test]
fn whole_blocks_on_sm_80() {
    let wrong = problems(Arch::Sm80, &[], true, ATTENTION);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn single_precision_with_wide_heads_on_sm_90a() {
    none(Arch::Sm90a, &[("T", Const::Elem(Elem::F32)), ("D", Const::Int(128))], &[]);
}

#[test]
fn single_precision_on_sm_89() {
    none(Arch::Sm89, &[("T", Const::Elem(Elem::F32))], &[]);
}

#[test]
fn half_precision_on_sm_100a() {
    none(Arch::Sm100a, &[("T", Const::Elem(Elem::F16)), ("CAUSAL", Const::Bool(true))], ATTENTION);
}
