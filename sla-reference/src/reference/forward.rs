//! The forward pass in float64, token by token as the masked formula reads.

use std::f64::consts::LN_2;

use rayon::prelude::*;

use super::super::mask::CRITICAL;
use super::super::{BlockMask, Config, Scope};
use super::vectors::{add_scaled, dot, times_column};
use super::{Head, Problem};

/// What the forward pass gives, and what the backward pass needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// `O = O^s + O^l W^T + b`, `[B, H, Lq, D]`.
    pub out: Vec<f64>,
    /// `log2 sum_j 2^(S_ij log2 e)` over the critical tokens, `[B, H, Lq]`: minus infinity where there are none.
    pub lse: Vec<f64>,
    /// `O^s`, softmax attention over the critical tokens, `[B, H, Lq, D]`; zero where there are none.
    pub sparse: Vec<f64>,
    /// `O^l`, linear attention over the blocks of the scope, `[B, H, Lq, D]`; zero where there are none and where the
    /// denominator is zero.
    pub linear: Vec<f64>,
    /// `phi(Q_i) Z_i + eps`, `[B, H, Lq]`; infinite where the row has no block in the scope.
    pub denominator: Vec<f64>,
}

/// The operator's output for a mask of `problem.dims.grid(config.blocks())`.
pub fn forward(problem: &Problem<'_>, config: &Config, mask: &BlockMask) -> Forward {
    let heads: Vec<Forward> = (0..problem.dims.bh())
        .into_par_iter()
        .map(|bh| head_forward(&problem.head(bh, config, mask)))
        .collect();
    let join =
        |part: fn(&Forward) -> &Vec<f64>| heads.iter().flat_map(|head| part(head).iter().copied()).collect();
    Forward {
        out: join(|head| &head.out),
        lse: join(|head| &head.lse),
        sparse: join(|head| &head.sparse),
        linear: join(|head| &head.linear),
        denominator: join(|head| &head.denominator),
    }
}

fn head_forward(head: &Head<'_>) -> Forward {
    let (d, scope) = (head.dims.head_dim, head.config.scope());
    let width = head.config.phi().width(d);
    let needs_features = scope != Scope::None;
    let phi_q = if needs_features { head.features(head.q) } else { Vec::new() };
    let phi_k = if needs_features { head.features(head.k) } else { Vec::new() };
    let rows = head.dims.queries;
    let mut sparse = vec![0.0; rows * d];
    let mut linear = vec![0.0; rows * d];
    let mut lse = vec![f64::NEG_INFINITY; rows];
    let mut denominator = vec![f64::INFINITY; rows];

    for (i, classes) in (0..head.mask.grid().rows).map(|i| (i, head.mask.row(head.bh, i))) {
        let tokens_of = |wanted: &dyn Fn(i8) -> bool| -> Vec<usize> {
            let blocks = classes.iter().enumerate().filter(|&(_, &class)| wanted(class));
            blocks.flat_map(|(j, _)| head.key_tokens(j)).collect()
        };
        let critical = tokens_of(&|class| class == CRITICAL);
        let in_scope = tokens_of(&|class| scope.is_linear(class));
        for r in head.query_tokens(i) {
            let out = r * d..(r + 1) * d;
            if !critical.is_empty() {
                lse[r] = softmax_row(head, &head.q[out.clone()], &critical, &mut sparse[out.clone()]);
            }
            if !in_scope.is_empty() {
                let phi_row = &phi_q[r * width..(r + 1) * width];
                denominator[r] = linear_row(head, phi_row, &phi_k, &in_scope, &mut linear[out]);
            }
        }
    }
    let out = combine(head, &sparse, &linear);
    Forward { out, lse, sparse, linear, denominator }
}

/// Softmax attention of one query over `tokens` into `out`; returns its base-2 log-sum-exp.
fn softmax_row(head: &Head<'_>, q: &[f64], tokens: &[usize], out: &mut [f64]) -> f64 {
    let (d, scale) = (head.dims.head_dim, head.dims.scale());
    let scores: Vec<f64> = tokens.iter().map(|&t| dot(q, &head.k[t * d..(t + 1) * d]) * scale).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    for (&t, weight) in tokens.iter().zip(&weights) {
        add_scaled(out, weight / sum, &head.v[t * d..(t + 1) * d]);
    }
    (max + sum.ln()) / LN_2
}

/// Linear attention of one query's features over `tokens` into `out`; returns the denominator.
fn linear_row(head: &Head<'_>, phi_q: &[f64], phi_k: &[f64], tokens: &[usize], out: &mut [f64]) -> f64 {
    let (d, width) = (head.dims.head_dim, phi_q.len());
    let mut sum = head.config.eps();
    for &t in tokens {
        let weight = dot(phi_q, &phi_k[t * width..(t + 1) * width]);
        sum += weight;
        add_scaled(out, weight, &head.v[t * d..(t + 1) * d]);
    }
    if sum == 0.0 {
        out.fill(0.0);
    } else {
        out.iter_mut().for_each(|x| *x /= sum);
    }
    sum
}

/// `O^s + O^l W^T + b`; `O^s` alone in scope `none`, in which the projection plays no part.
fn combine(head: &Head<'_>, sparse: &[f64], linear: &[f64]) -> Vec<f64> {
    let mut out = sparse.to_vec();
    if head.config.scope() == Scope::None {
        return out;
    }
    let d = head.dims.head_dim;
    for (out, linear) in out.chunks_exact_mut(d).zip(linear.chunks_exact(d)) {
        if let Some(weight) = head.proj_weight {
            add_scaled(out, 1.0, &times_column(weight, linear));
        }
        if let Some(bias) = head.proj_bias {
            add_scaled(out, 1.0, bias);
        }
    }
    out
}
