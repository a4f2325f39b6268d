//! The operator through its kernels against the float64 reference, on every device that needs no GPU.

use sla::attention::module::Compiled;
use sla::attention::reference::Reference;
use sla::attention::{Array, Blocks, Config, Dtype, FeatureMap, Inputs, Operator, Request, Scope, Share};
use sla_runtime::Device;

/// Relative L2 error, infinite values compared for equality.
fn error(found: &Array, needed: &Array) -> f64 {
    let (a, b) = (found.to_f64(), needed.to_f64());
    let (mut num, mut den) = (0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        if y.is_infinite() && x == y {
            continue;
        }
        num += (x - y) * (x - y);
        den += y * y;
    }
    if num == 0.0 { 0.0 } else { (num / den.max(1e-30)).sqrt() }
}

/// Deterministic values, roughly normal.
fn values(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n)
        .map(|_| {
            (0..6).map(|_| next()).sum::<f64>() * std::f64::consts::SQRT_2 - 3.0 * std::f64::consts::SQRT_2
        })
        .collect()
}

struct Case {
    dtype: Dtype,
    dims: (usize, usize, usize, usize, usize),
    scope: Scope,
    phi: FeatureMap,
    blocks: (usize, usize),
}

fn request(case: &Case) -> Request {
    let (b, h, lq, lk, d) = case.dims;
    let array = |seed, shape: &[usize], by: f64, dtype| {
        let v: Vec<f64> = values(seed, shape.iter().product()).iter().map(|x| x * by).collect();
        Array::from_f64(dtype, shape.to_vec(), &v).unwrap()
    };
    let mut inputs = Inputs::new(
        array(1, &[b, h, lq, d], 1.0, case.dtype),
        array(2, &[b, h, lk, d], 1.0, case.dtype),
        array(3, &[b, h, lk, d], 1.0, case.dtype),
    );
    inputs.proj_weight = Some(array(4, &[d, d], (d as f64).powf(-0.5), Dtype::F32));
    inputs.proj_bias = Some(array(5, &[d], 0.1, Dtype::F32));
    inputs.grad_out = Some(array(6, &[b, h, lq, d], 1.0, case.dtype));
    if case.phi == FeatureMap::Hedgehog {
        inputs.phi_weight = Some(array(7, &[h, d, d], (d as f64).powf(-0.5), Dtype::F32));
    }
    let config = Config::new(case.scope, Share::new(0.3).unwrap(), Share::new(0.2).unwrap())
        .with_phi(case.phi)
        .with_blocks(Blocks::new(case.blocks.0, case.blocks.1).unwrap());
    Request::new(config, inputs, true).unwrap()
}

fn check(device: &Device, case: &Case, tolerance: f64) {
    let request = request(case);
    let needed = Reference.run(&request).unwrap();
    let found = Compiled::new(device.clone()).run(&request).unwrap();
    assert_eq!(found.mask, needed.mask);
    let (f, n) = (found.gradients.unwrap(), needed.gradients.unwrap());
    let pairs = [
        ("out", &found.out, &needed.out),
        ("lse", &found.lse, &needed.lse),
        ("grad_q", &f.q, &n.q),
        ("grad_k", &f.k, &n.k),
        ("grad_v", &f.v, &n.v),
        ("grad_proj_weight", &f.proj_weight, &n.proj_weight),
        ("grad_proj_bias", &f.proj_bias, &n.proj_bias),
    ];
    let mut report = String::new();
    for (name, a, b) in pairs {
        let e = error(a, b);
        if e.is_nan() || e > tolerance {
            report += &format!(" {name}={e:.2e}");
        }
    }
    let (scope, phi, blocks) = (case.scope, case.phi, case.blocks);
    assert!(
        report.is_empty(),
        "{device} {scope} {phi} {blocks:?} {:?} beyond {tolerance}:{report}",
        case.dims
    );
}

#[test]
fn the_interpreter_agrees_in_every_scope() {
    let device = Device::interp();
    for &scope in Scope::EVERY {
        let case = Case {
            dtype: Dtype::F32,
            dims: (1, 2, 200, 150, 64),
            scope,
            phi: FeatureMap::Softmax,
            blocks: (64, 64),
        };
        check(&device, &case, 1e-5);
    }
}

#[test]
fn the_interpreter_agrees_for_every_feature_map() {
    let device = Device::interp();
    for &phi in FeatureMap::EVERY {
        let case = Case {
            dtype: Dtype::F32,
            dims: (2, 1, 130, 200, 64),
            scope: Scope::Marginal,
            phi,
            blocks: (128, 64),
        };
        check(&device, &case, 1e-5);
    }
}
