//! The body of a device function is checked with its declared shapes.

use sla_dsl::prelude::*;

#[tiles]
pub struct State<const M: usize> {
    pub sum: Tile<f32, { [M, 1] }>,
}

#[func]
impl<const M: usize> State<M> {
    pub fn add<const N: usize>(&mut self, s: Tile<f32, { [M, N] }>, w: Tile<f32, { [N, M] }>) {
        self.sum = self.sum + (s * w).sum(1);
    }
}

fn main() {}
