//! Typed launches on a GPU; skipped, with the reason, where there is none.

mod common;

use common::{axpy, check_axpy, check_views, numbers};
use sla_dsl::launch::Space;
use sla_dsl::prelude::*;
use sla_runtime::testing::gpu_or_skip;
use sla_runtime::{Device, RuntimeError, Tensor as Owned};
use std::process::Command;

#[test]
fn tensors_travel() {
    let Some(gpu) = gpu_or_skip("tensors_travel") else { return };
    let x = numbers(60, 1);
    let t = Owned::from_vec(&gpu, &[3, 4, 5], &x).unwrap();
    assert_eq!(t.space(), Space::Cuda(0));
    let view = t.transpose(0, 2).unwrap().slice(1, 1..3).unwrap();
    let host = Owned::from_vec(&Device::interp(), &[3, 4, 5], &x).unwrap();
    let expected = host.transpose(0, 2).unwrap().slice(1, 1..3).unwrap().to_vec().unwrap();
    assert_eq!(view.to_vec().unwrap(), expected);
    assert_eq!(view.copy_to(&gpu).unwrap().to_vec().unwrap(), expected);
}

#[test]
fn kernels_compute() {
    let Some(gpu) = gpu_or_skip("kernels_compute") else { return };
    check_axpy(&gpu).unwrap();
    check_views(&gpu).unwrap();
}

#[test]
fn tensors_of_another_memory_are_refused() {
    let Some(gpu) = gpu_or_skip("tensors_of_another_memory_are_refused") else { return };
    let on = |device: &Device| Owned::<f32>::zeros(device, &[8]).unwrap();
    let host = Device::interp();
    let mixed = axpy::<4>::launch(&gpu, &on(&gpu), &on(&host), &mut on(&gpu), 1.0).unwrap_err();
    assert_eq!(mixed.to_string(), "axpy: 'b' is in the memory of the host, but 'a' is in that of cuda:0");
    let elsewhere = axpy::<4>::launch(&gpu, &on(&host), &on(&host), &mut on(&host), 1.0).unwrap_err();
    assert!(matches!(elsewhere, RuntimeError::Elsewhere { .. }), "{elsewhere}");
}

/// `x = x + 1`
#[kernel(dims(N), grid(p in N / 4))]
fn count_up(x: &mut Tensor<f32, { [N] }>) {
    x.block::<4>(p).store(x.block::<4>(p).load() + 1.0);
}

#[test]
fn recorded_launches_run_when_they_are_enqueued_and_again() {
    let Some(gpu) = gpu_or_skip("recorded_launches_run_when_they_are_enqueued_and_again") else { return };
    let mut x = Owned::<f32>::zeros(&gpu, &[100]).unwrap();
    count_up::launch(&gpu, &mut x).unwrap();
    let twice = |on: &Device| count_up::launch(on, &mut x).and_then(|()| count_up::launch(on, &mut x));
    let graph = gpu.record(twice).unwrap();
    assert_eq!(x.to_vec().unwrap(), [1.0; 100]);
    for _ in 0..3 {
        // SAFETY: `x` is there, and nobody looks at it meanwhile.
        unsafe { graph.launch() }.unwrap();
    }
    assert_eq!(x.to_vec().unwrap(), [7.0; 100]);
    let failed = gpu.record(|_| Err(RuntimeError::Marks)).err().unwrap();
    assert!(matches!(failed, RuntimeError::Marks), "{failed}");
}

/// `y = x / divisor` for positive `x`, with a word to the reader.
#[kernel(dims(N), grid(p in N / 4))]
fn quotient(x: &Tensor<i32, { [N] }>, y: &mut Tensor<i32, { [N] }>, divisor: i32) {
    let x = x.block::<4>(p).load();
    assert!(x > 0, "x is positive");
    print!("of", divisor, x);
    y.block::<4>(p).store(x / divisor);
}

#[test]
fn failures_of_a_program_end_its_launch_and_not_the_gpu() {
    const TEST: &str = "failures_of_a_program_end_its_launch_and_not_the_gpu";
    const CHILD: &str = "SLA_GPU_LAUNCH_CHILD";
    let Some(gpu) = gpu_or_skip(TEST) else { return };
    let device = gpu.with_checks(true);
    let launch = |values: [i32; 8], divisor| {
        let x = Owned::from_vec(&device, &[8], values).unwrap();
        let mut y = Owned::<i32>::zeros(&device, &[8]).unwrap();
        quotient::launch(&device, &x, &mut y, divisor).map(|()| y.to_vec().unwrap())
    };
    let right = [2, 4, 6, 8, 10, 12, 14, 16];
    assert_eq!(launch(right, 2).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let words = |e: RuntimeError| {
        assert!(matches!(e, RuntimeError::Program(_)), "{e:?}");
        e.to_string()
    };
    let e = words(launch([1, 1, 1, 1, 1, 0, 1, 1], 2).unwrap_err());
    assert!(e.ends_with("quotient: assertion failed: x is positive") && e.contains("gpu_launch.rs:"), "{e}");
    let e = words(launch(right, 0).unwrap_err());
    assert!(e.ends_with("quotient: integer division by zero"), "{e}");
    // What was printed is what this process wrote to standard error, so it is read from another.
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("quotient ")).collect();
    assert_eq!(
        lines,
        ["quotient [0, 0, 0]: of 2 [2, 4, 6, 8]", "quotient [1, 0, 0]: of 2 [10, 12, 14, 16]"],
        "{text}"
    );
}
