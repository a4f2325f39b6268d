//! From the name of a device to the back end that serves it.

use sla_runtime::{CudaError, Device, DeviceName, RuntimeError};

use super::module::Compiled;
use super::{Answer, Operator, OperatorError, Request};

/// Runs a request on a device; with the answer comes the name of what gave it.
///
/// # Errors
/// [`OperatorError::NoDevice`] when the device is not there; otherwise what its back end reports.
pub fn run(device: DeviceName, request: &Request) -> Result<(Answer, String), OperatorError> {
    let operator = operator(device)?;
    Ok((operator.run(request)?, operator.name()))
}

/// The host and every GPU of this machine, for checks that go over all of them.
pub fn present() -> Vec<DeviceName> {
    let mut present = vec![DeviceName::Cpu];
    for ordinal in 0.. {
        match Device::cuda(ordinal) {
            Err(RuntimeError::Cuda(CudaError::TooOld { .. })) => {}
            Err(RuntimeError::Cuda(e)) if e.is_absence() => break,
            // One that fails is present: whoever uses it is told.
            _ => present.push(DeviceName::Cuda(ordinal)),
        }
    }
    present
}

/// The back end of a device.
///
/// # Errors
/// As [`open`].
pub fn operator(name: DeviceName) -> Result<Box<dyn Operator>, OperatorError> {
    Ok(Box::new(Compiled::new(open(name)?)))
}

/// The device of a name.
///
/// # Errors
/// [`OperatorError::NoDevice`] when the device is not there, [`OperatorError::Failed`] when it is and does not work.
pub fn open(name: DeviceName) -> Result<Device, OperatorError> {
    Device::open(name).map_err(|source| match source {
        RuntimeError::Cuda(e) if e.is_absence() => {
            OperatorError::NoDevice { found: name.to_string(), reason: e.to_string() }
        }
        other => OperatorError::Failed { operator: name.to_string(), source: other.into() },
    })
}
