//! `sla attend` as a user meets it: the program is run on files, and its exit status, messages and outputs are checked.

#[path = "attend/bad_input.rs"]
mod bad_input;
#[path = "attend/good_input.rs"]
mod good_input;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sla::{Array, Dtype, files};
use tempfile::TempDir;

/// A folder with an input file, in which the program runs.
struct Bench {
    dir: TempDir,
}

/// How a run of the program ended.
struct Run {
    status: i32,
    stderr: String,
}

impl Bench {
    fn new(arrays: &BTreeMap<&str, Array>) -> Self {
        let bytes = files::encode(arrays.iter().map(|(name, array)| (*name, array))).unwrap();
        Bench::of_bytes(&bytes)
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.safetensors"), bytes).unwrap();
        Bench { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `sla attend in.safetensors out.safetensors` with more arguments.
    fn attend(&self, arguments: &[&str]) -> Run {
        self.sla(&[&["attend", "in.safetensors", "out.safetensors"], arguments].concat())
    }

    fn sla(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
        let output = command.args(arguments).current_dir(self.dir.path()).output().unwrap();
        Run { status: output.status.code().unwrap(), stderr: String::from_utf8(output.stderr).unwrap() }
    }

    /// Names in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The tensors of `out.safetensors`.
    fn output(&self) -> BTreeMap<String, Array> {
        files::read(&self.path("out.safetensors")).unwrap()
    }

    /// Asserts that the run failed as a user's error should: status 2, one line that has every one of `parts`, and nothing
    /// left in the folder but the input.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], parts: &[&str]) {
        let run = self.attend(arguments);
        run.is_refused(parts);
        assert_eq!(self.names(), ["in.safetensors"]);
    }
}

impl Run {
    #[track_caller]
    fn is_refused(&self, parts: &[&str]) {
        let Run { status, stderr } = self;
        assert_eq!(*status, 2, "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "more than one line: {stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
        }
    }
}

/// A wave of values, different for every `seed`.
fn array(dtype: Dtype, shape: &[usize], seed: usize) -> Array {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| ((i * 7 + seed * 131) as f64 * 0.37).sin() * 1.5).collect();
    Array::from_f64(dtype, shape.to_vec(), &values).unwrap()
}

/// `q` of 150 and `k`, `v` of 70 tokens, two heads, head dimension 64: ragged for every block size.
fn small(dtype: Dtype) -> BTreeMap<&'static str, Array> {
    BTreeMap::from([
        ("q", array(dtype, &[1, 2, 150, 64], 1)),
        ("k", array(dtype, &[1, 2, 70, 64], 2)),
        ("v", array(dtype, &[1, 2, 70, 64], 3)),
    ])
}
