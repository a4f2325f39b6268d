//! The runtime dims of a launch: unified by name over all arguments, then checked and evaluated.
//!
//! An axis whose size is a bare name gives that name its value at first sight, in the order of the parameters; later ones must
//! agree. Axes whose size is an expression determine nothing and are compared once every name has a value.

use super::{Refusal, TensorArg};
use crate::ir::{DimExpr, GridAxis, TensorType};

/// A tensor argument beside its parameter.
pub(super) struct Lent<'l, 'a> {
    pub index: usize,
    pub name: &'l str,
    pub ty: &'l TensorType,
    pub arg: &'l TensorArg<'a>,
}

/// Values of the runtime dims, in order of declaration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sizes {
    names: &'static [&'static str],
    pub values: Vec<i64>,
}

impl Sizes {
    /// Unifies the dims over all tensors and checks every axis.
    pub fn unify(names: &'static [&'static str], tensors: &[Lent<'_, '_>]) -> Result<Sizes, Refusal> {
        let mut found: Vec<Option<(i64, &Lent<'_, '_>, usize)>> = vec![None; names.len()];
        for t in tensors {
            for (axis, expr) in t.ty.dims.iter().enumerate() {
                let size = check_size(t, axis, expr)?;
                let DimExpr::Name(name) = expr else { continue };
                let Some(i) = names.iter().position(|n| n == name) else { continue };
                match found[i] {
                    None => found[i] = Some((size, t, axis)),
                    Some((first, _, _)) if first == size => {}
                    Some((first, other, first_axis)) => {
                        return Err(Refusal::Conflict {
                            dim: name.clone(),
                            first,
                            first_param: other.name.to_string(),
                            first_axis,
                            found: size,
                            param: t.name.to_string(),
                            axis,
                        });
                    }
                }
            }
        }
        let mut values = Vec::with_capacity(names.len());
        for (name, f) in names.iter().zip(&found) {
            match f {
                Some((size, _, _)) => values.push(*size),
                None => return Err(Refusal::Undetermined { dim: name.to_string() }),
            }
        }
        let sizes = Sizes { names, values };
        for t in tensors {
            for (axis, expr) in t.ty.dims.iter().enumerate() {
                let (found, needed) = (t.arg.shape()[axis] as i64, sizes.eval(expr)?);
                if found != needed {
                    let because = match expr.as_const() {
                        Some(_) => String::new(),
                        None => format!(": {expr} with {}", sizes.of(expr)),
                    };
                    let param = t.name.to_string();
                    return Err(Refusal::Size { param, axis, found, needed, because });
                }
            }
        }
        Ok(sizes)
    }

    /// The value of a dim.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.names.iter().position(|n| *n == name).map(|i| self.values[i])
    }

    /// The value of an expression over the dims, no part of which may be negative.
    pub fn eval(&self, expr: &DimExpr) -> Result<i64, Refusal> {
        if let Some(part) = expr.negative_part(&|n| self.get(n)) {
            let (expr, part, values) = (expr.to_string(), part.to_string(), self.of(part));
            return Err(Refusal::Negative { expr, part, values });
        }
        expr.eval(&|n| self.get(n))
            .ok_or_else(|| Refusal::NoValue { expr: expr.to_string(), values: self.of(expr) })
    }

    /// The grid's extents; a kernel without grid axes runs once.
    pub fn grid(&self, axes: &[GridAxis]) -> Result<Vec<u64>, Refusal> {
        let mut grid = Vec::with_capacity(axes.len());
        for a in axes {
            let extent = self.eval(&a.extent)?;
            let Ok(n) = u64::try_from(extent) else {
                let (axis, expr, values) = (a.name.clone(), a.extent.to_string(), self.of(&a.extent));
                return Err(Refusal::Grid { axis, extent, expr, values });
            };
            grid.push(n);
        }
        // Three extents below 2^63 may exceed even 128 bits.
        let programs = grid.iter().fold(1u128, |p, &n| p.saturating_mul(n as u128));
        if programs > i32::MAX as u128 {
            return Err(Refusal::Programs { programs });
        }
        Ok(grid)
    }

    /// `LQ=5, D=64` for the names in an expression.
    fn of(&self, expr: &DimExpr) -> String {
        let names = expr.names();
        if names.is_empty() {
            return "no runtime dims".to_string();
        }
        let value = |n: &&str| match self.get(n) {
            Some(v) => format!("{n}={v}"),
            None => format!("{n} unknown"),
        };
        names.iter().map(value).collect::<Vec<_>>().join(", ")
    }

    /// Every dim with its value.
    pub fn all(&self) -> String {
        let pairs = self.names.iter().zip(&self.values).map(|(n, v)| format!("{n}={v}"));
        pairs.collect::<Vec<_>>().join(", ")
    }
}

fn check_size(t: &Lent<'_, '_>, axis: usize, expr: &DimExpr) -> Result<i64, Refusal> {
    let (param, dim, size) = (t.name.to_string(), expr.to_string(), t.arg.shape()[axis]);
    match i32::try_from(size) {
        Ok(0) => Err(Refusal::Empty { param, axis, dim }),
        Ok(s) => Ok(s as i64),
        Err(_) => Err(Refusal::TooLong { param, axis, dim, size }),
    }
}
