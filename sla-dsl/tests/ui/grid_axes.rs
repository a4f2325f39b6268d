//! A grid has up to three axes.

use sla_dsl::prelude::*;

#[kernel(dims(A, B, C, D), grid(a in A, b in B, c in C, d in D))]
fn example(x: &mut Tensor<f32, { [A, B, C, D] }>) {
    x.at(a, b, c, 0).store(1.0);
}

fn main() {}
