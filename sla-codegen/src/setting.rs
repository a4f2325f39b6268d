//! Settings of [`Options`] by name, as people type them: `warps=8`. The target is none: it follows from the device.
//!
//! A new field of the options gets a row in [`SETTINGS`], and with it the command line has it.

use crate::{Options, ProgramOrder, ScheduleKind};
use thiserror::Error;

/// A setting: its name, what it may be, and how it is stored.
struct Setting {
    name: &'static str,
    needed: &'static str,
    store: fn(&mut Options, &str) -> Option<()>,
}

/// Every setting.
const SETTINGS: &[Setting] = &[
    Setting { name: "warps", needed: "1 to 32", store: |o, v| within(v, 1, 32).map(|n| o.warps = Some(n)) },
    Setting { name: "stages", needed: "1 to 16", store: |o, v| within(v, 1, 16).map(|n| o.stages = Some(n)) },
    Setting {
        name: "shared",
        needed: "a number of bytes, at least 1024",
        store: |o, v| within(v, 1024, u32::MAX).map(|n| o.shared = Some(n)),
    },
    Setting {
        name: "schedule",
        needed: "auto, baseline, roles or self",
        store: |o, v| ScheduleKind::ALL.into_iter().find(|k| k.name() == v).map(|k| o.schedule = k),
    },
    Setting {
        name: "order",
        needed: "auto, static or queue",
        store: |o, v| ProgramOrder::ALL.into_iter().find(|k| k.name() == v).map(|k| o.order = k),
    },
    Setting {
        name: "ctas_per_sm",
        needed: "1 to 4",
        store: |o, v| within(v, 1, 4).map(|n| o.ctas_per_sm = Some(n)),
    },
    Setting { name: "groups", needed: "1 to 4", store: |o, v| within(v, 1, 4).map(|n| o.groups = Some(n)) },
    Setting {
        name: "held_in_registers",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|b| o.held_in_registers = Some(b)),
    },
    Setting { name: "pair", needed: "true or false", store: |o, v| v.parse().ok().map(|b| o.pair = Some(b)) },
    Setting {
        name: "ping_pong",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|b| o.ping_pong = Some(b)),
    },
    Setting {
        name: "reference_max",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|b| o.reference_max = b),
    },
    Setting { name: "checks", needed: "true or false", store: |o, v| v.parse().ok().map(|on| o.checks = on) },
];

/// A setting that there is not, or a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// No such setting.
    #[error("unknown setting `{found}`; the settings are {}", Options::settings().collect::<Vec<_>>().join(", "))]
    Name {
        /// The name given.
        found: String,
    },
    /// A value that the setting cannot have.
    #[error("{name} is `{found}`, needed {needed}")]
    Value {
        /// The setting.
        name: &'static str,
        /// The value given.
        found: String,
        /// What it may be.
        needed: &'static str,
    },
}

impl Options {
    /// The names of all settings.
    pub fn settings() -> impl Iterator<Item = &'static str> {
        SETTINGS.iter().map(|s| s.name)
    }

    /// Gives the setting of that name a value.
    ///
    /// # Errors
    /// [`SettingError`]; the options are then as they were.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let Some(setting) = SETTINGS.iter().find(|s| s.name == name) else {
            return Err(SettingError::Name { found: name.to_string() });
        };
        (setting.store)(self, value).ok_or_else(|| SettingError::Value {
            name: setting.name,
            found: value.to_string(),
            needed: setting.needed,
        })
    }
}

/// A whole number within bounds.
fn within(text: &str, low: u32, high: u32) -> Option<u32> {
    text.parse().ok().filter(|n| (low..=high).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Target};

    #[test]
    fn settings_are_stored_by_name() {
        let mut options = Options::new(Target::Cuda(Arch::Sm90a));
        for (name, value) in [("warps", "8"), ("stages", "2"), ("shared", "65536"), ("checks", "true")] {
            options.set(name, value).unwrap();
        }
        assert_eq!((options.warps, options.stages, options.shared), (Some(8), Some(2), Some(65536)));
        assert!(options.checks);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let plain = Options::new(Target::Cpu);
        let mut options = plain.clone();
        for name in Options::settings() {
            for value in ["", "-1", "0", "x", "99999999999"] {
                let e = options.set(name, value).unwrap_err().to_string();
                assert!(e.starts_with(&format!("{name} is `{value}`, needed ")), "{e}");
            }
        }
        let e = options.set("wraps", "4").unwrap_err().to_string();
        assert!(e.starts_with("unknown setting `wraps`; the settings are warps, "), "{e}");
        assert_eq!(options, plain);
    }
}
