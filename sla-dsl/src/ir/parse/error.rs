//! What can be wrong with a text.

use std::fmt;

/// A mistake in a text, at a line and column counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{col}: {kind}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
    /// The mistake.
    pub kind: ParseErrorKind,
}

/// A mistake in a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Something else was needed here.
    #[error("found {found}, needed {needed}")]
    Unexpected {
        /// What stands here.
        found: String,
        /// What should.
        needed: String,
    },
    /// A character that begins nothing.
    #[error("the character {0:?} begins nothing")]
    Character(char),
    /// A text in quotes that does not end, or has an unknown escape.
    #[error("{0}")]
    Quote(&'static str),
    /// A number out of range.
    #[error("the number {0} is out of range")]
    Number(String),
    /// A name that means nothing.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What kind of thing it should name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A value with the name of another.
    #[error("{0} is defined twice")]
    Redefined(String),
    /// Nesting beyond the limit.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// A kernel that does not verify.
    #[error("{0}")]
    Invalid(String),
}

/// One or more mistakes; never empty when used as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, e) in self.0.iter().enumerate() {
            write!(f, "{}{e}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}

impl From<ParseError> for ParseErrors {
    fn from(e: ParseError) -> Self {
        ParseErrors(vec![e])
    }
}
