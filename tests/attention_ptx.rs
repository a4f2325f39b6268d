//! The attention kernels as the operator asks for them on a GPU, on the baseline schedule: every one within its registers, and none so long
//! that its first launch waits for the assembler.

use sla::kernels::find;
use sla_codegen::ptxas::{assemble, hopper_gate};
use sla_codegen::{Arch, Artifact, GpuImage, Options, ScheduleKind, Target, Tools, compile};
use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;
#[path = "../sla-codegen/tests/tools/mod.rs"]
mod tools;
use tools::ptxas;

/// Bytes of PTX that a kernel may have.
const LONGEST: usize = 300_000;

/// Kernels that work on tiles of queries and keys, with a linear branch.
const FUSED: [&str; 5] = ["sla_fwd", "sla_bwd_pre", "sla_bwd_dq", "sla_bwd_linear", "sla_bwd_dkdv"];

/// Kernels that make a state for each block.
const STATES: [&str; 2] = ["linear_state", "sla_bwd_state"];

/// Kernels without a linear branch.
const DENSE: [&str; 4] = ["flash_fwd", "flash_bwd_dq", "flash_bwd_dkdv", "sparse_fwd"];

/// A kernel with the constants that are not its default ones.
type Case = (&'static str, Vec<(&'static str, Const)>);

/// Head dimension, query and key blocks.
#[derive(Clone, Copy)]
struct Shape(i64, i64, i64);

const NARROW: [Shape; 3] = [Shape(64, 64, 64), Shape(64, 128, 64), Shape(64, 128, 128)];

/// What the operator launches for a shape: with more than 64 features, tiles of 64 by 64 over states of the configured blocks.
fn cases(elem: Elem, Shape(d, bq, bk): Shape, phis: &[i64]) -> Vec<Case> {
    let common = [("T", Const::Elem(elem)), ("D", Const::Int(d))];
    let blocks = [("BQ", Const::Int(bq)), ("BK", Const::Int(bk))];
    let tiles = |features: i64| if features > 64 { (64, 64) } else { (bq, bk) };
    let mut all = Vec::new();
    for &phi in phis {
        let parts = if phi == 4 { 2 } else { 1 };
        let (tq, tk) = tiles(d * parts);
        let tiles = [("BQ", Const::Int(tq)), ("BK", Const::Int(tk))];
        let ratios = [("RQ", Const::Int(bq / tq)), ("RK", Const::Int(bk / tk))];
        let phi = [("PHI", Const::Int(phi)), ("P", Const::Int(parts))];
        all.extend(FUSED.map(|k| (k, [&common[..], &tiles, &ratios, &phi].concat())));
        all.extend(STATES.map(|k| (k, [&common[..], &blocks, &phi].concat())));
        if elem.is_half() {
            let centred = [("E", Const::Elem(elem)), ("CENTRED", Const::Bool(true))];
            let kernel = if parts == 1 { "sla_bwd_turned_state" } else { "sla_bwd_state" };
            all.push((kernel, [&common[..], &blocks, &phi, &centred].concat()));
        }
    }
    let (tq, tk) = tiles(d);
    for k in DENSE {
        // Gradients of keys go through queries 64 at a time, as those of `sla_bwd_dkdv` do.
        let tq = if k == "flash_bwd_dkdv" { 64 } else { tq };
        all.push((k, [&common[..], &[("BQ", Const::Int(tq)), ("BK", Const::Int(tk))]].concat()));
    }
    all
}

fn image((name, changes): &Case, arch: Arch, even: bool) -> Result<GpuImage, String> {
    let entry = find(name).unwrap();
    let kernel = entry.kernel(&entry.consts_with(changes), even).map_err(|e| e.to_string())?;
    let options = Options { schedule: ScheduleKind::Baseline, ..Options::new(Target::Cuda(arch)) };
    match compile(&kernel, &options) {
        Ok(Artifact::Gpu(image)) => Ok(image),
        Ok(Artifact::Host(_)) => panic!("a GPU target yields a GPU image"),
        Err(e) => Err(e.to_string()),
    }
}

