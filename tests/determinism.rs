//! The host gives equal bytes for equal kernels: every stage of a compilation, and the results whatever the number of threads.

use sla::kernels::{ALL, block_sparse::sparse_fwd, flash::flash_fwd};
use sla_codegen::{Options, Stage, Target, Tools, emit};
use sla_runtime::{Device, Tensor};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn every_stage_of_the_host_is_the_same_again() {
    let mut seen = BTreeSet::new();
    for entry in ALL.iter().filter(|e| ["flash_fwd", "sparse_fwd", "sla_bwd_dkdv"].contains(&e.def.name)) {
        seen.insert(entry.def.name);
        let text = |stage| {
            let kernel = entry.kernel(&entry.consts(), false).unwrap();
            emit(&kernel, &Options::new(Target::Cpu), &Tools::default(), stage).unwrap()
        };
        for stage in [Stage::Tile, Stage::Sched, Stage::Mlir, Stage::Ll, Stage::Ptx] {
            let first = text(stage);
            assert!(!first.is_empty());
            assert!(first == text(stage), "{} at {stage}", entry.def.name);
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

const CHILD: &str = "SLA_DETERMINISM_CHILD";

/// The number of threads is the process's: the test starts itself again, and the children print what they computed.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    if std::env::var_os(CHILD).is_some() {
        let device = Device::cpu();
        println!("\ncomputed on {}: {:x?}", device.describe(), attend(&device));
        return;
    }
    let computed = |threads: &str| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "results_do_not_depend_on_the_number_of_threads", "--nocapture"])
            .env("SLA_THREADS", threads)
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let line =
            text.lines().find_map(|l| l.strip_prefix("computed on ")).expect("the child prints a line");
        let (device, bits) = line.split_once(": ").unwrap();
        assert_eq!(device, format!("cpu ({threads} threads)"));
        bits.to_string()
    };
    let one = computed("1");
    assert!(one.len() > 1000);
    for threads in ["1", "2", "3"] {
        assert!(one == computed(threads), "{threads} threads give other bits than 1");
    }
}

/// The bits of dense and of block-sparse attention: 3 heads of 200 rows, the last block of each ragged.
fn attend(device: &Device) -> Vec<u32> {
    const SHAPE: [usize; 4] = [1, 3, 200, 64];
    let random = |mut state: u64| {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let data: Vec<f32> = std::iter::repeat_with(next).take(SHAPE.iter().product()).collect();
        Tensor::from_vec(device, &SHAPE, data).unwrap()
    };
    let (q, k, v) = (random(1), random(2), random(3));
    let mut bits = Vec::new();
    let mut out = Tensor::<f32>::zeros(device, &SHAPE).unwrap();
    let mut lse = Tensor::<f32>::zeros(device, &SHAPE[..3]).unwrap();
    flash_fwd::<f32, 64, 64, 64, false>::launch(device, &q, &k, &v, &mut out, &mut lse, 0.125).unwrap();
    bits.extend(out.to_vec().unwrap().iter().chain(&lse.to_vec().unwrap()).map(|v| v.to_bits()));
    let lists: Vec<i32> = [0, 3].repeat(12);
    let index = Tensor::from_vec(device, &[1, 3, 4, 2], lists).unwrap();
    let count = Tensor::from_vec(device, &[1, 3, 4], [2, 1, 2, 2].repeat(3)).unwrap();
    sparse_fwd::<f32, 64, 64, 64>::launch(device, &q, &k, &v, &index, &count, &mut out, &mut lse, 0.125)
        .unwrap();
    bits.extend(out.to_vec().unwrap().iter().chain(&lse.to_vec().unwrap()).map(|v| v.to_bits()));
    bits
}
