//! Reductions: softmax of the rows of a matrix, held against a loop. The kernel is `sla::kernels::softmax`.
//!
//! `cargo run --example 02_softmax -- --device cpu`

use clap::Parser;
use sla::kernels::softmax::row_softmax;
use sla::{Device, DeviceName, Tensor};

/// Softmax of each row of a matrix.
#[derive(Parser)]
struct Args {
    /// auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
}

const COLUMNS: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(Args::parse().device)?;
    let rows = 101;
    let x: Vec<f32> = (0..rows * COLUMNS).map(|i| 4.0 * (0.37 * i as f32).sin()).collect();

    let mut out = Tensor::<f32>::zeros(&device, &[rows, COLUMNS])?;
    // A program takes 16 rows; of the last 16 only 5 are there.
    row_softmax::<f32, 16, COLUMNS>::launch(
        &device,
        &Tensor::from_vec(&device, &[rows, COLUMNS], &x)?,
        &mut out,
    )?;

    let mut worst = 0f32;
    for (row, found) in x.chunks(COLUMNS).zip(out.to_vec()?.chunks(COLUMNS)) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = row.iter().map(|x| (x - top).exp()).sum();
        for (x, found) in row.iter().zip(found) {
            worst = worst.max((found - (x - top).exp() / sum).abs());
        }
    }
    assert!(worst < 1e-6, "off by {worst}");
    println!("row_softmax: {rows} rows of {COLUMNS} on {device}, at most {worst:.1e} from a plain loop");
    Ok(())
}
