//! Passes that look for attention's loops: random kernels of that kind mean the same before and after.

use sla_codegen::{Watch, optimise, passes};
use sla_dsl::fuzz::{Case, CaseArg};
use sla_dsl::interp;
use sla_dsl::ir::{Attr, Kernel, OpCode, Scalar, verify};

const CASES: u64 = 250;

fn run(case: &Case, kernel: &Kernel) -> Case {
    let mut case = case.clone();
    let (dims, grid) = (case.dims.clone(), case.grid);
    let seed = case.seed;
    interp::run(kernel, &case.lend(), &dims, grid).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{kernel}"));
    case
}

fn has(kernel: &Kernel, code: OpCode) -> bool {
    let mut found = false;
    kernel.walk(&mut |k, _, id| found |= k.op(id).code == code);
    found
}

/// The kernel with every vote won, as by a warp whose neighbours' rows rise.
fn all_rise(kernel: &Kernel) -> Kernel {
    let mut kernel = kernel.clone();
    for op in kernel.ops.iter_mut().filter(|op| op.code == OpCode::Vote) {
        op.code = OpCode::Const;
        op.operands.clear();
        op.attrs.insert("value", Attr::Scalar(Scalar::Bool(true)));
    }
    kernel
}

#[test]
fn a_reference_in_place_of_the_maximum_changes_nothing() {
    let (mut rewritten, mut fused) = (0, 0);
    for seed in 0..CASES {
        let case = Case::attention(seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let before = optimise(&case.kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let expected = run(&case, &before);
        for watch in Watch::ALL {
            let mut after = before.clone();
            passes::reference_max(&mut after, watch);
            verify(&after).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{before}\n{after}"));
            for kernel in [&after, &all_rise(&after)] {
                let same = expected.compare(&run(&case, kernel));
                same.unwrap_or_else(|e| panic!("{e}\n{before}\n{kernel}"));
            }
            rewritten += has(&after, OpCode::Vote) as u64;
            fused += (has(&after, OpCode::Vote) && has(&after, OpCode::Fma)) as u64;
        }
    }
    // All but those that store what depends on the maximum.
    assert!(rewritten > 2 * CASES * 8 / 10, "{rewritten} of {} rewritten", 2 * CASES);
    assert!(fused > 2 * CASES / 4, "{fused} of {} fused", 2 * CASES);
}

#[test]
fn masks_behind_a_guard_choose_the_same() {
    let mut guarded = 0;
    for seed in 0..CASES {
        let mut case = Case::attention(seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        // The same numbers go through the same ops.
        for arg in &mut case.args {
            if let CaseArg::Tensor { tolerance: Some(allowed), .. } = arg {
                *allowed = 0.0;
            }
        }
        let before = optimise(&case.kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let referred = Watch::ALL.map(|watch| {
            let mut referred = before.clone();
            passes::reference_max(&mut referred, watch);
            referred
        });
        for before in [before].into_iter().chain(referred) {
            let mut after = before.clone();
            passes::guard_masks(&mut after);
            verify(&after).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{before}\n{after}"));
            let same = run(&case, &before).compare(&run(&case, &after));
            same.unwrap_or_else(|e| panic!("{e}\n{before}\n{after}"));
            guarded += (before.to_string() != after.to_string()) as u64;
        }
    }
    // All but those without a mask by position.
    assert!(guarded > 3 * CASES / 2, "{guarded} of {} guarded", 3 * CASES);
}

#[test]
fn two_blocks_a_step_are_the_same_blocks() {
    let mut paired = 0;
    for seed in 0..CASES {
        let case = Case::attention(seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let before = optimise(&case.kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let mut after = before.clone();
        passes::pair_blocks(&mut after);
        if !has(&after, OpCode::Concat) {
            assert_eq!(before.to_string(), after.to_string(), "seed {seed}");
            continue;
        }
        paired += 1;
        let expected = run(&case, &before);
        let check = |kernel: &Kernel| {
            verify(kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{before}\n{kernel}"));
            expected.compare(&run(&case, kernel)).unwrap_or_else(|e| panic!("{e}\n{before}\n{kernel}"));
        };
        check(&after);
        for watch in Watch::ALL {
            let mut after = after.clone();
            passes::reference_max(&mut after, watch);
            check(&after);
            passes::guard_masks(&mut after);
            check(&after);
            assert!(has(&after, OpCode::Vote) && has(&after, OpCode::If), "seed {seed}: {after}");
        }
    }
    // Those over a list, without a second accumulator.
    assert!(paired > CASES / 4, "{paired} of {CASES} paired");
}
