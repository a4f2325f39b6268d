//! Variants of a case: constants and settings of the compiler in place of the chosen ones, as `NAME=VALUE` with commas between.
//!
//! Capitals name a constant of a kernel (`BK=128`), small letters a setting of the compiler (`stages=2`). Where several kernels solve a case, the
//! name of one and a dot before it mean this one alone (`dq.stages=2`); without, every kernel that has it.

use std::fmt;
use std::str::FromStr;

use sla_codegen::{Options, SettingError};
use sla_dsl::lang::Const;
use thiserror::Error;

use super::case::Case;
use super::problem::Prepared;
use super::steps::steps_of;

/// What is to be different; nothing, when it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant(Vec<(String, String)>);

/// A variant that a case does not have.
#[derive(Debug, Error)]
pub enum VariantError {
    /// No pair of name and value.
    #[error("found `{found}`, needed NAME=VALUE with commas between")]
    Pair {
        /// What was given.
        found: String,
    },
    /// A constant that is not free, or a kernel that there is not.
    #[error("case {case} has no `{found}` to change; {needed}")]
    Constant {
        /// The case.
        case: &'static str,
        /// The name given.
        found: String,
        /// Those there are.
        needed: String,
    },
    /// A constant that is no size.
    #[error("constant {name} is `{found}`, needed a positive whole number")]
    Value {
        /// The constant.
        name: String,
        /// The value given.
        found: String,
    },
    /// A setting that the compiler does not have.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl FromStr for Variant {
    type Err = VariantError;

    fn from_str(text: &str) -> Result<Variant, VariantError> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let found = || VariantError::Pair { found: pair.to_owned() };
            let (name, value) = pair.split_once('=').ok_or_else(found)?;
            match (name.trim(), value.trim()) {
                ("", _) | (_, "") => Err(found()),
                (name, value) => Ok((name.to_owned(), value.to_owned())),
            }
        });
        pairs.collect::<Result<_, _>>().map(Variant)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&pairs.join(","))
    }
}

impl Variant {
    /// The constants and options that each kernel of a case is run with: those of the table of choices, changed by this.
    ///
    /// # Errors
    /// [`VariantError`].
    pub fn apply(&self, case: &Case, plain: &Options) -> Result<Prepared, VariantError> {
        let mut prepared = Prepared::new();
        let mut free: Vec<(&str, Vec<&str>)> = Vec::new();
        for step in steps_of(case) {
            let (consts, choice) = step.consts(&case.work, Some(plain.target));
            let mut options = plain.clone();
            for (name, value) in choice.settings {
                options.set(name, value)?;
            }
            prepared.push((consts, options));
            free.push((step.name, choice.consts.iter().map(|(name, _)| *name).collect()));
        }
        for (full, value) in &self.0 {
            let (of, name) =
                full.split_once('.').map_or((None, full.as_str()), |(of, name)| (Some(of), name));
            let asked = |i: &usize| of.is_none_or(|of| free[*i].0 == of);
            let mut steps: Vec<usize> = (0..free.len()).filter(asked).collect();
            let is_const = name.starts_with(|c: char| c.is_ascii_uppercase());
            if is_const {
                steps.retain(|&i| free[i].1.contains(&name));
            }
            if steps.is_empty() {
                let (case, found) = (case.name, full.clone());
                return Err(VariantError::Constant { case, found, needed: needed(&free) });
            }
            for i in steps {
                let (consts, options) = &mut prepared[i];
                if !is_const {
                    options.set(name, value)?;
                    continue;
                }
                let size = value.parse().ok().filter(|&size: &i64| size > 0);
                let refused = || VariantError::Value { name: full.clone(), found: value.clone() };
                let size = Const::Int(size.ok_or_else(refused)?);
                consts.0.iter_mut().filter(|(n, _)| n == name).for_each(|(_, constant)| *constant = size);
            }
        }
        Ok(prepared)
    }
}

/// What may be changed of the kernels of a case.
fn needed(free: &[(&str, Vec<&str>)]) -> String {
    let shown = |(step, names): &(&str, Vec<&str>)| match free.len() {
        1 => names.join(", "),
        _ => names.iter().map(|name| format!("{step}.{name}")).collect::<Vec<_>>().join(", "),
    };
    let all: Vec<String> = free.iter().map(shown).filter(|names| !names.is_empty()).collect();
    match (all.is_empty(), free.is_empty()) {
        (_, true) => "it is a call of the operator, which has no variants".to_owned(),
        (true, false) => "it has none".to_owned(),
        (false, false) => format!("it has {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_parse_and_print() {
        for text in ["", "warps=8", "warps=8,BK=128"] {
            assert_eq!(text.parse::<Variant>().unwrap().to_string(), text);
        }
        assert_eq!(" a = 1 ,, b=2 ".parse::<Variant>().unwrap().to_string(), "a=1,b=2");
        for text in ["warps", "=8", "warps=", "a=1,b"] {
            assert!(matches!(text.parse::<Variant>(), Err(VariantError::Pair { .. })), "{text}");
        }
    }
}
