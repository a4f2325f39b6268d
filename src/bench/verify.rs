//! Whether a measured kernel is right: sampled tiles against float64 on the host, and everything else written and finite.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;
use serde::Serialize;
use sla_runtime::{DynTensor, RuntimeError};
use thiserror::Error;

use super::case::{Shape, Work};
use super::problem::Problem;
use crate::attention::Dtype;
use crate::attention::compare::{relative_error, tolerance};
use crate::attention::random::Random;

/// Heads, tiles of each and queries of a tile, of attention; rows of a product.
const HEADS: usize = 3;
const TILES: usize = 4;
const TILE: usize = 128;
const ROWS: usize = 16;

/// Part of the right answer.
struct Sample {
    /// A range of every axis of the output but the last.
    place: Vec<Range<usize>>,
    out: Vec<f64>,
    lse: Vec<f64>,
}

/// Part of the right answer to a problem, in float64.
pub struct Expected(Vec<Sample>);

/// Relative L2 errors over all samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Errors {
    /// Of the output.
    pub out: f64,
    /// Of the logarithms of the sums, where there are any.
    pub lse: Option<f64>,
    /// The largest allowed.
    pub tolerance: f64,
}

/// An answer that cannot be accepted.
#[derive(Debug, Error)]
pub enum Wrong {
    /// A device that fails.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A number that is none.
    #[error("{what} has a number that is not finite, at row {row}")]
    NotFinite {
        /// The output.
        what: &'static str,
        /// Its row, all axes but the last counted on.
        row: usize,
    },
    /// Nothing was stored.
    #[error("{what} was not written at row {row}")]
    Unwritten {
        /// The output.
        what: &'static str,
        /// Its row, as above.
        row: usize,
    },
    /// Too far from the right answer.
    #[error("{what} is off by {error:.1e}, needed at most {tolerance:.1e}")]
    Off {
        /// The output.
        what: &'static str,
        /// Its relative L2 error.
        error: f64,
        /// What is allowed.
        tolerance: f64,
    },
}

/// Computes samples of the right answer.
///
/// # Errors
/// A device that fails.
pub fn expected(problem: &Problem, seed: u64) -> Result<Expected, RuntimeError> {
    let mut random = Random::new(seed);
    match problem.case.work {
        Work::Matmul([m, ..]) => {
            let mut rows: Vec<usize> = (0..ROWS).map(|_| random.between(0, m - 1)).collect();
            rows.extend([0, m - 1]);
            product(problem, &rows).map(Expected)
        }
        Work::Dense(shape) | Work::Sparse(shape, _) => {
            let (all, tiles) = (shape.batch * shape.heads, shape.length.div_ceil(TILE));
            let mut samples = Vec::new();
            for i in 0..HEADS.min(all) {
                // The first, the last, and one between.
                let head = [0, all - 1, random.between(0, all - 1)][i];
                let drawn: Vec<usize> = (0..TILES).map(|_| random.between(0, tiles - 1)).collect();
                let edge = if i == 0 { 0 } else { tiles - 1 };
                let mut chosen: Vec<usize> = drawn.into_iter().chain([edge]).collect();
                chosen.sort_unstable();
                chosen.dedup();
                samples.extend(attention(problem, shape, head, &chosen)?);
            }
            Ok(Expected(samples))
        }
    }
}

/// Whether the outputs are the right answer.
///
/// # Errors
/// [`Wrong`].
pub fn compare(problem: &Problem, expected: &Expected) -> Result<Errors, Wrong> {
    let out = &problem.outputs[0];
    let bytes = out.to_bytes()?;
    let width = 2 * out.shape().last().copied().unwrap_or(1);
    let halves = |row: &[u8]| row.chunks_exact(2).any(|b| !bf16::from_ne_bytes([b[0], b[1]]).is_finite());
    check_rows("out", &bytes, width, halves)?;
    if let Some(lse) = problem.outputs.get(1) {
        // A sum of exponentials of more than one key is 1 only by a rare chance, and samples would show it.
        let single = |b: &[u8]| !f32::from_ne_bytes([b[0], b[1], b[2], b[3]]).is_finite();
        check_rows("lse", &lse.to_bytes()?, 4, single)?;
    }
    let tolerance = tolerance(Dtype::Bf16);
    let error = |what, output: usize, needed: fn(&Sample) -> &[f64]| {
        let (mut found, mut right) = (Vec::new(), Vec::new());
        for sample in &expected.0 {
            found.extend(part(&problem.outputs[output], &sample.place)?.to_f64()?);
            right.extend_from_slice(needed(sample));
        }
        match relative_error(&found, &right, 0.0) {
            error if error <= tolerance => Ok(error),
            error => Err(Wrong::Off { what, error, tolerance }),
        }
    };
    let lse = match problem.outputs.len() {
        1 => None,
        _ => Some(error("lse", 1, |s| &s.lse)?),
    };
    Ok(Errors { out: error("out", 0, |s| &s.out)?, lse, tolerance })
}

