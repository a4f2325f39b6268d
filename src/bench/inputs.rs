//! Random tensors: bf16, normally distributed, the same for the same seed on every machine and any number of threads.

use half::bf16;
use rayon::prelude::*;
use sla_dsl::ir::Elem;
use sla_runtime::{Device, DynTensor, RuntimeError};

use crate::attention::random::Random;

/// Elements that one stream of random numbers fills.
const CHUNK: usize = 1 << 16;

/// A tensor of normal numbers with standard deviation 1.
///
/// # Errors
/// A device that fails, or no memory left.
pub fn normal(device: &Device, shape: &[usize], seed: u64) -> Result<DynTensor, RuntimeError> {
    let mut bytes = vec![0; 2 * shape.iter().product::<usize>()];
    bytes.par_chunks_mut(2 * CHUNK).enumerate().for_each(|(i, chunk)| {
        let stream = Random::new(seed.wrapping_shl(32) + i as u64).bits();
        let values = Random::new(stream).normals(chunk.len() / 2, 1.0);
        for (place, value) in chunk.chunks_exact_mut(2).zip(values) {
            place.copy_from_slice(&bf16::from_f64(value).to_ne_bytes());
        }
    });
    DynTensor::from_bytes(device, Elem::BF16, shape, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normal_and_the_seed_determines_them() {
        let device = Device::interp();
        let make = |seed| normal(&device, &[3, CHUNK], seed).unwrap().to_f64().unwrap();
        let (a, n) = (make(1), 3.0 * CHUNK as f64);
        assert_eq!(a, make(1));
        assert_ne!(a, make(2));
        assert_ne!(a[..CHUNK], a[CHUNK..2 * CHUNK]);
        let mean = a.iter().sum::<f64>() / n;
        let variance = a.iter().map(|x| x * x).sum::<f64>() / n;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
