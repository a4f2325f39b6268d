//! `sla check` as a user meets it.

use std::process::Command;

#[test]
fn the_devices_that_are_present_agree_with_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    command.args(["check", "--cases", "4", "--seed", "11", "--json", "check.json"]).current_dir(dir.path());
    let output = command.output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("grad_proj_weight"), "{stdout}");
    let json = std::fs::read(dir.path().join("check.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 4);
    assert!(cases.iter().all(|case| case["outputs"].as_array().unwrap().len() == 8));
}

#[test]
fn no_cases_and_no_device_are_refused() {
    for (arguments, part) in [(["--cases", "0"], "--cases"), (["--device", "cuda:99"], "cuda:99")] {
        let output = Command::new(env!("CARGO_BIN_EXE_sla")).arg("check").args(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}
