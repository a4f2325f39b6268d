//! Typed launches on tensors of the runtime: right ones compute, wrong ones are refused in the user's words.

mod common;

use common::{axpy, check_axpy, check_views};
use sla_dsl::launch::Space;
use sla_dsl::prelude::*;
use sla_runtime::{Device, DeviceName, RuntimeError, Tensor as Owned};

#[test]
fn the_interpreter_computes() {
    check_axpy(&Device::interp()).unwrap();
    check_views(&Device::interp()).unwrap();
}

#[test]
fn the_host_computes() {
    let device = Device::cpu();
    check_axpy(&device).unwrap();
    check_views(&device).unwrap();
}

#[test]
fn one_device_serves_many_threads() {
    let device = Device::cpu();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| check_axpy(&device).unwrap());
        }
    });
}

/// Fails in the program whose row holds a negative number.
#[kernel(dims(L), grid(p in L))]
fn positive(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
    let v = x.at(p).load();
    assert!(v >= 0.0, "numbers must not be negative");
    y.at(p).store(sqrt(v));
}

#[test]
fn a_failed_assertion_is_an_error_with_its_place() {
    for device in [Device::interp(), Device::cpu()] {
        let run = |x: &[f32]| {
            let x = Owned::from_vec(&device, &[x.len()], x)?;
            let mut y = Owned::<f32>::zeros(&device, x.shape())?;
            positive::launch(&device, &x, &mut y)?;
            y.to_vec()
        };
        assert_eq!(run(&[4.0, 9.0]).unwrap(), [2.0, 3.0]);
        let many: Vec<f32> = (0..1000).map(|i| if i == 777 { -1.0 } else { 1.0 }).collect();
        let e = run(&many).unwrap_err().to_string();
        assert!(
            e.contains("tests/launch.rs:") && e.contains("numbers must not be negative"),
            "{device}: {e}"
        );
        // A failure leaves nothing behind.
        assert_eq!(run(&[16.0]).unwrap(), [4.0]);
    }
}

#[kernel(dims(L), grid(p in L))]
fn talkative(y: &mut Tensor<f32, { [L] }>) {
    print!("program", p);
    y.at(p).store(1.0);
}

/// A panic could not leave compiled code, so the process would end. The test starts itself again, with nowhere to print.
#[test]
fn prints_that_cannot_be_written_are_lost() {
    const CHILD: &str = "SLA_PRINTS_NOWHERE";
    if std::env::var_os(CHILD).is_some() {
        let device = Device::cpu();
        let mut y = Owned::<f32>::zeros(&device, &[4]).unwrap();
        talkative::launch(&device, &mut y).unwrap();
        println!("\ncomputed {:?}", y.to_vec().unwrap());
        return;
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "prints_that_cannot_be_written_are_lost", "--nocapture"])
        .env(CHILD, "1")
        .stderr(full)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && text.contains("computed [1.0, 1.0, 1.0, 1.0]"), "{}: {text}", out.status);
}

#[test]
fn wrong_arguments_are_refused() {
    let device = Device::interp();
    let t = |l: usize| Owned::<f32>::zeros(&device, &[l]).unwrap();
    let (a, b) = (t(8), t(8));
    let launch = |c: &mut Owned<f32>| axpy::<4>::launch(&device, &a, &b, c, 1.0).unwrap_err().to_string();
    assert_eq!(launch(&mut t(7)), "axpy: dim L is 8 in 'a' (axis 0) but 7 in 'c' (axis 0)");
    let shared = t(8);
    let mut view = shared.slice(0, 0..8).unwrap();
    assert_eq!(
        launch(&mut view),
        "axpy: 'c' is written, but was lent for reading only or shares its memory with another tensor"
    );
    let mut repeated = t(1).expand(0, 8).unwrap();
    assert_eq!(
        launch(&mut repeated),
        "axpy: 'c' is written, but elements of it may share memory: its axis 0 has stride 0, it must be at least 1"
    );
}

#[test]
fn devices_have_names() {
    assert_eq!("interp".parse::<Device>().unwrap().to_string(), "interp");
    let cpu = "cpu".parse::<Device>().unwrap();
    assert_eq!((cpu.name(), cpu.space()), (DeviceName::Cpu, Space::Host));
    assert!(matches!("tpu".parse::<Device>(), Err(RuntimeError::DeviceName(_))));
    let auto = Device::open(DeviceName::Auto).unwrap();
    assert!(matches!(auto.name(), DeviceName::Cpu | DeviceName::Cuda(0)));
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let e = match Device::cuda(1000) {
        Err(RuntimeError::Cuda(e)) => e,
        other => panic!("{other:?}"),
    };
    let text = e.to_string();
    assert!(e.is_absence(), "{text}");
    assert!(
        text.starts_with("no GPU can be used: ") || text.starts_with("there is no cuda:1000: "),
        "{text}"
    );
}

#[test]
fn time_is_measured() {
    let work = || {
        std::thread::sleep(std::time::Duration::from_millis(5));
        Ok::<_, RuntimeError>(7)
    };
    let (result, time) = Device::interp().time(work).unwrap();
    assert_eq!(result, 7);
    assert!(time.as_millis() >= 5);
}
