//! Where the operator runs: the value of `--device`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A place to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Device {
    /// The fastest that is present.
    #[default]
    Auto,
    /// Compiled host code.
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(usize),
    /// The interpreter of tile IR.
    Interp,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
            Device::Interp => f.write_str("interp"),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            "interp" => Ok(Device::Interp),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Device::Cuda)
                .ok_or_else(|| DeviceError { found: text.into() }),
        }
    }
}

/// A name of no device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("device is `{found}`, needed auto, cpu, cuda, cuda:N or interp")]
pub struct DeviceError {
    /// The name.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda(3), Device::Interp] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for bad in ["gpu", "cuda:", "cuda:-1", "cuda0", ""] {
            assert!(bad.parse::<Device>().is_err(), "{bad}");
        }
    }
}
