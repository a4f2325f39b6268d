//! Fitting the projection: gradient descent on the distance to dense attention, through the operator's backward kernels.

use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};

use super::problem::HEAD_DIM;
use crate::attention::module::{Sla, Weights};
use crate::attention::random::Random;

/// A projection on the host: `x W^T + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// `W`, `[D, D]`.
    pub weight: Vec<f32>,
    /// `b`, `[D]`.
    pub bias: Vec<f32>,
}

impl Projection {
    /// The start: zero, as in fine-tuning.
    pub fn zero() -> Projection {
        Projection { weight: vec![0.0; HEAD_DIM * HEAD_DIM], bias: vec![0.0; HEAD_DIM] }
    }

    /// The same on the operator's device.
    ///
    /// # Errors
    /// No memory left.
    pub fn upload(&self, sla: &Sla) -> Result<Weights, RuntimeError> {
        let upload = |shape: &[usize], values| DynTensor::from_f32(sla.device(), Elem::F32, shape, values);
        let projection = Some(upload(&[HEAD_DIM, HEAD_DIM], &self.weight)?);
        Ok(Weights { projection, bias: Some(upload(&[HEAD_DIM], &self.bias)?), phi: None })
    }
}

/// What the projection learns from: some blocks of queries over all keys of a problem, and dense attention's answer to them.
pub struct Lesson {
    /// Queries `[blocks, bq, D]`.
    pub q: Vec<f32>,
    /// Keys `[1, 1, Lk, D]` on the device.
    pub k: DynTensor,
    /// Values `[1, 1, Lk, D]` on the device.
    pub v: DynTensor,
    /// Rows `[blocks, N]` of the block mask.
    pub mask: Vec<i8>,
    /// Dense attention's output `[blocks, bq, D]`.
    pub dense: Vec<f32>,
}

/// Blocks of queries that a step looks at.
const BATCH: usize = 16;

/// Takes `steps` steps, the first of size `rate` and then smaller along half a cosine, each on some blocks that the seed determines; returns the projection and the loss of every step:
/// squared distance to dense attention over that of its output from zero. `after` is called with every loss.
///
/// # Errors
/// What a launch reports.
pub fn fit(
    sla: &Sla,
    lesson: &Lesson,
    steps: usize,
    rate: f64,
    seed: u64,
    mut after: impl FnMut(f64),
) -> Result<(Projection, Vec<f64>), RuntimeError> {
    let (mut projection, mut losses) = (Projection::zero(), Vec::with_capacity(steps));
    let (mut of_weight, mut of_bias) = (Adam::new(HEAD_DIM * HEAD_DIM), Adam::new(HEAD_DIM));
    let mut random = Random::new(seed);
    for step in 0..steps {
        let batch = lesson.batch(sla, &mut random)?;
        let weights = projection.upload(sla)?;
        let forward = sla.forward(&batch.q, &lesson.k, &lesson.v, &weights, Some(&batch.mask))?;
        let out = forward.out.to_f32()?;
        let loss = Loss::of(&out, &batch.dense);
        let grad_out = DynTensor::from_f32(sla.device(), Elem::F32, batch.q.shape(), &loss.gradient)?;
        let gradients = sla.backward(&batch.q, &lesson.k, &lesson.v, &forward, &grad_out)?;
        let rate = rate * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        of_weight.step(&mut projection.weight, &gradients.projection.to_f32()?, rate);
        of_bias.step(&mut projection.bias, &gradients.bias.to_f32()?, rate);
        losses.push(loss.value);
        after(loss.value);
    }
    Ok((projection, losses))
}

/// Some blocks of a lesson.
struct Batch {
    q: DynTensor,
    mask: DynTensor,
    dense: Vec<f32>,
}

