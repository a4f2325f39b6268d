//! Variants of a case: constants and settings of the compiler in place of the chosen ones, as `NAME=VALUE` with commas between.
//!
//! Capitals name a constant of the kernel (`BK=128`), small letters a setting of the compiler (`stages=2`).

use std::fmt;
use std::str::FromStr;

use sla_codegen::{Options, SettingError};
use sla_dsl::lang::{Const, Consts};
use thiserror::Error;

use super::problem::Problem;

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
    /// A constant that is not free.
    #[error("the kernel of case {case} has no free constant `{found}`; {needed}")]
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
    /// The constants and options that a problem is run with: those of the table of choices, changed by this.
    ///
    /// # Errors
    /// [`VariantError`].
    pub fn apply(&self, problem: &Problem, plain: &Options) -> Result<(Consts, Options), VariantError> {
        let (mut consts, choice) = problem.consts(Some(plain.target));
        let mut options = plain.clone();
        for (name, value) in choice.settings {
            options.set(name, value)?;
        }
        for (name, value) in &self.0 {
            if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
                options.set(name, value)?;
                continue;
            }
            let free: Vec<&str> = choice.consts.iter().map(|(name, _)| *name).collect();
            let place = consts.0.iter_mut().find(|(n, _)| n == name && free.contains(&n.as_str()));
            let Some((_, constant)) = place else {
                let needed = match free.is_empty() {
                    true => "it has none".to_owned(),
                    false => format!("it has {}", free.join(", ")),
                };
                return Err(VariantError::Constant { case: problem.case.name, found: name.clone(), needed });
            };
            let size = value.parse().ok().filter(|&size: &i64| size > 0);
            let refused = || VariantError::Value { name: name.clone(), found: value.clone() };
            *constant = Const::Int(size.ok_or_else(refused)?);
        }
        Ok((consts, options))
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
