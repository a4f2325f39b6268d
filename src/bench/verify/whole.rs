//! Whether calls of the operator are right: a small problem with the same configuration against the float64 reference, and at the measured sizes
//! every output written and finite, and lists those of the mask.

use rayon::prelude::*;
use sla_runtime::RuntimeError;

use super::super::case::Call;
use super::super::whole::Whole;
use super::{Wrong, check_rows};
use crate::attention::compare::{self, Measured};
use crate::attention::module::Compiled;
use crate::attention::random::Random;
use crate::attention::{Array, Dtype, Inputs, Operator, Request};

/// Tokens, but for what the last block of the measured problem lacks, and heads of the small problem.
const LENGTH: usize = 1024;
/// What the blocks of every configuration divide.
const WHOLE: usize = 128;
const HEADS: usize = 2;

/// How far the operator is from the reference at small sizes, once what it gave at the measured ones was looked at.
pub fn compare(call: &Whole) -> Result<Vec<Measured>, Wrong> {
    for &what in call.outputs() {
        let none = || Wrong::Unwritten { what, row: 0 };
        let tensor = call.output(what).ok_or_else(none)?;
        match call.call {
            Call::Router => check_lists(call, what)?,
            _ => check_rows(what, tensor, |_| false)?,
        }
    }
    let small = small(call).map_err(Wrong::Small)?;
    let answer = Compiled::new(call.device().clone()).run(&small)?;
    let measured = compare::compare(&small, &answer).map_err(|e| Wrong::Small(e.to_string()))?;
    match measured.iter().find(|m| !m.passes()) {
        Some(&Measured { name: what, error, tolerance }) => Err(Wrong::Off { what, error, tolerance }),
        None => Ok(measured),
    }
}

/// Lists of one direction against the mask: counts, and entries in rising order. A row of the mask has as many critical blocks as are asked for.
fn check_lists(call: &Whole, what: &'static str) -> Result<(), Wrong> {
    let columns = what == "column_count";
    let names = if columns { ["column_count", "column_index"] } else { ["row_count", "row_index"] };
    let none = || Wrong::Unwritten { what, row: 0 };
    let [count, index] = [0, 1].map(|i| call.output(names[i]).ok_or_else(none));
    let mask = call.output("mask").ok_or_else(none)?;
    let mask = if columns { mask.transpose(2, 3).map_err(RuntimeError::from)? } else { mask.clone() };
    let (count, index) = (count?.to_bytes()?, index?.to_bytes()?);
    let (classes, width) = (mask.to_bytes()?, mask.shape()[3]);
    let ints = |bytes: &[u8]| -> Vec<i32> {
        bytes.chunks_exact(4).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let (count, index) = (ints(&count), ints(&index));
    let room = index.len() / count.len().max(1);
    let right = |row: usize| {
        let classes = &classes[row * width..][..width];
        let critical = (0..width as i32).filter(|&j| classes[j as usize] == 1);
        if !columns && critical.clone().count() != call.critical() {
            return false;
        }
        let listed = &index[row * room..][..(count[row].max(0) as usize).min(room)];
        critical.eq(listed.iter().copied())
    };
    match (0..count.len()).into_par_iter().find_first(|&row| !right(row)) {
        Some(row) => Err(Wrong::List { what, row }),
        None => Ok(()),
    }
}

/// A small problem with a call's configuration, gradients and all.
fn small(call: &Whole) -> Result<Request, String> {
    let (mut random, dim) = (Random::new(1), call.dim());
    let mut array = |dtype, shape: &[usize], deviation| {
        let values = random.normals(shape.iter().product(), deviation);
        Array::from_f64(dtype, shape.to_vec(), &values).map_err(|e| e.to_string())
    };
    // Ragged where the measured one is, so that it takes the same kernels.
    let lacking = call.length().next_multiple_of(WHOLE) - call.length();
    let tokens = [1, HEADS, LENGTH - lacking, dim];
    let mut half = || array(Dtype::Bf16, &tokens, 1.0);
    let mut inputs = Inputs::new(half()?, half()?, half()?);
    inputs.grad_out = Some(half()?);
    inputs.proj_weight = Some(array(Dtype::F32, &[dim, dim], (dim as f64).sqrt().recip())?);
    inputs.proj_bias = Some(array(Dtype::F32, &[dim], 1.0)?);
    Request::new(call.call.config(), inputs, true).map_err(|e| e.to_string())
}
