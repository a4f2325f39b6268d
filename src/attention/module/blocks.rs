//! Routing and block lists on the device.

use super::Sla;
use super::run::{elem, int, read, run, size, switch, write};
use super::shapes::rank_4;
use crate::attention::config::FeatureMap;
use crate::kernels::{mask_lists, router};
use sla_codegen::{Arch, Target};
use sla_dsl::ir::Elem;
use sla_dsl::launch::Space;
use sla_runtime::{DynTensor, RuntimeError};

/// The critical blocks of each row of a mask.
#[derive(Clone, Debug)]
pub struct Lists {
    /// `[B, H, rows, columns]` i32: the first `count` entries of a row are columns, ascending.
    pub index: DynTensor,
    /// `[B, H, rows]` i32.
    pub count: DynTensor,
}

/// Rows and keys that one step of a kernel works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub q: usize,
    pub k: usize,
}

/// Edge of the score tiles.
const TILE: usize = 64;

impl Sla {
    /// The router's mask `[B, H, M, N]` i8 for `q` `[B, H, Lq, D]` and `k` `[B, H, Lk, D]`.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn route(&self, q: &DynTensor, k: &DynTensor) -> Result<DynTensor, RuntimeError> {
        rank_4(&[("q", q), ("k", k)])?;
        let (b, h, d) = (q.shape()[0], q.shape()[1], q.shape()[3]);
        let blocks = self.config.blocks();
        let pool = |x: &DynTensor, block: usize| {
            let mut pooled = self.zeros(&[b, h, x.shape()[2].div_ceil(block), d])?;
            let consts = [elem("T", x.elem()), size("BLOCK", block), size("D", d)];
            run(&self.device, &router::pool_blocks, &consts, &[read(x), write(&mut pooled)])?;
            Ok::<_, RuntimeError>(pooled)
        };
        let (qp, kp) = (pool(q, blocks.q())?, pool(k, blocks.k())?);
        let (m, n) = (qp.shape()[2], kp.shape()[2]);
        let mut scores = self.zeros(&[b, h, m, n])?;
        let consts = [size("TILE", TILE), size("D", d)];
        run(&self.device, &router::block_scores, &consts, &[read(&qp), read(&kp), write(&mut scores)])?;
        let forced = self.forced(b, h, m, n)?;
        let counts = self.config.counts(n);
        let mut mask = self.of(Elem::I8, &[b, h, m, n])?;
        let consts = [size("TILE", TILE), switch("FORCED", !self.config.forced().is_empty())];
        let args =
            [read(&scores), read(&forced), write(&mut mask), int(counts.critical), int(counts.negligible)];
        run(&self.device, &router::select_blocks, &consts, &args)?;
        Ok(mask)
    }

    /// Forced classes as a `[B, H, M, N]` view of one `[1, 1, M, N]` tensor, 0 where nothing is forced.
    fn forced(&self, b: usize, h: usize, m: usize, n: usize) -> Result<DynTensor, RuntimeError> {
        let classes: Vec<u8> = self.config.forced().classes(m, n).iter().map(|&c| c as u8).collect();
        let one = DynTensor::from_bytes(&self.device, Elem::I8, &[1, 1, m, n], &classes)?;
        Ok(one.expand(0, b)?.expand(1, h)?)
    }

    /// The tiles that kernels of attention use: the configured blocks, or 64 by 64 where a GPU has not the registers for more (more than 64
    /// features).
    pub(super) fn tiles(&self, d: usize) -> Tiles {
        let blocks = self.config.blocks();
        if self.device.space() != Space::Host && d * self.parts() > 64 {
            return Tiles { q: 64, k: 64 };
        }
        Tiles { q: blocks.q(), k: blocks.k() }
    }

    /// The tiles of the forward: those of attention, or the configured blocks where it runs by roles.
    pub(super) fn forward_tiles(&self, elem: Elem, d: usize) -> Tiles {
        let blocks = self.config.blocks();
        if self.by_roles(elem) { Tiles { q: blocks.q(), k: blocks.k() } } else { self.tiles(d) }
    }

    /// Whether the forward runs by roles: in bf16 on Hopper, unless features are projected. In f16 a state does not fit the type's range.
    fn by_roles(&self, elem: Elem) -> bool {
        self.device.target() == Some(Target::Cuda(Arch::Sm90a))
            && elem == Elem::BF16
            && self.config.phi() != FeatureMap::Hedgehog
    }

    /// The type in which the forward multiplies features by states: halves where it runs by roles.
    pub(super) fn folded_elem(&self, elem: Elem) -> Elem {
        if self.by_roles(elem) { Elem::BF16 } else { Elem::F32 }
    }

    /// The blocks that have a state each: the configured ones, or the tiles where a GPU has not the shared memory for more (f32 at D = 128).
    pub(super) fn state_blocks(&self, elem: Elem, d: usize) -> Tiles {
        let blocks = self.config.blocks();
        if elem == Elem::F32 { self.tiles(d) } else { Tiles { q: blocks.q(), k: blocks.k() } }
    }

    /// The mask over `tiles`, which divide the configured blocks: every part of a block has the block's class.
    pub(super) fn refine(
        &self,
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
        let mut fine = self.of(Elem::I8, &[b, h, queries.div_ceil(tiles.q), keys.div_ceil(tiles.k)])?;
        let consts = [size("RQ", rq), size("RK", rk)];
        run(&self.device, &mask_lists::refine_mask, &consts, &[read(mask), write(&mut fine)])?;
        Ok(fine)
    }

    /// Lists of the critical columns of each row of a mask, which may be a view.
    ///
    /// # Errors
    /// What a launch reports.
    pub fn lists(&self, mask: &DynTensor) -> Result<Lists, RuntimeError> {
        rank_4(&[("the mask", mask)])?;
        let mut index = self.of(Elem::I32, mask.shape())?;
        let mut count = self.of(Elem::I32, &mask.shape()[..3])?;
        run(&self.device, &mask_lists::mask_lists, &[], &[read(mask), write(&mut index), write(&mut count)])?;
        Ok(Lists { index, count })
    }
}
