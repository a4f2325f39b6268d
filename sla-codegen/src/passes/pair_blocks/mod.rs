//! Two blocks of a list a step: attention over blocks of 64 keys multiplies tiles of 128.
//!
//! ```text
//! for e in 0..count {                         for g in 0..(count + 1) / 2 {
//!   j = load index[e]                           pad = max(count & 1 - 2 g, 0)
//!   k = load K[j * 64]                          e0, e1 = 2 g - (count & 1) + pad, 2 g + 1 - (count & 1)
//!   s = dot q, k                      =>        k = concat (load K[index[e0] * 64]), (load K[index[e1] * 64])
//!   ... online softmax of s ...                 s = select (iota >= 64 pad), (dot q, k), -inf
//!   o = dot p, (load V[j * 64]), o * alpha      ... online softmax of s, 128 wide ...
//! }                                             o = dot p, (concat ... V ...), o * alpha
//!                                             }
//! ```
//!
//! # What is chosen, and why
//! * **It works on what users write**, before [`reference_max`](super::reference_max), because there the online softmax is known to be a sum over
//!   blocks in any grouping: the largest score and the sums of two blocks are those of the joined block. The shape of the loop is
//!   the one that `reference_max` looks for, and its finder is used; every other carried value refuses.
//! * **A value of the wide step is the join of the values that two steps of the loop would have had**, along the axis that runs over keys.
//!   Everything follows from that, op by op: what is computed from positions in a block and from scalars of a block becomes a `select` between
//!   halves, which every target has and which [`guard_masks`](super::guard_masks) sees through; only loaded tiles need an op of their own, `concat`.
//! * **`concat` of two loads along rows, used by products only, is two copies into one stage of shared memory**: the scheduler need not
//!   find out that two loads belong together. Each half has its own offsets, so that the producers' slice computes both from the counter and reads
//!   the list twice a step.
//! * **An odd count is padded in front.** The missing half is block 0 of the list, masked: a block that surely exists, so that nothing
//!   is read out of bounds and no weight of 0 meets another infinity than the row would have met anyway. In front, because the first step is peeled or
//!   slow in any case (its maximum rises), and because the condition then is one comparison of a scalar, false in all later steps.
//! * **Only loops over a list**: blocks that follow each other are better read as one of twice the size.
//! * **At most 128 columns**: that is what a warpgroup's registers hold beside an accumulator.

mod widen;

use super::make::{Maker, insert_before};
use super::reference_max::find::{self, Softmax};
use super::rewrite::live_ops;
use super::{canonicalise, cse};
use sla_dsl::ir::{Kernel, OpCode, Value};

/// Columns of the widest step.
const MAX_COLUMNS: usize = 128;

/// Pairs the blocks of every list.
pub fn pair_blocks(kernel: &mut Kernel) {
    let mut changed = false;
    for (outer, id) in live_ops(kernel) {
        if kernel.op(id).code != OpCode::For {
            continue;
        }
        let ops = &kernel.block(kernel.op(id).regions[0]).ops;
        let paired = ops.iter().any(|&o| kernel.op(o).code == OpCode::Concat);
        // Without care for rows that see nothing, a block of which a row sees nothing makes it NaN; half of a pair would not.
        let fits = |s: &Softmax| !paired && s.guarded;
        let Some(found) = find::softmax(kernel, outer, id).filter(fits) else { continue };
        if 2 * found.shape[1] > MAX_COLUMNS || kernel.op(id).int("step") != Some(1) {
            continue;
        }
        // What cannot be widened shows on the way.
        let mut attempt = kernel.clone();
        if pair(&mut attempt, &found).is_some() {
            *kernel = attempt;
            changed = true;
        }
    }
    if changed {
        canonicalise(kernel);
        cse(kernel);
    }
}

/// What a step of pairs is numbered by.
struct Steps {
    /// The first entry of the list.
    first: Value,
    /// 1 if the number of entries is odd, else 0.
    odd: Value,
}

fn pair(kernel: &mut Kernel, s: &Softmax) -> Option<()> {
    let (first, end, loc) = {
        let op = kernel.op(s.for_op);
        (op.operands[0], op.operands[1], op.loc)
    };
    let mut m = Maker::new(kernel, loc);
    let count = m.same(OpCode::Sub, &[end, first]);
    let (zero, one, two) = (m.int(0), m.int(1), m.int(2));
    let odd = m.same(OpCode::And, &[count, one]);
    let more = m.same(OpCode::Add, &[count, one]);
    // Without entries this is 0, or the negative half of a negative count: no step.
    let steps = m.same(OpCode::Div, &[more, two]);
    let before = m.finish();
    insert_before(kernel, s.outer, s.for_op, before);
    let body = widen::body(kernel, s, &Steps { first, odd })?;
    kernel.block_mut(s.body).ops = body;
    kernel.op_mut(s.for_op).operands[..2].copy_from_slice(&[zero, steps]);
    Some(())
}
