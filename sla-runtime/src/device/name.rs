//! Names of devices, as people type them.

use crate::RuntimeError;
use sla_codegen::Arch;
use std::fmt;
use std::str::FromStr;

/// Which device is meant, before anything is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceName {
    /// The first GPU if there is one, otherwise the host.
    Auto,
    /// The host's cores.
    Cpu,
    /// The GPU with this ordinal.
    Cuda(usize),
    /// The interpreter.
    Interp,
    /// The device of a [plan](crate::bundle::Plan) for an architecture, which has no name that people type.
    Plan(Arch),
}

impl FromStr for DeviceName {
    type Err = RuntimeError;

    fn from_str(s: &str) -> Result<DeviceName, RuntimeError> {
        match s {
            "auto" => Ok(DeviceName::Auto),
            "cpu" => Ok(DeviceName::Cpu),
            "interp" => Ok(DeviceName::Interp),
            "cuda" => Ok(DeviceName::Cuda(0)),
            _ => s
                .strip_prefix("cuda:")
                .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|n| n.parse().ok())
                .map(DeviceName::Cuda)
                .ok_or_else(|| RuntimeError::DeviceName(s.to_string())),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Auto => f.write_str("auto"),
            DeviceName::Cpu => f.write_str("cpu"),
            DeviceName::Cuda(n) => write!(f, "cuda:{n}"),
            DeviceName::Interp => f.write_str("interp"),
            DeviceName::Plan(arch) => write!(f, "plan:{}", arch.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_and_print() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "interp"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:99999999999999999999"] {
            let e = name.parse::<DeviceName>().unwrap_err().to_string();
            let needed = format!("unknown device `{name}`; the devices are auto, cpu, cuda, cuda:N, interp");
            assert_eq!(e, needed);
        }
    }
}
