//! Random kernels mean the same before and after every pass, and as text.

use sla_codegen::{optimise, passes};
use sla_dsl::fuzz::{Case, Config};
use sla_dsl::interp;
use sla_dsl::ir::{Kernel, Level, OpCode, parse, verify};
use std::collections::BTreeMap;

const CASES: u64 = 150;

fn run(case: &Case, kernel: &Kernel) -> Case {
    let mut case = case.clone();
    let (dims, grid) = (case.dims.clone(), case.grid);
    let seed = case.seed;
    interp::run(kernel, &case.lend(), &dims, grid).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{kernel}"));
    case
}

#[test]
fn passes_keep_the_meaning_of_random_kernels() {
    type Pass = (&'static str, fn(&mut Kernel));
    let all: [Pass; 4] = [
        ("canonicalise", passes::canonicalise),
        ("cse", passes::cse),
        ("dce", passes::dce),
        ("licm", passes::licm),
    ];
    let mut changed = [0; 4];
    for seed in 0..CASES {
        let case = Case::new(seed, &Config::default()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        verify(&case.kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let before = run(&case, &case.kernel);
        for (i, (name, pass)) in all.iter().enumerate() {
            let mut kernel = case.kernel.clone();
            pass(&mut kernel);
            verify(&kernel).unwrap_or_else(|e| panic!("seed {seed}, {name}: {e}\n{}\n{kernel}", case.kernel));
            changed[i] += (kernel.to_string() != case.kernel.to_string()) as u64;
            let same = before.compare(&run(&case, &kernel));
            same.unwrap_or_else(|e| panic!("{name}: {e}\n{}\n{kernel}", case.kernel));
        }
        let optimised = optimise(&case.kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let same = before.compare(&run(&case, &optimised));
        same.unwrap_or_else(|e| panic!("all passes: {e}\n{}\n{optimised}", case.kernel));
    }
    // Most kernels give each pass something to do, or the test would say little.
    assert!(changed.iter().all(|&c| c > CASES / 4), "{changed:?} of {CASES} kernels changed");
}

#[test]
fn text_keeps_random_kernels() {
    let mut codes = BTreeMap::new();
    for seed in 0..CASES {
        let case = Case::new(seed, &Config::default()).unwrap();
        let text = case.kernel.to_string();
        let again = parse(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        assert_eq!(again.to_string(), text);
        run(&case, &case.kernel).compare(&run(&case, &again)).unwrap();
        case.kernel.walk(&mut |k, _, op| *codes.entry(k.op(op).code.name()).or_insert(0) += 1);
    }
    // The generator reaches every op that users write but those for people.
    let tile_ops = OpCode::ALL.iter().filter(|c| c.level() == Level::Tile);
    let missing: Vec<&str> = tile_ops.map(|c| c.name()).filter(|n| !codes.contains_key(n)).collect();
    assert_eq!(missing, ["assert", "print"], "{codes:?}");
}

#[test]
fn a_wrong_kernel_is_noticed() {
    let noticed = (0..50).filter(|&seed| {
        let case = Case::new(seed, &Config::default()).unwrap();
        let untouched = &case;
        untouched.compare(&run(&case, &case.kernel)).is_err()
    });
    let noticed = noticed.count();
    assert!(noticed > 45, "only {noticed} of 50 kernels visibly write");
}
