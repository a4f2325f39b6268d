//! Conversion between element types, on the host, with the rounding of the tile language's casts.

use super::DynTensor;
use crate::{Device, RuntimeError};
use half::{bf16, f16};
use sla_dsl::ir::Elem;

impl DynTensor {
    /// The elements in row-major order as double precision, which holds every element type exactly. Truth values become 0 and 1.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_f64(&self) -> Result<Vec<f64>, RuntimeError> {
        let bytes = self.to_bytes()?;
        Ok(bytes.chunks_exact(self.elem().bytes()).map(|b| decode(self.elem(), b)).collect())
    }

    /// The elements in row-major order as `f32`: exact for all types but `i32`.
    ///
    /// # Errors
    /// A device that fails.
    pub fn to_f32(&self) -> Result<Vec<f32>, RuntimeError> {
        let bytes = self.to_bytes()?;
        Ok(bytes.chunks_exact(self.elem().bytes()).map(|b| decode(self.elem(), b) as f32).collect())
    }

    /// A contiguous tensor with these values, rounded to `elem`.
    ///
    /// # Errors
    /// As [`DynTensor::from_bytes`].
    pub fn from_f32(
        device: &Device,
        elem: Elem,
        shape: &[usize],
        values: &[f32],
    ) -> Result<DynTensor, RuntimeError> {
        DynTensor::from_bytes(device, elem, shape, &encode(elem, values.iter().map(|&v| v as f64)))
    }

    /// A contiguous tensor with the same values, rounded to `elem`, on a device.
    ///
    /// # Errors
    /// A device that fails, or no memory left.
    pub fn cast(&self, device: &Device, elem: Elem) -> Result<DynTensor, RuntimeError> {
        if elem == self.elem() {
            return self.copy_to(device);
        }
        let bytes = self.to_bytes()?;
        let values = bytes.chunks_exact(self.elem().bytes()).map(|b| decode(self.elem(), b));
        DynTensor::from_bytes(device, elem, self.shape(), &encode(elem, values))
    }
}

/// One element; `b` has as many bytes as the type.
fn decode(elem: Elem, b: &[u8]) -> f64 {
    match (elem, b) {
        (Elem::F32, &[a, b, c, d]) => f32::from_ne_bytes([a, b, c, d]) as f64,
        (Elem::I32, &[a, b, c, d]) => i32::from_ne_bytes([a, b, c, d]) as f64,
        (Elem::F16, &[a, b]) => f16::from_ne_bytes([a, b]).to_f64(),
        (Elem::BF16, &[a, b]) => bf16::from_ne_bytes([a, b]).to_f64(),
        (Elem::I8, &[a]) => a as i8 as f64,
        (Elem::Bool, &[a]) => (a != 0) as u8 as f64,
        _ => f64::NAN,
    }
}

/// Floats round to nearest even, by way of `f32`; integers truncate and saturate as `i32`, with NaN to 0, and `i8` wraps from there.
fn encode(elem: Elem, values: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.size_hint().0 * elem.bytes());
    for v in values {
        match elem {
            Elem::F32 => out.extend((v as f32).to_ne_bytes()),
            Elem::I32 => out.extend((v as i32).to_ne_bytes()),
            Elem::F16 => out.extend(f16::from_f32(v as f32).to_ne_bytes()),
            Elem::BF16 => out.extend(bf16::from_f32(v as f32).to_ne_bytes()),
            Elem::I8 => out.push(v as i32 as i8 as u8),
            Elem::Bool => out.push((v != 0.0) as u8),
        }
    }
    out
}
