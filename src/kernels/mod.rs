//! Every shipped kernel, one idea a file, written only with `sla_dsl::prelude`.
//!
//! A kernel says what is computed on which blocks; how it runs is the business of targets. Each module's documentation
//! holds the formula, and states what the kernel assumes of its arguments beyond their types.
//! [`ALL`] is the table that the command line and the tests go through.

pub mod block_sparse;
pub mod delta;
mod entry;
pub mod feature_map;
pub mod flash;
pub mod flash_backward;
pub mod fused_backward;
pub mod linear_state;
pub mod mask_lists;
pub mod mask_product;
pub mod matmul;
pub mod projection;
pub mod router;
pub mod sla_backward;
pub mod sla_forward;
pub mod softmax;
pub mod state_backward;
pub mod totals;
pub mod vector_add;

use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;

pub use entry::Entry;

const T: (&str, Const) = ("T", Const::Elem(Elem::BF16));
const S: (&str, Const) = ("S", Const::Elem(Elem::F32));
const D: (&str, Const) = ("D", Const::Int(64));
const BQ: (&str, Const) = ("BQ", Const::Int(64));
const BK: (&str, Const) = ("BK", Const::Int(64));
const SUB: (&str, Const) = ("SUB", Const::Int(64));
const RQ: (&str, Const) = ("RQ", Const::Int(1));
const RK: (&str, Const) = ("RK", Const::Int(1));
const E: (&str, Const) = ("E", Const::Elem(Elem::F32));
const R: (&str, Const) = ("R", Const::Int(8));
const PHI: (&str, Const) = ("PHI", Const::Int(1));
const P: (&str, Const) = ("P", Const::Int(1));
const LINEAR: (&str, Const) = ("LINEAR", Const::Bool(true));
const WHOLE: (&str, Const) = ("WHOLE", Const::Bool(false));
const SAVE: (&str, Const) = ("SAVE", Const::Bool(true));

