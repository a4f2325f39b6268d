//! Sparse-linear attention: softmax attention over the critical blocks, linear attention over the marginal ones through a
//! projection, nothing over the negligible ones. Held against loops that read as the formula does.
//!
//! `cargo run --example 05_sla -- --device cpu`

use clap::Parser;
use sla::attention::module::{Sla, Weights};
use sla::{Blocks, Config, Device, DeviceName, DynTensor, Scope, Share, Tensor};

/// Attends by SLA.
#[derive(Parser)]
struct Args {
    /// auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
}

const D: usize = 64;
const BLOCK: usize = 64;
const LEN: usize = 600;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(Args::parse().device)?;
    let wave = |len: usize, step: f32| (0..len).map(|i| (step * i as f32).sin()).collect::<Vec<_>>();
    let [q, k, v] = [0.7, 1.1, 1.9].map(|step| wave(LEN * D, step));
    let projection: Vec<f32> = wave(D * D, 0.3).iter().map(|x| x / 8.0).collect();

    let on_device = |shape: &[usize], data: &[f32]| -> Result<DynTensor, Box<dyn std::error::Error>> {
        Ok(Tensor::from_vec(&device, shape, data)?.into())
    };
    // A fifth of the key blocks of each row is critical, three tenths are negligible, the rest is marginal.
    let config = Config::new(Scope::Marginal, Share::new(0.2)?, Share::new(0.3)?)
        .with_blocks(Blocks::new(BLOCK, BLOCK)?);
    let shape = [1, 1, LEN, D];
    let weights = Weights { projection: Some(on_device(&[D, D], &projection)?), ..Weights::default() };
    let sla = Sla::new(&device, config);
    let (q_on, k_on, v_on) = (on_device(&shape, &q)?, on_device(&shape, &k)?, on_device(&shape, &v)?);
    let forward = sla.forward(&q_on, &k_on, &v_on, &weights, None)?;

    let mask = forward.mask.typed::<i8>()?.to_vec()?;
    let found = forward.out.typed::<f32>()?.to_vec()?;
    let worst = (0..LEN).map(|row| {
        let needed = plain(row, [&q, &k, &v], &projection, &mask);
        let apart = needed.iter().zip(&found[row * D..]).map(|(a, b)| (a - b).abs());
        apart.fold(0.0, f32::max)
    });
    let worst = worst.fold(0.0, f32::max);
    assert!(worst < 1e-5, "off by {worst}");
    let critical = mask.iter().filter(|&&class| class == 1).count();
    println!(
        "sla: {critical} of {} blocks critical on {device}, at most {worst:.1e} from plain loops",
        mask.len()
    );
    Ok(())
}

/// One row of the output: `softmax(q Kᵀ/√D) V` over critical keys plus `φ(q) H Wᵀ / φ(q) z` over marginal ones, where `H` sums
/// `φ(k) vᵀ`, `z` sums `φ(k)`, and `φ` is softmax over the features.
fn plain(row: usize, [q, k, v]: [&[f32]; 3], w: &[f32], mask: &[i8]) -> Vec<f32> {
    let at = |x: &[f32], i: usize| x[i * D..(i + 1) * D].to_vec();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let phi = |x: &[f32]| {
        let sum: f32 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(|x| x.exp() / sum).collect::<Vec<_>>()
    };
    let (query, blocks) = (at(q, row), LEN.div_ceil(BLOCK));
    let features = phi(&query);
    let (mut sparse, mut weight_sum) = (vec![0.0; D], 0.0);
    let (mut linear, mut feature_sum) = (vec![0.0; D], 0.0);
    for j in 0..LEN {
        let (key, value) = (at(k, j), at(v, j));
        let (branch, sum, weight) = match mask[row / BLOCK * blocks + j / BLOCK] {
            1 => (&mut sparse, &mut weight_sum, (dot(&query, &key) / (D as f32).sqrt()).exp()),
            0 => (&mut linear, &mut feature_sum, dot(&features, &phi(&key))),
            _ => continue,
        };
        *sum += weight;
        branch.iter_mut().zip(&value).for_each(|(o, v)| *o += weight * v);
    }
    linear.iter_mut().for_each(|x| *x /= feature_sum);
    (0..D).map(|d| sparse[d] / weight_sum + dot(&linear, &w[d * D..(d + 1) * D])).collect()
}
