//! Typed launches on a GPU; skipped, with the reason, where there is none.

mod common;

use common::{axpy, check_axpy, check_views, numbers};
use sla_dsl::launch::Space;
use sla_dsl::prelude::*;
use sla_runtime::testing::gpu_or_skip;
use sla_runtime::{Device, DiskCache, RuntimeError, Stream, Tensor as Owned};
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

/// `y = x + y`
#[kernel(dims(N), grid(p in N / 4))]
fn add_to(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>) {
    y.block::<4>(p).store(x.block::<4>(p).load() + y.block::<4>(p).load());
}

#[test]
fn streams_wait_for_each_other_where_they_share_tensors() {
    let Some(gpu) = gpu_or_skip("streams_wait_for_each_other_where_they_share_tensors") else { return };
    /// Long enough for two launches to overlap if they may.
    const N: usize = 1 << 20;
    let one = gpu.on(&Stream::new(&gpu).unwrap()).unwrap();
    let other = Stream::new(&gpu).unwrap();
    // SAFETY: the stream is of this GPU, and lives as long as the handle.
    let other = gpu.on(&unsafe { Stream::from_raw(&gpu, other.as_raw()) }.unwrap()).unwrap();
    let handles = [&gpu, &one, &other];
    let mut x = Owned::<f32>::zeros(&one, &[N]).unwrap();
    for round in 0..30 {
        count_up::launch(handles[round % 3], &mut x).unwrap();
    }
    assert!(x.to_vec().unwrap().iter().all(|&v| v == 30.0));
    // Two read what a third has written, and one of them goes on when all have read.
    let mut sums = [0; 2].map(|_| Owned::<f32>::zeros(&gpu, &[N]).unwrap());
    for _ in 0..20 {
        count_up::launch(&gpu, &mut x).unwrap();
        add_to::launch(&one, &x, &mut sums[0]).unwrap();
        add_to::launch(&other, &x, &mut sums[1]).unwrap();
    }
    let needed: f32 = (31..=50).map(|n| n as f32).sum();
    for sum in &sums {
        assert!(sum.to_vec().unwrap().iter().all(|&v| v == needed));
    }
}

#[test]
fn memory_is_freed_behind_all_streams_that_use_it() {
    let Some(gpu) = gpu_or_skip("memory_is_freed_behind_all_streams_that_use_it") else { return };
    const N: usize = 1 << 20;
    let one = gpu.on(&Stream::new(&gpu).unwrap()).unwrap();
    let mut sum = Owned::<f32>::zeros(&one, &[N]).unwrap();
    for _ in 0..20 {
        let mut x = Owned::<f32>::zeros(&gpu, &[N]).unwrap();
        count_up::launch(&gpu, &mut x).unwrap();
        add_to::launch(&one, &x, &mut sum).unwrap();
        // Its memory is likely that of the next tensor, which is overwritten at once.
        drop(x);
    }
    assert!(sum.to_vec().unwrap().iter().all(|&v| v == 20.0));
}

#[test]
fn two_handles_of_a_gpu_know_of_each_other_s_streams() {
    let Some(gpu) = gpu_or_skip("two_handles_of_a_gpu_know_of_each_other_s_streams") else { return };
    const N: usize = 1 << 20;
    let other = Device::cuda(0).unwrap();
    let one = other.on(&Stream::new(&other).unwrap()).unwrap();
    let mut sum = Owned::<f32>::zeros(&one, &[N]).unwrap();
    for _ in 0..20 {
        let mut x = Owned::<f32>::zeros(&gpu, &[N]).unwrap();
        count_up::launch(&gpu, &mut x).unwrap();
        add_to::launch(&one, &x, &mut sum).unwrap();
        drop(x);
    }
    assert!(sum.to_vec().unwrap().iter().all(|&v| v == 20.0));
    let refused = gpu.record(|on| on.on(&on.stream()).map(drop)).err().unwrap().to_string();
    assert!(refused.contains("no other stream"), "{refused}");
}

