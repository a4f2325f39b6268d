//! The operator through its kernels on a GPU, against the float64 reference. Skipped, with a printed reason, where there is
//! none.

mod agreement;
mod wide;

use agreement::{Problem, check_all};
use sla::attention::module::{Grads, Operands, Sla, Weights, Workspace};
use sla::{Config, Device, Scope, Share};
use sla_dsl::ir::Elem;
use sla_runtime::DynTensor;
use sla_runtime::testing::gpu_or_skip;
use std::sync::LazyLock;

/// One device for all tests, so that each kernel is compiled once.
static GPU: LazyLock<Option<Device>> = LazyLock::new(|| gpu_or_skip("the operator on a GPU"));

fn agrees(problems: fn() -> Vec<Problem>) {
    if let Some(gpu) = &*GPU {
        check_all(gpu, &problems());
    }
}

#[test]
fn every_scope_feature_map_and_block_shape_agrees() {
    agrees(agreement::every_choice);
}

#[test]
fn every_length_agrees() {
    agrees(agreement::every_kind_of_length);
}

#[test]
fn every_mask_agrees() {
    agrees(agreement::every_kind_of_mask);
}

#[test]
fn forced_blocks_agree() {
    agrees(agreement::forced_blocks);
}

#[test]
fn strided_inputs_agree() {
    if let Some(gpu) = &*GPU {
        agreement::strided_views(gpu);
    }
}

#[test]
fn strided_inputs_in_halves_agree() {
    if let Some(gpu) = &*GPU {
        agreement::strided_halves(gpu, &[64, 128]);
    }
}

#[test]
fn large_logits_agree() {
    if let Some(gpu) = &*GPU {
        agreement::large_logits(gpu);
    }
}

#[test]
fn places_beyond_two_to_the_31_are_found() {
    if let Some(gpu) = &*GPU {
        wide::places_beyond_two_to_the_31(gpu);
    }
}

#[test]
fn a_second_launch_gives_the_same_bits() {
    if let Some(gpu) = &*GPU {
        agreement::repeats(gpu);
    }
}

/// Forwards in a workspace allocate nothing once it is warm, so that a GPU can record one; enqueued again, it gives what a plain call gives.
#[test]
fn a_recorded_forward_gives_the_same_bits_without_allocating() {
    // A handle of its own counts its own memory.
    let Some(gpu) = &gpu_or_skip("recording a forward").map(|gpu| gpu.with_checks(false)) else { return };
    let tensor = |step: f32, elem, shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * step).sin()).collect();
        DynTensor::from_f32(gpu, elem, shape, &values).unwrap()
    };
    let [q, k, v] = [0.37, 0.71, 0.13].map(|step| tensor(step, Elem::BF16, &[1, 2, 1000, 128]));
    let weights = Weights { projection: Some(tensor(0.59, Elem::F32, &[128, 128])), ..Weights::default() };
    let operands = Operands { q: &q, k: &k, v: &v, weights: &weights, mask: None };
    for scope in [Scope::All, Scope::Marginal] {
        let config = Config::new(scope, Share::new(0.2).unwrap(), Share::new(0.1).unwrap());
        let plain = Sla::new(gpu, config.clone()).infer(&q, &k, &v, &weights, None).unwrap();
        let mut workspace = Workspace::new(gpu);
        let mut call = |on: &Device| {
            let sla = Sla::new(on, config.clone());
            sla.infer_in(&mut workspace, operands).map(|inferred| inferred.out.lend().address())
        };
        let place = call(gpu).unwrap();
        gpu.reset_peak();
        let before = gpu.memory().unwrap().now;
        assert_eq!(call(gpu).unwrap(), place);
        assert_eq!(gpu.memory().unwrap().peak, before);
        let graph = gpu.record(|on| call(on).map(|_| ())).unwrap();
        // What is there is overwritten by another problem, so that only the recorded launches can bring it back.
        Sla::new(gpu, config.clone())
            .infer_in(&mut workspace, Operands { q: &k, k: &q, ..operands })
            .unwrap();
        // SAFETY: the workspace and the inputs are there, and nobody else uses them.
        unsafe { graph.launch() }.unwrap();
        let inferred = workspace.inferred().unwrap();
        assert_eq!(inferred.out.lend().address(), place);
        assert_eq!(inferred.out.to_bytes().unwrap(), plain.out.to_bytes().unwrap());
        assert_eq!(inferred.mask.to_bytes().unwrap(), plain.mask.to_bytes().unwrap());
    }
}

/// The same of a whole training step: the forward and the backward, each in its workspace.
#[test]
fn a_recorded_step_gives_the_same_bits_without_allocating() {
    let Some(gpu) = &gpu_or_skip("recording a step").map(|gpu| gpu.with_checks(false)) else { return };
    let tensor = |step: f32, elem, shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * step).sin()).collect();
        DynTensor::from_f32(gpu, elem, shape, &values).unwrap()
    };
    for (elem, dim) in [(Elem::BF16, 128), (Elem::F32, 64)] {
        let [q, k, v, grad] = [0.37, 0.71, 0.13, 0.29].map(|step| tensor(step, elem, &[1, 2, 1000, dim]));
        let weights = Weights { projection: Some(tensor(0.59, Elem::F32, &[dim; 2])), ..Weights::default() };
        let operands = Operands { q: &q, k: &k, v: &v, weights: &weights, mask: None };
        for scope in [Scope::All, Scope::Marginal, Scope::Complement, Scope::None] {
            let config = Config::new(scope, Share::new(0.2).unwrap(), Share::new(0.1).unwrap());
            let [mut there, mut back] = [(); 2].map(|()| Workspace::new(gpu));
            let step = |on: &Device, [there, back]: [&mut Workspace; 2], grad: &DynTensor| {
                let sla = Sla::new(on, config.clone());
                let forward = sla.forward_in(there, operands)?;
                sla.backward_in(back, &q, &k, &v, forward, grad).map(drop)
            };
            let bytes = |workspace: &Workspace| {
                let Grads { q, k, v, projection, bias } = workspace.grads().unwrap();
                [q, k, v, projection, bias].map(|t| t.to_bytes().unwrap())
            };
            step(gpu, [&mut there, &mut back], &grad).unwrap();
            let right = bytes(&back);
            let before = gpu.memory().unwrap().now;
            gpu.reset_peak();
            step(gpu, [&mut there, &mut back], &grad).unwrap();
            assert_eq!(gpu.memory().unwrap().peak, before, "{scope:?} {elem}");
            let graph = gpu.record(|on| step(on, [&mut there, &mut back], &grad)).unwrap();
            // What is there is overwritten by another problem, so that only the recorded launches can bring it back.
            step(gpu, [&mut there, &mut back], &q).unwrap();
            assert!(bytes(&back) != right);
            // SAFETY: the workspaces and the inputs are there, and nobody else uses them.
            unsafe { graph.launch() }.unwrap();
            assert!(bytes(&back) == right, "{scope:?} {elem}: the recorded step differs");
        }
    }
}

#[test]
fn states_in_halves_agree() {
    if let Some(gpu) = &*GPU {
        agreement::half_states(gpu);
    }
}

#[test]
fn gradients_by_one_kernel_agree() {
    if let Some(gpu) = &*GPU {
        agreement::fused_gradients(gpu);
    }
}

#[test]
fn a_forward_without_a_backward_gives_the_same() {
    if let Some(gpu) = &*GPU {
        agreement::inference(gpu);
    }
}