/// Looks at every row of an output.
fn check_rows(
    what: &'static str,
    bytes: &[u8],
    width: usize,
    not_finite: impl Fn(&[u8]) -> bool + Sync,
) -> Result<(), Wrong> {
    let wrong = |(row, bytes): (usize, &[u8])| {
        if bytes.iter().all(|&b| b == 0) {
            Some(Wrong::Unwritten { what, row })
        } else if not_finite(bytes) {
            Some(Wrong::NotFinite { what, row })
        } else {
            None
        }
    };
    bytes.par_chunks(width).enumerate().find_map_first(wrong).map_or(Ok(()), Err)
}

/// A view of ranges of the first axes.
fn part(tensor: &DynTensor, place: &[Range<usize>]) -> Result<DynTensor, RuntimeError> {
    let mut view = tensor.clone();
    for (axis, range) in place.iter().enumerate() {
        view = view.slice(axis, range.clone())?;
    }
    Ok(view)
}

/// Tiles of one head.
fn attention(
    problem: &Problem,
    shape: Shape,
    head: usize,
    tiles: &[usize],
) -> Result<Vec<Sample>, RuntimeError> {
    let (b, h) = (head / shape.heads, head % shape.heads);
    let of_head = [b..b + 1, h..h + 1];
    let [k, v] = [1, 2].map(|i| part(&problem.inputs[i], &of_head).and_then(|t| t.to_f32()));
    let (k, v, c) = (k?, v?, problem.scale() * std::f64::consts::LOG2_E);
    let mut samples = Vec::new();
    for &tile in tiles {
        let queries = tile * TILE..((tile + 1) * TILE).min(shape.length);
        let place = vec![of_head[0].clone(), of_head[1].clone(), queries.clone()];
        let q = part(&problem.inputs[0], &place)?.to_f32()?;
        let rows: Vec<(Vec<f64>, f64)> = (queries.start..queries.end)
            .into_par_iter()
            .map(|row| {
                let q = &q[(row - queries.start) * shape.dim..][..shape.dim];
                match &problem.lists {
                    None => softmax_row(q, &k, &v, c, std::iter::once(0..shape.length)),
                    Some(lists) => {
                        let blocks = lists.of_query(head, row).iter();
                        softmax_row(q, &k, &v, c, blocks.map(|&block| lists.keys(block)))
                    }
                }
            })
            .collect();
        let (out, lse): (Vec<Vec<f64>>, Vec<f64>) = rows.into_iter().unzip();
        samples.push(Sample { place, out: out.concat(), lse });
    }
    Ok(samples)
}

/// One row of attention over ranges of keys, and the base-2 logarithm of its sum; `c` multiplies the logits.
fn softmax_row(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    c: f64,
    keys: impl Iterator<Item = Range<usize>>,
) -> (Vec<f64>, f64) {
    let dim = q.len();
    let q: Vec<f64> = q.iter().map(|&x| f64::from(x) * c).collect();
    let keys: Vec<usize> = keys.flatten().collect();
    let logits: Vec<f64> = keys.iter().map(|&j| dot(&q, &k[j * dim..][..dim])).collect();
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut out, mut sum) = (vec![0.0; dim], 0.0);
    for (&j, logit) in keys.iter().zip(logits) {
        let p = (logit - most).exp2();
        sum += p;
        for (out, &v) in out.iter_mut().zip(&v[j * dim..][..dim]) {
            *out += p * f64::from(v);
        }
    }
    out.iter_mut().for_each(|x| *x /= sum);
    (out, most + sum.log2())
}