impl Lesson {
    fn batch(&self, sla: &Sla, random: &mut Random) -> Result<Batch, RuntimeError> {
        let size = sla.config().blocks().q() * HEAD_DIM;
        let blocks = self.q.len() / size;
        let columns = self.mask.len() / blocks.max(1);
        let chosen: Vec<usize> = (0..BATCH.min(blocks)).map(|_| random.between(0, blocks - 1)).collect();
        let rows = |values: &[f32]| -> Vec<f32> {
            chosen.iter().flat_map(|&block| &values[block * size..(block + 1) * size]).copied().collect()
        };
        let classes: Vec<u8> = chosen
            .iter()
            .flat_map(|&block| &self.mask[block * columns..(block + 1) * columns])
            .map(|&class| class as u8)
            .collect();
        let shape = [1, 1, chosen.len() * sla.config().blocks().q(), HEAD_DIM];
        Ok(Batch {
            q: DynTensor::from_f32(sla.device(), Elem::F32, &shape, &rows(&self.q))?,
            mask: DynTensor::from_bytes(sla.device(), Elem::I8, &[1, 1, chosen.len(), columns], &classes)?,
            dense: rows(&self.dense),
        })
    }
}

/// A squared distance and what it is the better for.
struct Loss {
    value: f64,
    gradient: Vec<f32>,
}

impl Loss {
    fn of(out: &[f32], dense: &[f32]) -> Loss {
        let norm = dense.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().max(f64::MIN_POSITIVE);
        let differences = || out.iter().zip(dense).map(|(a, b)| f64::from(a - b));
        let gradient = differences().map(|difference| (2.0 * difference / norm) as f32).collect();
        Loss { value: differences().map(|difference| difference.powi(2)).sum::<f64>() / norm, gradient }
    }
}

/// Adam: steps of about `rate` along every parameter, whatever the size of its gradient.
#[derive(Clone, Debug)]
pub struct Adam {
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: i32,
}

impl Adam {
    const MEAN_DECAY: f64 = 0.9;
    const SQUARE_DECAY: f64 = 0.99;

    /// For `count` parameters.
    pub fn new(count: usize) -> Adam {
        Adam { mean: vec![0.0; count], square: vec![0.0; count], steps: 0 }
    }

    /// Moves the parameters against their gradients.
    pub fn step(&mut self, parameters: &mut [f32], gradients: &[f32], rate: f64) {
        self.steps += 1;
        // Both means start at zero; this undoes it.
        let (mean_whole, square_whole) =
            (1.0 - Self::MEAN_DECAY.powi(self.steps), 1.0 - Self::SQUARE_DECAY.powi(self.steps));
        for (i, (parameter, &gradient)) in parameters.iter_mut().zip(gradients).enumerate() {
            let gradient = f64::from(gradient);
            self.mean[i] += (1.0 - Self::MEAN_DECAY) * (gradient - self.mean[i]);
            self.square[i] += (1.0 - Self::SQUARE_DECAY) * (gradient * gradient - self.square[i]);
            let (mean, deviation) = (self.mean[i] / mean_whole, (self.square[i] / square_whole).sqrt());
            // Without any gradient so far there is nowhere to go.
            if deviation > 0.0 {
                *parameter -= (rate * mean / deviation) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_finds_the_bottom_of_a_steep_and_flat_bowl() {
        let bottom = [0.7f32, -1.5, 0.0];
        let steepness = [1e-4f32, 50.0, 0.0];
        let mut at = [0f32, 0.0, 0.0];
        let mut adam = Adam::new(3);
        for step in 0..400 {
            let gradients: Vec<f32> = (0..3).map(|i| steepness[i] * (at[i] - bottom[i])).collect();
            adam.step(&mut at, &gradients, 0.05 * (1.0 - f64::from(step) / 400.0));
        }
        for i in 0..3 {
            assert!((at[i] - bottom[i]).abs() < 1e-2, "{at:?}");
        }
        assert_eq!(at[2], 0.0, "a parameter without a gradient stays");
    }

    #[test]
    fn the_loss_is_relative_and_its_gradient_is_its_slope() {
        let (out, dense) = ([1.0f32, 2.0, 0.5], [1.5f32, 1.0, 2.0]);
        let loss = Loss::of(&out, &dense);
        assert!((loss.value - (0.25 + 1.0 + 2.25) / (2.25 + 1.0 + 4.0)).abs() < 1e-9);
        for i in 0..3 {
            let mut moved = out;
            moved[i] += 1e-2;
            let slope = (Loss::of(&moved, &dense).value - loss.value) / 1e-2;
            assert!((slope - f64::from(loss.gradient[i])).abs() < 5e-3);
        }
    }
}
