//! From a device to the back end that serves it.

use super::device::Device;
use super::module::Compiled;
use super::operator::{Answer, Operator, OperatorError};
use super::reference::Reference;
use super::request::Request;

/// Runs a request on a device.
///
/// # Errors
/// [`OperatorError::NoDevice`] when the device is not there; otherwise what its back end reports.
pub fn run(device: Device, request: &Request) -> Result<(Answer, String), OperatorError> {
    let operator = operator(device)?;
    Ok((operator.run(request)?, operator.name()))
}

/// Every device that this machine has, for checks that go over all of them.
pub fn present() -> Vec<Device> {
    vec![Device::Cpu]
}

/// The back end of a device.
///
/// # Errors
/// [`OperatorError::NoDevice`].
pub fn operator(device: Device) -> Result<Box<dyn Operator>, OperatorError> {
    match device {
        Device::Auto | Device::Cpu => Ok(Box::new(Reference)),
        Device::Interp => Ok(Box::new(Compiled::new(sla_runtime::Device::interp()))),
        Device::Cuda(_) => Err(OperatorError::NoDevice {
            found: device.to_string(),
            needed: "auto, cpu or interp: no GPU is in reach".into(),
        }),
    }
}
