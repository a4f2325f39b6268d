//! Seeded random kernels: the host against the interpreter.

mod support;

use sla_codegen::target::cpu::{HostFunction, compile_for};
use sla_dsl::fuzz::{Case, Config};
use sla_dsl::interp;
use sla_dsl::ir::{AbiArg, Elem, Kernel, Scalar};
use sla_dsl::launch::Arg;

/// Random kernels per run; each is compiled once, for one of the vector lengths.
const CASES: u64 = 40;

/// The argument slots of a case.
fn slots(kernel: &Kernel, args: &[Arg<'_>], dims: &[i64]) -> Vec<u64> {
    let scalar = |e: Elem, s: Scalar| match (e, s) {
        (Elem::F16, Scalar::Float(v)) => half::f16::from_f64(v).to_bits() as u64,
        (Elem::BF16, Scalar::Float(v)) => half::bf16::from_f64(v).to_bits() as u64,
        (_, Scalar::Float(v)) => (v as f32).to_bits() as u64,
        (_, Scalar::Int(v)) => v as u64,
        (_, Scalar::Bool(v)) => v as u64,
    };
    let slot = |a: &AbiArg| match *a {
        AbiArg::Dim { dim } => dims[dim] as u64,
        AbiArg::Pointer { param } | AbiArg::Stride { param, .. } | AbiArg::Scalar { param, .. } => {
            match (&args[param], *a) {
                (Arg::Tensor(t), AbiArg::Stride { axis, .. }) => t.strides()[axis] as u64,
                (Arg::Tensor(t), _) => t.address() as u64,
                (Arg::Scalar(s), AbiArg::Scalar { elem, .. }) => scalar(elem, *s),
                (Arg::Scalar(_), _) => 0,
            }
        }
    };
    kernel.abi().iter().map(slot).collect()
}

fn run(f: &HostFunction, kernel: &Kernel, case: &mut Case) {
    let (dims, grid) = (case.dims.clone(), case.grid);
    let slots = slots(kernel, &case.lend(), &dims);
    let mut scratch = vec![0x7fu8; f.scratch_bytes() + 64];
    let at = scratch.as_mut_ptr();
    let skip = at.align_offset(64);
    // SAFETY: the slots describe the case's own tensors, and the scratch memory is as long and as aligned as it must be.
    unsafe { f.run(&slots, 0..grid.iter().product::<usize>() as u64, at.add(skip)) }
        .unwrap_or_else(|e| panic!("seed {}: {e}", case.seed));
}

#[test]
fn random_kernels_agree_with_the_interpreter() {
    let hosts = support::hosts();
    let config = Config { extents: vec![1, 2, 3, 4, 8, 13, 16, 32], ops: 30, max_size: 40 };
    for seed in 0..CASES {
        let case = Case::new(seed, &config).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let mut expected = case.clone();
        let (dims, grid) = (case.dims.clone(), case.grid);
        let kernel = case.kernel.clone();
        interp::run(&kernel, &expected.lend(), &dims, grid).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let host = &hosts[seed as usize % hosts.len()];
        let kernel = if seed % 2 == 0 {
            kernel
        } else {
            sla_codegen::optimise(&kernel).unwrap_or_else(|e| panic!("seed {seed}: {e}"))
        };
        let f = compile_for(&kernel, host).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let mut found = case.clone();
        run(&f, &kernel, &mut found);
        expected.compare(&found).unwrap_or_else(|e| panic!("{} lanes: {e}", host.lanes));
    }
}
