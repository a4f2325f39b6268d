//! Whether what is measured is right: sampled tiles against float64 on the host, and everything else written and finite.
//!
//! `rows` has the samples of attention and of products, `gradients` those of its gradients; `whole` looks at calls of the operator.

mod gradients;
mod rows;
mod whole;

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;
use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};
use thiserror::Error;

use super::case::{Pass, Work};
use super::problem::Problem;
use super::shape::Shape;
use crate::attention::compare::{Measured, relative_error, tolerance};
use crate::attention::random::Random;
use crate::attention::{Dtype, OperatorError};

/// Heads, tiles of each and queries of a tile, of attention; rows of a product.
const HEADS: usize = 3;
const TILES: usize = 4;
const TILE: usize = 128;
const ROWS: usize = 16;

/// Part of a right answer.
struct Sample {
    /// The output.
    what: &'static str,
    /// A range of every axis of the output but the last.
    place: Vec<Range<usize>>,
    right: Vec<f64>,
}

/// Part of the right answer to a problem, in float64.
pub struct Expected(Vec<Sample>);

/// An answer that cannot be accepted.
#[derive(Debug, Error)]
pub enum Wrong {
    /// A device that fails.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The operator at small sizes.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A small problem of the operator that cannot be made.
    #[error("a small problem cannot be made: {0}")]
    Small(String),
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
    /// A list that is not that of the mask.
    #[error("{what} is wrong at row {row}")]
    List {
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

/// Computes samples of the right answer to a problem that has started. Of the operator it runs a small problem, and is asked what it gave.
///
/// # Errors
/// A device that fails; the operator, where it is wrong at small sizes.
pub fn expected(problem: &Problem, seed: u64) -> Result<Expected, Wrong> {
    let mut random = Random::new(seed);
    let samples = match (problem.case.work, problem.case.pass) {
        (Work::Matmul([m, ..]), _) => {
            let mut chosen: Vec<usize> = (0..ROWS).map(|_| random.between(0, m - 1)).collect();
            chosen.extend([0, m - 1]);
            rows::product(problem, &chosen)?
        }
        (Work::Dense(shape) | Work::Sparse(shape, _), pass) => {
            let mut samples = Vec::new();
            // Gradients take several products more, and blocks of keys meet queries of the whole length.
            let most = if pass == Pass::Fwd { HEADS } else { HEADS - 1 };
            for (head, tiles) in places(shape, most, &mut random) {
                samples.extend(match pass {
                    Pass::Fwd => rows::attention(problem, shape, head, &tiles)?,
                    Pass::Bwd => gradients::attention(problem, shape, head, &tiles)?,
                });
            }
            samples
        }
        (Work::Module(..), _) => Vec::new(),
    };
    Ok(Expected(samples))
}

/// The heads that are looked at and tiles of each: the first head, the last, and one between; an edge and some drawn.
fn places(shape: Shape, most: usize, random: &mut Random) -> Vec<(usize, Vec<usize>)> {
    let (all, tiles) = (shape.batch * shape.heads, shape.length.div_ceil(TILE));
    let of = |i: usize| {
        let head = [0, all - 1, random.between(0, all - 1)][i];
        let drawn: Vec<usize> = (0..TILES).map(|_| random.between(0, tiles - 1)).collect();
        let edge = if i == 0 { 0 } else { tiles - 1 };
        let mut chosen: Vec<usize> = drawn.into_iter().chain([edge]).collect();
        chosen.sort_unstable();
        chosen.dedup();
        (head, chosen)
    };
    (0..most.min(all)).map(of).collect()
}

/// Whether what a problem gave is the right answer; how far each output is from it.
///
/// # Errors
/// [`Wrong`].
pub fn compare(problem: &Problem, expected: &Expected) -> Result<Vec<Measured>, Wrong> {
    if let Some(call) = problem.whole() {
        return whole::compare(call);
    }
    let outputs: Vec<&'static str> = problem.steps.iter().flat_map(|step| step.writes()).collect();
    for &what in &outputs {
        // A block of keys that no block of queries has in its list gets nothing.
        let nothing = |row: usize| match (problem.case.work, &problem.lists) {
            (Work::Sparse(shape, of), Some(lists)) if what == "grad_k" || what == "grad_v" => {
                !lists.has_block(row / shape.length, row % shape.length / of.bk)
            }
            _ => false,
        };
        if let Some(tensor) = problem.tensor(what) {
            check_rows(what, tensor, nothing)?;
        }
    }
    let (tolerance, mut measured) = (tolerance(Dtype::Bf16), Vec::new());
    // What the forward gave is looked at in samples of gradients too.
    for &what in ["lse", "out"].iter().chain(&outputs).filter(|what| problem.tensor(what).is_some()) {
        let (mut found, mut right) = (Vec::new(), Vec::new());
        for sample in expected.0.iter().filter(|sample| sample.what == what) {
            if let Some(tensor) = problem.tensor(what) {
                found.extend(part(tensor, &sample.place)?.to_f64()?);
            }
            right.extend_from_slice(&sample.right);
        }
        let error = relative_error(&found, &right, 0.0);
        if right.is_empty() || measured.iter().any(|m: &Measured| m.name == what) {
            continue;
        } else if error > tolerance {
            return Err(Wrong::Off { what, error, tolerance });
        }
        measured.push(Measured { name: what, error, tolerance });
    }
    Ok(measured)
}

/// Looks at every row of an output; those that are right with `nothing` may be zeros.
fn check_rows(
    what: &'static str,
    tensor: &DynTensor,
    nothing: impl Fn(usize) -> bool + Sync,
) -> Result<(), Wrong> {
    let (bytes, half) = (tensor.to_bytes()?, tensor.elem() == Elem::BF16);
    // Logarithms and row sums are a number a row, which is 0 only by a rare chance.
    let numbers =
        if half || tensor.shape().len() > 3 { tensor.shape().last().copied().unwrap_or(1) } else { 1 };
    let width = tensor.elem().bytes() * numbers;
    let finite = |row: &[u8]| match half {
        true => row.chunks_exact(2).all(|b| bf16::from_ne_bytes([b[0], b[1]]).is_finite()),
        false => row.chunks_exact(4).all(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]).is_finite()),
    };
    let wrong = |(row, bytes): (usize, &[u8])| {
        if bytes.iter().all(|&b| b == 0) {
            (!nothing(row)).then_some(Wrong::Unwritten { what, row })
        } else if !finite(bytes) {
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

/// A problem's tensor or a part of it, on the host in f32; nothing where there is no such tensor.
fn values(problem: &Problem, name: &str, place: &[Range<usize>]) -> Result<Vec<f32>, RuntimeError> {
    problem.tensor(name).map_or(Ok(Vec::new()), |t| part(t, place)?.to_f32())
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

#[cfg(test)]
mod tests {
    use super::super::case::Sizes;
    use super::super::cases::ALL;
    use super::super::problem::{Operands, Prepared};
    use super::super::variant::Variant;
    use super::*;
    use sla_runtime::Device;

    /// A small case that the host has solved.
    fn solved(name: &str) -> (Problem, Expected) {
        let device = Device::cpu();
        let sizes = Sizes { attention: Some([1, 2, 200]), dim: Some(64), matmul: Some([96, 64, 80]) };
        let case = ALL.iter().find(|c| c.name == name).unwrap().at(&sizes);
        let mut problem = Problem::new(case, &mut Operands::new(&device, 3)).unwrap();
        problem.start().unwrap();
        let right = expected(&problem, 3).unwrap();
        let prepared: Prepared = Variant::default().apply(&case, &device.options()).unwrap();
        let first = problem.steps[0].writes().next().unwrap();
        let wrong = compare(&problem, &right).unwrap_err();
        assert!(matches!(wrong, Wrong::Unwritten { what, row: 0 } if what == first), "{name}: {wrong}");
        problem.launch(&prepared).unwrap();
        (problem, right)
    }

    /// Values of an output changed.
    fn changed(problem: &mut Problem, output: &'static str, change: impl Fn(&mut [f32])) {
        let tensor = problem.tensor(output).unwrap();
        let mut values = tensor.to_f32().unwrap();
        change(&mut values);
        let (elem, shape) = (tensor.elem(), tensor.shape().to_vec());
        problem.replace(output, DynTensor::from_f32(&Device::cpu(), elem, &shape, &values).unwrap());
    }

    #[test]
    fn right_answers_pass_and_wrong_ones_do_not() {
        let forward = ["dense", "dense-ragged", "sparse-64x64", "sparse-uneven", "matmul"];
        let two =
            ["dense-bwd-reproducible", "sparse-bwd", "sparse-bwd-64x64", "sparse-bwd-128x128-reproducible"];
        let fused = ["dense-bwd", "sparse-bwd-128x128"];
        let all = forward.map(|name| (name, "out")).into_iter();
        let grads = ["grad_q", "grad_k", "grad_v"].into_iter().cycle();
        for (name, what) in all.chain(two.into_iter().zip(grads)).chain(fused.map(|name| (name, "grad_q"))) {
            let (mut problem, right) = solved(name);
            let measured = compare(&problem, &right).unwrap();
            assert!(measured.iter().all(|m| m.error > 0.0 && m.passes()), "{name}: {measured:?}");
            assert!(measured.iter().any(|m| m.name == what), "{name}: {measured:?}");
            assert_eq!(measured.iter().any(|m| m.name == "lse"), name != "matmul");
            let row = problem.tensor(what).unwrap().shape().last().copied().unwrap();
            let original = problem.tensor(what).unwrap().clone();
            changed(&mut problem, what, |v| v.iter_mut().for_each(|x| *x *= 1.02));
            let wrong = compare(&problem, &right).unwrap_err();
            assert!(matches!(wrong, Wrong::Off { what: w, .. } if w == what), "{name}: {wrong}");
            problem.replace(what, original);
            // A row that is written, as lists of few blocks leave some that are not.
            let values = problem.tensor(what).unwrap().to_f32().unwrap();
            let at = values.chunks(row).position(|row| row.iter().any(|&x| x != 0.0)).unwrap();
            changed(&mut problem, what, |v| v[at * row + 3] = f32::NAN);
            let wrong = compare(&problem, &right).unwrap_err();
            assert!(matches!(wrong, Wrong::NotFinite { what: w, row } if (w, row) == (what, at)), "{wrong}");
            changed(&mut problem, what, |v| v[at * row..][..row].fill(0.0));
            let wrong = compare(&problem, &right).unwrap_err();
            assert!(matches!(wrong, Wrong::Unwritten { what: w, row } if (w, row) == (what, at)), "{wrong}");
        }
    }

    #[test]
    fn sums_are_looked_at_as_well() {
        let (mut problem, right) = solved("sparse");
        changed(&mut problem, "lse", |v| v.iter_mut().for_each(|x| *x += 1.0));
        assert!(matches!(compare(&problem, &right), Err(Wrong::Off { what: "lse", .. })));
        assert_eq!(problem.tensor("lse").unwrap().elem(), Elem::F32);
        let (mut problem, right) = solved("sparse-bwd");
        changed(&mut problem, "delta", |v| v.iter_mut().for_each(|x| *x *= 1.1));
        assert!(matches!(compare(&problem, &right), Err(Wrong::Off { what: "delta", .. })));
    }
}
