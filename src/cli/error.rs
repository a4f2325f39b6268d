//! Everything that can end a command early, in one line and with an exit status.

use std::path::PathBuf;

use clap::error::ErrorKind;
use thiserror::Error;

use super::bench::BenchCliError;
use super::bundle::BundleCliError;
use super::cache::CacheError;
use super::emit::EmitError;
use super::tune::TuneCliError;
use crate::attention::{ConfigError, InputError, OperatorError};
use crate::files::FileError;

/// Why a command was not done.
#[derive(Debug, Error)]
pub enum CliError {
    /// The command line does not parse.
    #[error("{0}")]
    Usage(String),
    /// A setting that the operator does not have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Tensors that are no attention problem.
    #[error("{}: {source}", path.display())]
    Input {
        /// Their file.
        path: PathBuf,
        /// What is wrong.
        source: InputError,
    },
    /// Two outputs in one place.
    #[error("the output and the report are both {}, needed two files", path.display())]
    SameFile {
        /// The place.
        path: PathBuf,
    },
    /// A back end that cannot do what it was asked.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A kernel that cannot be emitted.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// Kernels that cannot be measured.
    #[error(transparent)]
    Bench(#[from] BenchCliError),
    /// Kernels that cannot be tuned.
    #[error(transparent)]
    Tune(#[from] TuneCliError),
    /// Kernels that cannot be put into a file.
    #[error(transparent)]
    Bundle(#[from] BundleCliError),
    /// Compiled kernels on disk that cannot be shown or removed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A device that computes something else than the reference.
    #[error(
        "{wrong} of {cases} cases are wrong: {output} of {first} is off by {error:.1e}, needed at most {tolerance:.1e}"
    )]
    Wrong {
        /// Cases out of tolerance.
        wrong: usize,
        /// Cases run.
        cases: usize,
        /// The first of the wrong ones.
        first: String,
        /// Its output that is furthest off.
        output: &'static str,
        /// By how much.
        error: f64,
        /// What is allowed.
        tolerance: f64,
    },
    /// Something that the program makes itself and cannot.
    #[error("cannot make {what}: {reason}")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl CliError {
    /// clap's message as one line: its first paragraph, without the pointer to `--help`.
    pub fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let paragraph: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let line = paragraph.join(" ");
        CliError::Usage(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
    }

    /// 2 when the user can mend it, 1 when a back end failed or is wrong.
    pub fn status(&self) -> u8 {
        match self {
            CliError::Tune(error) if error.is_a_failure() => 1,
            CliError::Operator(OperatorError::Failed { .. })
            | CliError::Bench(BenchCliError::Failed { .. })
            | CliError::Bundle(BundleCliError::Compile(_))
            | CliError::Make { .. }
            | CliError::Wrong { .. } => 1,
            CliError::Emit(error) if error.is_internal() => 1,
            _ => 2,
        }
    }
}

/// Whether clap's "error" is the help or the version, which it prints and ends the program with itself.
pub fn is_help(error: &clap::Error) -> bool {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    matches!(error.kind(), DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand)
}

/// A message as one line of bearable length: names come from files that anyone may have written.
pub fn one_line(message: &str) -> String {
    const MOST: usize = 600;
    let mut line = String::new();
    for letter in message.chars() {
        if line.len() >= MOST {
            line.push('…');
            break;
        }
        match letter.is_control() {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}
