//! `sla tune` as a user meets it, on the host at a small size.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SMALL: &[&str] =
    &["flash_fwd", "--device", "cpu", "--shape", "1,1,256,64", "--turn", "1", "--rounds", "3"];

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    command.current_dir(dir).arg("tune").args(arguments).env("SLA_THREADS", "2");
    command
}

/// Exit status, standard output, standard error.
fn tune(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(dir, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The text of the only journal in a folder; empty before there is one.
fn journal(dir: &Path) -> String {
    let Ok(files) = std::fs::read_dir(dir.join("tuned/journal")) else { return String::new() };
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_kernel_is_tuned_and_its_record_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = tune(dir.path(), SMALL);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.starts_with("flash_fwd CAUSAL=false D=64 T=bf16 LK~256 LQ~256\n  best "), "{stdout}");
    assert!(stdout.ends_with("1 record in tuned/cpu.json\n"), "{stdout}");
    let records = json(&dir.path().join("tuned/cpu.json"));
    let entry = &records["entries"][0];
    assert_eq!((records["arch"].as_str(), entry["kernel"].as_str()), (Some("cpu"), Some("flash_fwd")));
    assert_eq!(entry["key"]["sizes"]["LQ"], 256);
    assert!(entry["consts"]["BQ"].is_u64() && entry["consts"]["BK"].is_u64(), "{entry}");
    assert!(entry["settings"].as_object().unwrap().is_empty(), "the host has none: {entry}");
    let (ms, default) = (entry["ms"].as_f64().unwrap(), entry["default_ms"].as_f64().unwrap());
    assert!(ms > 0.0 && ms <= default, "{entry}");
    assert!(entry["candidates"]["timed"].as_u64().unwrap() > 5 && entry["exhausted"] == true, "{entry}");
    assert!(entry["made"]["compiler"].as_str().unwrap().contains("llvm"), "{entry}");
    assert!(journal(dir.path()).contains("\"BQ=128,BK=128\""), "{}", journal(dir.path()));

    // The next one begins anew, and its entry takes the place of the first, however short it is.
    let (status, _, stderr) = tune(dir.path(), &[SMALL, &["--budget", "1"]].concat());
    assert_eq!((status, stderr.contains("going on")), (0, false), "{stderr}");
    assert_eq!(json(&dir.path().join("tuned/cpu.json"))["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn what_was_killed_in_the_middle_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // Turns so long that it cannot end before it is killed.
    let arguments = [&SMALL[..5], &["--rounds", "3", "--turn", "100"]].concat();
    let mut child =
        command(dir.path(), &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while journal(dir.path()).matches("\"timed\"").count() < 2 {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing is timed: {}", journal(dir.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = journal(dir.path());
    assert!(
        !before.contains("\"done\"")
            && json(&dir.path().join("tuned/cpu.json"))["entries"] == serde_json::json!([])
    );
    let (status, _, stderr) = tune(dir.path(), &[SMALL, &["--budget", "1"]].concat());
    assert_eq!(status, 0, "{stderr}");
    let kept = before.matches("\"row\"").count();
    assert!(
        stderr.contains(&format!("going on from {kept} candidates of an interrupted search")),
        "{stderr}"
    );
    let after = journal(dir.path());
    assert!(after.starts_with(before.trim_end()) && after.contains("\"done\""), "{after}");
    assert_eq!(json(&dir.path().join("tuned/cpu.json"))["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn ctrl_c_ends_with_its_status_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&SMALL[..5], &["--rounds", "3", "--turn", "100"]].concat();
    let mut child = command(dir.path(), &arguments);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !journal(dir.path()).contains("\"timed\"") {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing is timed: {}", journal(dir.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
    // The shell's own: a system without procps has no program of this name.
    let killed = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.ends_with("interrupted: the same command goes on from here\n"), "{stderr}");
}

#[test]
fn spaces_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, _) = tune(dir.path(), &["--list"]);
    assert_eq!(status, 0);
    assert!(stdout.contains("sparse_fwd       sparse, sparse-51,"), "{stdout}");
    assert!(stdout.contains("    stages               2, 3, 4, 5\n"), "{stdout}");
}

#[test]
fn what_cannot_be_is_one_line_and_leaves_nothing() {
    let refuses = |arguments: &[&str], parts: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let (status, stdout, stderr) = tune(dir.path(), arguments);
        assert_eq!((status, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{arguments:?}: {stderr}");
        parts.iter().for_each(|part| assert!(stderr.contains(part), "{arguments:?}: {stderr}"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?}");
    };
    refuses(&[], &["needed a kernel or --case", "sparse_fwd"]);
    refuses(&["sparse_fw"], &["kernel `sparse_fw` has nothing to tune", "did you mean `sparse_fwd`?"]);
    refuses(&["vector_add"], &["kernel `vector_add` has nothing to tune"]);
    refuses(&["sparse_fwd", "--case", "dense"], &["no case given runs sparse_fwd; it is run by sparse, "]);
    refuses(&["sparse_fwd", "--budget", "0"], &["--budget"]);
    refuses(&["sparse_fwd", "--device", "cuda:99"], &["cuda:99"]);
    refuses(&["sparse_fwd", "--shape", "1,2"], &["needed four positive sizes B,H,L,D"]);
    let out = ["flash_fwd", "--device", "cpu", "--out", "/dev/null/tuned"];
    refuses(&out, &["cannot make /dev/null/tuned"]);
}

#[test]
fn records_that_cannot_be_kept_are_told_before_anything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tuned")).unwrap();
    std::fs::write(dir.path().join("tuned/cpu.json"), "{}").unwrap();
    let (status, _, stderr) = tune(dir.path(), SMALL);
    assert!(status == 2 && stderr.contains("tuned/cpu.json holds no records"), "{stderr}");
    std::fs::remove_file(dir.path().join("tuned/cpu.json")).unwrap();
    std::fs::write(dir.path().join("tuned/journal"), "no folder").unwrap();
    let (status, _, stderr) = tune(dir.path(), SMALL);
    assert!(status == 2 && stderr.contains("error: cannot keep the journal tuned/journal/"), "{stderr}");
}

#[test]
fn without_a_gpu_candidates_go_into_a_bundle() {
    let ptxas = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/ptxas");
    if !ptxas.exists() {
        eprintln!("skipped: no ptxas; `cargo xtask setup` installs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let make =
        ["sparse_fwd", "--arch", "sm_90a", "--shape", "1,2,1024,128", "--bundle", "made", "--most", "9"];
    let output = command(dir.path(), &make).env("SLA_PTXAS", &ptxas).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.starts_with("sparse_fwd sparse --shape 1,2,1024,128: "), "{stdout}");
    assert!(stdout.contains("TFLOP/s by the model: the default\n"), "{stdout}");
    let manifest = json(&dir.path().join("made/manifest.json"));
    let candidates = manifest["jobs"][0]["candidates"].as_array().unwrap();
    let fate =
        |set: &str| &candidates.iter().find(|c| c["set"] == set).unwrap_or_else(|| panic!("{set}"))["fate"];
    assert!(fate("")["made"]["registers"].as_u64().unwrap() > 32, "{manifest}");
    assert_eq!(fate("groups=1")["same"], "", "what the compiler chooses by itself: {manifest}");
    assert!(dir.path().join("made/kernels.slab").exists());

    let (status, _, stderr) = tune(dir.path(), &["--bundle", "made", "--device", "cpu"]);
    assert_eq!(status, 2);
    assert!(stderr.contains("the bundle is for sm_90a, and the device runs cpu"), "{stderr}");
    let (status, _, stderr) = tune(dir.path(), &["--bundle", "nowhere", "--device", "cpu"]);
    assert!(status == 2 && stderr.contains("nowhere/manifest.json"), "{stderr}");
    let (status, _, stderr) = tune(dir.path(), &["sparse_fwd", "--arch", "sm_90a"]);
    assert!(status == 2 && stderr.contains("needed --bundle DIR or --check with it"), "{stderr}");
}

#[test]
fn records_are_checked_without_a_gpu() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tuned")).unwrap();
    let (status, stdout, stderr) = tune(dir.path(), &["--check"]);
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, "", ""));
    let own = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tuned/sm_90a.json")).unwrap();
    let mut records: serde_json::Value = serde_json::from_str(&own).unwrap();
    let Some(entry) = records["entries"].as_array_mut().unwrap().first_mut() else { return };
    entry["made"]["space"] = "another".into();
    let kernel = entry["kernel"].as_str().unwrap().to_owned();
    let one = serde_json::json!({ "arch": "sm_90a", "entries": [entry] });
    std::fs::write(dir.path().join("tuned/sm_90a.json"), one.to_string()).unwrap();
    let (status, stdout, stderr) = tune(dir.path(), &["--check"]);
    assert!(status == 1 && stdout.starts_with(&kernel), "{stdout}{stderr}");
    assert!(stdout.ends_with("is stale: its space has changed since\n"), "{stdout}");
    assert!(stderr.contains("1 of 1 in tuned/sm_90a.json no longer hold and are not used"), "{stderr}");
}
