//! `sla bench` as a user meets it, on the host at small sizes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const SMALL: &[&str] =
    &["--device", "cpu", "--shape", "1,2,192,64", "--matmul", "128,128,96", "--rounds", "2", "--turn", "0"];

/// Exit status, standard output, standard error.
fn bench(dir: &Path, arguments: &[&[&str]]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    let output = command.arg("bench").args(arguments.concat()).current_dir(dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs in an empty folder and asserts status 2, one line that has all `parts`, and no file.
fn refuses(arguments: &[&str], parts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = bench(dir.path(), &[arguments]);
    let error = stderr.lines().last().unwrap_or_default();
    assert_eq!((status, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
    assert!(error.starts_with("error: "), "{stderr}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?}: `{part}` is not in {error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?} left a file");
}

#[test]
fn every_case_is_checked_timed_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = bench(dir.path(), &[SMALL, &["--json", "record.json"]]);
    assert_eq!(status, 0, "{stderr}");
    let record = json(&dir.path().join("record.json"));
    let rows = record["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["case"]["name"].as_str().unwrap()).collect();
    // With one head dimension for all, two cases are the same as others.
    let needed =
        ["dense", "dense-ragged", "sparse", "sparse-51", "sparse-uneven", "sparse-ragged", "sparse-64x64"];
    assert_eq!(names, [&needed[..], &["matmul"]].concat());
    for row in rows {
        let (name, time) = (&row["case"]["name"], &row["time"]);
        for error in row["errors"].as_array().unwrap() {
            assert!(error["error"].as_f64().unwrap() <= error["tolerance"].as_f64().unwrap(), "{row}");
        }
        assert_eq!(
            (time["ms"]["samples"].as_u64(), time["rounds_ms"].as_array().unwrap().len()),
            (Some(6), 2)
        );
        let (flops, ms) = (row["flops"].as_f64().unwrap(), time["ms"]["median"].as_f64().unwrap());
        assert!((time["tflops"].as_f64().unwrap() / (flops / ms / 1e9) - 1.0).abs() < 1e-9, "{row}");
        assert!(stdout.lines().any(|line| line.split(' ').next() == name.as_str()), "{stdout}");
    }
    assert_eq!(rows[0]["flops"].as_f64(), Some(4.0 * 2.0 * 192.0 * 192.0 * 64.0));
    assert_eq!(rows[7]["flops"].as_f64(), Some(2.0 * 128.0 * 128.0 * 96.0));
    assert!(record["peers"].is_null());
}

#[test]
fn gradients_and_the_operator_are_checked_timed_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let what = &["--what", "dense,sparse,module", "--pass", "bwd", "--json", "record.json"];
    let (status, stdout, stderr) = bench(dir.path(), &[SMALL, what]);
    assert_eq!(status, 0, "{stderr}");
    let rows = json(&dir.path().join("record.json"))["rows"].clone();
    let names: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row["case"]["name"].as_str().unwrap()).collect();
    let lists = ["sparse-bwd", "sparse-bwd-128x128", "sparse-bwd-128x128-reproducible", "sparse-bwd-64x64"];
    assert_eq!(
        names,
        [&["dense-bwd", "dense-bwd-reproducible"], &lists[..], &["module-all-bwd", "module-marginal-bwd"]]
            .concat()
    );
    let errors = |row: &serde_json::Value| -> Vec<String> {
        row["errors"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect()
    };
    let parts = |row: &serde_json::Value| -> Vec<String> {
        row["parts"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    for row in &rows.as_array().unwrap()[..6] {
        let fused = row["case"]["fused"].as_bool().unwrap();
        // In the order in which they are written.
        let grads = if fused { ["grad_k", "grad_v", "grad_q"] } else { ["grad_q", "grad_k", "grad_v"] };
        assert_eq!(errors(row), [&["lse", "out", "delta"], &grads[..]].concat());
        let kernels = ["delta", "clear", "fused", "scale"];
        assert_eq!(parts(row), if fused { &kernels[..] } else { &["delta", "dq", "dkdv"] });
        assert!(row["parts"][1]["ms"]["median"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(rows[0]["flops"].as_f64(), Some(10.0 * 2.0 * 192.0 * 192.0 * 64.0));
    assert_eq!(rows[0]["parts"][2]["flops"], rows[0]["flops"]);
    assert_eq!(rows[1]["parts"][2]["flops"].as_f64(), Some(8.0 * 2.0 * 192.0 * 192.0 * 64.0));
    assert!(stdout.contains("dkdv alone"), "{stdout}");
    assert!(
        parts(&rows[6]).is_empty() && errors(&rows[6]).contains(&"grad_proj_weight".to_owned()),
        "{rows}"
    );

    let forward = &["--what", "module", "--json", "record.json"];
    let (status, _, stderr) = bench(dir.path(), &[SMALL, forward]);
    assert_eq!(status, 0, "{stderr}");
    let rows = json(&dir.path().join("record.json"))["rows"].clone();
    let names: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row["case"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["router", "module-all", "module-marginal"]);
    assert_eq!(rows[0]["flops"].as_f64(), Some(0.0));
}

#[test]
fn a_variant_may_name_one_of_several_kernels() {
    let dir = tempfile::tempdir().unwrap();
    let set = &["--case", "dense-bwd-reproducible", "--set", "BQ=32,dq.BK=32", "--json", "record.json"];
    let (status, _, stderr) = bench(dir.path(), &[SMALL, set]);
    assert_eq!(status, 0, "{stderr}");
    let rows = json(&dir.path().join("record.json"))["rows"].clone();
    let consts: Vec<_> = (0..3).map(|i| rows[0]["parts"][i]["consts"].as_str().unwrap().to_owned()).collect();
    assert_eq!(consts, ["T=bf16, BQ=32, D=64", "T=bf16, BQ=32, BK=32, D=64", "T=bf16, BQ=32, BK=64, D=64"]);
}

#[test]
fn variants_are_rows_and_one_that_fails_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let small = &["--case", "matmul", "--set", "", "--set", "BM=64,BK=16", "--json", "record.json"];
    let (status, stdout, stderr) = bench(dir.path(), &[SMALL, small]);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("BM=64,BK=16"), "{stdout}");
    let rows = json(&dir.path().join("record.json"))["rows"].clone();
    let consts: Vec<_> = (0..2).map(|i| rows[i]["parts"][0]["consts"].as_str().unwrap().to_owned()).collect();
    assert_eq!(consts, ["T=bf16, BM=128, BN=128, BK=32", "T=bf16, BM=64, BN=128, BK=16"]);

    let failing = &["--case", "matmul", "--set", "BM=65536", "--set", "BM=32", "--json", "record.json"];
    let (status, stdout, stderr) = bench(dir.path(), &[SMALL, failing]);
    assert_eq!(status, 1, "{stdout}");
    assert!(stderr.contains("error: 1 of 2 rows failed: matmul BM=65536: "), "{stderr}");
    let rows = json(&dir.path().join("record.json"))["rows"].clone();
    assert!(rows[0]["failed"].is_string() && rows[0]["time"].is_null(), "{rows}");
    assert!(rows[1]["failed"].is_null() && rows[1]["time"].is_object(), "{rows}");
}

#[test]
fn figures_of_peers_stand_beside_ours() {
    let dir = tempfile::tempdir().unwrap();
    let python = dir.path().join("python");
    let script = r#"#!/bin/sh
cat >script
echo '{"versions": {"torch": "0.0"}}'
echo '{"case": "dense", "peer": "cuDNN", "ms": 1.5, "tflops": 123.4}'
echo '{"case": "dense", "peer": "FA-CuTe", "absent": "not installed: flash_attn"}'
echo "$*" >arguments
"#;
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o700)).unwrap();
    let peers =
        &["--case", "dense", "--peers", "--python", python.to_str().unwrap(), "--json", "record.json"];
    let (status, stdout, stderr) = bench(dir.path(), &[SMALL, peers]);
    assert_eq!(status, 0, "{stderr}");
    let line = |start: &str| stdout.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    assert!(line("cuDNN").contains("1.5000") && line("cuDNN").contains("123"), "{stdout}");
    assert!(line("FA-CuTe").ends_with("not installed: flash_attn"), "{stdout}");
    assert_eq!(json(&dir.path().join("record.json"))["peers"]["versions"]["torch"], "0.0");
    let told = std::fs::read_to_string(dir.path().join("arguments")).unwrap();
    assert!(told.contains(r#""shape":[1,2,192,64]"#), "{told}");
    assert!(std::fs::read_to_string(dir.path().join("script")).unwrap().contains("def main()"));

    let nobody = &["--case", "dense", "--peers", "--python", "./nobody"];
    let (status, stdout, _) = bench(dir.path(), &[SMALL, nobody]);
    assert_eq!(status, 0);
    assert!(stdout.contains("peers were not measured: ./nobody cannot be started"), "{stdout}");
}

#[test]
fn the_cases_are_listed_with_their_goals() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, _) = bench(dir.path(), &[&["--list"]]);
    assert_eq!((status, stdout.lines().count()), (0, sla::bench::cases::ALL.len()));
    assert!(stdout.contains("1x12x32768x128 blocks 128x64 25 of 512"), "{stdout}");
    assert!(stdout.contains("at least 700 TFLOP/s") && stdout.contains("within 7 % of sparse"), "{stdout}");
}

#[test]
fn bad_input_is_refused() {
    refuses(&["--case", "sparce"], &["unknown case `sparce`", "did you mean `sparse`?"]);
    refuses(&["--what", "dance"], &["'dance'", "dense, sparse, module, matmul"]);
    refuses(&["--pass", "back"], &["'back'", "fwd, bwd"]);
    refuses(&["--shape", "1,2,3"], &["found `1,2,3`, needed four positive sizes B,H,L,D"]);
    refuses(&["--matmul", "1,0,3"], &["needed three positive sizes M,N,K"]);
    refuses(&["--rounds", "0"], &["--rounds"]);
    refuses(&["--device", "cuda:99"], &["cuda:99"]);
    refuses(&["--set", "warps"], &["found `warps`, needed NAME=VALUE"]);
    refuses(&["--device", "cpu", "--json", "no/such/folder/file"], &["no/such/folder/file"]);
    let small = |more: &[&'static str]| [SMALL, more].concat();
    refuses(&small(&["--set", "wraps=4"]), &["unknown setting `wraps`", "warps"]);
    refuses(&small(&["--set", "warps=many"]), &["warps is `many`, needed"]);
    let fixed = ["--case", "sparse", "--set", "BQ=64", "--json", "record.json"];
    refuses(&small(&fixed), &["case sparse has no `BQ` to change; it has none"]);
    refuses(
        &small(&["--case", "dense-bwd-reproducible", "--set", "dv.BQ=64"]),
        &["case dense-bwd-reproducible has no `dv.BQ` to change", "dq.BQ, dq.BK, dkdv.BQ, dkdv.BK"],
    );
    refuses(&small(&["--case", "module-all", "--set", "stages=2"]), &["a call of the operator"]);
    refuses(
        &small(&["--case", "dense", "--set", "BQ=0"]),
        &["constant BQ is `0`, needed a positive whole number"],
    );
}
