//! Which kernels are shipped: those that the operator launches with softmax features in bf16, for 64 to 131,072 tokens.
//!
//! Lengths matter twice: in what a kernel may assume, where one that assumes nothing serves every length, and in constants of the router, which has rows of
//! blocks padded to powers of two. Nothing here is compiled.

use crate::attention::module::{Sla, Weights};
use crate::attention::{Blocks, Config, Scope};
use sla_codegen::Arch;
use sla_dsl::ir::Elem;
use sla_runtime::bundle::Plan;
use sla_runtime::{Device, DynTensor, RuntimeError};

/// Which settings of the operator are planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the linear branch sums over.
    pub scopes: Vec<Scope>,
    /// Tokens of a block.
    pub blocks: Vec<Blocks>,
    /// Columns of a head.
    pub dims: Vec<usize>,
}

impl Settings {
    /// What is embedded.
    pub fn shipped() -> Settings {
        Settings {
            scopes: vec![Scope::All, Scope::Marginal],
            blocks: Blocks::EVERY.to_vec(),
            dims: vec![64, 128],
        }
    }
}

/// Tokens in which everything but the router's rows is as in longer problems.
const TOKENS: usize = 4096;

/// Tokens for each wider row of the router.
const WIDER: [usize; 5] = [2 * TOKENS, 4 * TOKENS, 8 * TOKENS, 16 * TOKENS, 32 * TOKENS];

/// Heads that are so many that their sums are made another way.
const MANY: [usize; 2] = [80, 300];

/// Tokens of a last block that is not full, though everything is at multiples of 16 bytes.
const MISSING: usize = 8;

/// Tokens less than whole blocks, of which nothing is a multiple of anything: what is right for such a problem is right for all.
const ODD: usize = 64 * 3 + 37;

/// Heads and tokens: whole blocks, a last one that is not full, and odd ones; for rows that are wider, where they make a difference, and for many heads. What is
/// for every GPU has the odd ones alone.
fn problems(arch: Arch, rows: bool) -> Vec<[usize; 2]> {
    let mut all = vec![[1, TOKENS], [1, TOKENS - MISSING], [1, TOKENS - ODD]];
    all.extend(MANY.map(|heads| [heads, 1024 - ODD]));
    if rows {
        all.extend(WIDER.iter().flat_map(|tokens| [[1, *tokens], [1, tokens - ODD]]));
    }
    all.retain(|[_, tokens]| arch != Arch::Sm80 || tokens % 64 == 64 - ODD % 64);
    all
}

/// Notes the kernels of forwards, with and without a backward, and of backwards for an architecture.
///
/// # Errors
/// What a launch reports.
pub fn plan(arch: Arch, settings: &Settings) -> Result<Plan, RuntimeError> {
    let plan = Plan::new(arch);
    let device = plan.device();
    for &scope in &settings.scopes {
        // The default shares: what is negligible is a class of its own only where there is some.
        let shares = Config::default();
        for &blocks in &settings.blocks {
            let config = Config::new(scope, shares.critical(), shares.negligible()).with_blocks(blocks);
            let sla = Sla::new(&device, config);
            for (n, &dim) in settings.dims.iter().enumerate() {
                // The router's rows know nothing of columns.
                for [heads, tokens] in problems(arch, n == 0) {
                    go_through(&sla, &device, [1, heads, tokens, dim])?;
                }
            }
        }
    }
    Ok(plan)
}

/// Launches everything of one problem, with a projection.
fn go_through(sla: &Sla, device: &Device, shape: [usize; 4]) -> Result<(), RuntimeError> {
    let dim = shape[3];
    let new = |shape: &[usize], elem| DynTensor::zeros(device, elem, shape);
    let tensor = || new(&shape, Elem::BF16);
    let (q, k, v, grad) = (tensor()?, tensor()?, tensor()?, tensor()?);
    let (projection, bias) = (new(&[dim, dim], Elem::F32)?, new(&[dim], Elem::F32)?);
    let weights = Weights { projection: Some(projection), bias: Some(bias), phi: None };
    sla.infer(&q, &k, &v, &weights, None)?;
    let forward = sla.forward(&q, &k, &v, &weights, None)?;
    sla.backward(&q, &k, &v, &forward, &grad)?;
    Ok(())
}
