//! Kernels and data for tests of launches.

use sla_dsl::prelude::*;
use sla_runtime::{Device, RuntimeError, Tensor as Owned};

/// `c = a + scale * b`
#[kernel(dims(L), grid(p in L.div_ceil(BLOCK)))]
pub fn axpy<const BLOCK: usize>(
    a: &Tensor<f32, { [L] }>,
    b: &Tensor<f32, { [L] }>,
    c: &mut Tensor<f32, { [L] }>,
    scale: f32,
) {
    let x = a.block::<BLOCK>(p).load();
    let y = b.block::<BLOCK>(p).load();
    c.block::<BLOCK>(p).store(x + y * scale);
}

/// `out[b, h] = softmax(q[b, h] k[b, h]^T)`: heads that may lie apart, rows with a ragged tail.
#[kernel(dims(B, H, L, K), require(D % 16 == 0), grid(m in L.div_ceil(BM), h in H, b in B))]
pub fn attention_weights<T: Float, const BM: usize, const N: usize, const D: usize>(
    q: &Tensor<T, { [B, H, L, D] }>,
    k: &Tensor<T, { [B, H, K, D] }>,
    out: &mut Tensor<f32, { [B, H, L, K] }>,
) {
    let q = q.at(b, h).block::<BM>(m).load();
    let k = k.at(b, h).blocks::<N>();
    let s = dot(q, k[0].t()).mask_tail(k, 0, -INF);
    let e = exp2((s - s.max(1)) * LOG2E);
    out.at(b, h).block::<BM, N>(m, 0).store(e / e.sum(1));
}

/// Numbers in [-1, 1) that repeat for a seed.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Runs `axpy` over several sizes and compares with plain Rust.
pub fn check_axpy(device: &Device) -> Result<(), RuntimeError> {
    for l in [1, 127, 128, 1000, 4096] {
        let (x, y) = (numbers(l, 1), numbers(l, 2));
        let a = Owned::from_vec(device, &[l], &x)?;
        let b = Owned::from_vec(device, &[l], &y)?;
        let mut c = Owned::<f32>::zeros(device, &[l])?;
        axpy::<128>::launch(device, &a, &b, &mut c, 0.5)?;
        let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y * 0.5).collect();
        assert_eq!(c.to_vec()?, expected, "L={l}");
    }
    Ok(())
}

/// Runs `attention_weights` on BLHD memory seen as BHLD and compares with double precision.
pub fn check_views(device: &Device) -> Result<(), RuntimeError> {
    let (b, h, l, k, d) = (2, 3, 37, 29, 16);
    let (x, y) = (numbers(b * l * h * d, 3), numbers(b * k * h * d, 4));
    let q = Owned::<f32>::from_vec(device, &[b, l, h, d], &x)?.transpose(1, 2)?;
    let keys = Owned::<f32>::from_vec(device, &[b, k, h, d], &y)?.transpose(1, 2)?;
    let mut out = Owned::<f32>::zeros(device, &[b, l, h, k])?.transpose(1, 2)?;
    attention_weights::<f32, 16, 32, 16>::launch(device, &q, &keys, &mut out)?;
    let found = out.to_vec()?;
    let at = |v: &[f32], n: usize, bi: usize, i: usize, hi: usize, c: usize| {
        v[((bi * n + i) * h + hi) * d + c] as f64
    };
    for bi in 0..b {
        for hi in 0..h {
            for i in 0..l {
                let scores: Vec<f64> = (0..k)
                    .map(|j| (0..d).map(|c| at(&x, l, bi, i, hi, c) * at(&y, k, bi, j, hi, c)).sum())
                    .collect();
                let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                for (j, s) in scores.iter().enumerate() {
                    let (w, f) = (s.exp() / sum, found[((bi * h + hi) * l + i) * k + j] as f64);
                    assert!((w - f).abs() < 1e-5, "b {bi} h {hi} row {i} column {j}: {f}, expected {w}");
                }
            }
        }
    }
    Ok(())
}
