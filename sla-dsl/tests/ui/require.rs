//! A requirement is a bool.

use sla_dsl::prelude::*;

#[kernel(dims(N), require(N % 2), grid(i in N))]
fn example(x: &mut Tensor<f32, { [N] }>) {
    x.at(i).store(1.0);
}

fn main() {}
