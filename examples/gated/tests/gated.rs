//! The kernel's answer against a plain loop, and its PTX as it was.

use gated::gated;
use sla::{Arch, Device, Stage, Target, Tensor};

#[test]
fn agrees_with_a_loop() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::cpu(); // or Device::cuda(0), or Device::interp(), which says what is right
    let x = Tensor::from_vec(&device, &[2, 3], [0f32, 1.0, -2.0, 3.0, 4.0, 5.0])?;
    let gate = Tensor::from_vec(&device, &[3], [1f32, 0.5, 2.0])?;
    let mut out = Tensor::<f32>::zeros(&device, &[2, 3])?;
    gated::<f32, 256>::launch(&device, &x, &gate, &mut out)?;
    let (x, gate) = (x.to_vec()?, gate.to_vec()?);
    for (i, y) in out.to_vec()?.into_iter().enumerate() {
        let right = x[i] / (1.0 + (-x[i]).exp()) * gate[i % 3];
        assert!((y - right).abs() <= 1e-6 * right.abs().max(1.0), "{i}: {y}, needed {right}");
    }
    Ok(())
}

#[test]
fn ptx() {
    let ptx = sla::snapshot(gated::<f32, 1024>::build, Target::Cuda(Arch::Sm90a), Stage::Ptx).unwrap();
    insta::assert_snapshot!(ptx);
}
