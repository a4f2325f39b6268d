//! Sizes in shapes are declared.

use sla_dsl::prelude::*;

#[kernel(dims(N), grid(i in N))]
fn example(x: &mut Tensor<f32, { [N, M] }>) {
    x.at(i, 0).store(1.0);
}

fn main() {}
