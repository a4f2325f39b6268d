//! Every gradient of the reference against central differences of its forward pass.

use super::*;

const STEP: f64 = 1e-5;

/// A random mask with a row of each uniform class: without marginal, without critical, and with neither.
fn mask_with_odd_rows(case: &Case, seed: u64) -> BlockMask {
    case.mask(seed, |row| [Some(1), Some(0), Some(-1), None][row])
}

/// The derivative of `sum(out * grad_out)` by every element of the array that `field` picks.
fn numeric(
    case: &Case,
    config: &Config,
    mask: &BlockMask,
    field: fn(&mut Case) -> &mut Vec<f64>,
) -> Vec<f64> {
    let mut moved = case.clone();
    let mut loss_at = |index: usize, step: f64| {
        let original = field(&mut moved)[index];
        field(&mut moved)[index] = original + step;
        let out = moved.forward(config, mask).out;
        field(&mut moved)[index] = original;
        out.iter().zip(&case.grad_out).map(|(o, g)| o * g).sum::<f64>()
    };
    let count = field(&mut case.clone()).len();
    (0..count).map(|index| (loss_at(index, STEP) - loss_at(index, -STEP)) / (2.0 * STEP)).collect()
}

fn check(case: &Case, config: &Config, mask: &BlockMask, what: &str) {
    let exact = case.backward(config, mask);
    let close = |name: &str, exact: &[f64], numeric: &[f64]| {
        let scale = numeric.iter().fold(1.0f64, |scale, x| scale.max(x.abs()));
        let error = distance(exact, numeric) / scale;
        assert!(error < 1e-7, "{what}: grad_{name} is off by {error:.1e} of its largest element");
    };
    close("q", &exact.q, &numeric(case, config, mask, |case| &mut case.q));
    close("k", &exact.k, &numeric(case, config, mask, |case| &mut case.k));
    close("v", &exact.v, &numeric(case, config, mask, |case| &mut case.v));
    let weight = numeric(case, config, mask, |case| case.proj_weight.as_mut().unwrap());
    close("proj_weight", &exact.proj_weight, &weight);
    close(
        "proj_bias",
        &exact.proj_bias,
        &numeric(case, config, mask, |case| case.proj_bias.as_mut().unwrap()),
    );
}

#[test]
fn every_scope_and_feature_map_agrees_with_finite_differences() {
    let case = Case::small(1);
    let mask = mask_with_odd_rows(&case, 2);
    for &scope in Scope::EVERY {
        for &phi in FeatureMap::EVERY {
            check(&case, &case.config(scope, phi), &mask, &format!("{scope} {phi}"));
        }
    }
}

#[test]
fn eps_and_the_identity_of_hedgehog_agree_with_finite_differences() {
    let mut case = Case::small(3);
    let mask = mask_with_odd_rows(&case, 4);
    let config = case.config(Scope::Marginal, FeatureMap::Relu).with_eps(Some(0.3)).unwrap();
    check(&case, &config, &mask, "eps");
    case.phi_weight = None;
    check(&case, &case.config(Scope::All, FeatureMap::Hedgehog), &mask, "identity");
}

#[test]
fn one_token_of_each_agrees_with_finite_differences() {
    let dims = Dims { batch: 1, heads: 1, queries: 1, keys: 1, head_dim: 4 };
    let case = Case::new(dims, Blocks::default(), 5);
    for (scope, class) in [(Scope::Marginal, 1), (Scope::Marginal, 0), (Scope::All, 1)] {
        let config = case.config(scope, FeatureMap::Softmax);
        check(&case, &config, &case.uniform_mask(class), &format!("{scope} {class}"));
    }
}

#[test]
fn a_zero_projection_keeps_the_linear_branch_from_the_inputs_but_not_from_the_weight() {
    let mut case = Case::small(6);
    let mask = case.mask(7, |_| None);
    for zero in [None, Some(vec![0.0; 64])] {
        case.proj_weight = zero;
        let config = case.config(Scope::All, FeatureMap::Softmax);
        let forward = case.forward(&config, &mask);
        let bias = case.proj_bias.clone().unwrap();
        let expected: Vec<f64> = forward.sparse.iter().enumerate().map(|(i, x)| x + bias[i % 8]).collect();
        assert_eq!(forward.out, expected);
        let grads = case.backward(&config, &mask);
        let sparse_only = case.backward(&case.config(Scope::None, FeatureMap::Softmax), &mask);
        assert_eq!((&grads.q, &grads.k, &grads.v), (&sparse_only.q, &sparse_only.k, &sparse_only.v));
        assert!(grads.proj_weight.iter().any(|x| x.abs() > 1e-3));
        assert!(sparse_only.proj_weight.iter().chain(&sparse_only.proj_bias).all(|&x| x == 0.0));
    }
}

#[test]
fn key_blocks_that_no_query_chose_get_no_gradient() {
    let case = Case::small(8);
    let grid = case.dims.grid(case.blocks);
    let classes = (0..grid.len().unwrap()).map(|at| i8::from(at % grid.cols != 1)).collect();
    let mask = BlockMask::new(grid, classes).unwrap();
    let grads = case.backward(&case.config(Scope::None, FeatureMap::Softmax), &mask);
    let per_head = case.dims.keys * 8;
    for (at, (dk, dv)) in grads.k.iter().zip(&grads.v).enumerate() {
        let chosen = (at % per_head / 8) / 3 != 1;
        assert_eq!((*dk != 0.0, *dv != 0.0), (chosen, chosen), "element {at}");
    }
}
