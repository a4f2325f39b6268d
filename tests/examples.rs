//! The steps of the staircase in `examples/` run on the host and on the interpreter; each checks its own result. The page for newcomers shows the files of
//! `examples/gated` as they are, and what it tells to run runs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Beside the tests' own folder, where `cargo test` puts the examples that it builds.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is not there; `cargo test` or `cargo build --examples` builds it",
        path.display()
    );
    path
}

/// Runs an example on both devices; it must end well after one line that begins like this.
fn runs(name: &str, line: &str) {
    for device in ["cpu", "interp"] {
        let output = Command::new(example(name)).args(["--device", device]).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{name} on {device}");
        assert_eq!(stdout.lines().count(), 1, "{name}: {stdout}");
        assert!(stdout.starts_with(line) && stdout.contains(&format!("on {device}")), "{name}: {stdout}");
    }
}

#[test]
fn vector_add() {
    runs("01_vector_add", "vector_add: 10007 sums");
}

#[test]
fn softmax() {
    runs("02_softmax", "row_softmax: 101 rows of 256");
}

#[test]
fn matmul() {
    runs("03_matmul", "matmul: 130 x 120 by 120 x 200");
}

#[test]
fn flash_attention() {
    runs("04_flash_attention", "flash_fwd: 130 queries, 200 keys");
}

#[test]
fn sla() {
    runs("05_sla", "sla: 20 of 100 blocks critical");
}

#[test]
fn the_page_for_newcomers_shows_what_is_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/first-kernel.md")).unwrap();
    let mut blocks = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for file in ["src/lib.rs", "tests/gated.rs", "examples/tune.rs"] {
        let text = std::fs::read_to_string(root.join("examples/gated").join(file)).unwrap();
        assert_eq!(blocks.next().unwrap(), text, "{file}");
        assert!(page.contains(&format!("`{file}`")), "{file} is not named");
    }
    assert_eq!(blocks.next(), None);
}

#[test]
fn a_kernel_of_ones_own_is_tuned_and_its_record_kept() {
    let folder = std::env::temp_dir().join(format!("sla-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for again in [false, true] {
        let output = Command::new(example("tune")).current_dir(&folder).output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "again {again}: {stdout}");
        assert!(stdout.contains("the default") && stdout.contains("best: "), "{stdout}");
    }
    let records: Vec<_> = std::fs::read_dir(folder.join("tuned")).unwrap().collect();
    assert_eq!(records.len(), 1, "{records:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}
