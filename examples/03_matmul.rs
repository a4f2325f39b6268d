//! Contraction: a product of matrices in f16 with f32 sums, held against a loop. The kernel is `sla::kernels::matmul`.
//!
//! `cargo run --example 03_matmul -- --device cpu`

use clap::Parser;
use half::f16;
use sla::kernels::matmul::matmul;
use sla::{Device, DeviceName, Tensor};

/// Multiplies two matrices.
#[derive(Parser)]
struct Args {
    /// auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(Args::parse().device)?;
    let (m, n, k) = (130, 200, 120);
    let wave = |len: usize, step: f32| -> Vec<f16> {
        (0..len).map(|i| f16::from_f32((step * i as f32).sin())).collect()
    };
    let (a, b) = (wave(m * k, 0.7), wave(k * n, 1.1));

    let mut c = Tensor::<f16>::zeros(&device, &[m, n])?;
    // A program makes 64 x 64 elements of the product from 32 columns of `a` and rows of `b` at a time.
    matmul::<f16, 64, 64, 32>::launch(
        &device,
        &Tensor::from_vec(&device, &[m, k], &a)?,
        &Tensor::from_vec(&device, &[k, n], &b)?,
        &mut c,
    )?;

    let mut worst = 0f32;
    for (place, found) in c.to_vec()?.iter().enumerate() {
        let (row, column) = (place / n, place % n);
        let terms = (0..k).map(|i| a[row * k + i].to_f32() * b[i * n + column].to_f32());
        let needed: f32 = terms.sum();
        worst = worst.max((found.to_f32() - needed).abs() / needed.abs().max(1.0));
    }
    assert!(worst < 1e-3, "off by {worst}");
    println!("matmul: {m} x {k} by {k} x {n} on {device}, at most {worst:.1e} from a plain loop");
    Ok(())
}