/// Every shipped kernel.
pub const ALL: &[Entry] = &[
    Entry { def: &vector_add::vector_add, defaults: &[("BLOCK", Const::Int(1024))] },
    Entry { def: &softmax::row_softmax, defaults: &[T, ("ROWS", Const::Int(16)), ("N", Const::Int(256))] },
    Entry {
        def: &matmul::matmul,
        defaults: &[T, ("BM", Const::Int(128)), ("BN", Const::Int(128)), ("BK", Const::Int(32))],
    },
    Entry { def: &flash::flash_fwd, defaults: &[T, BQ, BK, D, ("CAUSAL", Const::Bool(false))] },
    Entry { def: &delta::row_delta, defaults: &[T, BQ, D] },
    Entry { def: &flash_backward::flash_bwd_dq, defaults: &[T, BQ, BK, D] },
    Entry { def: &flash_backward::flash_bwd_dkdv, defaults: &[T, BQ, BK, D] },
    Entry { def: &fused_backward::clear_sums, defaults: &[BQ, D] },
    Entry { def: &fused_backward::scale_sums, defaults: &[T, BQ, D] },
    Entry { def: &fused_backward::flash_bwd_fused, defaults: &[T, BQ, BK, D] },
    Entry { def: &fused_backward::sparse_bwd_fused, defaults: &[T, BQ, SUB, BK, D, WHOLE] },
    Entry { def: &block_sparse::sparse_fwd, defaults: &[T, BQ, BK, D] },
    Entry { def: &router::pool_blocks, defaults: &[T, ("BLOCK", Const::Int(64)), D] },
    Entry {
        def: &router::pool_queries_and_keys,
        defaults: &[T, ("BQ", Const::Int(128)), ("BK", Const::Int(64)), D],
    },
    Entry { def: &router::block_scores, defaults: &[("TILE", Const::Int(64)), D] },
    Entry {
        def: &router::select_blocks,
        defaults: &[R, ("W", Const::Int(512)), ("LOW", Const::Bool(true)), ("FORCED", Const::Bool(false))],
    },
    Entry {
        def: &mask_lists::mask_lists,
        defaults: &[("T", Const::Elem(Elem::I32)), ("S", Const::Int(4)), R, ("W", Const::Int(256))],
    },
    Entry { def: &mask_lists::refine_mask, defaults: &[("RQ", Const::Int(2)), ("RK", Const::Int(1))] },
    Entry { def: &linear_state::linear_state, defaults: &[T, S, BK, D, PHI, P] },
    Entry {
        def: &mask_product::mask_product,
        defaults: &[
            ("BM", Const::Int(64)),
            ("BN", Const::Int(64)),
            ("BX", Const::Int(64)),
            ("COMPLEMENT", Const::Bool(false)),
            ("ADD", Const::Bool(false)),
        ],
    },
    Entry {
        def: &mask_product::mask_weights,
        defaults: &[
            ("S", Const::Elem(Elem::BF16)),
            R,
            ("W", Const::Int(512)),
            ("COMPLEMENT", Const::Bool(false)),
        ],
    },
    Entry {
        def: &mask_product::weighted_states,
        defaults: &[
            ("S", Const::Elem(Elem::BF16)),
            ("BM", Const::Int(128)),
            ("BN", Const::Int(64)),
            D,
            ("SAVE", Const::Bool(true)),
        ],
    },
    Entry {
        def: &mask_product::weighted_state_grads,
        defaults: &[
            ("S", Const::Elem(Elem::BF16)),
            ("BM", Const::Int(128)),
            ("BN", Const::Int(64)),
            ("BC", Const::Int(64)),
            D,
            P,
        ],
    },
    Entry { def: &totals::block_total, defaults: &[("BN", Const::Int(32)), ("BX", Const::Int(128))] },
    Entry {
        def: &projection::fold_projection,
        defaults: &[E, S, D, ("BM", Const::Int(16)), ("BN", Const::Int(32)), ("BACK", Const::Bool(false))],
    },
    Entry { def: &projection::round_matrix, defaults: &[("S", Const::Elem(Elem::BF16)), D] },
    Entry { def: &projection::split_state, defaults: &[("S", Const::Elem(Elem::BF16)), D] },
    Entry {
        def: &projection::weight_grad,
        defaults: &[
            E,
            ("F", Const::Elem(Elem::F32)),
            ("M", Const::Elem(Elem::F32)),
            D,
            ("ROWS", Const::Int(32)),
        ],
    },
    Entry { def: &sla_forward::sla_fwd, defaults: &[T, S, BQ, BK, RQ, D, PHI, P, LINEAR, SAVE] },
    Entry { def: &sla_backward::sla_bwd_pre, defaults: &[T, S, BQ, RQ, D, PHI, P, LINEAR] },
    Entry {
        def: &sla_backward::sla_bwd_dq,
        defaults: &[T, S, BQ, BK, SUB, RQ, D, PHI, P, LINEAR, ("SHIFTED", Const::Bool(false))],
    },
    Entry {
        def: &state_backward::sla_bwd_state,
        defaults: &[T, E, BQ, D, PHI, P, ("CENTRED", Const::Bool(false))],
    },
    Entry {
        def: &state_backward::sla_bwd_turned_state,
        defaults: &[T, E, BQ, SUB, D, PHI, ("CENTRED", Const::Bool(false))],
    },
    Entry { def: &state_backward::value_centre, defaults: &[T, S, BK, D] },
    Entry {
        def: &sla_backward::sla_bwd_linear,
        defaults: &[T, S, BK, RK, D, PHI, P, ("SPLIT", Const::Int(1))],
    },
    Entry { def: &sla_backward::sla_bwd_dkdv, defaults: &[T, BQ, SUB, BK, D, LINEAR, WHOLE] },
];

/// The kernel of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.def.name == name)
}
