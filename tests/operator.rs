//! The operator through its kernels on the devices that every machine has, against the float64 reference.

mod agreement;
mod wide;

use std::sync::LazyLock;

use agreement::{Problem, check_all, config, dims};
use sla::{Blocks, Device, Dtype, FeatureMap, Scope};

#[test]
fn the_interpreter_agrees_in_every_scope() {
    for &scope in Scope::EVERY {
        let config = config(scope, FeatureMap::Softmax, Blocks::new(64, 64).unwrap());
        let dims = dims([1, 2, 200, 150, 64]);
        check_all(&Device::interp(), &[Problem { dtype: Dtype::F32, dims, config, mask: None }]);
    }
}

#[test]
fn the_interpreter_agrees_for_every_feature_map() {
    for &phi in FeatureMap::EVERY {
        let config = config(Scope::Marginal, phi, Blocks::new(128, 64).unwrap());
        let dims = dims([2, 1, 130, 200, 64]);
        check_all(&Device::interp(), &[Problem { dtype: Dtype::F32, dims, config, mask: None }]);
    }
}

#[test]
fn the_interpreter_agrees_in_half_precision() {
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let config = config(Scope::Marginal, FeatureMap::Softmax, Blocks::new(64, 64).unwrap());
        let dims = dims([1, 1, 100, 150, 64]);
        check_all(&Device::interp(), &[Problem { dtype, dims, config, mask: None }]);
    }
}

/// One device for all tests, so that each kernel is compiled once.
static CPU: LazyLock<Device> = LazyLock::new(Device::cpu);

#[test]
fn the_cpu_agrees_for_every_scope_feature_map_and_block_shape() {
    check_all(&CPU, &agreement::every_choice());
}

#[test]
fn the_cpu_agrees_for_every_length() {
    check_all(&CPU, &agreement::every_kind_of_length());
}

#[test]
fn the_cpu_agrees_for_every_mask() {
    check_all(&CPU, &agreement::every_kind_of_mask());
}

#[test]
fn the_cpu_agrees_with_forced_blocks() {
    check_all(&CPU, &agreement::forced_blocks());
}

#[test]
fn the_cpu_agrees_on_strided_inputs() {
    agreement::strided_views(&CPU);
}

#[test]
fn the_cpu_agrees_on_large_logits() {
    agreement::large_logits(&CPU);
}

#[test]
fn the_cpu_gives_the_same_bits_again() {
    agreement::repeats(&CPU);
}

#[test]
fn places_beyond_two_to_the_31_are_found() {
    wide::places_beyond_two_to_the_31(&CPU);
    wide::places_beyond_two_to_the_31(&Device::interp());
}

#[test]
fn the_cpu_agrees_with_states_in_halves() {
    agreement::half_states(&CPU);
}

#[test]
fn the_cpu_agrees_with_gradients_by_one_kernel() {
    agreement::fused_gradients(&CPU);
}

#[test]
fn the_cpu_gives_the_same_without_a_backward() {
    agreement::inference(&CPU);
}

#[test]
fn the_cpu_agrees_on_strided_inputs_in_halves() {
    agreement::strided_halves(&CPU, &[32]);
}
