//! A real clip, the last step of the staircase: dense attention and SLA denoise a crop of it, and a table says how well.
//! `sla demo --out DIR` does the same with whole frames, and draws what it sees.
//!
//! `cargo run --example 06_clip -- --device cpu`

use clap::Parser;
use sla::demo::{Scene, Settings, run};
use sla::{Device, DeviceName, Share};

/// Denoises a crop of the bundled clip.
#[derive(Parser)]
struct Args {
    /// auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(Args::parse().device)?;
    let scene = Scene { height: 64, width: 64, ..Scene::whole() };
    let settings = Settings { seed: 0, steps: 50, critical: Share::new(0.10)?, scene };
    let outcome = run(&device, &settings, &mut ())?;
    println!("{}", outcome.report);
    Ok(())
}
