//! A name stands for one thing.

use sla_dsl::prelude::*;

#[kernel(dims(N, M), grid(i in N))]
fn example<const M: usize>(x: &mut Tensor<f32, { [N, M] }>, N: i32) {
    x.at(i).store(zeros::<f32>([M]));
}

fn main() {}
