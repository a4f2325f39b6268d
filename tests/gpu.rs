//! The operator through its kernels on a GPU, against the float64 reference. Skipped, with a printed reason, where there is
//! none.

mod agreement;

use sla_runtime::testing::gpu_or_skip;

#[test]
fn every_scope_feature_map_and_block_shape_agrees() {
    if let Some(gpu) = gpu_or_skip("every_scope_feature_map_and_block_shape_agrees") {
        agreement::every_choice(&gpu);
    }
}

#[test]
fn every_length_agrees() {
    if let Some(gpu) = gpu_or_skip("every_length_agrees") {
        agreement::every_kind_of_length(&gpu);
    }
}

#[test]
fn every_mask_agrees() {
    if let Some(gpu) = gpu_or_skip("every_mask_agrees") {
        agreement::every_kind_of_mask(&gpu);
    }
}

#[test]
fn forced_blocks_agree() {
    if let Some(gpu) = gpu_or_skip("forced_blocks_agree") {
        agreement::forced_blocks(&gpu);
    }
}

#[test]
fn strided_inputs_agree() {
    if let Some(gpu) = gpu_or_skip("strided_inputs_agree") {
        agreement::strided_views(&gpu);
    }
}
