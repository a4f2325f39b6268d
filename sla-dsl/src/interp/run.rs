//! A launch: checks the arguments against the kernel, then runs every program of the grid.

use super::memory::HostTensor;
use super::program::{self, Launch};
use super::{Data, InterpError};
use crate::ir::{Kernel, OpCode, ParamKind, TensorType, verify};
use crate::launch::{Arg, TensorArg};
use rayon::prelude::*;
use std::collections::HashMap;
use std::io::Write;

/// Runs a kernel on tensors in host memory. `dims` are the runtime dims in order of declaration; `grid` is the number of programs
/// on each axis, 1 on those the kernel does not have. Debug prints go to standard error.
///
/// # Errors
/// A kernel that does not verify, arguments that do not fit it, or the fault of the first program that has one.
pub fn run(kernel: &Kernel, args: &[Arg<'_>], dims: &[i64], grid: [usize; 3]) -> Result<(), InterpError> {
    run_to(kernel, args, dims, grid, &mut std::io::stderr())
}

/// As [`run`], with debug prints to `sink`.
///
/// # Errors
/// As [`run`]; also a sink that fails.
pub fn run_to(
    kernel: &Kernel,
    args: &[Arg<'_>],
    dims: &[i64],
    grid: [usize; 3],
    sink: &mut dyn Write,
) -> Result<(), InterpError> {
    verify(kernel).map_err(InterpError::Invalid)?;
    let refuse = Refuse { kernel: &kernel.name };
    let launch = bind(kernel, args, dims, &refuse)?;
    let count = grid.iter().try_fold(1usize, |n, &g| n.checked_mul(g)).filter(|&n| n < 1 << 31);
    let Some(count) = count else {
        return Err(refuse.because("the grid".into(), format!("{grid:?}"), "fewer than 2^31 programs"));
    };
    if let Some(axis) = (kernel.grid.len()..3).find(|&a| grid[a] != 1) {
        let found = format!("{} programs on axis {axis}", grid[axis]);
        return Err(refuse.because("the grid".into(), found, "1 on axes that the kernel does not have"));
    }
    let place = |n: usize| [n % grid[0], n / grid[0] % grid[1], n / grid[0] / grid[1]];
    if ordered(kernel) {
        return (0..count).try_for_each(|n| program::run(&launch, place(n), Some(&mut *sink)));
    }
    let first = (0..count).into_par_iter().find_map_first(|n| program::run(&launch, place(n), None).err());
    first.map_or(Ok(()), Err)
}

/// Whether programs must run one after the other for the results to repeat.
fn ordered(kernel: &Kernel) -> bool {
    let mut found = false;
    kernel.walk(&mut |k, _, id| found |= matches!(k.op(id).code, OpCode::AtomicAdd | OpCode::Print));
    found
}

struct Refuse<'a> {
    kernel: &'a str,
}

impl Refuse<'_> {
    fn because(&self, what: String, found: String, needed: impl Into<String>) -> InterpError {
        InterpError::Argument { kernel: self.kernel.to_string(), what, found, needed: needed.into() }
    }
}

fn bind<'a>(
    kernel: &'a Kernel,
    args: &[Arg<'_>],
    dims: &[i64],
    refuse: &Refuse<'_>,
) -> Result<Launch<'a>, InterpError> {
    if args.len() != kernel.params.len() {
        let needed = kernel.params.len().to_string();
        return Err(refuse.because("the number of arguments".into(), args.len().to_string(), needed));
    }
    if dims.len() != kernel.dims.len() {
        let needed = kernel.dims.len().to_string();
        return Err(refuse.because("the number of dims".into(), dims.len().to_string(), needed));
    }
    let mut sizes = Vec::with_capacity(dims.len());
    for (name, &d) in kernel.dims.iter().zip(dims) {
        let size = i32::try_from(d).ok().filter(|&d| d >= 0);
        let wrong = || refuse.because(format!("dim `{name}`"), d.to_string(), "a size from 0 below 2^31");
        sizes.push(size.ok_or_else(wrong)?);
    }
    let mut launch = Launch { kernel, tensors: HashMap::new(), scalars: Vec::new(), dims: sizes };
    for ((param, arg), &value) in kernel.params.iter().zip(args).zip(&kernel.block(kernel.body).args) {
        let what = || format!("argument `{}`", param.name);
        match (&param.kind, arg) {
            (ParamKind::Tensor(ty), Arg::Tensor(arg)) => {
                fits(ty, arg, kernel, dims).map_err(|(f, n)| refuse.because(what(), f, n))?;
                let tensor = HostTensor::new(&param.name, arg);
                let tensor = tensor.map_err(|(found, needed)| refuse.because(what(), found, needed))?;
                launch.tensors.insert(value, tensor);
            }
            (ParamKind::Scalar(elem), Arg::Scalar(s)) => {
                let wrong = || refuse.because(what(), format!("{s:?}"), format!("a value of type {elem}"));
                launch.scalars.push((value, Data::fill(*s, *elem, 1).ok_or_else(wrong)?));
            }
            (ParamKind::Tensor(_), Arg::Scalar(s)) => {
                return Err(refuse.because(what(), format!("{s:?}"), "a tensor"));
            }
            (ParamKind::Scalar(elem), Arg::Tensor(_)) => {
                return Err(refuse.because(what(), "a tensor".into(), format!("a value of type {elem}")));
            }
        }
    }
    Ok(launch)
}

/// Whether an argument is a tensor of the parameter's type under these dims; if not: found, needed.
fn fits(ty: &TensorType, arg: &TensorArg<'_>, kernel: &Kernel, dims: &[i64]) -> Result<(), (String, String)> {
    if arg.elem() != ty.elem {
        return Err((format!("a tensor of {}", arg.elem()), format!("one of {}", ty.elem)));
    }
    if ty.mutable && !arg.mutable() {
        return Err(("a tensor lent for reading".into(), "one lent for writing".into()));
    }
    let lookup = |name: &str| kernel.dims.iter().position(|d| d == name).map(|i| dims[i]);
    let shape: Option<Vec<usize>> =
        ty.dims.iter().map(|d| d.eval(&lookup).and_then(|v| usize::try_from(v).ok())).collect();
    if shape.as_deref() == Some(arg.shape()) {
        return Ok(());
    }
    let dims: Vec<String> = ty.dims.iter().map(|d| d.to_string()).collect();
    let needed = match shape {
        Some(shape) => format!("[{}] = {shape:?}", dims.join(", ")),
        None => format!("[{}], which has no value here", dims.join(", ")),
    };
    Err((format!("shape {:?}", arg.shape()), needed))
}
