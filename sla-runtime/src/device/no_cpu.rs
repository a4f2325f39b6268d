//! The host as a device where there is no compiler: nobody can make one. Code for the host is that of the processor at hand, so that it cannot be compiled before.

use crate::RuntimeError;
use sla_codegen::Options;
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound};

/// No value.
pub(super) enum CpuDevice {}

impl CpuDevice {
    pub fn threads(&self) -> usize {
        match *self {}
    }

    pub fn launch(
        &self,
        _: &'static KernelDef,
        _: &Consts,
        _: &[Arg<'_>],
        _: &Options,
        _: impl FnOnce() -> Result<Bound, RuntimeError>,
    ) -> Result<(), RuntimeError> {
        match *self {}
    }
}
