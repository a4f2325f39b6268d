//! Routing and block lists on the device.

use super::Sla;
use super::buffers::Buffers;
use super::run::{elem, int, read, run, size, switch, write};
use super::shapes::rank_4;
use crate::attention::config::{FeatureMap, Scope};
use crate::kernels::{mask_lists, router};
use crate::tuned::pick::specialises;
use sla_codegen::{Arch, Target};
use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;
use sla_runtime::{DynTensor, RuntimeError};

/// The critical blocks of each row of a mask.
#[derive(Clone, Debug)]
pub struct Lists {
    /// `[B, H, rows, columns]` i32: the first `count` entries of a row are columns, ascending.
    pub index: DynTensor,
    /// `[B, H, rows]` i32.
    pub count: DynTensor,
}

/// What the router gives.
#[derive(Clone, Debug)]
pub struct Routed {
    /// `[B, H, M, N]` i8: 1 critical, 0 marginal, -1 negligible.
    pub mask: DynTensor,
    /// The critical blocks of each row of the mask.
    pub lists: Lists,
}

/// Keys as the router takes them.
#[derive(Clone, Copy)]
pub(super) enum Keys<'a> {
    /// `[B, H, Lk, D]`.
    Tokens(&'a DynTensor),
    /// The mean of each block, `[B, H, N, D]` f32.
    Means(&'a DynTensor),
}

/// Rows and keys that one step of a kernel works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub q: usize,
    pub k: usize,
}

/// With fewer keys the linear branch stays in f32.
pub(super) const FEW_KEYS: usize = 64;

/// Edge of the score tiles.
const TILE: usize = 64;

/// Elements of the rows that a program of the selection works on.
const ELEMENTS: usize = 4096;

