//! The library without a compiler: `cargo xtask test embedded`, which is also the end of `cargo xtask test`. With the default features there is nothing here.
#![cfg(not(feature = "compile"))]

// Other tests choose other problems.
#[allow(dead_code, unused_imports)]
mod agreement;

use agreement::{Problem, check_all, config, dims};
use sla::shipped::{Settings, bundles, plan};
use sla::{Arch, Blocks, Device, DeviceName, Dtype, FeatureMap, Scope, Tensor};
use sla_dsl::prelude::*;
use sla_runtime::RuntimeError;
use sla_runtime::testing::gpu_or_skip;
use std::path::Path;
use std::process::Command;

/// `y = 2 x`
#[kernel(dims(L), grid(p in L.div_ceil(64)))]
fn double(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
    y.block::<64>(p).store(x.block::<64>(p).load() * 2.0);
}

/// What is to be in the bundles, by their notes: what `cargo xtask test` compiles for this test, or all that `cargo xtask bundle` does.
fn settings(note: &str) -> Settings {
    match note {
        "sample" => {
            let blocks = vec![Blocks::new(128, 64).unwrap()];
            Settings { scopes: vec![Scope::All], blocks, dims: vec![64] }
        }
        "shipped" => Settings::shipped(),
        other => panic!("a bundle with the note `{other}`"),
    }
}

#[test]
fn what_was_to_be_embedded_is_there_and_whole() {
    assert!(
        bundles().len() >= 2,
        "found {} bundles, needed Hopper's and that for every GPU",
        bundles().len()
    );
    for bundle in bundles() {
        bundle.verify().unwrap();
    }
    for arch in [Arch::Sm90a, Arch::Sm80] {
        let plan = plan(arch, &settings(bundles()[0].note())).unwrap();
        let missing = plan.missing(bundles());
        assert!(missing.is_empty(), "{} of {} kernels, as {}", missing.len(), plan.len(), missing[0]);
    }
}

#[test]
fn no_compiler_is_linked_or_built() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux shows a process its mappings");
    assert!(maps.contains("libc.so"), "{maps}");
    for library in ["libLLVM", "libMLIR"] {
        assert!(!maps.contains(library), "{library} is mapped");
    }
    let cargo = Path::new(env!("CARGO"));
    if !cargo.is_file() {
        return eprintln!("skipped: there is no {} here", cargo.display());
    }
    let tree = |features: &[&str]| {
        let arguments =
            ["tree", "--offline", "--package", "sla", "--edges", "normal,build", "--prefix", "none"];
        let output = Command::new(cargo)
            .args(arguments)
            .args(features)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (all, none) = (tree(&[]), tree(&["--no-default-features"]));
    for dependency in ["melior v", "mlir-sys v", "inkwell v", "llvm-sys v", "sla-mlir-link v"] {
        assert!(all.contains(dependency), "{all}");
        assert!(!none.contains(dependency), "{none}");
    }
    assert!(none.contains("cudarc v"), "{none}");
}

#[test]
fn what_needs_a_compiler_is_a_typed_error() {
    let e = Device::open(DeviceName::Cpu).unwrap_err();
    assert!(matches!(e, RuntimeError::NoHost { device: DeviceName::Cpu }), "{e}");
    match Device::open(DeviceName::Auto) {
        Ok(device) => assert!(matches!(device.name(), DeviceName::Cuda(0))),
        Err(RuntimeError::Cuda(e)) => assert!(e.is_absence(), "{e}"),
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn the_interpreter_needs_none() {
    let device = Device::interp();
    let x = Tensor::from_vec(&device, &[3], [1.0f32, 2.0, 3.0]).unwrap();
    let mut y = Tensor::<f32>::zeros(&device, &[3]).unwrap();
    double::launch(&device, &x, &mut y).unwrap();
    assert_eq!(y.to_vec().unwrap(), [2.0, 4.0, 6.0]);
}

#[test]
fn the_operator_runs_on_a_gpu_and_other_kernels_say_what_they_lack() {
    let Some(gpu) = gpu_or_skip("embedded kernels") else { return };
    let problem = |sizes: [usize; 5]| {
        let config = config(Scope::All, FeatureMap::Softmax, Blocks::new(128, 64).unwrap());
        Problem { dtype: Dtype::Bf16, dims: dims(sizes), config, mask: None }
    };
    let sizes = [[1, 2, 1024, 1024, 64], [2, 3, 300, 700, 64], [1, 2, 1000, 1000, 64], [1, 1, 64, 4096, 64]];
    check_all(&gpu, &sizes.map(problem));
    let x = Tensor::<f32>::zeros(&gpu, &[3]).unwrap();
    let mut y = Tensor::<f32>::zeros(&gpu, &[3]).unwrap();
    let e = double::launch(&gpu, &x, &mut y).unwrap_err();
    assert!(matches!(e, RuntimeError::NoCompiler { .. }), "{e}");
    assert!(e.to_string().starts_with("double for sm_"), "{e}");
}
