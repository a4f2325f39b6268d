//! Launching by table: constants by name, arguments in order.

use sla_codegen::Options;
use sla_dsl::ir::{Elem, Scalar};
use sla_dsl::lang::{Const, Consts, KernelDef};
use sla_dsl::launch::Arg;
use sla_runtime::{Device, DynTensor, RuntimeError};

use crate::tuned::pick;

/// Runs a kernel, by its record of tuning where it has one. Of `consts`, those that the kernel has no generic for are left out, and the rest put in its order.
pub(super) fn run(
    device: &Device,
    kernel: &'static KernelDef,
    consts: &[(&'static str, Const)],
    args: &[Arg<'_>],
) -> Result<(), RuntimeError> {
    pick::launch(device, kernel, &chosen(kernel, consts), args)
}

/// The same with options of its own, and no record.
pub(super) fn run_with(
    device: &Device,
    options: &Options,
    kernel: &'static KernelDef,
    consts: &[(&'static str, Const)],
    args: &[Arg<'_>],
) -> Result<(), RuntimeError> {
    device.launch_with(kernel, &chosen(kernel, consts), args, options)
}

fn chosen(kernel: &'static KernelDef, consts: &[(&'static str, Const)]) -> Consts {
    let given = |name: &str| consts.iter().find(|(known, _)| *known == name).copied();
    Consts::named(kernel.generics.iter().filter_map(|g| given(g.name)))
}

/// A tensor to read.
pub(super) fn read(tensor: &DynTensor) -> Arg<'_> {
    Arg::Tensor(tensor.lend())
}

/// A tensor to write.
pub(super) fn write(tensor: &mut DynTensor) -> Arg<'_> {
    Arg::Tensor(tensor.lend_mut())
}

/// A float.
pub(super) fn float(value: f64) -> Arg<'static> {
    Arg::Scalar(Scalar::Float(value))
}

/// An integer.
pub(super) fn int(value: usize) -> Arg<'static> {
    Arg::Scalar(Scalar::Int(value as i64))
}

/// A size as a constant.
pub(super) fn size(name: &'static str, value: usize) -> (&'static str, Const) {
    (name, Const::Int(value as i64))
}

/// A switch as a constant.
pub(super) fn switch(name: &'static str, value: bool) -> (&'static str, Const) {
    (name, Const::Bool(value))
}

/// An element type as a constant.
pub(super) fn elem(name: &'static str, value: Elem) -> (&'static str, Const) {
    (name, Const::Elem(value))
}
