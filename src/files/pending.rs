//! A file written beside its place and moved there once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::FileError;

/// An output file that does not exist yet. Creating one finds out whether the place can be written to, before any work is
/// done; dropping one without [`PendingFile::commit`] leaves nothing behind, and an older file untouched.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    beside: PathBuf,
    place: PathBuf,
    committed: bool,
}

impl PendingFile {
    /// Prepares to write `path`. A link is followed, so that the file it names is replaced and not the link.
    ///
    /// # Errors
    /// [`FileError`] when `path` is something other than a regular file, or its directory cannot be written to.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let action = "write";
        let refused = |source| FileError::Io { action, path: path.into(), source };
        let place = match fs::canonicalize(path) {
            Ok(existing) if existing.is_file() => existing,
            Ok(_) => return Err(FileError::NotAFile { action, path: path.into() }),
            Err(_) => path.to_owned(),
        };
        let name = place.file_name().ok_or_else(|| FileError::NotAFile { action, path: path.into() })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.partial", std::process::id()));
        let beside = place.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).open(&beside).map_err(refused)?;
        Ok(PendingFile { file, beside, place, committed: false })
    }

    /// Writes `bytes` and moves the file to its place.
    ///
    /// # Errors
    /// [`FileError::Io`], for instance when the disk is full.
    pub fn commit(mut self, bytes: &[u8]) -> Result<(), FileError> {
        let write = |file: &mut File| {
            file.write_all(bytes)?;
            file.sync_all()
        };
        let moved = write(&mut self.file).and_then(|()| fs::rename(&self.beside, &self.place));
        moved.map_err(|source| FileError::Io { action: "write", path: self.place.clone(), source })?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a file that is already gone.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_committed_and_leaves_no_trace_when_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        drop(PendingFile::create(&path).unwrap());
        assert_eq!(names(dir.path()), [""; 0]);
        PendingFile::create(&path).unwrap().commit(b"whole").unwrap();
        drop(PendingFile::create(&path).unwrap());
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn places_that_cannot_be_written_are_found_at_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(PendingFile::create(dir.path()), Err(FileError::NotAFile { .. })));
        assert!(matches!(PendingFile::create(Path::new("/dev/null")), Err(FileError::NotAFile { .. })));
        assert!(matches!(PendingFile::create(&dir.path().join("no/such/out")), Err(FileError::Io { .. })));
        assert!(PendingFile::create(Path::new("..")).is_err());
        assert!(PendingFile::create(Path::new("")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        PendingFile::create(&link).unwrap().commit(b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
