//! The file: `magic, version, SHA-256 of the manifest, its length (u32), the manifest as JSON, packed kernels`; numbers are little-endian.
//!
//! A kernel is a file of the cache on disk, deflated; its checksum is looked at when it is taken out, so that opening a bundle costs no more than reading its manifest.

use super::{BundleError, BundleKey, Entry, key};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sla_codegen::Options;
use sla_dsl::ir::Kernel;
use sla_dsl::lang::Consts;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::Builder;

/// The first bytes of every bundle; a version and a line feed follow.
const MAGIC: &[u8] = b"sla bundle ";

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes of the checksum.
const SUM: usize = 32;

/// How hard kernels are packed, of 10.
const EFFORT: u8 = 9;

/// Bytes that a kernel may have unpacked.
const LARGEST: usize = 64 << 20;

/// What a bundle says of a kernel in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its key.
    key: String,
    /// For people: the kernel, its constants, and what it was compiled for.
    pub title: String,
    /// Whatever who made the bundle wants to find again.
    pub note: String,
    /// The target's name.
    pub target: String,
    /// The family.
    family: String,
    /// What it assumes of how its arguments lie in memory.
    pub(super) assumed: String,
    /// What it assumes of sizes.
    pub(super) even: Vec<String>,
    /// Bytes before it in the packed part.
    at: usize,
    /// Bytes packed.
    pub bytes: usize,
}

impl Row {
    /// Its key.
    pub fn key(&self) -> BundleKey {
        BundleKey(self.key.clone())
    }

    /// How much it assumes.
    pub(super) fn strength(&self) -> usize {
        self.assumed.bytes().filter(|&b| b != b'-').count() + self.even.len()
    }
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    made_by: String,
    note: String,
    rows: Vec<Row>,
}

/// Compiled kernels, to be taken out by key.
pub struct Bundle {
    manifest: Manifest,
    /// Places in the manifest.
    index: BTreeMap<String, usize>,
    bytes: Cow<'static, [u8]>,
    /// Where the packed part starts.
    packed: usize,
}

impl Bundle {
    /// A bundle in memory, such as `include_bytes!` gives.
    ///
    /// # Errors
    /// Bytes that are no bundle, or whose manifest is damaged. A kernel that is damaged is found when it is taken out.
    pub fn open(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Bundle, BundleError> {
        let bytes = bytes.into();
        let rest = bytes.strip_prefix(MAGIC).ok_or(BundleError::Other)?;
        let end = rest.iter().take(12).position(|&b| b == b'\n').ok_or(BundleError::Other)?;
        let (version, rest) = (String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end + 1..]);
        if version != VERSION.to_string() {
            return Err(BundleError::Version { found: version, needed: VERSION });
        }
        let damaged = |what: &str| BundleError::Damaged { what: what.to_string() };
        let short = || damaged("it is cut short");
        let (sum, rest) = rest.split_at_checked(SUM).ok_or_else(short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (line, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?;
        if Sha256::digest(line)[..] != *sum {
            return Err(damaged("its manifest is not what was written"));
        }
        let manifest: Manifest = serde_json::from_slice(line).map_err(|e| damaged(&e.to_string()))?;
        if manifest.rows.iter().any(|r| r.at.checked_add(r.bytes).is_none_or(|end| end > rest.len())) {
            return Err(short());
        }
        let index = manifest.rows.iter().enumerate().map(|(n, row)| (row.key.clone(), n)).collect();
        let packed = bytes.len() - rest.len();
        Ok(Bundle { manifest, index, bytes, packed })
    }

    /// Reads a bundle from a file.
    ///
    /// # Errors
    /// As [`Bundle::open`], or a file that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Bundle, BundleError> {
        let path = path.as_ref();
        let failed = |source| BundleError::Io { path: path.to_owned(), source };
        Bundle::open(std::fs::read(path).map_err(failed)?)
    }

    /// Which compiler made it.
    pub fn made_by(&self) -> &str {
        &self.manifest.made_by
    }

    /// What who made it wrote on it.
    pub fn note(&self) -> &str {
        &self.manifest.note
    }

    /// What is in it, in the order in which it was put there.
    pub fn rows(&self) -> &[Row] {
        &self.manifest.rows
    }

    /// Whether a kernel is in it.
    pub fn contains(&self, key: &BundleKey) -> bool {
        self.index.contains_key(&key.0)
    }

    /// The kernels that differ in what they assume only.
    pub(super) fn family<'b>(&'b self, family: &'b str) -> impl Iterator<Item = &'b Row> {
        self.rows().iter().filter(move |row| row.family == family)
    }

    /// Takes a kernel out; `None` where it is not there.
    ///
    /// # Errors
    /// A kernel that is damaged.
    pub fn get(&self, key: &BundleKey) -> Result<Option<Entry>, BundleError> {
        self.index.get(&key.0).map(|&n| self.unpack(&self.manifest.rows[n])).transpose()
    }

    /// Takes out every kernel.
    ///
    /// # Errors
    /// The first kernel that is damaged.
    pub fn verify(&self) -> Result<(), BundleError> {
        self.rows().iter().try_for_each(|row| self.unpack(row).map(|_| ()))
    }

    fn unpack(&self, row: &Row) -> Result<Entry, BundleError> {
        let packed = &self.bytes[self.packed + row.at..][..row.bytes];
        let file = decompress_to_vec_with_limit(packed, LARGEST).ok();
        let entry = file.and_then(|bytes| Entry::decode(&bytes));
        entry.ok_or_else(|| BundleError::Damaged { what: format!("`{}`", row.title) })
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bundle({} kernels, made by {})", self.rows().len(), self.made_by())
    }
}

/// A bundle that is being made.
pub struct BundleWriter {
    made_by: String,
    note: String,
    rows: Vec<Row>,
    packed: Vec<u8>,
}

impl BundleWriter {
    /// An empty one, by a compiler ([`sla_codegen::toolchain`], and the ptxas), with a note for whoever reads it.
    pub fn new(made_by: impl Into<String>, note: impl Into<String>) -> BundleWriter {
        let (made_by, note) = (made_by.into(), note.into());
        BundleWriter { made_by, note, rows: Vec::new(), packed: Vec::new() }
    }

