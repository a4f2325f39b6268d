//! `sla demo` as a program: what it writes, and what it says about places and settings that it cannot use.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sla")).arg("demo").args(arguments).output().expect("the program starts")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The one line on standard error, of a run that ends with status 2.
fn refusal(arguments: &[&str]) -> String {
    let output = demo(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn a_run_writes_pictures_and_a_report_and_prints_the_table_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("new/place");
    let output = demo(&["--out", out.to_str().unwrap(), "--device", "interp", "--steps", "1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pictures = sla::demo::Outcome::PICTURES;
    let mut expected: Vec<&str> = pictures.into_iter().chain(["report.json"]).collect();
    expected.sort_unstable();
    assert_eq!(names(&out), expected);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["tokens"], &report["config"]["scope"]), (&1024.into(), &"complement".into()));
    let table = String::from_utf8(output.stdout).unwrap();
    for row in report["methods"].as_array().unwrap() {
        let psnr = format!("{:.2} dB", row["psnr"].as_f64().unwrap());
        assert!(table.contains(&psnr), "{psnr} in {table}");
    }
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("denoising"),
        "plain lines without a terminal"
    );
}

#[test]
fn places_that_cannot_be_written_are_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"mine").unwrap();
    let text = refusal(&["--out", file.to_str().unwrap()]);
    assert!(text.contains("cannot make") && text.contains("file"), "{text}");
    assert!(refusal(&["--out", file.join("below").to_str().unwrap()]).contains("cannot make"));
    assert_eq!(fs::read(&file).unwrap(), b"mine");

    let taken = dir.path().join("taken");
    fs::create_dir_all(taken.join("mask.png")).unwrap();
    let text = refusal(&["--out", taken.to_str().unwrap()]);
    assert!(text.contains("mask.png") && text.contains("needed a regular file"), "{text}");
    assert_eq!(names(&taken), ["mask.png"], "nothing is left behind");
}

#[test]
fn settings_that_there_are_not_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let with = |more: &[&str]| refusal(&[&["--out", out.to_str().unwrap()], more].concat());
    assert!(with(&["--critical", "1.5"]).contains("share is 1.5, needed a number from 0 to 1"));
    assert!(with(&["--critical", "-0.1"]).contains("share is -0.1"));
    assert!(with(&["--device", "gpu"]).contains("unknown device `gpu`"));
    assert!(with(&["--steps", "many"]).contains("many"));
    assert!(with(&["--device", "cuda:63"]).contains("device is `cuda:63`, needed one that is here"));
    assert!(refusal(&[]).contains("--out"));
    assert!(!out.exists() || names(&out).is_empty(), "no file half-written");
}
