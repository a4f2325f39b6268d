//! Feature maps φ of the linear branch and their vector-Jacobian products.
//!
//! | code | φ(x) | VJP of dy |
//! |---|---|---|
//! | [`SOFTMAX`] | softmax of the row | `y ∘ (dy - Σ y·dy)` |
//! | [`ELU`] | `x + 1` where `x > 0`, else `eˣ` | `dy·min(y, 1)` |
//! | [`RELU`] | `max(x, 0)` | `dy` where `y > 0`, else 0 |
//! | [`HEDGEHOG`] | `[softmax(xW), softmax(-xW)]` | of each half, then `Wᵀ` |
//!
//! Hedgehog has two *parts* of D features each; the others have one. Kernels go through parts with the sign `1 - 2·part`, so
//! that every state matrix stays D x D.

use sla_dsl::prelude::*;

/// Softmax over the head dimension.
pub const SOFTMAX: i64 = 1;
/// `elu(x) + 1`.
pub const ELU: i64 = 2;
/// Rectifier.
pub const RELU: i64 = 3;
/// Softmax of a learned projection and of its negative.
pub const HEDGEHOG: i64 = 4;

/// φ of each row; for hedgehog `x` is already projected and signed.
#[func]
pub fn feature<const M: usize, const D: usize>(
    x: Tile<f32, { [M, D] }>,
    phi: usize,
) -> Tile<f32, { [M, D] }> {
    if phi == ELU {
        select(x > 0.0, x + 1.0, exp(minimum(x, 0.0)))
    } else if phi == RELU {
        maximum(x, 0.0)
    } else {
        let e = exp2((x - x.max(1)) * LOG2E);
        e * (1.0 / e.sum(1))
    }
}

/// The gradient of `x` from `y = feature(x, phi)` and the gradient `dy` of that. What `x` was shows in `y`: above 0 `elu(x) + 1` is above 1.
#[func]
pub fn feature_grad<const M: usize, const D: usize>(
    y: Tile<f32, { [M, D] }>,
    dy: Tile<f32, { [M, D] }>,
    phi: usize,
) -> Tile<f32, { [M, D] }> {
    if phi == ELU {
        dy * minimum(y, 1.0)
    } else if phi == RELU {
        select(y > 0.0, dy, 0.0)
    } else {
        y * (dy - (y * dy).sum(1))
    }
}
