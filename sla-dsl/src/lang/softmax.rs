//! Softmax over rows that are seen block by block, written in the language itself.
//!
//! For scores `s` (in units of `log2 e`, so that `exp2` is the exponential) let `m` be the largest score of a row seen so far and
//! `l = sum exp2(s - m)`. A block with maximum `m'` makes `m_new = max(m, m')`, `p = exp2(s - m_new)`, `alpha = exp2(m - m_new)`,
//! `l_new = l * alpha + sum p`; whatever was accumulated with the old `p` is multiplied by `alpha`. In the end the row's softmax is
//! `p / l`, and `m + log2 l` is its log-sum-exp in base 2.
//!
//! `m` starts at `-inf`. As long as a row has seen only `-inf`, `m_new` is `-inf` and `-inf - -inf` would be NaN: then 0 is taken in
//! place of `m_new`, which makes `p = exp2(-inf) = 0` and `alpha = exp2(-inf) = 0`. Such a row ends with `l = 0`, a
//! factor of 0 and a log-sum-exp of `-inf`.

use crate::prelude::*;

/// The running maximum and sum of the rows of a tile of scores.
#[tiles]
pub struct OnlineSoftmax<const M: usize> {
    /// Largest score of each row so far.
    pub m: Tile<f32, { [M, 1] }>,
    /// Sum of `exp2(score - m)` of each row so far.
    pub l: Tile<f32, { [M, 1] }>,
}

#[func]
impl<const M: usize> OnlineSoftmax<M> {
    /// Nothing seen yet, for `rows` rows.
    pub fn new(rows: usize) -> Self {
        OnlineSoftmax { m: full::<f32>([rows, 1], -INF), l: zeros::<f32>([rows, 1]) }
    }

    /// Takes a block of scores; gives its weights `p` and the factor `alpha` for what was accumulated before.
    pub fn step<const N: usize>(
        &mut self,
        s: Tile<f32, { [M, N] }>,
    ) -> (Tile<f32, { [M, N] }>, Tile<f32, { [M, 1] }>) {
        let m_new = self.m.maximum(s.max(1));
        let base = select(m_new == -INF, 0.0, m_new);
        let p = exp2(s - base);
        let alpha = exp2(self.m - base);
        self.l = self.l * alpha + p.sum(1);
        self.m = m_new;
        (p, alpha)
    }

    /// The factor `1 / l` for what was accumulated, and the log-sum-exp in base 2; 0 and `-inf` for rows that saw nothing.
    pub fn finish(self) -> (Tile<f32, { [M, 1] }>, Tile<f32, { [M, 1] }>) {
        let empty = self.l == 0.0;
        let inv = select(empty, 0.0, 1.0 / select(empty, 1.0, self.l));
        let lse = select(empty, -INF, self.m + log2(select(empty, 1.0, self.l)));
        (inv, lse)
    }
}
