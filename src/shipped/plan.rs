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

/// Blocks of 64 tokens for each width of the router's rows.
const WIDTHS: [usize; 6] = [64, 128, 256, 512, 1024, 2048];

/// Heads for each way in which states are summed.
const HEADS: [usize; 3] = [1, 80, 300];

/// Tokens of the problems that have so many heads.
const FEW: usize = 1024;

/// Tokens of a last block that is not full, though everything is at multiples of 16 bytes.
const MISSING: usize = 8;

/// Heads and tokens: of whole blocks, of the same less a few tokens, and of sizes that nothing divides, of which every other problem is a better case. What is
/// for every GPU has the last alone.
fn problems(arch: Arch) -> impl Iterator<Item = [usize; 2]> {
    let sizes = WIDTHS.map(|w| [1, 64 * w]).into_iter().chain(HEADS.map(|heads| [heads, FEW]));
    let first = if arch == Arch::Sm80 { 2 } else { 0 };
    let kinds = |[heads, tokens]: [usize; 2]| [0, MISSING, 64 * 3 + 37].map(|less| [heads, tokens - less]);
    sizes.flat_map(move |size| kinds(size).into_iter().skip(first))
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
            for &dim in &settings.dims {
                for [heads, tokens] in problems(arch) {
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
