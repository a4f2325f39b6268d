//! What can be wrong with a bundle.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A bundle cannot be read or written.
#[derive(Debug, Error)]
pub enum BundleError {
    /// Something else.
    #[error("this is no bundle of kernels: it does not start like one")]
    Other,
    /// Another version of the format.
    #[error("the bundle has format {found}, needed {needed}; make it again with this version")]
    Version {
        /// The version found.
        found: String,
        /// The version that is read here.
        needed: u32,
    },
    /// Bytes that are not those that were written.
    #[error("the bundle is damaged: {what}")]
    Damaged {
        /// Where.
        what: String,
    },
    /// Too much for one file.
    #[error("the bundle is too large: {0}")]
    Large(String),
    /// A file that the system does not give or take.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