    /// Puts a kernel in it: its tile IR, constants and options, a note, and what they were compiled to. Of several with one key the last counts.
    ///
    /// # Errors
    /// A kernel that is larger than a bundle takes.
    pub fn add(
        &mut self,
        kernel: &Kernel,
        consts: &Consts,
        options: &Options,
        note: &str,
        entry: &Entry,
    ) -> Result<(), BundleError> {
        let large = |why: String| BundleError::Large(format!("{}: {why}", entry.title));
        let file = entry.encode().map_err(|e| large(e.to_string()))?;
        if file.len() > LARGEST {
            return Err(large(format!("{} bytes, at most {LARGEST} fit", file.len())));
        }
        let packed = compress_to_vec(&file, EFFORT);
        self.rows.push(Row {
            key: BundleKey::new(kernel, options).0,
            title: entry.title.clone(),
            note: note.to_string(),
            target: options.target.to_string(),
            family: key::family(&kernel.name, consts, options),
            assumed: key::assumed(kernel),
            even: key::even(kernel),
            at: self.packed.len(),
            bytes: packed.len(),
        });
        self.packed.extend(packed);
        Ok(())
    }

    /// How many kernels are in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no kernel.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// A manifest that is too long for the format.
    pub fn finish(self) -> Result<Vec<u8>, BundleError> {
        let BundleWriter { made_by, note, rows, packed } = self;
        let large = |e: &dyn std::fmt::Display| BundleError::Large(e.to_string());
        let line = serde_json::to_vec(&Manifest { made_by, note, rows }).map_err(|e| large(&e))?;
        let length = u32::try_from(line.len()).map_err(|e| large(&e))?;
        let version = format!("{VERSION}\n");
        let sum = Sha256::digest(&line);
        Ok([MAGIC, version.as_bytes(), &sum, &length.to_le_bytes(), &line, &packed].concat())
    }

    /// Writes the file, beside its place and then renamed.
    ///
    /// # Errors
    /// As [`BundleWriter::finish`], or a file that cannot be written.
    pub fn write(self, path: impl Into<PathBuf>) -> Result<(), BundleError> {
        let path = path.into();
        let bytes = self.finish()?;
        let failed = |source| BundleError::Io { path: path.clone(), source };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // For everybody to read, as any file that a program writes; the rest is the user's mask.
        let everybody = Permissions::from_mode(0o666);
        let mut file = Builder::new().permissions(everybody).tempfile_in(folder).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}
