//! What is tuned is a constant of the kernel.

use sla_dsl::prelude::*;

#[kernel(dims(N), grid(i in N.div_ceil(BLOCK)), tune(BLOK in [64, 128], key(N)))]
fn example<const BLOCK: usize>(x: &mut Tensor<f32, { [N] }>) {
    x.block::<BLOCK>(i).store(1.0);
}

fn main() {}
