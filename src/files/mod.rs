//! Files: tensors in the safetensors format, and outputs that appear whole or not at all.

pub mod pending;
pub mod tensors;

use std::path::PathBuf;

use thiserror::Error;

pub use pending::PendingFile;
pub use tensors::{decode, encode, read};

/// A file that cannot be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// A directory, a device or a pipe where a regular file was needed.
    #[error("cannot {action} {}: found a directory, device or pipe, needed a regular file", path.display())]
    NotAFile {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The contents are not what their format promises.
    #[error("{} is no valid safetensors file: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: tensors::FormatError,
    },
}
