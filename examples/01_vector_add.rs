//! The first step: a kernel written here, run on any device, and held against a loop. It shows the language, not speed.
//!
//! `cargo run --example 01_vector_add -- --device cpu`

use clap::Parser;
use sla::{Device, DeviceName, Tensor};
use sla_dsl::prelude::*;

/// `out[i] = a[i] + b[i]`. Program `i` owns a block of elements; the last block may reach beyond the end, and then loads and
/// stores only what is there.
#[kernel(dims(N), grid(i in N.div_ceil(BLOCK)))]
fn vector_add<const BLOCK: usize>(
    a: &Tensor<f32, { [N] }>,
    b: &Tensor<f32, { [N] }>,
    out: &mut Tensor<f32, { [N] }>,
) {
    let sum = a.block::<BLOCK>(i).load() + b.block::<BLOCK>(i).load();
    out.block::<BLOCK>(i).store(sum);
}

/// Adds two vectors.
#[derive(Parser)]
struct Args {
    /// auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(Args::parse().device)?;
    let n = 10_007;
    let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let b: Vec<f32> = (0..n).map(|i| 0.25 * i as f32).collect();

    let (on_device_a, on_device_b) =
        (Tensor::from_vec(&device, &[n], &a)?, Tensor::from_vec(&device, &[n], &b)?);
    let mut out = Tensor::<f32>::zeros(&device, &[n])?;
    vector_add::<1024>::launch(&device, &on_device_a, &on_device_b, &mut out)?;

    let needed: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    assert_eq!(out.to_vec()?, needed);
    println!("vector_add: {n} sums on {device}, each as in a plain loop");
    Ok(())
}
