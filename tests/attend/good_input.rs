//! Runs that succeed: names, types and shapes of what is written, and what the settings do.

use std::fs;

use sla::Dtype;

use super::*;

#[test]
fn the_forward_pass_writes_out_lse_and_mask_in_their_types() {
    for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32] {
        let bench = Bench::new(&small(dtype));
        let run = bench.attend(&[]);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        assert_eq!(bench.names(), ["in.safetensors", "out.safetensors"]);
        let output = bench.output();
        let found: Vec<_> =
            output.iter().map(|(name, array)| (name.as_str(), array.dtype(), array.shape())).collect();
        let needed = [
            ("lse", Dtype::F32, &[1, 2, 150][..]),
            ("mask", Dtype::I8, &[1, 2, 2, 2][..]),
            ("out", dtype, &[1, 2, 150, 64][..]),
        ];
        assert_eq!(found, needed);
        assert!(output["lse"].to_f64().iter().chain(&output["out"].to_f64()).all(|x| x.is_finite()));
        assert_eq!(
            output["mask"].to_f64().iter().filter(|&&class| class == 1.0).count(),
            4,
            "one of two a row"
        );
    }
}

#[test]
fn the_backward_pass_adds_five_gradients() {
    let mut arrays = small(Dtype::Bf16);
    arrays.insert("grad_out", array(Dtype::Bf16, &[1, 2, 150, 64], 4));
    arrays.insert("proj_weight", array(Dtype::F32, &[64, 64], 5));
    arrays.insert("proj_bias", array(Dtype::F32, &[64], 6));
    let bench = Bench::new(&arrays);
    let run = bench.attend(&["--backward", "--blocks", "64,64", "--scope", "complement"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let output = bench.output();
    for (name, dtype, shape) in [
        ("grad_q", Dtype::Bf16, &[1, 2, 150, 64][..]),
        ("grad_k", Dtype::Bf16, &[1, 2, 70, 64][..]),
        ("grad_v", Dtype::Bf16, &[1, 2, 70, 64][..]),
        ("grad_proj_weight", Dtype::F32, &[64, 64][..]),
        ("grad_proj_bias", Dtype::F32, &[64][..]),
    ] {
        let array = &output[name];
        assert_eq!((array.dtype(), array.shape()), (dtype, shape), "{name}");
        assert!(array.to_f64().iter().any(|&x| x != 0.0), "{name} is zero");
    }
    assert_eq!(output.len(), 8);
}

#[test]
fn a_given_mask_replaces_the_router_and_is_written_as_given() {
    let classes = [1.0, -1.0, 0.0, 1.0, -1.0, -1.0, 1.0, 1.0];
    let mut arrays = small(Dtype::F32);
    arrays.insert("mask", Array::from_f64(Dtype::I8, vec![1, 2, 2, 2], &classes).unwrap());
    let bench = Bench::new(&arrays);
    assert_eq!(bench.attend(&["--report", "report.json"]).status, 0);
    let output = bench.output();
    assert_eq!(output["mask"].to_f64(), classes);
    // The first query block of the second head has neither critical nor marginal blocks.
    let (out, lse) = (output["out"].to_f64(), output["lse"].to_f64());
    assert!(out[150 * 64..(150 + 128) * 64].iter().all(|&x| x == 0.0));
    assert!(lse[150..150 + 128].iter().all(|&x| x == f64::NEG_INFINITY));
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(bench.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["mask_given"], true);
    assert_eq!(report["realised"]["critical"], 4);
    assert_eq!(report["realised"]["negligible"], 3);
    assert_eq!(report["realised"]["row_min"], 0);
}

#[test]
fn the_report_states_settings_counts_and_times() {
    let bench = Bench::new(&small(Dtype::F16));
    let settings = ["--scope", "all", "--phi", "elu", "--critical", "0.5", "--report", "r.json"];
    assert_eq!(bench.attend(&settings).status, 0);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(bench.path("r.json")).unwrap()).unwrap();
    assert_eq!(report["config"]["scope"], "all");
    assert_eq!(report["config"]["phi"], "elu");
    assert_eq!(report["config"]["eps"], 1e-5);
    assert_eq!(report["dtype"], "f16");
    assert_eq!(report["dims"]["queries"], 150);
    assert_eq!(report["asked"]["critical"], 1);
    assert_eq!(report["density"], 0.5);
    assert!(report["seconds"]["forward"].as_f64().unwrap() > 0.0);
    assert!(report["seconds"]["backward"].is_null());
}

#[test]
fn every_scope_feature_map_and_block_shape_runs() {
    let mut arrays = small(Dtype::F32);
    arrays.insert("grad_out", array(Dtype::F32, &[1, 2, 150, 64], 4));
    arrays.insert("proj_weight", array(Dtype::F16, &[64, 64], 5));
    arrays.insert("phi_weight", array(Dtype::F32, &[2, 64, 64], 6));
    let bench = Bench::new(&arrays);
    for scope in ["marginal", "complement", "all", "none"] {
        for (phi, blocks) in
            [("softmax", "64,64"), ("elu", "128,64"), ("relu", "128,128"), ("hedgehog", "64,64")]
        {
            let run = bench.attend(&["--backward", "--scope", scope, "--phi", phi, "--blocks", blocks]);
            assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{scope} {phi} {blocks}");
            for (name, array) in bench.output() {
                assert!(array.to_f64().iter().all(|x| x.is_finite()), "{scope} {phi} {blocks}: {name}");
            }
        }
    }
}

#[test]
fn input_and_output_may_be_one_file() {
    let bench = Bench::new(&small(Dtype::F32));
    assert_eq!(bench.sla(&["attend", "in.safetensors", "in.safetensors"]).status, 0);
    assert!(files::read(&bench.path("in.safetensors")).unwrap().contains_key("out"));
}

#[test]
fn help_and_version_are_no_errors() {
    let bench = Bench::of_bytes(&[]);
    for arguments in [&["--help"][..], &["--version"], &["attend", "--help"]] {
        assert_eq!(bench.sla(arguments).status, 0);
    }
}
