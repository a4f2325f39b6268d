//! Sums over the marginal blocks of each row as a product with a 0/1 matrix.
//!
//! `out[m, :] = Σ_n [mask[m, n] = 0] x[n, :]` for every row at once: no cancellation, a cost independent of the shares, and no state matrix held
//! by the attention kernel. With the mask's last two axes exchanged it sums gradients back from rows to columns.

use sla_dsl::prelude::*;

/// `out[b, h] = A x[b, h]` with `A = [mask = 0]`, or `[mask ≠ 1]` for `COMPLEMENT`.
#[kernel(dims(B, H, M, N, X), grid(c in X.div_ceil(BX), m in M.div_ceil(BM), bh in B * H))]
pub fn mask_product<const BM: usize, const BN: usize, const BX: usize, const COMPLEMENT: bool>(
    mask: &Tensor<i8, { [B, H, M, N] }>,
    x: &Tensor<f32, { [B, H, N, X] }>,
    out: &mut Tensor<f32, { [B, H, M, X] }>,
) {
    let b = bh / H;
    let h = bh % H;
    let mut acc = zeros::<f32>([BM, BX]);
    for n in 0..N.div_ceil(BN) {
        let class = mask.at(b, h).block::<BM, BN>(m, n).load().cast::<i32>();
        let mut counts = class == 0;
        if COMPLEMENT {
            counts = class != 1;
        }
        acc += dot(select(counts, full::<f32>([BM, BN], 1.0), 0.0), x.at(b, h).block::<BN, BX>(n, c).load());
    }
    out.at(b, h).block::<BM, BX>(m, c).store(acc);
}
