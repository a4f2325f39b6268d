//! Random attention problems, each determined by its seed: what `sla check` runs.

use super::random::Random;
use super::tensors::ArrayError;
use super::{
    Array, BlockMask, Blocks, Config, ConfigError, Data, Dims, Dtype, FeatureMap, Forced, Grid, InputError,
    Inputs, Request, Scope, Share,
};

/// The problem of a seed: sizes from one token to a few blocks, every scope, feature map, block shape, head dimension and
/// element type, routed masks, masks with empty rows, forced blocks. All ask for gradients.
///
/// # Errors
/// None is expected; an error means that the operator's own rules refuse what this module draws.
pub fn case(seed: u64) -> Result<Request, CaseError> {
    let mut random = Random::new(seed);
    let dims = Dims {
        batch: random.between(1, 2),
        heads: random.between(1, 3),
        queries: tokens(&mut random),
        keys: tokens(&mut random),
        head_dim: random.pick(&[64, 128]),
    };
    let config = config(&mut random)?;
    let inputs = inputs(&mut random, dims, &config)?;
    Ok(Request::new(config, inputs, true)?)
}

/// Often a few blocks with a ragged tail, at times whole blocks or less than one.
fn tokens(random: &mut Random) -> usize {
    match random.between(0, 5) {
        0 => random.between(1, 63),
        1 => 128 * random.between(1, 3),
        _ => random.between(64, 420),
    }
}

fn config(random: &mut Random) -> Result<Config, ConfigError> {
    let (critical, negligible) = (random.pick(&[0.0, 0.05, 0.3, 0.5, 1.0]), random.pick(&[0.0, 0.1, 0.4]));
    let scope = random.pick(Scope::EVERY);
    let phi = random.pick(FeatureMap::EVERY);
    let eps = random.one_in(4).then_some(0.25);
    let forced = if random.one_in(4) {
        let excluded = vec![(0, 1), (1, 0)];
        Forced { sink_keys: 1, dense_queries: random.between(0, 1), critical: vec![(1, 2)], excluded }
    } else {
        Forced::default()
    };
    let config = Config::new(scope, Share::new(critical)?, Share::new(negligible)?).with_eps(eps)?;
    Ok(config.with_phi(phi).with_blocks(random.pick(&Blocks::EVERY)).with_forced(forced))
}

fn inputs(random: &mut Random, dims: Dims, config: &Config) -> Result<Inputs, CaseError> {
    let Dims { batch, heads, queries, keys, head_dim: d } = dims;
    let dtype = random.pick(&[Dtype::Bf16, Dtype::F16, Dtype::F32]);
    let mut array = |dtype, shape: &[usize], deviation| {
        Array::from_f64(dtype, shape.to_vec(), &random.normals(shape.iter().product(), deviation))
    };
    let over_d = (d as f64).sqrt().recip();
    let mut inputs = Inputs::new(
        array(dtype, &[batch, heads, queries, d], 1.0)?,
        array(dtype, &[batch, heads, keys, d], 1.0)?,
        array(dtype, &[batch, heads, keys, d], 1.0)?,
    );
    inputs.grad_out = Some(array(dtype, &[batch, heads, queries, d], 1.0)?);
    let (weight, bias) = (array(Dtype::F32, &[d, d], over_d)?, array(Dtype::F32, &[d], 1.0)?);
    let phi_weight = array(Dtype::F32, &[heads, d, d], over_d)?;
    inputs.proj_weight = (!random.one_in(6)).then_some(weight);
    inputs.proj_bias = (!random.one_in(6)).then_some(bias);
    inputs.phi_weight = (config.phi() == FeatureMap::Hedgehog && !random.one_in(3)).then_some(phi_weight);
    if random.one_in(3) {
        let mask = mask(random, dims.grid(config.blocks()))?;
        inputs.mask = Some(Array::new(mask.grid().shape().to_vec(), Data::I8(mask.data().to_vec()))?);
    }
    Ok(inputs)
}

/// Random classes, with a third of the rows of one class throughout.
fn mask(random: &mut Random, grid: Grid) -> Result<BlockMask, InputError> {
    let mut classes = Vec::new();
    for _ in 0..grid.bh() * grid.rows {
        let uniform = random.one_in(3).then(|| random.pick(&[1, 0, -1]));
        classes.extend((0..grid.cols).map(|_| uniform.unwrap_or_else(|| random.pick(&[1, 0, -1]))));
    }
    Ok(BlockMask::new(grid, classes)?)
}

/// A random case that the operator's rules refuse.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Tensors.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Shapes.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_determines_its_case_and_many_seeds_cover_every_choice() {
        let (one, other) = (case(7).unwrap(), case(7).unwrap());
        assert_eq!((one.config(), one.inputs()), (other.config(), other.inputs()));
        let mut seen = HashSet::new();
        for request in (0..60).map(|seed| case(seed).unwrap()) {
            seen.insert(request.config().scope().to_string());
            seen.insert(request.config().phi().to_string());
            seen.insert(request.config().blocks().to_string());
            seen.insert(request.inputs().q.dtype().to_string());
            seen.insert(format!("D {}", request.dims().head_dim));
            seen.insert(format!("mask {}", request.mask().is_some()));
            seen.insert(format!("forced {}", !request.config().forced().is_empty()));
        }
        assert_eq!(seen.len(), 4 + 4 + 3 + 3 + 2 + 2 + 2);
    }
}
