//! `sla bundle` as a user meets it.

use std::path::Path;
use std::process::Command;

/// Exit status, standard output, standard error.
fn bundle(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    let output = command.arg("bundle").args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const SMALL: [&str; 8] = ["--scope", "none", "--blocks", "64,64", "--dim", "64", "--target", "sm_80"];

#[test]
fn what_is_listed_is_compiled_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (status, list, stderr) = bundle(dir.path(), &SMALL);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let titles: Vec<&str> = list.lines().filter(|l| l.ends_with(" for sm_80")).collect();
    assert!(list.ends_with(&format!("{} kernels\n", titles.len())), "{list}");
    assert!(titles.iter().any(|t| t.starts_with("sla_fwd T=bf16,")), "{list}");
    let arguments = [&SMALL[..], &["--out", "kernels.slab", "--note", "a few"]].concat();
    let (status, stdout, stderr) = bundle(dir.path(), &arguments);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(stdout, format!("{} kernels for sm_80 in kernels.slab\n", titles.len()));
    let (status, shown, stderr) = bundle(dir.path(), &["--show", "kernels.slab"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(titles.iter().all(|title| shown.contains(title)), "{shown}");
    assert!(shown.contains(" llvm ") && shown.ends_with("note: a few\n"), "{shown}");
}

#[test]
fn what_cannot_be_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text"), "not a bundle").unwrap();
    for (arguments, part) in [
        (&["--target", "cpu"][..], "needed a GPU"),
        (&["--show", "text"], "this is no bundle of kernels"),
        (&["--show", "absent"], "absent: "),
        (&["--scope", "some"], "marginal|complement|all|none"),
    ] {
        let (status, stdout, stderr) = bundle(dir.path(), arguments);
        assert_ne!(status, 0, "{arguments:?}");
        assert_eq!((stdout.as_str(), stderr.lines().count()), ("", 1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}
