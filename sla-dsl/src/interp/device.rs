//! The interpreter as a device: launches kernel definitions on arguments, as every other device does.

use super::{InterpError, run};
use crate::diag::Diagnostics;
use crate::lang::{Consts, KernelDef};
use crate::launch::{Arg, LaunchError, Launcher, bind};

/// Runs kernels by interpreting their tile IR, unoptimised, on tensors in host memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interpreter;

/// Why a launch on the interpreter failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The arguments do not fit the kernel.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The kernel cannot be built for these constants.
    #[error("{0}")]
    Build(Diagnostics),
    /// The kernel cannot be run, or a program had a fault.
    #[error(transparent)]
    Run(#[from] InterpError),
}

impl Launcher for Interpreter {
    type Error = DeviceError;

    fn launch(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
    ) -> Result<(), DeviceError> {
        let bound = bind(kernel, consts, args)?;
        let built = bound.specialise(kernel, consts).map_err(DeviceError::Build)?;
        let mut grid = [1; 3];
        for (to, &extent) in grid.iter_mut().zip(&bound.grid) {
            // `bind` keeps the grid below 2^31 programs, but one extent may be large beside one of 0.
            *to = usize::try_from(extent).unwrap_or(usize::MAX);
        }
        if bound.programs() == 0 {
            return Ok(());
        }
        Ok(run(&built, args, &bound.dims, grid)?)
    }
}
