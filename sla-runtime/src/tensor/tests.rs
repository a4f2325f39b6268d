//! Tensors in host memory: contents, views, sharing, conversion.

use super::*;
use half::{bf16, f16};
use sla_dsl::ir::Elem;

fn counting(shape: &[usize]) -> Tensor<f32> {
    let n: usize = shape.iter().product();
    Tensor::from_vec(&Device::interp(), shape, (0..n).map(|i| i as f32).collect::<Vec<_>>()).unwrap()
}

#[test]
fn contents_survive_and_memory_is_aligned() {
    let t = counting(&[2, 3]);
    assert_eq!(t.to_vec().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(t.lend().address() % 64, 0);
    assert_eq!(t.space(), Space::Host);
    let z = Tensor::<bool>::zeros(&Device::interp(), &[3]).unwrap();
    assert_eq!(z.to_vec().unwrap(), [false; 3]);
}

#[test]
fn views_read_through_strides() {
    // BLHD memory seen as BHLD.
    let t = counting(&[1, 2, 3, 2]).transpose(1, 2).unwrap();
    assert_eq!(t.shape(), [1, 3, 2, 2]);
    assert!(!t.is_contiguous());
    let expected = [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.];
    assert_eq!(t.to_vec().unwrap(), expected);
    let c = t.copy_to(&Device::interp()).unwrap();
    assert!(c.is_contiguous());
    assert_eq!(c.to_vec().unwrap(), expected);
    let s = t.slice(1, 1..2).unwrap();
    assert_eq!(s.to_vec().unwrap(), [2., 3., 8., 9.]);
    assert_eq!(s.lend().address(), t.lend().address() + 8);
    assert_eq!(counting(&[1, 2]).expand(0, 2).unwrap().to_vec().unwrap(), [0., 1., 0., 1.]);
    assert_eq!(counting(&[4]).slice(0, 4..4).unwrap().to_vec().unwrap(), Vec::<f32>::new());
}

#[test]
fn shared_memory_is_not_lent_for_writing() {
    let mut t = counting(&[2, 3]);
    assert!(t.lend_mut().mutable());
    let mut view = t.transpose(0, 1).unwrap();
    assert!(!t.lend_mut().mutable());
    assert!(!view.lend_mut().mutable());
    drop(t);
    assert!(view.lend_mut().mutable());
    assert!(!view.lend().mutable());
}

#[test]
fn wrong_sizes_are_refused() {
    let device = Device::interp();
    let e = Tensor::<f32>::from_vec(&device, &[2, 2], vec![0.0; 3]).unwrap_err();
    assert_eq!(e.to_string(), "shape [2, 2] needs 4 elements, 3 were given");
    let e = Tensor::<f32>::zeros(&device, &[1 << 40, 1 << 40]).unwrap_err();
    assert!(e.to_string().contains("larger than the address space"), "{e}");
    let e = Tensor::<f32>::zeros(&device, &[1 << 59]).unwrap_err();
    assert_eq!(e.to_string(), format!("no memory for {} bytes on the host", 1u64 << 61));
}

#[test]
fn element_types_are_checked() {
    let d = DynTensor::from(counting(&[2]));
    assert_eq!(d.typed::<f32>().unwrap().to_vec().unwrap(), [0.0, 1.0]);
    let e = d.typed::<bf16>().unwrap_err();
    assert_eq!(e.to_string(), "the tensor has elements of f32, bf16 are needed");
    let e = DynTensor::from_bytes(&Device::interp(), Elem::Bool, &[3], &[0, 1, 2]).unwrap_err();
    assert_eq!(e.to_string(), "element 2 of a bool tensor is the byte 2, it must be 0 or 1");
}

#[test]
fn neighbours_are_read_as_wider_numbers() {
    let bytes = Tensor::<i8>::from_vec(&Device::interp(), &[3, 8], (0..24).collect::<Vec<i8>>()).unwrap();
    let d: DynTensor = bytes.into();
    let words = d.words(Elem::I32).unwrap();
    assert_eq!(words.shape(), [3, 2]);
    let first = i32::from_le_bytes([0, 1, 2, 3]);
    let needed: Vec<i32> = (0..6).map(|n| first + n * 0x0404_0404).collect();
    assert_eq!(words.typed::<i32>().unwrap().to_vec().unwrap(), needed);
    let rows = d.slice(0, 1..3).unwrap().words(Elem::I32).unwrap();
    assert_eq!(rows.typed::<i32>().unwrap().to_vec().unwrap(), needed[2..]);
    assert!(d.slice(1, 2..6).unwrap().words(Elem::I32).is_none());
    assert!(d.slice(1, 0..6).unwrap().words(Elem::I32).is_none());
    assert!(d.transpose(0, 1).unwrap().words(Elem::I32).is_none());
}

#[test]
fn bits_are_read_as_another_type_of_their_size() {
    let d = DynTensor::from(counting(&[2, 2]).transpose(0, 1).unwrap());
    let bits = d.bits(Elem::I32).unwrap().typed::<i32>().unwrap().to_vec().unwrap();
    assert_eq!(bits, [0, 0x4000_0000, 0x3f80_0000, 0x4040_0000]);
    let e = d.bits(Elem::BF16).unwrap_err().to_string();
    assert_eq!(e, "the bits of elements of f32 cannot be read as bf16");
    let bytes = DynTensor::empty(&Device::interp(), Elem::I8, &[3]).unwrap();
    assert!(bytes.bits(Elem::Bool).is_err());
}

#[test]
fn conversions_round_as_casts_do() {
    let device = Device::interp();
    // Halfway cases: 1 + 2^-8 rounds to even in bf16, 1 + 2^-11 in f16.
    let values = [1.0 + 2f32.powi(-8), 1.0 + 2f32.powi(-11), -2.75, f32::NAN, 3e9, 300.0];
    let t = DynTensor::from(Tensor::<f32>::from_vec(&device, &[6], values).unwrap());
    let to = |elem| t.cast(&device, elem).unwrap();
    let half = to(Elem::BF16).typed::<bf16>().unwrap().to_vec().unwrap();
    assert_eq!(half[0], bf16::ONE);
    assert!(half[3].is_nan());
    assert_eq!(to(Elem::F16).typed::<f16>().unwrap().to_vec().unwrap()[1], f16::ONE);
    assert_eq!(to(Elem::I32).typed::<i32>().unwrap().to_vec().unwrap(), [1, 1, -2, 0, i32::MAX, 300]);
    assert_eq!(to(Elem::I8).typed::<i8>().unwrap().to_vec().unwrap(), [1, 1, -2, 0, -1, 44]);
    assert_eq!(to(Elem::F32).to_f32().unwrap()[2], -2.75);
    assert_eq!(to(Elem::I8).to_f64().unwrap()[5], 44.0);
    let b = DynTensor::from_f32(&device, Elem::Bool, &[2], &[0.0, -3.0]).unwrap();
    assert_eq!(b.typed::<bool>().unwrap().to_vec().unwrap(), [false, true]);
}
