//! The backward pass in float64: the gradient formulas, block by block.
//!
//! Where the forward pass defines a zero, the gradient through it is zero: rows without critical blocks, rows without
//! blocks in the scope, zero denominators.

use rayon::prelude::*;

use super::super::mask::CRITICAL;
use super::super::{BlockMask, Config, Scope};
use super::phi::features_vjp;
use super::vectors::{add_outer, add_scaled, dot, row_times, times_column};
use super::{Forward, Head, Problem};

/// Gradients of the inputs; no gradient flows through the mask, nor to `phi_weight`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `[B, H, Lq, D]`.
    pub q: Vec<f64>,
    /// `[B, H, Lk, D]`.
    pub k: Vec<f64>,
    /// `[B, H, Lk, D]`.
    pub v: Vec<f64>,
    /// `dO^T O^l` over batch, heads and tokens, `[D, D]`: not zero when `W` is. Zero in scope `none`.
    pub proj_weight: Vec<f64>,
    /// `dO` summed over batch, heads and tokens, `[D]`. Zero in scope `none`.
    pub proj_bias: Vec<f64>,
}

/// The gradients of `sum(out * grad_out)`, `grad_out` being `[B, H, Lq, D]`, for what [`forward`](super::forward()) gave.
pub fn backward(
    problem: &Problem<'_>,
    config: &Config,
    mask: &BlockMask,
    forward: &Forward,
    grad_out: &[f64],
) -> Gradients {
    let (d, size) = (problem.dims.head_dim, problem.dims.queries * problem.dims.head_dim);
    let heads: Vec<Gradients> = (0..problem.dims.bh())
        .into_par_iter()
        .map(|bh| {
            let rows = bh * problem.dims.queries..(bh + 1) * problem.dims.queries;
            let saved = Saved {
                grad_out: &grad_out[bh * size..][..size],
                sparse: &forward.sparse[bh * size..][..size],
                linear: &forward.linear[bh * size..][..size],
                lse: &forward.lse[rows.clone()],
                denominator: &forward.denominator[rows],
            };
            head_backward(&problem.head(bh, config, mask), &saved)
        })
        .collect();
    let join = |part: fn(&Gradients) -> &Vec<f64>| {
        heads.iter().flat_map(|head| part(head).iter().copied()).collect()
    };
    let mut proj_weight = vec![0.0; d * d];
    let mut proj_bias = vec![0.0; d];
    for head in &heads {
        add_scaled(&mut proj_weight, 1.0, &head.proj_weight);
        add_scaled(&mut proj_bias, 1.0, &head.proj_bias);
    }
    Gradients {
        q: join(|head| &head.q),
        k: join(|head| &head.k),
        v: join(|head| &head.v),
        proj_weight,
        proj_bias,
    }
}

/// One head's share of the forward pass and of `grad_out`.
struct Saved<'a> {
    grad_out: &'a [f64],
    sparse: &'a [f64],
    linear: &'a [f64],
    lse: &'a [f64],
    denominator: &'a [f64],
}

fn head_backward(head: &Head<'_>, saved: &Saved<'_>) -> Gradients {
    let d = head.dims.head_dim;
    let mut grads = Gradients {
        q: vec![0.0; head.q.len()],
        k: vec![0.0; head.k.len()],
        v: vec![0.0; head.v.len()],
        proj_weight: vec![0.0; d * d],
        proj_bias: vec![0.0; d],
    };
    sparse_backward(head, saved, &mut grads);
    if head.config.scope() != Scope::None {
        linear_backward(head, saved, &mut grads);
    }
    grads
}

/// `dV += P^T dO`, `dS = P (dO V^T - D^s)`, `dQ += scale dS K`, `dK += scale dS^T Q` over the critical blocks.
fn sparse_backward(head: &Head<'_>, saved: &Saved<'_>, grads: &mut Gradients) {
    let (d, scale) = (head.dims.head_dim, head.dims.scale());
    for i in 0..head.mask.grid().rows {
        let critical = head.mask.row(head.bh, i).iter().enumerate().filter(|&(_, &class)| class == CRITICAL);
        let tokens: Vec<usize> = critical.flat_map(|(j, _)| head.key_tokens(j)).collect();
        for r in head.query_tokens(i) {
            let row = r * d..(r + 1) * d;
            let (q, grad) = (&head.q[row.clone()], &saved.grad_out[row.clone()]);
            let delta = dot(grad, &saved.sparse[row.clone()]);
            for &t in &tokens {
                let col = t * d..(t + 1) * d;
                let (k, v) = (&head.k[col.clone()], &head.v[col.clone()]);
                let p = (dot(q, k) * scale - saved.lse[r] * std::f64::consts::LN_2).exp();
                let ds = p * (dot(grad, v) - delta) * scale;
                add_scaled(&mut grads.v[col.clone()], p, grad);
                add_scaled(&mut grads.q[row.clone()], ds, k);
                add_scaled(&mut grads.k[col], ds, q);
            }
        }
    }
}

