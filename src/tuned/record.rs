//! What was found best, as it is kept: one file of JSON an architecture, an entry for each kernel and key.
//!
//! An entry says how it came about and what it depends on. Whether it still holds is asked in [`super::pick`](mod@super::pick), never assumed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sla_dsl::lang::TuneSpace;
use thiserror::Error;

use super::hash::hash;
use super::key::Key;
use crate::files::{FileError, PendingFile};

/// The records of an architecture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Records {
    /// The target that kernels were compiled for.
    pub arch: String,
    /// By kernel and key.
    pub entries: Vec<Entry>,
}

/// How one kernel is best run for one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The kernel.
    pub kernel: String,
    /// The problem that it is for.
    pub key: Key,
    /// Values of all constants that were tuned.
    pub consts: BTreeMap<String, i64>,
    /// Settings of the compiler that differ from its own choice; empty where that is best.
    pub settings: BTreeMap<String, String>,
    /// The case and sizes that were measured.
    pub measured: String,
    /// Milliseconds, the median of the rounds of the paired run.
    pub ms: f64,
    /// The same of the default.
    pub default_ms: f64,
    /// How much faster than the default it is, as a share: the median over rounds. 0 where the default is best.
    pub margin: f64,
    /// The best of the others of the paired run.
    pub runner_up: Option<RunnerUp>,
    /// Candidates by what became of them.
    pub candidates: BTreeMap<String, usize>,
    /// Whether every neighbour of the winner was looked at.
    pub exhausted: bool,
    /// Seconds of search.
    pub seconds: f64,
    /// What it depends on.
    pub made: Provenance,
}

/// A candidate that was almost as good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunnerUp {
    /// As `sla bench --set` takes it; empty for the default.
    pub set: String,
    /// Milliseconds, as above.
    pub ms: f64,
}

/// Who measured, what was measured, when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The device.
    pub device: String,
    /// Its driver.
    pub driver: Option<String>,
    /// The compiler with its libraries.
    pub compiler: String,
    /// The version of ptxas that assembled the winner.
    pub ptxas: Option<String>,
    /// The fingerprint of the winner's code: kernel, constants and compiler as far as they matter.
    pub code: String,
    /// The fingerprint of the kernel's space.
    pub space: String,
    /// Day of the measurement.
    pub date: String,
}

/// Records that cannot be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A file that the system does not give.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that holds something else.
    #[error("{} holds no records: {source}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Records of another architecture.
    #[error("{} holds records for {found}, needed {needed}", path.display())]
    Arch {
        /// Which.
        path: PathBuf,
        /// Of what.
        found: String,
        /// Of what they should be.
        needed: String,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

impl Records {
    /// Where the records of an architecture are in a folder.
    pub fn place(folder: &Path, arch: &str) -> PathBuf {
        folder.join(arch).with_extension("json")
    }

    /// The records of a file; none where there is no such file.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(path: &Path, arch: &str) -> Result<Records, RecordError> {
        let bytes = match fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Records { arch: arch.to_owned(), entries: Vec::new() });
            }
            bytes => bytes.map_err(|source| RecordError::Read { path: path.to_owned(), source })?,
        };
        let records: Records = serde_json::from_slice(&bytes)
            .map_err(|source| RecordError::Parse { path: path.to_owned(), source })?;
        if records.arch != arch {
            let (found, needed) = (records.arch, arch.to_owned());
            return Err(RecordError::Arch { path: path.to_owned(), found, needed });
        }
        Ok(records)
    }

    /// Puts an entry in the place of that of the same kernel and key.
    pub fn insert(&mut self, entry: Entry) {
        self.entries.retain(|old| (&old.kernel, &old.key) != (&entry.kernel, &entry.key));
        self.entries.push(entry);
        self.entries.sort_by(|a, b| (&a.kernel, &a.key).cmp(&(&b.kernel, &b.key)));
    }

    /// The entry of a kernel and key.
    pub fn find(&self, kernel: &str, key: &Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kernel == kernel && entry.key == *key)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|source| RecordError::Parse { path: path.to_owned(), source })?;
        bytes.push(b'\n');
        Ok(PendingFile::create(path)?.commit(&bytes)?)
    }
}

