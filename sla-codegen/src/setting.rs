//! Settings of [`Options`] by name, as people type them: `warps=8`. The target is none: it follows from the device.
//!
//! A new field of the options gets a row in [`SETTINGS`], and with it the command line has it.

use crate::{Options, ProgramOrder, ScheduleKind, Target, Watch};
use thiserror::Error;

/// A setting: its name, what it may be, how it is stored, and its value as [`Options::set`] takes it; nothing for one that is left to the compiler.
struct Setting {
    name: &'static str,
    needed: &'static str,
    store: fn(&mut Options, &str) -> Option<()>,
    show: fn(&Options) -> Option<String>,
}

/// A whole number within bounds, or left to the compiler: a setting that is called as its field.
macro_rules! number {
    ($field:ident, $low:literal, $high:literal) => {
        Setting {
            name: stringify!($field),
            needed: concat!($low, " to ", $high),
            store: |o, v| within(v, $low, $high).map(|n| o.$field = Some(n)),
            show: |o| text(o.$field),
        }
    };
}

/// Yes, no, or left to the compiler: a setting that is called as its field.
macro_rules! choice {
    ($field:ident) => {
        Setting {
            name: stringify!($field),
            needed: "true or false",
            store: |o, v| v.parse().ok().map(|b| o.$field = Some(b)),
            show: |o| text(o.$field),
        }
    };
}

/// Every setting.
const SETTINGS: &[Setting] = &[
    number!(warps, 1, 32),
    number!(stages, 1, 16),
    Setting {
        name: "shared",
        needed: "a number of bytes, at least 1024",
        store: |o, v| within(v, 1024, u32::MAX).map(|n| o.shared = Some(n)),
        show: |o| text(o.shared.filter(|&bytes| limits(o.target, bytes))),
    },
    Setting {
        name: "schedule",
        needed: "auto, baseline, roles or self",
        store: |o, v| ScheduleKind::ALL.into_iter().find(|k| k.name() == v).map(|k| o.schedule = k),
        show: |o| Some(o.schedule.name().to_string()),
    },
    Setting {
        name: "order",
        needed: "auto, static or queue",
        store: |o, v| ProgramOrder::ALL.into_iter().find(|k| k.name() == v).map(|k| o.order = k),
        show: |o| Some(o.order.name().to_string()),
    },
    number!(ctas_per_sm, 1, 4),
    number!(groups, 1, 4),
    choice!(held_in_registers),
    choice!(pair),
    choice!(ping_pong),
    Setting {
        name: "reference_max",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|b| o.reference_max = b),
        show: |o| text(Some(o.reference_max)),
    },
    Setting {
        name: "watch",
        needed: "scores or weights",
        store: |o, v| Watch::ALL.into_iter().find(|w| w.name() == v).map(|w| o.watch = Some(w)),
        show: |o| text(o.watch.map(Watch::name)),
    },
    Setting {
        name: "settle_early",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|b| o.settle_early = Some(b)),
        show: |o| text(o.settle_early),
    },
    Setting {
        name: "checks",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|on| o.checks = on),
        show: |o| text(Some(o.checks)),
    },
    Setting {
        name: "lines",
        needed: "true or false",
        store: |o, v| v.parse().ok().map(|on| o.lines = on),
        show: |o| text(Some(o.lines)),
    },
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

    /// The settings that are not the target's defaults, as [`Options::set`] takes them. Together with the target they say all that the options say, for as
    /// much shared memory as an architecture has is no setting.
    pub fn chosen(&self) -> Vec<(&'static str, String)> {
        let plain = Options::new(self.target);
        let differs = |s: &&Setting| (s.show)(self) != (s.show)(&plain);
        SETTINGS.iter().filter(differs).filter_map(|s| Some((s.name, (s.show)(self)?))).collect()
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

/// A value as people type it.
fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|v| v.to_string())
}

/// Whether so many bytes are less than the target's programs may have anyway.
fn limits(target: Target, bytes: u32) -> bool {
    matches!(target, Target::Cuda(arch) if bytes < arch.shared_bytes())
}

/// A whole number within bounds.
fn within(text: &str, low: u32, high: u32) -> Option<u32> {
    text.parse().ok().filter(|n| (low..=high).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

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
    fn what_is_chosen_makes_the_options_again() {
        let target = Target::Cuda(Arch::Sm90a);
        assert_eq!(Options::new(target).chosen(), []);
        let values = ["2", "true", "roles", "queue", "false", "2048", "weights"];
        for name in Options::settings() {
            let mut options = Options::new(target);
            // A value that this setting does not have leaves the options as they are.
            assert!(
                values.iter().any(|v| options.set(name, v).is_ok() && options != Options::new(target)),
                "{name}"
            );
            let mut again = Options::new(target);
            let chosen = options.chosen();
            assert_eq!(chosen.iter().map(|c| c.0).collect::<Vec<_>>(), [name]);
            chosen.iter().for_each(|(name, value)| again.set(name, value).unwrap());
            assert_eq!(again, options);
        }
        let all = Options { shared: Some(Arch::Sm90a.shared_bytes()), ..Options::new(target) };
        assert_eq!(all.chosen(), []);
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
