//! Kernels take tensors and scalars, and return nothing.

use sla_dsl::prelude::*;

#[kernel(dims(N), grid(i in N))]
fn returns(x: &Tensor<f32, { [N] }>) -> f32 {
    x.at(i).load()
}

#[kernel(dims(N), grid(i in N))]
fn by_value(x: Tensor<f32, { [N] }>, y: &Tensor<f64, { [N] }>, n: usize) {}

#[kernel(dims(N))]
fn gridless(x: &mut Tensor<f32, { [N] }>) {}

#[kernel(dims(N), grid(i in N), tile(64))]
fn misspelt(x: &mut Tensor<f32, { [N] }>) {}

fn main() {}