/// The fingerprint of a space.
pub fn fingerprint(space: &TuneSpace) -> String {
    hash(&format!("{space:?}"))
}

/// A day as `YYYY-MM-DD`, in UTC.
pub fn date(time: SystemTime) -> String {
    let days = time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() / 86_400) as i64;
    // Days since 1 March of year 0, in eras of 400 years; years begin in March, so that a leap day is the last.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + 400 * era + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    pub fn entry(kernel: &str, size: u64) -> Entry {
        let sizes = BTreeMap::from([("LQ".to_owned(), size)]);
        let consts = BTreeMap::from([("D".to_owned(), "128".to_owned())]);
        Entry {
            kernel: kernel.to_owned(),
            key: Key { consts, sizes, ragged: false },
            settings: BTreeMap::from([("stages".to_owned(), "3".to_owned())]),
            ms: 0.356,
            default_ms: 0.361,
            margin: 0.014,
            runner_up: Some(RunnerUp { set: "stages=2".into(), ms: 0.357 }),
            made: Provenance { code: "0123".into(), date: "2026-11-22".into(), ..Provenance::default() },
            ..Entry::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = Records::place(folder.path(), "sm_90a");
        let mut records = Records::read(&path, "sm_90a").unwrap();
        assert_eq!(records, Records { arch: "sm_90a".into(), entries: Vec::new() });
        records.insert(entry("sparse_fwd", 65536));
        records.insert(entry("flash_fwd", 32768));
        records.insert(entry("sparse_fwd", 32768));
        records.insert(Entry { ms: 0.3, ..entry("sparse_fwd", 65536) });
        records.write(&path).unwrap();
        let read = Records::read(&path, "sm_90a").unwrap();
        assert_eq!(read, records);
        let order: Vec<_> =
            read.entries.iter().map(|e| (e.kernel.as_str(), e.key.sizes["LQ"], e.ms)).collect();
        let needed = [("flash_fwd", 32768, 0.356), ("sparse_fwd", 32768, 0.356), ("sparse_fwd", 65536, 0.3)];
        assert_eq!(order, needed);
        assert_eq!(read.find("sparse_fwd", &entry("", 65536).key).unwrap().ms, 0.3);
        assert!(read.find("sparse_fwd", &entry("", 16384).key).is_none());
    }

    #[test]
    fn what_is_no_record_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = Records::place(folder.path(), "sm_90a");
        Records::default().write(&path).unwrap();
        let error = Records::read(&path, "sm_90a").unwrap_err().to_string();
        assert!(error.ends_with("holds records for , needed sm_90a"), "{error}");
        fs::write(&path, "{").unwrap();
        assert!(Records::read(&path, "sm_90a").unwrap_err().to_string().contains("holds no records"));
        let error = Records::default().write(&folder.path().join("no/such/x.json")).unwrap_err();
        assert!(matches!(error, RecordError::Write(_)), "{error}");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        let pairs = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_795_305_600, "2026-11-22")];
        for (seconds, needed) in pairs {
            assert_eq!(day(seconds), needed);
            assert_eq!(day(seconds + 86_399), needed);
        }
    }

    #[test]
    fn another_space_has_another_fingerprint() {
        use sla_dsl::lang::TuneAxis;
        let of = |values: &'static [&'static str]| {
            let axes = Box::leak(Box::new([TuneAxis { name: "stages", values }]));
            fingerprint(&TuneSpace { axes, key: &["LQ"] })
        };
        assert_eq!(of(&["2", "3"]), of(&["2", "3"]));
        assert_ne!(of(&["2", "3"]), of(&["2", "4"]));
    }
}
