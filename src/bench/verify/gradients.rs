//! Right gradients of attention, in float64: of some queries from nothing but the inputs, of some keys with the logarithms and outputs that the
//! forward gave for all queries, which the samples of queries check.

use std::ops::Range;

use rayon::prelude::*;
use sla_runtime::RuntimeError;

use super::super::problem::Problem;
use super::super::shape::Shape;
use super::rows::{keys, softmax_row, weighted};
use super::{Sample, TILE, dot, values};

/// Keys of a sample, as each meets all queries of a head.
const KEYS: usize = 64;

/// One head: its tensors on the host.
struct Head<'p> {
    problem: &'p Problem,
    shape: Shape,
    head: usize,
    place: [Range<usize>; 2],
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    grad: Vec<f32>,
}

/// Gradients, and what they start from, of some tiles of queries and of as many blocks of keys of one head.
pub fn attention(
    problem: &Problem,
    shape: Shape,
    head: usize,
    tiles: &[usize],
) -> Result<Vec<Sample>, RuntimeError> {
    let (b, h) = (head / shape.heads, head % shape.heads);
    let place = [b..b + 1, h..h + 1];
    let all = |name| values(problem, name, &place);
    let (q, k, v, grad) = (all("q")?, all("k")?, all("v")?, all("grad")?);
    let (out, lse) = (all("out")?, all("lse")?);
    let head = Head { problem, shape, head, place, q, k, v, grad };
    let delta: Vec<f64> = (0..shape.length)
        .map(|i| dot(&wide(row(&head.grad, i, shape.dim)), row(&out, i, shape.dim)))
        .collect();
    let mut samples = Vec::new();
    for &tile in tiles {
        let queries = tile * TILE..((tile + 1) * TILE).min(shape.length);
        samples.extend(head.queries(queries));
        let start = tile * TILE;
        samples.extend(head.keys(start..(start + KEYS).min(shape.length), &lse, &delta));
    }
    Ok(samples)
}

fn row(values: &[f32], i: usize, dim: usize) -> &[f32] {
    &values[i * dim..][..dim]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

impl Head<'_> {
    fn sample(&self, what: &'static str, rows: Range<usize>, right: Vec<f64>) -> Sample {
        let [b, h] = self.place.clone();
        Sample { what, place: vec![b, h, rows], right }
    }

    /// `out`, `lse`, `delta` and `grad_q` of some queries.
    fn queries(&self, queries: Range<usize>) -> Vec<Sample> {
        let (d, scale) = (self.shape.dim, self.problem.scale());
        let one = |i: usize| {
            let keys = keys(self.problem, self.head, i, self.shape);
            let weights = softmax_row(row(&self.q, i, d), &self.k, scale * std::f64::consts::LOG2_E, keys);
            let out = weighted(&weights.keys, &self.v, d);
            let grad = wide(row(&self.grad, i, d));
            let delta: f64 = grad.iter().zip(&out).map(|(g, o)| g * o).sum();
            let ds: Vec<(usize, f64)> = weights
                .keys
                .iter()
                .map(|&(j, p)| (j, scale * p * (dot(&grad, row(&self.v, j, d)) - delta)))
                .collect();
            (out, weights.lse, delta, weighted(&ds, &self.k, d))
        };
        let rows: Vec<_> = queries.clone().into_par_iter().map(one).collect();
        let place = || queries.clone();
        vec![
            self.sample("out", place(), rows.iter().flat_map(|r| r.0.clone()).collect()),
            self.sample("lse", place(), rows.iter().map(|r| r.1).collect()),
            self.sample("delta", place(), rows.iter().map(|r| r.2).collect()),
            self.sample("grad_q", place(), rows.iter().flat_map(|r| r.3.clone()).collect()),
        ]
    }

    /// `grad_k` and `grad_v` of some keys of one block.
    fn keys(&self, keys: Range<usize>, lse: &[f32], delta: &[f64]) -> Vec<Sample> {
        let (d, scale) = (self.shape.dim, self.problem.scale());
        let meets = |j: usize| match &self.problem.lists {
            None => (0..self.shape.length).collect::<Vec<usize>>(),
            Some(lists) => lists.queries_of(self.head, j).collect(),
        };
        let one = |j: usize| {
            let (key, value) = (wide(row(&self.k, j, d)), wide(row(&self.v, j, d)));
            let (mut p_of, mut ds_of) = (Vec::new(), Vec::new());
            for i in meets(j) {
                let logit = dot(&key, row(&self.q, i, d)) * scale * std::f64::consts::LOG2_E;
                let p = (logit - f64::from(lse[i])).exp2();
                p_of.push((i, p));
                ds_of.push((i, scale * p * (dot(&value, row(&self.grad, i, d)) - delta[i])));
            }
            (weighted(&ds_of, &self.q, d), weighted(&p_of, &self.grad, d))
        };
        let rows: Vec<_> = keys.clone().into_par_iter().map(one).collect();
        vec![
            self.sample("grad_k", keys.clone(), rows.iter().flat_map(|r| r.0.clone()).collect()),
            self.sample("grad_v", keys, rows.iter().flat_map(|r| r.1.clone()).collect()),
        ]
    }
}