/// A sum of products, in eight chains that run side by side.
fn dot(a: &[f64], b: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (sum, (a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * f64::from(b);
        }
    }
    sums.iter().sum()
}

/// Rows of a matrix product.
fn product(problem: &Problem, rows: &[usize]) -> Result<Vec<Sample>, RuntimeError> {
    let b = problem.inputs[1].to_f32()?;
    let n = problem.inputs[1].shape()[1];
    let left = rows.iter().map(|&row| {
        let place = Vec::from([Range { start: row, end: row + 1 }]);
        Ok((part(&problem.inputs[0], &place)?.to_f32()?, place))
    });
    let left = left.collect::<Result<Vec<_>, RuntimeError>>()?;
    let sample = |(a, place): (Vec<f32>, Vec<Range<usize>>)| {
        let mut out = vec![0.0; n];
        for (a, b) in a.iter().zip(b.chunks_exact(n)) {
            out.iter_mut().zip(b).for_each(|(out, &b)| *out += f64::from(*a) * f64::from(b));
        }
        Sample { place, out, lse: Vec::new() }
    };
    Ok(left.into_par_iter().map(sample).collect())
}

#[cfg(test)]
mod tests {
    use super::super::case::{ALL, Sizes};
    use super::super::problem::Operands;
    use super::*;
    use sla_dsl::ir::Elem;
    use sla_runtime::{Device, DynTensor};

    /// A small case that the host has solved.
    fn solved(name: &str) -> (Problem, Expected) {
        let device = Device::cpu();
        let sizes = Sizes { attention: Some([1, 2, 200]), dim: Some(64), matmul: Some([96, 64, 80]) };
        let case = ALL.iter().find(|c| c.name == name).unwrap().at(&sizes);
        let mut problem = Problem::new(case, &mut Operands::new(&device, 3)).unwrap();
        let right = expected(&problem, 3).unwrap();
        let consts = problem.consts(device.target()).0;
        assert!(matches!(compare(&problem, &right), Err(Wrong::Unwritten { what: "out", row: 0 })));
        problem.launch(&consts, &device.options()).unwrap();
        (problem, right)
    }

    /// The problem with values of an output changed.
    fn changed(problem: &mut Problem, output: usize, change: impl Fn(&mut [f32])) {
        let tensor = &problem.outputs[output];
        let mut values = tensor.to_f32().unwrap();
        change(&mut values);
        let (elem, shape) = (tensor.elem(), tensor.shape().to_vec());
        problem.outputs[output] = DynTensor::from_f32(&Device::cpu(), elem, &shape, &values).unwrap();
    }

    #[test]
    fn right_answers_pass_and_wrong_ones_do_not() {
        for name in ["dense", "dense-ragged", "sparse-64x64", "sparse-uneven", "matmul"] {
            let (mut problem, right) = solved(name);
            let errors = compare(&problem, &right).unwrap();
            assert!(errors.out > 0.0 && errors.out <= errors.tolerance, "{name}: {errors:?}");
            assert_eq!(errors.lse.is_some(), name != "matmul");
            changed(&mut problem, 0, |v| v.iter_mut().for_each(|x| *x *= 1.02));
            let wrong = compare(&problem, &right).unwrap_err();
            assert!(matches!(wrong, Wrong::Off { what: "out", .. }), "{name}: {wrong}");
            changed(&mut problem, 0, |v| v[5 * 64 + 3] = f32::NAN);
            let wrong = compare(&problem, &right).unwrap_err();
            assert!(matches!(wrong, Wrong::NotFinite { what: "out", row: 5 }), "{name}: {wrong}");
            changed(&mut problem, 0, |v| v[7 * 64..8 * 64].fill(0.0));
            changed(&mut problem, 0, |v| v[5 * 64 + 3] = 1.0);
            let wrong = compare(&problem, &right).unwrap_err();
            assert!(matches!(wrong, Wrong::Unwritten { what: "out", row: 7 }), "{name}: {wrong}");
        }
    }

    #[test]
    fn sums_are_looked_at_as_well() {
        let (mut problem, right) = solved("sparse");
        changed(&mut problem, 1, |v| v.iter_mut().for_each(|x| *x += 1.0));
        assert!(matches!(compare(&problem, &right), Err(Wrong::Off { what: "lse", .. })));
        assert_eq!(problem.outputs[1].elem(), Elem::F32);
    }
}
