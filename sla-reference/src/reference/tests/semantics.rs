//! What the reference means: identities between scopes, and the defined zeros of empty rows.

use super::*;
use crate::reference::{features, route};

/// Dense softmax attention of one head, and its base-2 log-sum-exp, written with powers of two.
fn dense(case: &Case, bh: usize) -> (Vec<f64>, Vec<f64>) {
    let (d, keys) = (case.dims.head_dim, case.dims.keys);
    let (k, v) = (&case.k[bh * keys * d..], &case.v[bh * keys * d..]);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for q in case.q[bh * case.dims.queries * d..].chunks(d).take(case.dims.queries) {
        let score = |t: usize| (0..d).map(|c| q[c] * k[t * d + c]).sum::<f64>() / (d as f64).sqrt();
        let powers: Vec<f64> = (0..keys).map(|t| (score(t) * std::f64::consts::LOG2_E).exp2()).collect();
        let sum: f64 = powers.iter().sum();
        out.extend((0..d).map(|c| (0..keys).map(|t| powers[t] * v[t * d + c]).sum::<f64>() / sum));
        lse.push(sum.log2());
    }
    (out, lse)
}

/// `phi(Q) (phi(K)^T V) / (phi(Q) (phi(K)^T 1) + eps)` over all tokens of one head; 0 where that is 0 / 0.
fn linear(case: &Case, bh: usize, config: &Config) -> Vec<f64> {
    let (d, width) = (case.dims.head_dim, config.phi().width(case.dims.head_dim));
    let weight = case.phi_weight.as_ref().map(|w| &w[bh % case.dims.heads * d * d..][..d * d]);
    let rows =
        |x: &[f64], tokens: usize| features(config.phi(), &x[bh * tokens * d..][..tokens * d], d, weight);
    let (phi_q, phi_k) = (rows(&case.q, case.dims.queries), rows(&case.k, case.dims.keys));
    let v = &case.v[bh * case.dims.keys * d..];
    let state =
        |f: usize, c: usize| (0..case.dims.keys).map(|t| phi_k[t * width + f] * v[t * d + c]).sum::<f64>();
    let sums: Vec<f64> = (0..width).map(|f| phi_k.iter().skip(f).step_by(width).sum()).collect();
    let states: Vec<f64> = (0..width * d).map(|at| state(at / d, at % d)).collect();
    let quotient = |q: &[f64], c: usize| {
        let numerator: f64 = q.iter().enumerate().map(|(f, q)| q * states[f * d + c]).sum();
        let denominator = q.iter().zip(&sums).map(|(q, z)| q * z).sum::<f64>() + config.eps();
        if denominator == 0.0 { 0.0 } else { numerator / denominator }
    };
    phi_q.chunks(width).flat_map(|q| (0..d).map(|c| quotient(q, c)).collect::<Vec<_>>()).collect()
}

#[test]
fn with_every_block_critical_the_sparse_branch_is_dense_attention_and_the_linear_one_is_exactly_zero() {
    let case = Case::small(1);
    let mask = case.uniform_mask(1);
    for scope in [Scope::Marginal, Scope::Complement] {
        let config = case.config(scope, FeatureMap::Softmax);
        let forward = case.forward(&config, &mask);
        for bh in 0..case.dims.bh() {
            let (out, lse) = dense(&case, bh);
            assert!(distance(&out, &forward.sparse[bh * out.len()..][..out.len()]) < 1e-13);
            assert!(distance(&lse, &forward.lse[bh * lse.len()..][..lse.len()]) < 1e-13);
        }
        assert!(forward.linear.iter().all(|&x| x == 0.0));
        let (with, without) = (case.backward(&config, &mask), case.config(Scope::None, FeatureMap::Softmax));
        let without = case.backward(&without, &mask);
        assert_eq!((with.q, with.k, with.v), (without.q, without.k, without.v));
        assert!(with.proj_weight.iter().all(|&x| x == 0.0));
    }
}

#[test]
fn with_every_block_marginal_only_the_projected_linear_branch_is_left() {
    let case = Case::small(2);
    let mask = case.uniform_mask(0);
    for &phi in FeatureMap::EVERY {
        let config = case.config(Scope::Marginal, phi);
        let forward = case.forward(&config, &mask);
        assert!(forward.sparse.iter().all(|&x| x == 0.0), "{phi}");
        assert!(forward.lse.iter().all(|&x| x == f64::NEG_INFINITY), "{phi}");
        let expected: Vec<f64> = (0..case.dims.bh()).flat_map(|bh| linear(&case, bh, &config)).collect();
        assert!(distance(&expected, &forward.linear) < 1e-12, "{phi}");
        let (weight, bias) = (case.proj_weight.as_ref().unwrap(), case.proj_bias.as_ref().unwrap());
        for (out, linear) in forward.out.chunks(8).zip(expected.chunks(8)) {
            let projected = (0..8)
                .map(|e| (0..8).map(|f| linear[f] * weight[e * 8 + f]).sum::<f64>() + bias[e])
                .collect::<Vec<_>>();
            assert!(distance(out, &projected) < 1e-11, "{phi}");
        }
    }
}

#[test]
fn scope_all_sums_over_every_token_whatever_the_mask() {
    let case = Case::small(3);
    let config = case.config(Scope::All, FeatureMap::Elu);
    assert_eq!(config.eps(), 1e-5);
    let expected: Vec<f64> = (0..case.dims.bh()).flat_map(|bh| linear(&case, bh, &config)).collect();
    for mask in [case.uniform_mask(1), case.uniform_mask(-1), case.mask(4, |_| None)] {
        assert!(distance(&expected, &case.forward(&config, &mask).linear) < 1e-12);
    }
}

