//! The operator through its kernels on the devices that every machine has, against the float64 reference.

mod agreement;

use std::sync::LazyLock;

use agreement::{Problem, config, dims};
use sla::{Blocks, Device, Dtype, FeatureMap, Scope};

#[test]
fn the_interpreter_agrees_in_every_scope() {
    for &scope in Scope::EVERY {
        let config = config(scope, FeatureMap::Softmax, Blocks::new(64, 64).unwrap());
        Problem { dtype: Dtype::F32, dims: dims([1, 2, 200, 150, 64]), config, mask: None }
            .check(&Device::interp());
    }
}

#[test]
fn the_interpreter_agrees_for_every_feature_map() {
    for &phi in FeatureMap::EVERY {
        let config = config(Scope::Marginal, phi, Blocks::new(128, 64).unwrap());
        Problem { dtype: Dtype::F32, dims: dims([2, 1, 130, 200, 64]), config, mask: None }
            .check(&Device::interp());
    }
}

#[test]
fn the_interpreter_agrees_in_half_precision() {
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let config = config(Scope::Marginal, FeatureMap::Softmax, Blocks::new(64, 64).unwrap());
        Problem { dtype, dims: dims([1, 1, 100, 150, 64]), config, mask: None }.check(&Device::interp());
    }
}

/// One device for all tests, so that each kernel is compiled once.
static CPU: LazyLock<Device> = LazyLock::new(Device::cpu);

#[test]
fn the_cpu_agrees_for_every_scope_feature_map_and_block_shape() {
    agreement::every_choice(&CPU);
}

#[test]
fn the_cpu_agrees_for_every_length() {
    agreement::every_kind_of_length(&CPU);
}

#[test]
fn the_cpu_agrees_for_every_mask() {
    agreement::every_kind_of_mask(&CPU);
}

#[test]
fn the_cpu_agrees_with_forced_blocks() {
    agreement::forced_blocks(&CPU);
}

#[test]
fn the_cpu_agrees_on_strided_inputs() {
    agreement::strided_views(&CPU);
}
