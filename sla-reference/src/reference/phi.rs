//! The feature maps and their vector-Jacobian products, in float64.

use super::super::FeatureMap;
use super::vectors::{add_scaled, dot, row_times, times_column};

/// `phi` of every row of `x` `[rows, d]`: `[rows, D']`, with `D'` of [`FeatureMap::width`]. `weight` `[d, d]` is hedgehog's
/// `W` of this head, identity when absent; the other maps ignore it.
pub fn features(phi: FeatureMap, x: &[f64], d: usize, weight: Option<&[f64]>) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.len() / d * phi.width(d));
    for row in x.chunks_exact(d) {
        match phi {
            FeatureMap::Softmax => y.extend(softmax(row)),
            FeatureMap::Elu => y.extend(row.iter().map(|&x| if x > 0.0 { x + 1.0 } else { x.exp() })),
            FeatureMap::Relu => y.extend(row.iter().map(|&x| x.max(0.0))),
            FeatureMap::Hedgehog => {
                let logits = linear(row, weight);
                y.extend(softmax(&logits));
                y.extend(softmax(&negated(&logits)));
            }
        }
    }
    y
}

/// The gradient of `x` `[rows, d]` when that of [`features`] is `dy` `[rows, D']`.
pub fn features_vjp(phi: FeatureMap, x: &[f64], dy: &[f64], d: usize, weight: Option<&[f64]>) -> Vec<f64> {
    let mut dx = Vec::with_capacity(x.len());
    for (row, dy) in x.chunks_exact(d).zip(dy.chunks_exact(phi.width(d))) {
        match phi {
            FeatureMap::Softmax => dx.extend(softmax_vjp(row, dy)),
            FeatureMap::Elu => {
                dx.extend(row.iter().zip(dy).map(|(&x, dy)| if x > 0.0 { *dy } else { dy * x.exp() }))
            }
            FeatureMap::Relu => dx.extend(row.iter().zip(dy).map(|(&x, dy)| if x > 0.0 { *dy } else { 0.0 })),
            FeatureMap::Hedgehog => {
                let logits = linear(row, weight);
                let (dy_plus, dy_minus) = dy.split_at(d);
                let mut dlogits = softmax_vjp(&logits, dy_plus);
                add_scaled(&mut dlogits, -1.0, &softmax_vjp(&negated(&logits), dy_minus));
                dx.extend(weight.map_or(dlogits.clone(), |w| times_column(w, &dlogits)));
            }
        }
    }
    dx
}

/// `x W`, or `x` without `W`.
fn linear(x: &[f64], weight: Option<&[f64]>) -> Vec<f64> {
    weight.map_or_else(|| x.to_vec(), |w| row_times(x, w, x.len()))
}

fn negated(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| -x).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = x.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

/// `y (dy - y . dy)` with `y = softmax(x)`.
fn softmax_vjp(x: &[f64], dy: &[f64]) -> Vec<f64> {
    let y = softmax(x);
    let inner = dot(&y, dy);
    y.iter().zip(dy).map(|(y, dy)| y * (dy - inner)).collect()
}
