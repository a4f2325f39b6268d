//! Compiled kernels on disk, so that the next process need not compile them: one file a kernel, named by everything that can change it.
//!
//! A failure is only a miss: a file that is damaged, half there or of another format is as none, and a folder that cannot be written costs one
//! warning. Files are written beside their place and renamed, so that processes that share the folder never see half of one; reading one
//! sets its time, and the oldest go first when the folder grows over its limit. What belongs to a name is in [`key`], what a file holds in [`entry`].
//! The code of the host is not kept: it is addresses of this process.

mod entry;
mod key;

pub use entry::Entry;
#[cfg(test)]
pub(crate) use entry::tests::example;
pub(crate) use key::{Key, digest};

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tempfile::Builder;

/// How the files of the cache end.
const SUFFIX: &str = "slak";

/// How files end that are being written; a process that was killed leaves one behind.
const UNFINISHED: &str = "slak-part";

/// Files being written that are older than this were left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// How much of the limit is left in use when old files go.
const KEPT: f64 = 0.8;

/// A folder of compiled kernels.
#[derive(Debug)]
pub struct DiskCache {
    folder: PathBuf,
    limit: u64,
    /// Set by the first file that cannot be written: a full disk is not tried again.
    failed: AtomicBool,
}

/// The folders that a process has been warned of, by whatever handle.
static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file of the cache, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    /// The kernel, and what it was compiled for; `None` for a file that is cut short or no kernel.
    pub what: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// When it was written or last read.
    pub used: SystemTime,
}

impl DiskCache {
    /// Kernels in `folder`, which is made when needed, of at most `limit` bytes in all; one that is larger alone is not kept.
    pub fn new(folder: impl Into<PathBuf>, limit: u64) -> DiskCache {
        DiskCache { folder: folder.into(), limit, failed: AtomicBool::new(false) }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many bytes it may hold.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The kernel of a key, if it is there and whole.
    pub(crate) fn get(&self, key: &Key) -> Option<Entry> {
        let path = self.path(key);
        let entry = Entry::decode(&fs::read(&path).ok()?)?;
        // Only the order in which files go depends on it.
        let _ = File::options().write(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        Some(entry)
    }

    /// Keeps a kernel. When it cannot, nothing more is tried, and the first to find out in this process gets a warning.
    #[must_use]
    pub(crate) fn put(&self, key: &Key, entry: &Entry) -> Option<String> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let error = self.write(key, entry).err()?;
        self.failed.store(true, Ordering::Relaxed);
        let first = TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(self.folder.clone());
        first.then(|| {
            format!("compiled kernels are not kept: {} cannot be written: {error}", self.folder.display())
        })
    }

    fn write(&self, key: &Key, entry: &Entry) -> io::Result<()> {
        let bytes = entry.encode()?;
        if bytes.len() as u64 > self.limit {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        self.make_room(bytes.len() as u64)?;
        let mut file = Builder::new().suffix(&format!(".{UNFINISHED}")).tempfile_in(&self.folder)?;
        file.write_all(&bytes)?;
        file.persist(self.path(key)).map_err(|e| e.error)?;
        Ok(())
    }

    /// Removes the files used longest ago when `more` bytes would take the folder over its limit.
    fn make_room(&self, more: u64) -> io::Result<()> {
        let mut files = self.files()?;
        let mut total: u64 = files.iter().map(|f| f.bytes).sum();
        if total + more <= self.limit {
            return Ok(());
        }
        files.sort_by_key(|f| f.used);
        for file in files {
            if (total + more) as f64 <= self.limit as f64 * KEPT {
                break;
            }
            remove(&file.path)?;
            total -= file.bytes;
        }
        Ok(())
    }

    /// What is kept, the kernel used last first.
    ///
    /// # Errors
    /// A folder that cannot be read. One that is not there is empty.
    pub fn list(&self) -> io::Result<Vec<Kept>> {
        let mut files = self.files()?;
        files.sort_by_key(|f| std::cmp::Reverse(f.used));
        for file in &mut files {
            file.what = File::open(&file.path).ok().and_then(|mut f| Entry::title(&mut f, file.bytes));
        }
        Ok(files)
    }

    /// Removes everything that is kept; returns how many files and bytes that were. Other files in the folder stay.
    ///
    /// # Errors
    /// A folder that cannot be read, or a file that cannot be removed.
    pub fn clear(&self) -> io::Result<(usize, u64)> {
        let files = self.files()?;
        for file in &files {
            remove(&file.path)?;
        }
        Ok((files.len(), files.iter().map(|f| f.bytes).sum()))
    }

    fn files(&self) -> io::Result<Vec<Kept>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let unfinished = path.extension().is_some_and(|e| e == UNFINISHED);
            if !unfinished && path.extension().is_none_or(|e| e != SUFFIX) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(data) if unfinished => {
                    if data.modified()?.elapsed().is_ok_and(|age| age > LEFT_BEHIND) {
                        remove(&path)?;
                    }
                }
                Ok(data) => {
                    files.push(Kept { path, what: None, bytes: data.len(), used: data.modified()? });
                }
                // Another process may have removed it meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(files)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.name()).with_extension(SUFFIX)
    }
}

/// Removes a file that another process may remove as well.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
