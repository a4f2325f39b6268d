//! Dense host tensors of the element types that the operator's inputs and outputs have.
//!
//! An [`Array`] is what a tensor file holds and what a back end copies to its device: row-major, owned, no strides.

use std::fmt;

use half::{bf16, f16};
use serde::{Serialize, Serializer};
use thiserror::Error;

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// Signed byte; block masks only.
    I8,
}

impl Dtype {
    /// Whether it is one of the three floating-point types.
    pub fn is_float(self) -> bool {
        self != Dtype::I8
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::Bf16 => "bf16",
            Dtype::F16 => "f16",
            Dtype::F32 => "f32",
            Dtype::I8 => "i8",
        })
    }
}

impl Serialize for Dtype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The elements of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// bfloat16.
    Bf16(Vec<bf16>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// IEEE single precision.
    F32(Vec<f32>),
    /// Signed bytes.
    I8(Vec<i8>),
}

/// A dense row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Data,
}

impl Array {
    /// # Errors
    /// [`ArrayError`] when the number of elements is not the shape's.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, ArrayError> {
        let found = match &data {
            Data::Bf16(x) => x.len(),
            Data::F16(x) => x.len(),
            Data::F32(x) => x.len(),
            Data::I8(x) => x.len(),
        };
        let needed = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if needed == Some(found) { Ok(Array { shape, data }) } else { Err(ArrayError { found, shape }) }
    }

    /// An array of `values` rounded to `dtype`, to nearest, ties to even; for `i8` cut to its range, towards zero.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_f64(dtype: Dtype, shape: Vec<usize>, values: &[f64]) -> Result<Self, ArrayError> {
        let data = match dtype {
            Dtype::Bf16 => Data::Bf16(values.iter().map(|&x| bf16::from_f64(x)).collect()),
            Dtype::F16 => Data::F16(values.iter().map(|&x| f16::from_f64(x)).collect()),
            Dtype::F32 => Data::F32(values.iter().map(|&x| x as f32).collect()),
            Dtype::I8 => Data::I8(values.iter().map(|&x| x as i8).collect()),
        };
        Array::new(shape, data)
    }

    /// An array of `dtype` from little-endian bytes.
    ///
    /// # Errors
    /// As [`Array::new`].
    pub fn from_le_bytes(dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> Result<Self, ArrayError> {
        let data = match dtype {
            Dtype::Bf16 => Data::Bf16(bytes.as_chunks().0.iter().map(|&x| bf16::from_le_bytes(x)).collect()),
            Dtype::F16 => Data::F16(bytes.as_chunks().0.iter().map(|&x| f16::from_le_bytes(x)).collect()),
            Dtype::F32 => Data::F32(bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()),
            Dtype::I8 => Data::I8(bytes.iter().map(|&x| x as i8).collect()),
        };
        Array::new(shape, data)
    }

    /// The elements as little-endian bytes.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        fn join<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
            let mut joined = Vec::with_capacity(values.len() * N);
            values.iter().for_each(|&value| joined.extend_from_slice(&bytes(value)));
            joined
        }
        match &self.data {
            Data::Bf16(x) => join(x, bf16::to_le_bytes),
            Data::F16(x) => join(x, f16::to_le_bytes),
            Data::F32(x) => join(x, f32::to_le_bytes),
            Data::I8(x) => join(x, i8::to_le_bytes),
        }
    }

    /// The elements in float64, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::Bf16(x) => x.iter().map(|x| x.to_f64()).collect(),
            Data::F16(x) => x.iter().map(|x| x.to_f64()).collect(),
            Data::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
            Data::I8(x) => x.iter().map(|&x| f64::from(x)).collect(),
        }
    }

    /// The index of the first element that is infinite or not a number, with its value.
    pub fn first_not_finite(&self) -> Option<(Vec<usize>, f64)> {
        let found = match &self.data {
            Data::Bf16(x) => x.iter().position(|x| !x.is_finite()).map(|at| (at, x[at].to_f64())),
            Data::F16(x) => x.iter().position(|x| !x.is_finite()).map(|at| (at, x[at].to_f64())),
            Data::F32(x) => x.iter().position(|x| !x.is_finite()).map(|at| (at, f64::from(x[at]))),
            Data::I8(_) => None,
        };
        found.map(|(at, value)| (self.index(at), value))
    }

    /// The index along every axis of element `at`.
    fn index(&self, mut at: usize) -> Vec<usize> {
        let mut index = vec![0; self.shape.len()];
        for (axis, &size) in self.shape.iter().enumerate().rev() {
            (index[axis], at) = (at % size, at / size);
        }
        index
    }

    /// Sizes of the axes, slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self.data {
            Data::Bf16(_) => Dtype::Bf16,
            Data::F16(_) => Dtype::F16,
            Data::F32(_) => Dtype::F32,
            Data::I8(_) => Dtype::I8,
        }
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }
}

/// Elements that do not fill a shape.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{found} elements, needed as many as the shape {shape:?} has")]
pub struct ArrayError {
    /// Elements given.
    pub found: usize,
    /// The shape.
    pub shape: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_round_trip() {
        let values = [1.0, -2.5, 0.0, 96.0];
        for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32] {
            let array = Array::from_f64(dtype, vec![2, 2], &values).unwrap();
            assert_eq!(array.to_f64(), values);
            assert_eq!(Array::from_le_bytes(dtype, vec![2, 2], &array.to_le_bytes()).unwrap(), array);
        }
        let classes = Array::from_f64(Dtype::I8, vec![3], &[1.0, 0.0, -1.0]).unwrap();
        assert_eq!(classes.to_le_bytes(), [1, 0, 255]);
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found_with_its_place() {
        let array = Array::from_f64(Dtype::F16, vec![2, 3], &[1.0, 2.0, 3.0, 4.0, 1e9, f64::NAN]).unwrap();
        assert_eq!(array.first_not_finite(), Some((vec![1, 1], f64::INFINITY)));
        assert_eq!(Array::from_f64(Dtype::Bf16, vec![1], &[1e9]).unwrap().first_not_finite(), None);
    }

    #[test]
    fn shapes_that_overflow_or_disagree_are_errors() {
        assert!(Array::new(vec![usize::MAX, 2], Data::I8(vec![0; 4])).is_err());
        assert!(Array::from_le_bytes(Dtype::F32, vec![2], &[0; 7]).is_err());
    }
}
