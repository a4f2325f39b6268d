//! A back end's answer against the float64 reference on the same mask.
//!
//! The routed mask is judged apart, by the scores of the blocks that were chosen: a back end that scores in float32 may
//! order two blocks of nearly equal score the other way round, and is not wrong.

use serde::Serialize;

use super::mask::{BlockMask, CRITICAL, NEGLIGIBLE};
use super::reference::{Exact, backward, forward, route, scores};
use super::{Answer, Dtype, MaskError, Request};

/// The largest relative L2 error that an output may have when the inputs are of a type.
pub fn tolerance(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Bf16 => 5e-3,
        Dtype::F16 => 8e-4,
        Dtype::F32 | Dtype::I8 => 1e-5,
    }
}

/// How far one output is from the reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The output's name in a tensor file.
    pub name: &'static str,
    /// Relative L2 error; for `mask` the share of rows that the router got wrong. Infinite where the answer has a NaN, or an
    /// infinity that the reference has not.
    pub error: f64,
    /// The largest error allowed.
    pub tolerance: f64,
}

impl Measured {
    /// Whether the error is within the tolerance.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Measures every output of an answer to `request`.
///
/// # Errors
/// [`MaskError`] when the request's mask cannot be made.
pub fn compare(request: &Request, answer: &Answer) -> Result<Vec<Measured>, MaskError> {
    let exact = Exact::of(request);
    let (problem, config) = (exact.problem(), request.config());
    let tolerance = tolerance(request.inputs().q.dtype());
    let mut measured = Vec::new();
    let wrong_rows = match request.mask() {
        Some(given) if *given == answer.mask => 0.0,
        Some(_) => 1.0,
        None => wrong_rows(&exact, request, &answer.mask)?,
    };
    measured.push(Measured { name: "mask", error: wrong_rows, tolerance: 0.0 });
    if answer.mask.grid() != request.grid() {
        return Ok(measured);
    }

    let result = forward(&problem, config, &answer.mask);
    let mut measure = |name, found: &[f64], needed: &[f64], floor| {
        measured.push(Measured { name, error: relative_error(found, needed, floor), tolerance });
    };
    measure("out", &answer.out.to_f64(), &result.out, 0.0);
    measure("lse", &answer.lse.to_f64(), &result.lse, 0.0);
    if let (Some(found), Some(grad_out)) = (&answer.gradients, exact.grad_out()) {
        let needed = backward(&problem, config, &answer.mask, &result, grad_out);
        // A gradient may cancel to nothing, as over a single key; then it is measured against what it cancelled from.
        let floor = 0.1 * norm(grad_out) / (grad_out.len() as f64).sqrt();
        measure("grad_q", &found.q.to_f64(), &needed.q, floor);
        measure("grad_k", &found.k.to_f64(), &needed.k, floor);
        measure("grad_v", &found.v.to_f64(), &needed.v, floor);
        measure("grad_proj_weight", &found.proj_weight.to_f64(), &needed.proj_weight, floor);
        measure("grad_proj_bias", &found.proj_bias.to_f64(), &needed.proj_bias, floor);
    }
    Ok(measured)
}

/// `|found - needed| / |needed|` in the L2 norm, the denominator being at least `floor` per element's root mean square.
/// Equal infinities differ by nothing; nothing over nothing is no error.
pub fn relative_error(found: &[f64], needed: &[f64], floor: f64) -> f64 {
    if found.len() != needed.len() {
        return f64::INFINITY;
    }
    let difference = |(found, needed): (&f64, &f64)| if found == needed { 0.0 } else { found - needed };
    let differences: Vec<f64> = found.iter().zip(needed).map(difference).collect();
    let finite: Vec<f64> = needed.iter().copied().filter(|x| x.is_finite()).collect();
    let scale = norm(&finite).max(floor * (finite.len() as f64).sqrt());
    match norm(&differences) {
        0.0 => 0.0,
        error if error.is_finite() => error / scale,
        _ => f64::INFINITY,
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The share of rows in which a routed mask differs from the reference's by more than near ties.
fn wrong_rows(exact: &Exact, request: &Request, mask: &BlockMask) -> Result<f64, MaskError> {
    let (problem, config, grid) = (exact.problem(), request.config(), request.grid());
    if mask.grid() != grid {
        return Ok(1.0);
    }
    let expected = route(problem.q, problem.k, problem.dims, config)?;
    let scores = scores(problem.q, problem.k, problem.dims, config.blocks());
    let counts = config.counts(grid.cols);
    let rows = grid.bh() * grid.rows;
    let wrong = (0..rows).filter(|&at| {
        let (bh, row) = (at / grid.rows, at % grid.rows);
        let (found, needed) = (mask.row(bh, row), expected.row(bh, row));
        let scores = &scores[at * grid.cols..(at + 1) * grid.cols];
        let mut ranked = scores.to_vec();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let slack = 1e-3 * ranked.iter().fold(0.0, |most: f64, score| most.max(score.abs()));
        let near = |score: f64, rank: usize| {
            let around = &ranked[rank.saturating_sub(1)..(rank + 1).min(ranked.len())];
            around.iter().any(|at| (score - at).abs() <= slack)
        };
        let excused = |j: usize| {
            let moved = |class| (found[j] == class) != (needed[j] == class);
            (!moved(CRITICAL) || near(scores[j], counts.critical))
                && (!moved(NEGLIGIBLE) || near(scores[j], grid.cols - counts.negligible))
        };
        let count = |classes: &[i8], class| classes.iter().filter(|&&found| found == class).count();
        let same = |class| count(found, class) == count(needed, class) || !config.forced().is_empty();
        !(same(CRITICAL) && same(NEGLIGIBLE) && (0..grid.cols).all(excused))
    });
    Ok(wrong.count() as f64 / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::case;
    use crate::reference::Reference;
    use crate::{Array, Operator};

    #[test]
    fn errors_are_relative_and_never_hide_a_nan() {
        assert_eq!(relative_error(&[3.0, 4.0], &[3.0, 4.0], 0.0), 0.0);
        assert_eq!(relative_error(&[3.0, 5.0], &[3.0, 4.0], 0.0), 0.2);
        assert_eq!(relative_error(&[0.0], &[0.0], 0.0), 0.0);
        assert_eq!(relative_error(&[1e-9], &[0.0], 0.0), f64::INFINITY);
        assert_eq!(relative_error(&[1e-3, 0.0], &[0.0, 0.0], 1.0), 1e-3 / 2f64.sqrt());
        assert_eq!(relative_error(&[f64::NAN, 1.0], &[1.0, 1.0], 0.0), f64::INFINITY);
        assert_eq!(relative_error(&[f64::NEG_INFINITY, 2.0], &[f64::NEG_INFINITY, 2.0], 0.0), 0.0);
        assert_eq!(relative_error(&[0.0, 2.0], &[f64::NEG_INFINITY, 2.0], 0.0), f64::INFINITY);
        assert_eq!(relative_error(&[0.0], &[0.0, 0.0], 0.0), f64::INFINITY);
    }

    #[test]
    fn the_rounded_reference_passes_and_a_wrong_answer_fails() {
        for seed in 0..6 {
            let request = case(seed).unwrap();
            let mut answer = Reference.run(&request).unwrap();
            for measured in compare(&request, &answer).unwrap() {
                assert!(measured.passes(), "case {seed}: {measured:?}");
            }
            let mut values = answer.out.to_f64();
            values[0] += 1.0 + norm(&values) * 0.1;
            answer.out = Array::from_f64(answer.out.dtype(), answer.out.shape().to_vec(), &values).unwrap();
            let failed =
                compare(&request, &answer).unwrap().into_iter().filter(|measured| !measured.passes());
            assert_eq!(failed.map(|measured| measured.name).collect::<Vec<_>>(), ["out"], "case {seed}");
        }
    }

    #[test]
    fn a_mask_routed_wrongly_fails() {
        let request = (0..).map(|seed| case(seed).unwrap());
        let large = |request: &Request| request.mask().is_none() && request.grid().cols >= 4;
        let request = request.into_iter().find(large).unwrap();
        let mut answer = Reference.run(&request).unwrap();
        let exact = Exact::of(&request);
        assert_eq!(wrong_rows(&exact, &request, &answer.mask), Ok(0.0));
        answer.mask.row_mut(0, 0).rotate_left(1);
        assert_ne!(wrong_rows(&exact, &request, &answer.mask), Ok(0.0));
    }
}
