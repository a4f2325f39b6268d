//! Online softmax with a reference in place of the running maximum: most steps need no maximum over rows, no `alpha` and no rescaling.
//!
//! What users write (`OnlineSoftmax::step`, or the same by hand), in a loop that carries `m`, `l` and accumulators:
//!
//! ```text
//! s     = mul dot, c                  (and masks: select mask, s, -inf)
//! m_new = max m, reduce_max s
//! base  = select (m_new == -inf), 0, m_new
//! p     = exp2 (s - base)
//! alpha = exp2 (m - base)
//! l_new = fma l, alpha, reduce_sum p
//! o_new = dot p, v, (o * alpha)
//! yield m_new, l_new, o_new
//! ```
//! becomes, with `[M, 8]` for what one thread holds of a row, so that threads exchange nothing:
//!
//! ```text
//! part = fold_max dot                                   : [M, 8]
//! rose = vote (part * c > m + 8)
//! m_new, l_ref, alpha, shift_new = if rose {
//!   m_new = max m, (reduce_max part) * c
//!   alpha = exp2 (m - base)                             (base of m_new, as above)
//!   yield m_new, l * alpha, alpha, -base
//! } else {
//!   yield m, l, 1, shift
//! }
//! p     = exp2 (fma dot, c, shift_new)
//! l_new = l_ref + fold_sum p                            : [M, 8]
//! o_ref = if rose { o * alpha } else { o }
//! o_new = dot p, v, o_ref
//! yield m_new, l_new, o_new, shift_new
//! ```
//! and `reduce_sum l_new` once behind the loop. That *watches scores*. The other form watches *weights*, and most steps find no maximum at all:
//!
//! ```text
//! p, sum = exp2 (fma dot, c, shift), fold_sum p         : [M, 8]
//! rose   = vote (sum > 2^8 or m == -inf)
//! m_new, l_new, alpha, shift_new, p_new = if rose {
//!   m_new = max m, (reduce_max dot) * c
//!   alpha = exp2 (m - base)                             (base of m_new; 0 for m = -inf)
//!   p'    = exp2 (fma dot, c, -base)
//!   yield m_new, l * alpha + fold_sum p', alpha, -base, p'
//! } else {
//!   yield m, l + sum, 1, shift, p
//! }
//! ```
//!
//! # Why it is exact
//! Softmax does not depend on what is subtracted from the scores, as long as nothing overflows or vanishes. `m` stays within 8 of the largest
//! score of the row so far, in units of `log2`, and some term of the row was 1 when `m` was set: `p` is at most `2^8`, which f16
//! holds, `l` is at least 1 for a row that has seen anything, and sums are far from the limits of f32. A row that has seen only `-inf` has
//! `m = -inf`, so that any finite score is above `m + 8`; until then it is computed as the user wrote it. A warp that votes otherwise than its
//! neighbour only takes another reference.
//!
//! Weights that are watched say the same: none is negative, so that where no part of a row's sum is above `2^8`, no weight is; one that overflows makes the sum
//! infinite, which is above it, and all weights are computed again from the scores, for the largest of them. Nothing can have vanished that should not have: the
//! row's reference was the largest score of some step, or there was none (`m = -inf`), which is looked at too. What is no number stays
//! that in either form.
//!
//! # When it is done
//! * `m`, `l` and `alpha` are used by the softmax alone; `p` and the accumulators only in ways that are linear in them, row by row;
//! * behind the loop nothing depends on the choice of reference: `o / l` and `m + log2 l` do not, `m` alone does (`gauge`);
//! * `m` starts at `-inf` with `l` and the accumulators at 0, or at a finite constant with a constant `l`. Otherwise a row of
//!   only `-inf` would forget what it started with in one form and keep it in the other.
//!
//! The factor `c` moves behind the maximum, and through masks, if it is surely positive ([`is_positive`](crate::analysis::is_positive)); else the product
//! stays where it is and `part` is made of the scaled scores. Kernels that do not match stay as they are.

mod build;
pub(super) mod find;
mod gauge;
mod weigh;

use super::{canonicalise, rewrite::live_ops};
use crate::Watch;
use sla_dsl::ir::{Kernel, OpCode};

/// Rewrites every online softmax of the kernel, and says whether it has one; `watch` is what tells that a reference no longer serves.
pub fn reference_max(kernel: &mut Kernel, watch: Watch) -> bool {
    // A rewritten softmax no longer matches, so this ends.
    let mut changed = false;
    while let Some(found) = live_ops(kernel)
        .into_iter()
        .filter(|&(_, id)| kernel.op(id).code == OpCode::For)
        .find_map(|(block, id)| find::softmax(kernel, block, id))
    {
        build::rewrite(kernel, &found, watch);
        changed = true;
    }
    if changed {
        // A product that was added to `o * alpha` now starts from it; what is not used goes.
        canonicalise(kernel);
    }
    changed
}