#[test]
fn graphs_and_marks_belong_to_streams() {
    let Some(gpu) = gpu_or_skip("graphs_and_marks_belong_to_streams") else { return };
    let stream = Stream::new(&gpu).unwrap();
    let on = gpu.on(&stream).unwrap();
    let mut x = Owned::<f32>::zeros(&gpu, &[1000]).unwrap();
    count_up::launch(&on, &mut x).unwrap();
    let graph = on.record(|on| count_up::launch(on, &mut x)).unwrap();
    let start = on.mark().unwrap();
    for _ in 0..5 {
        // SAFETY: `x` is there, and nobody looks at it meanwhile.
        unsafe { graph.launch() }.unwrap();
        // In the default stream, which waits for the graph.
        count_up::launch(&gpu, &mut x).unwrap();
    }
    let end = on.mark().unwrap();
    gpu.stream().wait(&end).unwrap();
    assert!(start.until(&end).unwrap().as_secs() < 10);
    assert_eq!(x.to_vec().unwrap(), [11.0; 1000]);
    on.synchronize().unwrap();
    let elsewhere = Stream::new(&Device::interp()).unwrap();
    let e = gpu.on(&elsewhere).unwrap_err().to_string();
    assert_eq!(e, "the stream is not of cuda:0, nor of a handle made from it");
    assert!(stream.wait(&Device::interp().mark().unwrap()).is_err());
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

/// `y = 2 x`
#[kernel(dims(N), grid(p in N / 4))]
fn doubled(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>) {
    y.block::<4>(p).store(x.block::<4>(p).load() * 2.0);
}

/// `y = 3 x`
#[kernel(dims(N), grid(p in N / 4))]
fn tripled(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>) {
    y.block::<4>(p).store(x.block::<4>(p).load() * 3.0);
}

#[test]
fn kernels_are_loaded_from_disk() {
    const TEST: &str = "kernels_are_loaded_from_disk";
    const CHILD: &str = "SLA_GPU_DISK_CHILD";
    let Some(gpu) = gpu_or_skip(TEST) else { return };
    if std::env::var_os(CHILD).is_some() {
        let x = Owned::from_vec(&gpu, &[4], [1.0f32; 4]).unwrap();
        let mut y = [0; 2].map(|_| Owned::<f32>::zeros(&gpu, &[4]).unwrap());
        doubled::launch(&gpu, &x, &mut y[0]).unwrap();
        tripled::launch(&gpu, &x, &mut y[1]).unwrap();
        let [two, three] = y.map(|y| y.to_vec().unwrap()[0]);
        println!("twice and thrice 1 are {two} and {three}.");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Each process starts with nothing but what is on disk.
    let process = || {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, "1")
            .env("SLA_CACHE", folder.path())
            .env_remove("SLA_CHECKS")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        let line = text.lines().find_map(|l| Some(l.split_once("1 are ")?.1.to_owned()));
        line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&out.stderr)))
    };
    assert_eq!(process(), "2 and 3.");
    let kept = DiskCache::new(folder.path(), 1 << 30).list().unwrap();
    assert_eq!(kept.len(), 2);
    let file = |name: &str| {
        let named = kept.iter().find(|k| k.what.as_ref().is_some_and(|what| what.starts_with(name)));
        &named.unwrap().path
    };
    assert_eq!(process(), "2 and 3.");
    // What is on disk under the name of one kernel is run as it, so it was not compiled.
    std::fs::copy(file("tripled"), file("doubled")).unwrap();
    assert_eq!(process(), "3 and 3.");
    // What is damaged is compiled, and kept again.
    std::fs::write(file("doubled"), "sla kernel").unwrap();
    assert_eq!(process(), "2 and 3.");
    std::fs::copy(file("doubled"), file("tripled")).unwrap();
    assert_eq!(process(), "2 and 2.");
}
