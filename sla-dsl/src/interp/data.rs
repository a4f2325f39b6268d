//! The elements of a value while it is interpreted.
//!
//! Element types share representations: every float is held as an f32 (already rounded to its type), every integer as an i32.

use super::EvalError;
use crate::ir::{Elem, Scalar};
use half::{bf16, f16};
use std::fmt::Write;

/// Elements in row-major order; a scalar is one element.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `f32`, `f16` or `bf16`.
    Float(Vec<f32>),
    /// `i32` or `i8`.
    Int(Vec<i32>),
    /// `bool`.
    Bool(Vec<bool>),
}

impl Data {
    /// `count` copies of a constant as an element of type `elem`; `None` if it is not a value of that type.
    pub fn fill(value: Scalar, elem: Elem, count: usize) -> Option<Data> {
        match value {
            Scalar::Float(v) if elem.is_float() => Some(Data::Float(vec![round_f64(v, elem); count])),
            Scalar::Int(v) if elem.is_int() => {
                let v = i32::try_from(v).ok().filter(|&v| elem == Elem::I32 || i8::try_from(v).is_ok())?;
                Some(Data::Int(vec![v; count]))
            }
            Scalar::Bool(v) if elem == Elem::Bool => Some(Data::Bool(vec![v; count])),
            _ => None,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
            Data::Bool(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One element as a constant.
    pub fn scalar(&self, index: usize) -> Option<Scalar> {
        match self {
            Data::Float(v) => v.get(index).map(|&x| Scalar::Float(x as f64)),
            Data::Int(v) => v.get(index).map(|&x| Scalar::Int(x as i64)),
            Data::Bool(v) => v.get(index).map(|&x| Scalar::Bool(x)),
        }
    }

    /// The elements at `indices`.
    pub(super) fn gather(&self, indices: impl Iterator<Item = usize>) -> Data {
        match self {
            Data::Float(v) => Data::Float(indices.map(|i| v[i]).collect()),
            Data::Int(v) => Data::Int(indices.map(|i| v[i]).collect()),
            Data::Bool(v) => Data::Bool(indices.map(|i| v[i]).collect()),
        }
    }

    pub(super) fn floats(&self) -> Result<&[f32], EvalError> {
        match self {
            Data::Float(v) => Ok(v),
            _ => Err(EvalError::Malformed),
        }
    }

    pub(super) fn ints(&self) -> Result<&[i32], EvalError> {
        match self {
            Data::Int(v) => Ok(v),
            _ => Err(EvalError::Malformed),
        }
    }

    pub(super) fn bools(&self) -> Result<&[bool], EvalError> {
        match self {
            Data::Bool(v) => Ok(v),
            _ => Err(EvalError::Malformed),
        }
    }

    /// For people: the element of a scalar, the rows of a tile.
    pub(super) fn show(&self, shape: &[usize]) -> String {
        let item = |i: usize| match self {
            Data::Float(v) => format!("{:?}", v[i]),
            Data::Int(v) => v[i].to_string(),
            Data::Bool(v) => v[i].to_string(),
        };
        let row = |start: usize, n: usize| {
            let items: Vec<String> = (start..start + n).map(item).collect();
            format!("[{}]", items.join(", "))
        };
        match shape {
            [] => item(0),
            [n] => row(0, *n),
            [m, n] => {
                let mut out = String::from("[");
                for i in 0..*m {
                    let _ = write!(out, "{}{}", if i > 0 { ",\n " } else { "" }, row(i * n, *n));
                }
                out + "]"
            }
            _ => format!("{self:?}"),
        }
    }
}

/// An f32 rounded to nearest even in a float type.
pub(super) fn round(x: f32, elem: Elem) -> f32 {
    match elem {
        Elem::F16 => f16::from_f32(x).to_f32(),
        Elem::BF16 => bf16::from_f32(x).to_f32(),
        _ => x,
    }
}

/// A constant rounded once from double precision to a float type.
fn round_f64(x: f64, elem: Elem) -> f32 {
    match elem {
        Elem::F16 => f16::from_f64(x).to_f32(),
        Elem::BF16 => bf16::from_f64(x).to_f32(),
        _ => x as f32,
    }
}
