//! Typed launches on a GPU; skipped, with the reason, where there is none.

mod common;

use common::{axpy, check_axpy, check_views, numbers};
use sla_dsl::launch::Space;
use sla_runtime::testing::gpu_or_skip;
use sla_runtime::{Device, RuntimeError, Tensor};

#[test]
fn tensors_travel() {
    let Some(gpu) = gpu_or_skip("tensors_travel") else { return };
    let x = numbers(60, 1);
    let t = Tensor::from_vec(&gpu, &[3, 4, 5], &x).unwrap();
    assert_eq!(t.space(), Space::Cuda(0));
    let view = t.transpose(0, 2).unwrap().slice(1, 1..3).unwrap();
    let host = Tensor::from_vec(&Device::interp(), &[3, 4, 5], &x).unwrap();
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
    let on = |device: &Device| Tensor::<f32>::zeros(device, &[8]).unwrap();
    let host = Device::interp();
    let mixed = axpy::<4>::launch(&gpu, &on(&gpu), &on(&host), &mut on(&gpu), 1.0).unwrap_err();
    assert_eq!(mixed.to_string(), "axpy: 'b' is in the memory of the host, but 'a' is in that of cuda:0");
    let elsewhere = axpy::<4>::launch(&gpu, &on(&host), &on(&host), &mut on(&host), 1.0).unwrap_err();
    assert!(matches!(elsewhere, RuntimeError::Elsewhere { .. }), "{elsewhere}");
}
