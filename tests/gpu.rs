//! The operator through its kernels on a GPU, against the float64 reference. Skipped, with a printed reason, where there is
//! none.

mod agreement;
mod wide;

use agreement::{Problem, check_all};
use sla::Device;
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