impl Sla {
    /// The router's mask for `q` `[B, H, Lq, D]` and `k` `[B, H, Lk, D]`, and the lists of its rows.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn route(&self, q: &DynTensor, k: &DynTensor) -> Result<Routed, RuntimeError> {
        rank_4(&[("q", q), ("k", k)])?;
        self.route_in(&mut Buffers::once(&self.device), ["index", "count"], q, Keys::Tokens(k))
    }

    /// The mask and its lists, in tensors of the names given.
    pub(super) fn route_in(
        &self,
        buffers: &mut Buffers,
        [index, count]: [&'static str; 2],
        q: &DynTensor,
        keys: Keys<'_>,
    ) -> Result<Routed, RuntimeError> {
        let blocks = self.config.blocks();
        let [b, h, lq, d] = [0, 1, 2, 3].map(|axis| q.shape()[axis]);
        let m = lq.div_ceil(blocks.q());
        let mut queries = buffers.take("pooled queries", Elem::F32, &[b, h, m, d])?;
        let (t, d_const) = (elem("T", q.elem()), size("D", d));
        let (keys, own) = match keys {
            Keys::Means(keys) => {
                let consts = [t, size("BLOCK", blocks.q()), d_const];
                run(&self.device, &router::pool_blocks, &consts, &[read(q), write(&mut queries)])?;
                (keys.clone(), false)
            }
            Keys::Tokens(k) => {
                let n = k.shape()[2].div_ceil(blocks.k());
                let mut keys = buffers.take("routed keys", Elem::F32, &[b, h, n, d])?;
                let consts = [t, size("BQ", blocks.q()), size("BK", blocks.k()), d_const];
                let args = [read(q), read(k), write(&mut queries), write(&mut keys)];
                run(&self.device, &router::pool_queries_and_keys, &consts, &args)?;
                drop(args);
                (keys, true)
            }
        };
        let n = keys.shape()[2];
        let mut scores = buffers.take("scores", Elem::F32, &[b, h, m, n])?;
        let consts = [size("TILE", TILE), d_const];
        run(
            &self.device,
            &router::block_scores,
            &consts,
            &[read(&queries), read(&keys), write(&mut scores)],
        )?;
        buffers.give("pooled queries", queries);
        if own {
            buffers.give("routed keys", keys);
        }
        let forced = self.forced(buffers, b, h, m, n)?;
        let counts = self.config.counts(n);
        let mut mask = buffers.take("mask", Elem::I8, &[b, h, m, n])?;
        let mut index = buffers.take(index, Elem::I32, &[b, h, m, n])?;
        let mut count = buffers.take(count, Elem::I32, &[b, h, m])?;
        let [r, w] = rows(n, 1);
        let consts =
            [r, w, switch("LOW", counts.negligible > 0), switch("FORCED", !self.config.forced().is_empty())];
        let bits = scores.bits(Elem::I32)?;
        let args = [
            read(&bits),
            read(&forced),
            write(&mut mask),
            write(&mut index),
            write(&mut count),
            int(counts.critical),
            int(counts.negligible),
        ];
        run(&self.device, &router::select_blocks, &consts, &args)?;
        drop(args);
        drop(bits);
        buffers.give("scores", scores);
        Ok(Routed { mask, lists: Lists { index, count } })
    }

    /// Forced classes as a `[B, H, M, N]` view, 0 where nothing is forced.
    fn forced(
        &self,
        buffers: &mut Buffers,
        b: usize,
        h: usize,
        m: usize,
        n: usize,
    ) -> Result<DynTensor, RuntimeError> {
        let forced = self.config.forced();
        if forced.is_empty() {
            let any = buffers.unread("forced", Elem::I8, &[1, 1, 1, 1])?;
            return Ok(any.expand(0, b)?.expand(1, h)?.expand(2, m)?.expand(3, n)?);
        }
        let classes = || forced.classes(m, n).iter().map(|&c| c as u8).collect();
        Ok(buffers.fixed("forced", Elem::I8, &[1, 1, m, n], classes)?.expand(0, b)?.expand(1, h)?)
    }

    /// The tiles that kernels of attention use: the configured blocks, or 64 by 64 where a GPU has not the registers for more (more than 64
    /// features, and no roles that have a multiprocessor's registers to themselves).
    pub(super) fn tiles(&self, elem: Elem, d: usize, keys: usize) -> Tiles {
        let blocks = self.config.blocks();
        let linear = self.config.scope() != Scope::None;
        let roles = self.on_hopper() && elem.is_half() && (self.halves(elem, keys) || !linear);
        if matches!(self.device.target(), Some(Target::Cuda(_))) && d * self.parts() > 64 && !roles {
            return Tiles { q: 64, k: 64 };
        }
        Tiles { q: blocks.q(), k: blocks.k() }
    }

    pub(super) fn on_hopper(&self) -> bool {
        self.device.target() == Some(Target::Cuda(Arch::Sm90a))
    }

    /// Whether the linear branch multiplies in halves: in bf16, of which a state does not leave the range, unless its features are projected or keys are so few
    /// that gradients all but cancel.
    fn halves(&self, elem: Elem, keys: usize) -> bool {
        let can = elem == Elem::BF16 && self.config.phi() != FeatureMap::Hedgehog && keys >= FEW_KEYS;
        can && self.half_states.unwrap_or_else(|| self.on_hopper())
    }

    /// The type in which features are multiplied by states.
    pub(super) fn folded_elem(&self, elem: Elem, keys: usize) -> Elem {
        if self.halves(elem, keys) { elem } else { Elem::F32 }
    }

    /// The blocks that have a state each: the configured ones, or the tiles where a GPU has not the shared memory for more (f32 at D = 128).
    pub(super) fn state_blocks(&self, elem: Elem, d: usize, keys: usize) -> Tiles {
        let blocks = self.config.blocks();
        if elem == Elem::F32 { self.tiles(elem, d, keys) } else { Tiles { q: blocks.q(), k: blocks.k() } }
    }

    /// The mask over `tiles`, which divide the configured blocks: every part of a block has the block's class.
    pub(super) fn refine(
        &self,
        buffers: &mut Buffers,
        name: &'static str,
        mask: &DynTensor,
        tiles: Tiles,
        queries: usize,
        keys: usize,
    ) -> Result<DynTensor, RuntimeError> {
        let blocks = self.config.blocks();
        let (rq, rk) = (blocks.q() / tiles.q, blocks.k() / tiles.k);
        if (rq, rk) == (1, 1) {
            return Ok(mask.clone());
        }
        let (b, h) = (mask.shape()[0], mask.shape()[1]);
        let shape = [b, h, queries.div_ceil(tiles.q), keys.div_ceil(tiles.k)];
        let mut fine = buffers.take(name, Elem::I8, &shape)?;
        let consts = [size("RQ", rq), size("RK", rk)];
        run(&self.device, &mask_lists::refine_mask, &consts, &[read(mask), write(&mut fine)])?;
        Ok(fine)
    }

    /// Lists of the critical columns of each row of a mask, which may be a view.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn lists(&self, mask: &DynTensor) -> Result<Lists, RuntimeError> {
        self.lists_in(&mut Buffers::once(&self.device), ["index", "count"], mask)
    }

    /// As [`Sla::lists`]; the names are those of indices and counts.
    pub(super) fn lists_in(
        &self,
        buffers: &mut Buffers,
        [index, count]: [&'static str; 2],
        mask: &DynTensor,
    ) -> Result<Lists, RuntimeError> {
        rank_4(&[("the mask", mask)])?;
        let [b, h, m, n] = [0, 1, 2, 3].map(|axis| mask.shape()[axis]);
        // Rows that are neighbours in memory are read together, by another kernel than others.
        let words = if specialises(&self.device) { mask.transpose(2, 3)?.words(Elem::I32) } else { None };
        let (mask, s) = match words {
            Some(words) => (words.transpose(2, 3)?, Elem::I32.bytes()),
            None => (mask.clone(), 1),
        };
        let mut index = buffers.take(index, Elem::I32, &[b, h, m / s, s, n])?.permute(&[0, 1, 3, 2, 4])?;
        let mut count = buffers.take(count, Elem::I32, &[b, h, m / s, s])?.permute(&[0, 1, 3, 2])?;
        let [r, w] = rows(n, s);
        let consts = [elem("T", mask.elem()), size("S", s), r, w];
        let args = [read(&mask), write(&mut index), write(&mut count)];
        run(&self.device, &mask_lists::mask_lists, &consts, &args)?;
        drop(args);
        let index = index.permute(&[0, 1, 3, 2, 4])?.reshape(&[b, h, m, n])?;
        let count = count.permute(&[0, 1, 3, 2])?.reshape(&[b, h, m])?;
        Ok(Lists { index, count })
    }
}

/// How many whole rows of `n` blocks, or of that many blocks of `s` rows each, a program takes, and the power of two that they are padded to: the same number of
/// elements for all lengths.
pub(super) fn rows(n: usize, s: usize) -> [(&'static str, Const); 2] {
    let width = n.next_power_of_two().max(64);
    [size("R", (ELEMENTS / (width * s)).clamp(1, 8)), size("W", width)]
}
