//! Checks on a GPU, without one: what they add to PTX, that ptxas takes it on every architecture, and that nothing is added unless they
//! are asked for.

mod gpu_cases;
mod tools;

use gpu_cases::cases;
use sla_codegen::ptxas::assemble;
use sla_codegen::{Arch, Artifact, GpuImage, Options, Target, compile};
use sla_dsl::ir::{Facts, Kernel};
use sla_dsl::prelude::*;

/// Everything that can fail or print: an element, a block, a list's entry, a quotient, an assertion of a scalar and one of a tile.
#[kernel(dims(N), grid(p in N.div_ceil(8)))]
fn risky<const N8: usize>(
    x: &Tensor<f32, { [N] }>,
    halves: &Tensor<bf16, { [N, 16] }>,
    list: &Tensor<i32, { [4] }>,
    y: &mut Tensor<f32, { [N] }>,
    i: i32,
) {
    assert!(i < 100, "i is small");
    let mut sum = zeros::<f32>([N8]);
    for j in list.gather(4 / i) {
        let block = x.block::<N8>(j).load();
        assert!(block >= 0.0, "x is positive");
        print!("block", j, block);
        sum = sum + block;
    }
    print!("here");
    print!("halves", halves.block::<16>(p).load());
    y.block::<N8>(p).store(sum);
}

fn image(kernel: &Kernel, arch: Arch, checks: bool) -> GpuImage {
    let options = Options { checks, ..Options::new(Target::Cuda(arch)) };
    match compile(kernel, &options).unwrap_or_else(|e| panic!("{e}")) {
        Artifact::Gpu(image) => image,
        Artifact::Host(_) => panic!("a GPU target yields a GPU image"),
    }
}

fn risky_kernel() -> Kernel {
    risky::<8>::build(&Facts::default()).unwrap()
}

#[test]
fn cases_assemble_with_checks() {
    let tools = tools::ptxas();
    // Attention is as long as all others together, and its accesses are of the same kinds.
    for case in cases().into_iter().filter(|c| !c.lean) {
        let kernel = case.kernel();
        let image = image(&kernel, Arch::Sm80, true);
        let log = image.log.as_ref().unwrap_or_else(|| panic!("{}: no log", case.name));
        assert!(log.bytes() >= 32, "{}", case.name);
        assert!(image.ptx.contains("exit;"), "{}: nothing is checked", case.name);
        if let Some(tools) = &tools {
            assemble(tools, &image.ptx, Arch::Sm80).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
}

#[test]
fn what_can_fail_is_checked_on_every_architecture() {
    let (tools, kernel) = (tools::ptxas(), risky_kernel());
    for arch in Arch::ALL {
        let ptx = image(&kernel, arch, true).ptx;
        assert!(ptx.contains("bar.red.and.pred"), "{}: no vote on the tile's assertion", arch.name());
        assert!(ptx.contains("st.global.v4.b32 [a+32]"), "{}: nothing is printed", arch.name());
        if let Some(tools) = &tools {
            assemble(tools, &ptx, arch).unwrap_or_else(|e| panic!("{}: {e}", arch.name()));
        }
    }
}

#[test]
fn nothing_is_added_unless_asked_for() {
    let plain = image(&risky_kernel(), Arch::Sm80, false);
    assert_eq!(plain.log, None);
    for added in ["exit;", "atom.global.cas", "atom.global.add", "bar.red"] {
        assert!(!plain.ptx.contains(added), "{added} without checks");
    }
    let parameters = |ptx: &str| ptx.matches(".param ").count();
    let checked = image(&risky_kernel(), Arch::Sm80, true);
    assert_eq!(parameters(&checked.ptx), parameters(&plain.ptx) + 1, "the log's address");
}
