//! Messages about kernels: a place in the user's Rust source and a sentence.
//!
//! Every layer that can reject a kernel (builder, verifier, passes, interpreter, targets) reports [`Diagnostic`]s.
//! Rendering with source excerpts is the caller's business.

use std::fmt;

/// A place in the user's Rust source. Lines and columns start at 1; line 0 means "unknown".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loc {
    /// The file as rustc names it, relative to the workspace of the crate being compiled.
    pub file: &'static str,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub col: u32,
}

impl Loc {
    /// A place nobody knows: IR made by hand or by a parser without locations.
    pub const UNKNOWN: Loc = Loc { file: "", line: 0, col: 0 };

    /// A known place.
    pub const fn new(file: &'static str, line: u32, col: u32) -> Loc {
        Loc { file, line, col }
    }
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str("?") } else { write!(f, "{}:{}:{}", self.file, self.line, self.col) }
    }
}

impl fmt::Debug for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with a kernel, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kernel's name.
    pub kernel: String,
    /// Where in the user's source.
    pub loc: Loc,
    /// One sentence in the user's words: what was found and what was needed.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.loc == Loc::UNKNOWN {
            write!(f, "{}: {}", self.kernel, self.message)
        } else {
            write!(f, "{}: {}: {}", self.loc, self.kernel, self.message)
        }
    }
}

impl std::error::Error for Diagnostic {}

/// One or more diagnostics, in source order of discovery; never empty when used as an error. Printed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(d, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(d: Diagnostic) -> Self {
        Diagnostics(vec![d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_one_line() {
        let told = |message: &str| Diagnostic {
            kernel: "k".into(),
            loc: Loc::new("a.rs", 1, 2),
            message: message.into(),
        };
        let all = Diagnostics(vec![told("this"), told("that")]);
        assert_eq!(all.to_string(), "a.rs:1:2: k: this; a.rs:1:2: k: that");
    }
}
