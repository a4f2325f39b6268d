//! Random kernels become PTX that ptxas accepts: nothing the builder allows may end in LLVM's hands and fail there.

mod tools;

use sla_codegen::ptxas::assemble;
use sla_codegen::{Arch, Artifact, CodegenError, Options, Target, compile};
use sla_dsl::fuzz::{Case, Config};

#[test]
fn random_kernels_assemble() {
    let tools = tools::ptxas();
    let configs = [
        Config::default(),
        Config { extents: vec![1, 2, 4, 8, 16, 32, 64], ops: 24, max_size: 100 },
        Config { extents: vec![1, 2, 3, 4, 8, 24], ops: 16, max_size: 50 },
    ];
    let mut refused = 0;
    let cases = 36u64;
    for seed in 0..cases {
        let case = Case::new(seed, &configs[seed as usize % configs.len()]).unwrap();
        let arch = Arch::ALL[seed as usize % Arch::ALL.len()];
        let image = match compile(&case.kernel, &Options::new(Target::Cuda(arch))) {
            Ok(Artifact::Gpu(image)) => image,
            Ok(Artifact::Host(_)) => panic!("a GPU target yields a GPU image"),
            Err(CodegenError::Unsupported { .. }) => {
                refused += 1;
                continue;
            }
            Err(e) => panic!("seed {seed}: {e}\n{}", case.kernel),
        };
        if let Some(tools) = &tools {
            assemble(tools, &image.ptx, arch).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", case.kernel));
        }
    }
    assert!(refused < cases / 4, "{refused} of {cases} kernels were refused");
}
