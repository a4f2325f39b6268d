//! A device function returns what it declares.

use sla_dsl::prelude::*;

#[func]
fn rows<const M: usize, const N: usize>(s: Tile<f32, { [M, N] }>) -> Tile<f32, { [M, 1] }> {
    s.max(0)
}

fn main() {}
