//! The linear branch's states: per block, summed for each row or for all, with the projection folded in.

use super::run::{elem, read, run, size, switch, write};
use super::{Sla, Weights};
use crate::attention::config::Scope;
use crate::kernels::{linear_state, mask_product, projection, totals};
use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};

/// What the linear branch of the forward and backward kernels reads. `SM` is 1 in scope `all`, else the number of query blocks.
#[derive(Clone, Debug)]
pub(super) struct LinearState {
    /// `[B, H, SM, P, D, D]`: `H`.
    pub state: DynTensor,
    /// `[B, H, SM, P D, D]`: `H Wᵀ`, in the type that the forward multiplies in.
    pub folded: DynTensor,
    /// `[B, H, SM, P, D]`: `Z`.
    pub sums: DynTensor,
}

/// Key blocks per partial state where all of them are summed.
const GROUP: usize = 8;

impl Sla {
    /// The projection inside the features; anything of the right shape where the feature map has none.
    pub(super) fn phi_weight(
        &self,
        h: usize,
        d: usize,
        weights: &Weights,
    ) -> Result<DynTensor, RuntimeError> {
        match &weights.phi {
            Some(w) => Ok(w.clone()),
            None => {
                let identity: Vec<f32> = (0..d * d).map(|i| if i / d == i % d { 1.0 } else { 0.0 }).collect();
                let one = sla_runtime::Tensor::<f32>::from_vec(&self.device, &[1, d, d], identity)?;
                Ok(one.expand(0, h)?.into())
            }
        }
    }

    /// States for the forward, from key blocks of `bk` tokens.
    pub(super) fn linear_state(
        &self,
        k: &DynTensor,
        v: &DynTensor,
        mask: &DynTensor,
        bk: usize,
        weights: &Weights,
    ) -> Result<LinearState, RuntimeError> {
        let (b, h, l, d) = (k.shape()[0], k.shape()[1], k.shape()[2], k.shape()[3]);
        let p = self.parts();
        let group = if self.config.scope() == Scope::All { GROUP } else { 1 };
        let n = l.div_ceil(bk * group);
        let mut state = self.zeros(&[b, h, n, p, d, d])?;
        let mut sums = self.zeros(&[b, h, n, p, d])?;
        let mut consts = self.linear_consts(k.elem(), d);
        consts.extend([size("BK", bk), size("GROUP", group)]);
        let w = self.phi_weight(h, d, weights)?;
        let args = [read(k), read(v), read(&w), write(&mut state), write(&mut sums)];
        run(&self.device, &linear_state::linear_state, &consts, &args)?;
        let state = self.gather_states(&state, mask)?;
        let sums = self.gather_states(&sums, mask)?;
        let folded = self.fold(&state, weights, false, self.folded_elem(k.elem()))?;
        let folded = folded.reshape(&[b, h, state.shape()[2], p * d, d])?;
        Ok(LinearState { state, folded, sums })
    }

    /// Sums per-block states `[B, H, N, P, …]` over all blocks (scope `all`, giving `[B, H, 1, P, …]`), or over the blocks that each
    /// row of `mask` gives to the linear branch (`[B, H, M, P, …]`). A mask with its axes exchanged sums over rows for each column.
    pub(super) fn gather_states(&self, x: &DynTensor, mask: &DynTensor) -> Result<DynTensor, RuntimeError> {
        let (b, h, n) = (x.shape()[0], x.shape()[1], x.shape()[2]);
        let width: usize = x.shape()[3..].iter().product();
        let mut shape = x.shape().to_vec();
        if self.config.scope() == Scope::All {
            shape[2] = 1;
            return self.total(&x.reshape(&[b * h, n, width])?)?.reshape(&shape).map_err(Into::into);
        }
        let m = mask.shape()[2];
        shape[2] = m;
        let mut out = self.zeros(&[b, h, m, width])?;
        let complement = self.config.scope() == Scope::Complement;
        let consts = [size("BM", 64), size("BN", 64), size("BX", 64), switch("COMPLEMENT", complement)];
        let flat = x.reshape(&[b, h, n, width])?;
        run(&self.device, &mask_product::mask_product, &consts, &[read(mask), read(&flat), write(&mut out)])?;
        Ok(out.reshape(&shape)?)
    }

    /// `[A, N, X]` summed over `N`.
    pub(super) fn total(&self, x: &DynTensor) -> Result<DynTensor, RuntimeError> {
        let mut out = self.zeros(&[x.shape()[0], x.shape()[2]])?;
        run(&self.device, &totals::block_total, &[size("BX", 1024)], &[read(x), write(&mut out)])?;
        Ok(out)
    }

    /// Every D x D matrix of `x` times `Wᵀ` (or `W`, going `back`), stored as `s`; zeros without a projection.
    pub(super) fn fold(
        &self,
        x: &DynTensor,
        weights: &Weights,
        back: bool,
        s: Elem,
    ) -> Result<DynTensor, RuntimeError> {
        let d = x.shape()[x.shape().len() - 1];
        let count = x.count() / (d * d);
        let mut out = self.of(s, &[count, d, d])?;
        if let Some(w) = &weights.projection {
            let x = x.reshape(&[count, d, d])?;
            let consts = [elem("S", s), size("D", d), switch("BACK", back)];
            run(&self.device, &projection::fold_projection, &consts, &[read(&x), read(w), write(&mut out)])?;
        }
        Ok(out.reshape(x.shape())?)
    }
}
