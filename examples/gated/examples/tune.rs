//! Finds the best way to run the kernel here, and keeps it.

use std::path::Path;
use std::time::Duration;

use gated::gated;
use sla::tune::own::{Problem, Trial, tune};
use sla::tuned::{Tuned, launcher::architecture, record::Records};
use sla::{Device, Tensor};
use sla_runtime::RuntimeError;

const SHAPE: [usize; 2] = [64, 4096];

struct Mine {
    device: Device,
    x: Tensor<f32>,
    gate: Tensor<f32>,
    out: Tensor<f32>,
}

impl Problem for Mine {
    fn clear(&mut self) -> Result<(), RuntimeError> {
        self.out = Tensor::zeros(&self.device, &SHAPE)?;
        Ok(())
    }

    fn launch(&mut self, on: &Trial<'_>) -> Result<(), RuntimeError> {
        gated::<f32, 1024>::launch(on, &self.x, &self.gate, &mut self.out)
    }

    fn check(&mut self) -> Result<(), String> {
        let right = 2.0 / (1.0 + (-2f32).exp()) * 0.5;
        let out = self.out.to_vec().map_err(|e| e.to_string())?;
        let wrong = out.into_iter().find(|y| (y - right).abs() > 1e-6);
        wrong.map_or(Ok(()), |y| Err(format!("found {y}, needed {right}")))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::open(sla::DeviceName::Auto)?;
    let filled =
        |shape: &[usize], value| Tensor::from_vec(&device, shape, vec![value; shape.iter().product()]);
    let (x, gate) = (filled(&SHAPE, 2f32)?, filled(&SHAPE[1..], 0.5)?);
    let mut mine = Mine { device: device.clone(), x, gate, out: Tensor::zeros(&device, &SHAPE)? };

    let report = tune(&device, &gated, &mut mine, Duration::from_secs(30), &mut ())?;
    for (set, fate) in &report.rows {
        println!("{:24} {fate}", if set.is_empty() { "the default" } else { set });
    }
    println!(
        "best: {:?} {:?}, {:.1} % ahead",
        report.entry.consts,
        report.entry.settings,
        100.0 * report.entry.margin
    );

    // One file an architecture, to be committed.
    let (arch, folder) = (architecture(&device), Path::new("tuned"));
    std::fs::create_dir_all(folder)?;
    let mut records = Records::read(&Records::place(folder, &arch), &arch)?;
    records.insert(report.entry);
    records.write(&Records::place(folder, &arch))?;

    // Launches by the record: the constants here are what runs where there is none, or one that does not hold any more.
    let tuned = Tuned::read(&device, folder)?;
    gated::<f32, 1024>::launch(&tuned, &mine.x, &mine.gate, &mut mine.out)?;
    Ok(())
}
