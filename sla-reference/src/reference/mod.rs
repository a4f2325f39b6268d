//! The operator in float64, straight from its formulas: the ruler that every other implementation is measured with.
//!
//! Slow on purpose: the forward pass looks at every token pair, as the masked formula reads. It rounds nothing and shares
//! no code with the kernels. `sla check` and the tests use it; [`Reference`] also offers it as an
//! [`Operator`](super::Operator).
//!
//! Arrays are row-major slices of `f64`: `q` and `out` `[B, H, Lq, D]`, `k` and `v` `[B, H, Lk, D]`, `lse` `[B, H, Lq]`. Any
//! head dimension and any block size will do. Heads are independent and run in parallel; results do not depend on that.

mod backward;
mod exact;
mod forward;
mod operator;
mod phi;
mod router;
mod vectors;

#[cfg(test)]
mod tests;

pub use backward::{Gradients, backward};
pub use exact::Exact;
pub use forward::{Forward, forward};
pub use operator::Reference;
pub use phi::{features, features_vjp};
pub use router::{route, scores};

use super::{BlockMask, Config, Dims};

/// The inputs of one attention problem in float64.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The sizes.
    pub dims: Dims,
    /// `[B, H, Lq, D]`.
    pub q: &'a [f64],
    /// `[B, H, Lk, D]`.
    pub k: &'a [f64],
    /// `[B, H, Lk, D]`.
    pub v: &'a [f64],
    /// `W` of the projection `x W^T + b`, `[D, D]`; zero when absent.
    pub proj_weight: Option<&'a [f64]>,
    /// `b` of the projection, `[D]`; zero when absent.
    pub proj_bias: Option<&'a [f64]>,
    /// `W` of the hedgehog features, `[H, D, D]`; identity when absent.
    pub phi_weight: Option<&'a [f64]>,
}

/// One head of a [`Problem`]: everything a formula of the paper speaks of.
#[derive(Clone, Copy)]
struct Head<'a> {
    bh: usize,
    dims: Dims,
    config: &'a Config,
    mask: &'a BlockMask,
    q: &'a [f64],
    k: &'a [f64],
    v: &'a [f64],
    proj_weight: Option<&'a [f64]>,
    proj_bias: Option<&'a [f64]>,
    phi_weight: Option<&'a [f64]>,
}

impl<'a> Problem<'a> {
    fn head(&self, bh: usize, config: &'a Config, mask: &'a BlockMask) -> Head<'a> {
        let d = self.dims.head_dim;
        let (queries, keys, weight) = (self.dims.queries * d, self.dims.keys * d, d * d);
        let h = bh % self.dims.heads;
        Head {
            bh,
            dims: self.dims,
            config,
            mask,
            q: &self.q[bh * queries..][..queries],
            k: &self.k[bh * keys..][..keys],
            v: &self.v[bh * keys..][..keys],
            proj_weight: self.proj_weight,
            proj_bias: self.proj_bias,
            phi_weight: self.phi_weight.map(|w| &w[h * weight..][..weight]),
        }
    }
}

impl Head<'_> {
    /// Tokens of query block `i`.
    fn query_tokens(&self, i: usize) -> std::ops::Range<usize> {
        let bq = self.config.blocks().q();
        i * bq..((i + 1) * bq).min(self.dims.queries)
    }

    /// Tokens of key block `j`.
    fn key_tokens(&self, j: usize) -> std::ops::Range<usize> {
        let bk = self.config.blocks().k();
        j * bk..((j + 1) * bk).min(self.dims.keys)
    }

    /// `phi` of the rows of `x`.
    fn features(&self, x: &[f64]) -> Vec<f64> {
        features(self.config.phi(), x, self.dims.head_dim, self.phi_weight)
    }
}