/// A sum over tokens of `a^T b` (`[D', D]`) and of `c a` (`[D']`): `h_j, z_j` of a key block, `dH_i, dZ_i` of a query block.
#[derive(Clone)]
struct State {
    matrix: Vec<f64>,
    vector: Vec<f64>,
}

impl State {
    fn zero(width: usize, d: usize) -> Self {
        State { matrix: vec![0.0; width * d], vector: vec![0.0; width] }
    }

    fn add(&mut self, other: &State) {
        add_scaled(&mut self.matrix, 1.0, &other.matrix);
        add_scaled(&mut self.vector, 1.0, &other.vector);
    }
}

/// The linear branch and the projection.
fn linear_backward(head: &Head<'_>, saved: &Saved<'_>, grads: &mut Gradients) {
    let (d, phi, scope) = (head.dims.head_dim, head.config.phi(), head.config.scope());
    let width = phi.width(d);
    let (phi_q, phi_k) = (head.features(head.q), head.features(head.k));
    let grid = head.mask.grid();
    for (grad, linear) in saved.grad_out.chunks_exact(d).zip(saved.linear.chunks_exact(d)) {
        add_outer(&mut grads.proj_weight, grad, linear);
        add_scaled(&mut grads.proj_bias, 1.0, grad);
    }
    let Some(weight) = head.proj_weight else { return };
    let in_scope = |i: usize, j: usize| scope.is_linear(head.mask.row(head.bh, i)[j]);

    let key_states: Vec<State> = (0..grid.cols)
        .map(|j| {
            let mut state = State::zero(width, d);
            for t in head.key_tokens(j) {
                let feature = &phi_k[t * width..(t + 1) * width];
                add_outer(&mut state.matrix, feature, &head.v[t * d..(t + 1) * d]);
                add_scaled(&mut state.vector, 1.0, feature);
            }
            state
        })
        .collect();

    let mut grad_phi_q = vec![0.0; phi_q.len()];
    let mut query_states = Vec::with_capacity(grid.rows);
    for i in 0..grid.rows {
        let mut sum = State::zero(width, d);
        key_states.iter().enumerate().filter(|&(j, _)| in_scope(i, j)).for_each(|(_, state)| sum.add(state));
        let mut grad_sum = State::zero(width, d);
        for r in head.query_tokens(i) {
            if saved.denominator[r] == 0.0 {
                continue;
            }
            let inverse = 1.0 / saved.denominator[r];
            let grad_linear = row_times(&saved.grad_out[r * d..(r + 1) * d], weight, d);
            let delta = dot(&grad_linear, &saved.linear[r * d..(r + 1) * d]);
            let feature = &phi_q[r * width..(r + 1) * width];
            let scaled: Vec<f64> = feature.iter().map(|x| x * inverse).collect();
            add_outer(&mut grad_sum.matrix, &scaled, &grad_linear);
            add_scaled(&mut grad_sum.vector, -delta, &scaled);
            let grad_feature = &mut grad_phi_q[r * width..(r + 1) * width];
            add_scaled(grad_feature, inverse, &times_column(&sum.matrix, &grad_linear));
            add_scaled(grad_feature, -delta * inverse, &sum.vector);
        }
        query_states.push(grad_sum);
    }

    let mut grad_phi_k = vec![0.0; phi_k.len()];
    for j in 0..grid.cols {
        let mut sum = State::zero(width, d);
        query_states
            .iter()
            .enumerate()
            .filter(|&(i, _)| in_scope(i, j))
            .for_each(|(_, state)| sum.add(state));
        for t in head.key_tokens(j) {
            let grad_feature = &mut grad_phi_k[t * width..(t + 1) * width];
            add_scaled(grad_feature, 1.0, &times_column(&sum.matrix, &head.v[t * d..(t + 1) * d]));
            add_scaled(grad_feature, 1.0, &sum.vector);
            let feature = &phi_k[t * width..(t + 1) * width];
            add_scaled(&mut grads.v[t * d..(t + 1) * d], 1.0, &row_times(feature, &sum.matrix, d));
        }
    }
    add_scaled(&mut grads.q, 1.0, &features_vjp(phi, head.q, &grad_phi_q, d, head.phi_weight));
    add_scaled(&mut grads.k, 1.0, &features_vjp(phi, head.k, &grad_phi_k, d, head.phi_weight));
}
