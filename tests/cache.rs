//! `sla cache` as a user meets it.

use std::path::Path;
use std::process::Command;

/// Exit status, standard output, standard error.
fn cache(setting: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    let output = command.arg("cache").args(arguments).env("SLA_CACHE", setting).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn it_is_shown_and_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("kernels");
    let (status, stdout, stderr) = cache(&place, &[]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let (list, assembler) = stdout.split_once('\n').unwrap();
    assert_eq!(list, format!("0 kernels, 0 B of 1024.0 MiB, in {}", place.display()));
    assert!(assembler.contains("assembled by "), "{stdout}");
    std::fs::create_dir(&place).unwrap();
    for name in ["0123456789abcdef.slak", "notes.txt"] {
        std::fs::write(place.join(name), "not a kernel").unwrap();
    }
    let (_, stdout, _) = cache(&place, &["list"]);
    assert!(stdout.starts_with("0123456789ab        12 B "), "{stdout}");
    assert!(stdout.contains("damaged; compiled again when it is asked for\n1 kernels, 12 B of "), "{stdout}");
    let (status, stdout, _) = cache(&place, &["clear"]);
    assert_eq!((status, stdout), (0, format!("removed 1 kernels, 12 B, from {}\n", place.display())));
    assert!(place.join("notes.txt").exists());
}

#[test]
fn what_cannot_be_is_one_line() {
    let (status, stdout, stderr) = cache(Path::new("off"), &["list"]);
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("error: nothing is kept: SLA_CACHE is off"), "{stderr}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (status, _, stderr) = cache(&file, &[]);
    assert_eq!(status, 2);
    assert!(
        stderr.starts_with(&format!("error: {}: ", file.display())) && stderr.lines().count() == 1,
        "{stderr}"
    );
}
