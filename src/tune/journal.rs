//! The journal of a search: a line of JSON for everything that is known of a candidate, written at once, so that whatever ends the tuner loses nothing.
//!
//! A journal belongs to one search (kernel, key, space, compiler, device); another search has another file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::tuned::Made;

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The candidate, as `sla bench --set` takes it; empty for the default.
    pub set: String,
    /// Seconds of search until it was known, those before an interruption among them.
    pub at: f64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Cannot be, or is not worth to be compiled.
    Pruned(String),
    /// Not compiled, or not as it should be.
    Refused(String),
    /// Compiled to the same code as another.
    Same(String),
    /// Fails, or is wrong.
    Failed(String),
    /// Did not end in time.
    Hung(String),
    /// Took the process with it that measured.
    Crashed(String),
    /// Right, and timed.
    Timed {
        /// The median of a turn, in milliseconds.
        ms: f64,
        /// Launches of it.
        samples: usize,
        /// Largest relative error.
        error: f64,
        /// What it takes.
        made: Made,
    },
}

impl Fate {
    /// Its name in a record's counts.
    pub fn name(&self) -> &'static str {
        match self {
            Fate::Pruned(_) => "pruned",
            Fate::Refused(_) => "refused",
            Fate::Same(_) => "same_code",
            Fate::Failed(_) => "failed",
            Fate::Hung(_) => "hung",
            Fate::Crashed(_) => "crashed",
            Fate::Timed { .. } => "timed",
        }
    }

    /// Milliseconds, where it was timed.
    pub fn ms(&self) -> Option<f64> {
        match self {
            Fate::Timed { ms, .. } => Some(*ms),
            _ => None,
        }
    }

    /// Why it was not timed.
    pub fn reason(&self) -> Option<String> {
        match self {
            Fate::Pruned(why) => Some(format!("pruned: {why}")),
            Fate::Refused(why) => Some(format!("refused: {why}")),
            Fate::Same(other) if other.is_empty() => Some("the code of the default".to_owned()),
            Fate::Same(other) => Some(format!("the code of {other}")),
            Fate::Failed(why) => Some(format!("failed: {why}")),
            Fate::Hung(why) => Some(format!("hung: {why}")),
            Fate::Crashed(why) => Some(format!("crashed: {why}")),
            Fate::Timed { .. } => None,
        }
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// What is searched, for people.
    Search(String),
    Row(Row),
    /// The search has ended: the next one starts anew.
    Done,
}

/// A journal that cannot be kept.
#[derive(Debug, Error)]
#[error("cannot keep the journal {}: {source}", path.display())]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal at a path, which is made when needed; with it comes what an interrupted search knew, and how many lines of it are damaged. A
    /// search that ended, or `fresh`, begins anew.
    ///
    /// # Errors
    /// A folder or file that cannot be made or written.
    pub fn open(path: &Path, what: &str, fresh: bool) -> Result<(Journal, Vec<Row>, usize), JournalError> {
        let refused = |source| JournalError { path: path.to_owned(), source };
        let kept = if fresh { Ok(Vec::new()) } else { fs::read(path) };
        let (mut rows, mut damaged, mut ended) = (Vec::new(), 0, false);
        match kept {
            Ok(bytes) => {
                for line in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
                    match serde_json::from_slice(line) {
                        Ok(Line::Row(row)) => rows.push(row),
                        Ok(Line::Done) => ended = true,
                        Ok(Line::Search(_)) => {}
                        Err(_) => damaged += 1,
                    }
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => ended = true,
            Err(e) => return Err(refused(e)),
        }
        let begin = fresh || ended;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(refused)?;
        }
        let mut open = OpenOptions::new();
        let open = if begin { open.write(true).truncate(true) } else { open.append(true) };
        let file = open.create(true).open(path).map_err(refused)?;
        let mut journal = Journal { path: path.to_owned(), file };
        if begin {
            journal.write(&Line::Search(what.to_owned()))?;
            return Ok((journal, Vec::new(), 0));
        }
        // The last line may have been cut short: the next one must not go on with it.
        journal.file.write_all(b"\n").map_err(refused)?;
        Ok((journal, rows, damaged))
    }

    /// Writes what became of a candidate.
    ///
    /// # Errors
    /// A file that cannot be written, as with a full disk.
    pub fn row(&mut self, row: &Row) -> Result<(), JournalError> {
        self.write(&Line::Row(row.clone()))
    }

    /// Writes that the search has ended.
    ///
    /// # Errors
    /// As [`Journal::row`].
    pub fn done(&mut self) -> Result<(), JournalError> {
        self.write(&Line::Done)
    }

    fn write(&mut self, line: &Line) -> Result<(), JournalError> {
        let refused = |source| JournalError { path: self.path.clone(), source };
        let mut bytes = serde_json::to_vec(line).map_err(|e| refused(e.into()))?;
        bytes.push(b'\n');
        // One call a line, without a buffer that a killed process would keep.
        self.file.write_all(&bytes).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(set: &str, ms: f64) -> Row {
        let fate = Fate::Timed { ms, samples: 3, error: 1e-3, made: Made::default() };
        Row { set: set.to_owned(), at: 1.0, fate }
    }

    #[test]
    fn what_an_interrupted_search_knew_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/k.jsonl");
        let (mut journal, rows, _) = Journal::open(&path, "k", false).unwrap();
        assert!(rows.is_empty());
        let hung = Row { fate: Fate::Hung("no answer".into()), ..row("a=2", 0.0) };
        journal.row(&row("a=1", 0.5)).unwrap();
        journal.row(&hung).unwrap();
        drop(journal);
        let (mut journal, rows, damaged) = Journal::open(&path, "k", false).unwrap();
        assert_eq!((rows, damaged), (vec![row("a=1", 0.5), hung], 0));
        journal.done().unwrap();
        assert!(Journal::open(&path, "k", false).unwrap().1.is_empty(), "one that ended begins anew");
    }

    #[test]
    fn a_damaged_line_is_left_out_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.jsonl");
        let (mut journal, ..) = Journal::open(&path, "k", false).unwrap();
        ["a=1", "a=2", "a=3"].iter().for_each(|set| journal.row(&row(set, 0.5)).unwrap());
        let text = fs::read_to_string(&path).unwrap().replace("\"a=2\"", "\"a=2");
        // The last line was being written when the process was killed.
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let (mut journal, rows, damaged) = Journal::open(&path, "k", false).unwrap();
        assert_eq!((rows, damaged), (vec![row("a=1", 0.5)], 2));
        journal.row(&row("a=4", 0.5)).unwrap();
        let (_, rows, damaged) = Journal::open(&path, "k", false).unwrap();
        assert_eq!((rows.len(), damaged), (2, 2), "lines after a damaged one are whole");
        assert!(Journal::open(&path, "k", true).unwrap().1.is_empty());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Journal::open(&file.join("k.jsonl"), "k", false).unwrap_err().to_string();
        assert!(error.contains("cannot keep the journal") && error.contains("k.jsonl"), "{error}");
        // Every write to it fails, as on a full disk.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut journal = Journal { path: "/dev/full".into(), file: full };
        let error = journal.row(&row("a=1", 0.5)).unwrap_err().to_string();
        assert!(error.starts_with("cannot keep the journal /dev/full: "), "{error}");
    }
}