#[test]
fn scopes_agree_where_they_must() {
    let case = Case::small(5);
    let with_negligible = case.mask(6, |_| None);
    let classes = with_negligible.data().iter().map(|&class| class.max(0)).collect();
    let without_negligible = BlockMask::new(with_negligible.grid(), classes).unwrap();
    let run = |scope, mask| case.forward(&case.config(scope, FeatureMap::Softmax), mask);
    let complement = run(Scope::Complement, &with_negligible);
    assert_eq!(complement, run(Scope::Complement, &without_negligible));
    assert_eq!(complement, run(Scope::Marginal, &without_negligible));
    assert_ne!(complement.linear, run(Scope::Marginal, &with_negligible).linear);
    let none = run(Scope::None, &with_negligible);
    assert_eq!(none.out, none.sparse, "the projection and its bias play no part");
    assert_eq!((none.sparse, none.lse), (complement.sparse, complement.lse));
}

#[test]
fn empty_rows_are_defined_zeros_and_the_bias_reaches_them() {
    let case = Case::small(7);
    let mask = case.mask(8, |row| [Some(1), Some(0), Some(-1), None][row]);
    let bias = case.proj_bias.clone().unwrap();
    for &phi in FeatureMap::EVERY {
        let forward = case.forward(&case.config(Scope::Marginal, phi), &mask);
        let grads = case.backward(&case.config(Scope::Marginal, phi), &mask);
        let numbers = [&forward.out, &forward.linear, &grads.q, &grads.k, &grads.v, &grads.proj_weight];
        assert!(numbers.into_iter().flatten().all(|x| x.is_finite()), "{phi}");
        for bh in 0..case.dims.bh() {
            let row = |part: &[f64], token: usize| part[(bh * 13 + token) * 8..][..8].to_vec();
            let no_marginal =
                row(&forward.sparse, 0).iter().zip(&bias).map(|(x, b)| x + b).collect::<Vec<_>>();
            assert_eq!(row(&forward.out, 0), no_marginal, "{phi}");
            assert_eq!(row(&forward.sparse, 4), [0.0; 8], "{phi}");
            assert_eq!(row(&forward.out, 8), bias, "{phi}: neither branch");
            assert_eq!(row(&grads.q, 8), [0.0; 8], "{phi}");
            assert_eq!(forward.lse[bh * 13 + 8], f64::NEG_INFINITY, "{phi}");
        }
    }
}

#[test]
fn relu_rows_that_are_all_zero_give_zero_with_and_without_eps() {
    let mut case = Case::small(9);
    case.q.iter_mut().for_each(|x| *x = -x.abs());
    let mask = case.mask(10, |_| None);
    for eps in [0.0, 1e-5] {
        let config = case.config(Scope::All, FeatureMap::Relu).with_eps(Some(eps)).unwrap();
        assert!(case.forward(&config, &mask).linear.iter().all(|&x| x == 0.0));
        let grads = case.backward(&config, &mask);
        let sparse_only = case.backward(&case.config(Scope::None, FeatureMap::Relu), &mask);
        assert_eq!((grads.q, grads.k, grads.v), (sparse_only.q, sparse_only.k, sparse_only.v));
    }
}

#[test]
fn large_scores_overflow_nothing() {
    let mut case = Case::small(11);
    case.q.iter_mut().chain(&mut case.k).for_each(|x| *x *= 200.0);
    let mask = case.uniform_mask(1);
    let config = case.config(Scope::All, FeatureMap::Softmax);
    let (forward, grads) = (case.forward(&config, &mask), case.backward(&config, &mask));
    let numbers = [&forward.out, &forward.lse, &grads.q, &grads.k, &grads.v];
    assert!(numbers.into_iter().flatten().all(|x| x.is_finite()));
}

#[test]
fn a_routed_row_has_at_least_one_critical_block_however_small_the_share() {
    let case = Case::small(12);
    let share = |x| Share::new(x).unwrap();
    for (critical, needed) in [(0.0, 1), (0.05, 1), (0.5, 2), (1.0, 4)] {
        let config = Config::new(Scope::Marginal, share(critical), share(0.1)).with_blocks(case.blocks);
        let mask = route(&case.q, &case.k, case.dims, &config).unwrap();
        assert_eq!((mask.tally().row_min, mask.tally().row_max), (needed, needed));
        assert!(case.forward(&config, &mask).out.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn the_sizes_of_the_kernels_work_too() {
    let dims = Dims { batch: 1, heads: 1, queries: 300, keys: 200, head_dim: 64 };
    for blocks in Blocks::EVERY {
        let case = Case::new(dims, blocks, 13);
        let config = case.config(Scope::Marginal, FeatureMap::Hedgehog);
        let mask = route(&case.q, &case.k, dims, &config).unwrap();
        let (forward, grads) = (case.forward(&config, &mask), case.backward(&config, &mask));
        assert_eq!(forward.out.len(), 300 * 64);
        // Euler: `out` is linear in `v` and in the projection, so their gradients give back the loss.
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let bias = sum(&grads.proj_bias, case.proj_bias.as_ref().unwrap());
        let loss = sum(&forward.out, &case.grad_out);
        assert!((sum(&grads.v, &case.v) + bias - loss).abs() < 1e-9 * loss.abs().max(1.0), "{blocks}");
    }
}
