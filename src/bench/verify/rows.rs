//! Right rows of attention and of products, in float64.

use std::ops::Range;

use rayon::prelude::*;
use sla_runtime::RuntimeError;

use super::super::problem::Problem;
use super::super::shape::Shape;
use super::{Sample, TILE, dot, values};

/// Outputs and logarithms of sums of some tiles of queries of one head.
pub fn attention(
    problem: &Problem,
    shape: Shape,
    head: usize,
    tiles: &[usize],
) -> Result<Vec<Sample>, RuntimeError> {
    let (b, h) = (head / shape.heads, head % shape.heads);
    let of_head = [b..b + 1, h..h + 1];
    let (k, v) = (values(problem, "k", &of_head)?, values(problem, "v", &of_head)?);
    let c = problem.scale() * std::f64::consts::LOG2_E;
    let mut samples = Vec::new();
    for &tile in tiles {
        let queries = tile * TILE..((tile + 1) * TILE).min(shape.length);
        let place = vec![of_head[0].clone(), of_head[1].clone(), queries.clone()];
        let q = values(problem, "q", &place)?;
        let rows: Vec<(Vec<f64>, f64)> = (queries.start..queries.end)
            .into_par_iter()
            .map(|row| {
                let q = &q[(row - queries.start) * shape.dim..][..shape.dim];
                let weights = softmax_row(q, &k, c, keys(problem, head, row, shape));
                (weighted(&weights.keys, &v, shape.dim), weights.lse)
            })
            .collect();
        let (out, lse): (Vec<Vec<f64>>, Vec<f64>) = rows.into_iter().unzip();
        samples.push(Sample { what: "out", place: place.clone(), right: out.concat() });
        samples.push(Sample { what: "lse", place, right: lse });
    }
    Ok(samples)
}

/// The keys that a query of a head attends to.
pub fn keys(problem: &Problem, head: usize, query: usize, shape: Shape) -> Vec<usize> {
    match &problem.lists {
        None => (0..shape.length).collect(),
        Some(lists) => lists.of_query(head, query).iter().flat_map(|&block| lists.keys(block)).collect(),
    }
}

/// The weights of one row of attention.
pub struct Weights {
    /// Keys, each with its weight.
    pub keys: Vec<(usize, f64)>,
    /// The base-2 logarithm of the sum.
    pub lse: f64,
}

/// Weights of a query over keys; `c` multiplies the logits.
pub fn softmax_row(q: &[f32], k: &[f32], c: f64, keys: Vec<usize>) -> Weights {
    let dim = q.len();
    let q: Vec<f64> = q.iter().map(|&x| f64::from(x) * c).collect();
    let logits: Vec<f64> = keys.iter().map(|&j| dot(&q, &k[j * dim..][..dim])).collect();
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp2()).sum();
    let keys = keys.into_iter().zip(logits).map(|(j, logit)| (j, (logit - most).exp2() / sum));
    Weights { keys: keys.collect(), lse: most + sum.log2() }
}

/// A weighted sum of rows of `dim` numbers.
pub fn weighted(weights: &[(usize, f64)], rows: &[f32], dim: usize) -> Vec<f64> {
    let mut out = vec![0.0; dim];
    for &(j, weight) in weights {
        for (out, &x) in out.iter_mut().zip(&rows[j * dim..][..dim]) {
            *out += weight * f64::from(x);
        }
    }
    out
}

/// Rows of a matrix product.
pub fn product(problem: &Problem, rows: &[usize]) -> Result<Vec<Sample>, RuntimeError> {
    let b = values(problem, "b", &[])?;
    let n = problem.tensor("b").and_then(|b| b.shape().last().copied()).unwrap_or(1);
    let left = rows.iter().map(|&row| {
        let place = Vec::from([Range { start: row, end: row + 1 }]);
        Ok((values(problem, "a", &place)?, place))
    });
    let left = left.collect::<Result<Vec<_>, RuntimeError>>()?;
    let sample = |(a, place): (Vec<f32>, Vec<Range<usize>>)| {
        let mut right = vec![0.0; n];
        for (a, b) in a.iter().zip(b.chunks_exact(n)) {
            right.iter_mut().zip(b).for_each(|(out, &b)| *out += f64::from(*a) * f64::from(b));
        }
        Sample { what: "out", place, right }
    };
    Ok(left.into_par_iter().map(sample).collect())
}