/// Every different case compiles, is short, and touches no local memory.
fn within_registers(arch: Arch, even: bool, mut cases: Vec<Case>) {
    let tools = ptxas();
    let mut wrong = Vec::new();
    cases.sort_by_key(|c| format!("{c:?}"));
    cases.dedup();
    for case in &cases {
        let name = format!("{} {:?} {}", case.0, case.1, arch.name());
        let image = match image(case, arch, even) {
            Ok(image) => image,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        if image.ptx.len() > LONGEST {
            wrong.push(format!("{name}: {} bytes of PTX", image.ptx.len()));
        }
        let Some(tools) = &tools else { continue };
        match assemble(tools, &image.ptx, arch) {
            Err(e) => wrong.push(format!("{name}: {e}")),
            Ok(a) if a.report.stack > 0 || a.report.spill_stores > 0 => {
                wrong.push(format!("{name}: {:?}", a.report));
            }
            Ok(a) => eprintln!("{name}: {} registers", a.report.registers),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn of_shapes(elem: Elem, shapes: &[Shape], phis: &[i64]) -> Vec<Case> {
    shapes.iter().flat_map(|&s| cases(elem, s, phis)).collect()
}

/// Every feature map.
const EACH: [i64; 4] = [1, 2, 3, 4];

/// The least and the most that a feature map asks for.
const EXTREMES: [i64; 2] = [1, 4];

/// States of 128 features are made by four warps a program, and two programs fit a multiprocessor of Hopper.
#[test]
fn states_of_wide_heads_by_four_warps_on_sm_90a() {
    let (single, half) = (Const::Elem(Elem::F32), Const::Elem(Elem::BF16));
    for (phi, s) in [(1, single), (1, half), (2, single), (3, single)] {
        let entry = find("linear_state").unwrap();
        let changes = [
            ("T", half),
            ("S", s),
            ("D", Const::Int(128)),
            ("BQ", Const::Int(128)),
            ("PHI", Const::Int(phi)),
        ];
        for even in [false, true] {
            let kernel = entry.kernel(&entry.consts_with(&changes), even).unwrap();
            let options = Options { warps: Some(4), ..Options::new(Target::Cuda(Arch::Sm90a)) };
            let Artifact::Gpu(image) = compile(&kernel, &options).unwrap() else { panic!("no GPU image") };
            assert_eq!(image.threads, 128);
            assert!(2 * (image.shared_bytes + 1024) <= 228 * 1024, "{} bytes", image.shared_bytes);
            let Some(tools) = &ptxas() else { continue };
            let report = assemble(tools, &image.ptx, Arch::Sm90a).unwrap().report;
            assert_eq!((report.stack, report.spill_stores), (0, 0), "{changes:?}, {even}");
        }
    }
}

/// The least shared memory.
#[test]
fn narrow_heads_on_sm_120a() {
    let [small, tall, large] = NARROW;
    let mut all = of_shapes(Elem::BF16, &[small, large], &EACH);
    all.extend(of_shapes(Elem::BF16, &[tall], &EXTREMES));
    within_registers(Arch::Sm120a, false, all);
}

#[test]
fn wide_heads_on_sm_120a() {
    let mut all = cases(Elem::BF16, Shape(128, 128, 128), &EACH);
    all.extend(cases(Elem::BF16, Shape(128, 64, 64), &EXTREMES));
    within_registers(Arch::Sm120a, false, all);
}

#[test]
fn wide_heads_in_whole_blocks_on_sm_90a() {
    within_registers(Arch::Sm90a, true, cases(Elem::BF16, Shape(128, 128, 128), &EXTREMES));
}

#[test]
fn half_precision_on_sm_89() {
    within_registers(Arch::Sm89, false, of_shapes(Elem::F16, &NARROW[2..], &EXTREMES));
}

#[test]
fn wide_heads_on_sm_80() {
    within_registers(Arch::Sm80, false, cases(Elem::F16, Shape(128, 128, 128), &EXTREMES));
}

/// What is wrong with a kernel that should run by roles on Hopper.
fn not_by_roles(
    name: &str,
    changes: &[(&'static str, Const)],
    even: bool,
    tools: &Option<Tools>,
) -> Option<String> {
    let what = format!("{name} {changes:?} even {even}");
    let entry = find(name).unwrap();
    let kernel = entry.kernel(&entry.consts_with(changes), even).unwrap();
    // As the operator launches it: one term of a state leaves shared memory for two blocks of threads, but not registers.
    let is = |given: (&str, i64)| changes.contains(&(given.0, Const::Int(given.1)));
    let one_term = name == "sla_bwd_linear" && [("SPLIT", 1), ("BK", 64), ("D", 128)].into_iter().all(is);
    let options = Options { groups: one_term.then_some(2), ..Options::new(Target::Cuda(Arch::Sm90a)) };
    let Ok(Artifact::Gpu(image)) = compile(&kernel, &options) else {
        return Some(format!("{what}: does not compile"));
    };
    if image.maps.is_empty() {
        return Some(format!("{what}: not by roles"));
    }
    let tools = tools.as_ref()?;
    let wrong = match assemble(tools, &image.ptx, Arch::Sm90a) {
        Err(e) => Some(e.to_string()),
        Ok(a) => hopper_gate(tools, &a).err().map(|e| e.to_string()),
    };
    wrong.map(|e| format!("{what}: {e}"))
}

/// Sums of states for each row, of their gradients for each column, and what the gradient of the projection is made of.
#[test]
fn sums_of_states_in_halves_run_by_roles() {
    let tools = ptxas();
    let half = Const::Elem(Elem::BF16);
    let mut wrong = Vec::new();
    for (d, even) in [(128, true), (128, false), (64, true), (64, false)] {
        let changes = [("D", Const::Int(d)), ("E", half), ("F", half), ("M", half), ("ROWS", Const::Int(d))];
        for name in ["weighted_states", "weighted_state_grads", "weight_grad"] {
            wrong.extend(not_by_roles(name, &changes, even, &tools));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the operator launches on Hopper in bf16: kernels of roles within their registers, on the configured blocks, with states in halves.
#[test]
fn states_in_halves_run_by_roles() {
    let tools = ptxas();
    let mut wrong = Vec::new();
    let blocks = [
        (128, 64, 128, true),
        (128, 128, 128, true),
        (64, 64, 128, true),
        (128, 64, 64, true),
        (128, 64, 128, false),
    ];
    for (bq, bk, d, even) in blocks {
        for phi in 1..=3 {
            let changes = [
                ("S", Const::Elem(Elem::BF16)),
                ("D", Const::Int(d)),
                ("BQ", Const::Int(bq)),
                ("BK", Const::Int(bk)),
                ("PHI", Const::Int(phi)),
                ("SPLIT", Const::Int(1)),
                ("SHIFTED", Const::Bool(phi == 1)),
                ("E", Const::Elem(Elem::BF16)),
                ("CENTRED", Const::Bool(true)),
                ("WHOLE", Const::Bool(even)),
            ];
            for name in ["sla_fwd", "sla_bwd_dq", "sla_bwd_turned_state", "sla_bwd_linear", "sla_bwd_dkdv"] {
                if phi > 1 && (name == "sla_bwd_dkdv" || (bq, bk, d, even) != blocks[0]) {
                    continue;
                }
                wrong.extend(not_by_roles(name, &changes, even, &tools));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
