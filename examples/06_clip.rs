//! The last step of the staircase: a real clip. Dense attention and SLA denoise a crop of it, and the table says how well.
//!
//! `sla demo --out DIR` does the same with whole frames, and draws what it sees.

use sla::Share;
use sla::demo::{Scene, Settings, run};
use sla_runtime::Device;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scene = Scene { height: 64, width: 64, ..Scene::whole() };
    let settings = Settings { seed: 0, steps: 50, critical: Share::new(0.10)?, scene };
    let outcome = run(&Device::cpu(), &settings, &mut ())?;
    println!("{}", outcome.report);
    Ok(())
}
