//! Dense attention without the matrix of scores: the kernel is `sla::kernels::flash`, held against softmax(Q Kᵀ / √D) V.
//!
//! `cargo run --example 04_flash_attention -- --device cpu`

use clap::Parser;
use sla::kernels::flash::flash_fwd;
use sla::{Device, DeviceName, Tensor};

/// Attends with every query to every key.
#[derive(Parser)]
struct Args {
    /// auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
}

const D: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(Args::parse().device)?;
    let (heads, queries, keys) = (2, 130, 200);
    let wave = |len: usize, step: f32| (0..len).map(|i| (step * i as f32).sin()).collect::<Vec<_>>();
    let (q, k, v) =
        (wave(heads * queries * D, 0.7), wave(heads * keys * D, 1.1), wave(heads * keys * D, 1.9));
    let scale = 1.0 / (D as f32).sqrt();

    let on_device = |data: &[f32], len| Tensor::from_vec(&device, &[1, heads, len, D], data);
    let mut out = Tensor::<f32>::zeros(&device, &[1, heads, queries, D])?;
    let mut lse = Tensor::<f32>::zeros(&device, &[1, heads, queries])?;
    // Blocks of 64 queries and 64 keys; not causal.
    flash_fwd::<f32, 64, 64, D, false>::launch(
        &device,
        &on_device(&q, queries)?,
        &on_device(&k, keys)?,
        &on_device(&v, keys)?,
        &mut out,
        &mut lse,
        scale,
    )?;

    let mut worst = 0f32;
    for (row, found) in out.to_vec()?.chunks(D).enumerate() {
        let head = row / queries;
        let (k, v) = (&k[head * keys * D..], &v[head * keys * D..]);
        let dot = |j: usize| (0..D).map(|d| q[row * D + d] * k[j * D + d]).sum::<f32>();
        let weights: Vec<f32> = (0..keys).map(|j| (dot(j) * scale).exp()).collect();
        let sum: f32 = weights.iter().sum();
        for (d, found) in found.iter().enumerate() {
            let needed = (0..keys).map(|j| weights[j] * v[j * D + d]).sum::<f32>() / sum;
            worst = worst.max((found - needed).abs());
        }
    }
    assert!(worst < 1e-5, "off by {worst}");
    println!("flash_fwd: {queries} queries, {keys} keys on {device}, at most {worst:.1e} from plain loops");
    Ok(())
}
