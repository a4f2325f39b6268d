//! Runs that must fail: each with status 2, one line that says what was found and what was needed, and no file left.

use std::fs;

use sla::Dtype;

use super::*;

/// [`small`] in f32 with one tensor put in or replaced.
fn with(name: &'static str, array: Array) -> Bench {
    let mut arrays = small(Dtype::F32);
    arrays.insert(name, array);
    Bench::new(&arrays)
}

fn zeros(dtype: Dtype, shape: &[usize]) -> Array {
    Array::from_f64(dtype, shape.to_vec(), &vec![0.0; shape.iter().product()]).unwrap()
}

#[test]
fn missing_and_misnamed_tensors() {
    for name in ["q", "k", "v"] {
        let mut arrays = small(Dtype::F32);
        arrays.remove(name);
        Bench::new(&arrays)
            .refuses(&[], &[&format!("`{name}` is missing"), "in.safetensors", "found", "needed q, k and v"]);
    }
    Bench::new(&BTreeMap::new()).refuses(&[], &["`q` is missing: found no tensor"]);
    with("weight", zeros(Dtype::F32, &[64, 64])).refuses(&[], &["`weight` is unknown", "proj_weight"]);
    Bench::new(&small(Dtype::F32)).refuses(&["--backward"], &["`grad_out` is missing"]);
}

#[test]
fn wrong_ranks() {
    with("q", zeros(Dtype::F32, &[2, 150, 64]))
        .refuses(&[], &["`q` has shape [2, 150, 64]", "[B, H, Lq, D]"]);
    with("k", zeros(Dtype::F32, &[64])).refuses(&[], &["`k` has shape [64]", "[B, H, Lk, D]"]);
    with("v", zeros(Dtype::F32, &[1, 1, 2, 70, 64]))
        .refuses(&[], &["`v`", "[1, 1, 2, 70, 64]", "[1, 2, 70, 64]"]);
    with("q", zeros(Dtype::F32, &[])).refuses(&[], &["`q` has shape []"]);
}

#[test]
fn wrong_element_types() {
    with("k", zeros(Dtype::Bf16, &[1, 2, 70, 64]))
        .refuses(&[], &["`k` has element type bf16", "f32 as `q` has"]);
    with("q", zeros(Dtype::I8, &[1, 2, 150, 64]))
        .refuses(&[], &["`q` has element type i8", "bf16, f16 or f32"]);
    with("mask", zeros(Dtype::F32, &[1, 2, 2, 2])).refuses(&[], &["`mask` has element type f32, needed i8"]);
    with("proj_bias", zeros(Dtype::I8, &[64])).refuses(&[], &["`proj_bias` has element type i8"]);
    let wide = r#"{"q":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#;
    let bytes = [&(wide.len() as u64).to_le_bytes()[..], wide.as_bytes(), &[0; 8]].concat();
    Bench::of_bytes(&bytes).refuses(&[], &["`q` has element type F64", "BF16, F16, F32 or I8"]);
}

#[test]
fn wrong_sizes() {
    let f32 = |shape: &[usize]| zeros(Dtype::F32, shape);
    with("k", f32(&[1, 3, 70, 64])).refuses(&[], &["`k` has shape [1, 3, 70, 64], needed [1, 2, 70, 64]"]);
    with("v", f32(&[1, 2, 71, 64])).refuses(&[], &["`v` has shape [1, 2, 71, 64], needed [1, 2, 70, 64]"]);
    with("grad_out", f32(&[1, 2, 70, 64])).refuses(&[], &["`grad_out`", "needed [1, 2, 150, 64]"]);
    with("proj_weight", f32(&[64])).refuses(&[], &["`proj_weight` has shape [64], needed [64, 64]"]);
    with("proj_bias", f32(&[1, 64])).refuses(&[], &["`proj_bias` has shape [1, 64], needed [64]"]);
    with("phi_weight", f32(&[64, 64])).refuses(&[], &["`phi_weight`", "needed [2, 64, 64]"]);
    with("mask", zeros(Dtype::I8, &[1, 2, 2, 2]))
        .refuses(&["--blocks", "64,64"], &["`mask`", "needed [1, 2, 3, 2]"]);
    for head_dim in [32, 96, 256] {
        let shape = [1, 1, 4, head_dim];
        let arrays = ["q", "k", "v"].map(|name| (name, f32(&shape)));
        Bench::new(&BTreeMap::from(arrays)).refuses(&[], &[&format!("is {head_dim}, needed 64 or 128")]);
    }
}

#[test]
fn empty_tensors() {
    with("q", zeros(Dtype::F32, &[1, 2, 0, 64])).refuses(&[], &["`q` has shape [1, 2, 0, 64]", "at least 1"]);
    with("k", zeros(Dtype::F32, &[1, 2, 0, 64])).refuses(&[], &["`k` has shape [1, 2, 0, 64]", "at least 1"]);
    with("q", zeros(Dtype::F32, &[0, 2, 150, 64])).refuses(&[], &["at least 1"]);
}

#[test]
fn values_that_are_not_finite() {
    for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32] {
        for (value, word) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
            for (name, tokens) in [("q", 150), ("k", 70), ("v", 70), ("grad_out", 150)] {
                let mut values = vec![0.0; 2 * tokens * 64];
                values[tokens * 64 + 2 * 64 + 5] = value;
                let mut arrays = small(dtype);
                arrays.insert(name, Array::from_f64(dtype, vec![1, 2, tokens, 64], &values).unwrap());
                Bench::new(&arrays)
                    .refuses(&[], &[&format!("`{name}` has {word} at [0, 1, 2, 5], needed finite")]);
            }
        }
    }
    let bias = Array::from_f64(Dtype::F32, vec![64], &[f64::NAN; 64]).unwrap();
    with("proj_bias", bias).refuses(&[], &["`proj_bias` has NaN at [0]"]);
}

#[test]
fn a_mask_with_other_values() {
    for (value, word) in [(2.0, "2"), (-2.0, "-2"), (127.0, "127"), (-128.0, "-128")] {
        let mut classes = [0.0; 8];
        classes[6] = value;
        let mask = Array::from_f64(Dtype::I8, vec![1, 2, 2, 2], &classes).unwrap();
        with("mask", mask)
            .refuses(&[], &[&format!("has {word} at [0, 1, 1, 0], needed 1"), "-1 (negligible)"]);
    }
}

#[test]
fn settings_out_of_range() {
    let bench = Bench::new(&small(Dtype::F32));
    for share in ["1.5", "-0.1", "nan", "inf", "half", ""] {
        for flag in ["--critical", "--negligible"] {
            bench.refuses(
                &[flag, share],
                &[flag, &format!("share is {share}"), "needed a number from 0 to 1"],
            );
        }
    }
    for eps in ["-1", "nan", "inf"] {
        bench.refuses(&["--eps", eps], &["eps is", "needed a finite number of at least 0"]);
    }
    bench.refuses(&["--eps", "small"], &["--eps", "'small'"]);
    for blocks in ["32,32", "64,128", "64", "128,-64", "a,b"] {
        bench.refuses(
            &["--blocks", blocks],
            &[&format!("blocks are {blocks}, needed 64,64 or 128,64 or 128,128")],
        );
    }
    bench.refuses(&["--scope", "paper"], &["scope is `paper`", "marginal|complement|all|none"]);
    bench.refuses(&["--phi", "gelu"], &["phi is `gelu`", "softmax|elu|relu|hedgehog"]);
    bench.refuses(&["--device", "tpu"], &["unknown device `tpu`", "cuda:N"]);
    bench.refuses(&["--device", "cuda:x"], &["unknown device `cuda:x`"]);
}

#[test]
fn a_device_that_is_not_there() {
    Bench::new(&small(Dtype::F32)).refuses(&["--device", "cuda:99"], &["device is `cuda:99`", "needed"]);
}

#[test]
fn command_lines_that_do_not_parse() {
    let bench = Bench::new(&small(Dtype::F32));
    bench.refuses(&["--blocs", "64,64"], &["--blocs"]);
    bench.refuses(&["third.safetensors"], &["third.safetensors"]);
    bench.sla(&["attend"]).is_refused(&["IN.safetensors", "OUT.safetensors"]);
    bench.sla(&["attand"]).is_refused(&["attand"]);
}

#[test]
fn truncated_and_hostile_files() {
    let arrays = small(Dtype::Bf16);
    let whole = files::encode(arrays.iter().map(|(name, array)| (*name, array))).unwrap();
    for length in [0, 7, 8, 9, 100, 300, whole.len() / 2, whole.len() - 1] {
        Bench::of_bytes(&whole[..length]).refuses(&[], &["in.safetensors is no valid safetensors file: "]);
    }
    Bench::of_bytes(&[&whole[..], b"more"].concat()).refuses(&[], &["no valid safetensors file"]);
    Bench::of_bytes(&u64::MAX.to_le_bytes()).refuses(&[], &["found 8 bytes, needed at least"]);
    Bench::of_bytes(b"PK\x03\x04 this is no tensor file at all").refuses(&[], &["no valid safetensors file"]);
    let header = |text: &str, body: usize| {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &vec![0; body]].concat()
    };
    let huge = r#"{"q":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#;
    Bench::of_bytes(&header(huge, 4)).refuses(&[], &["overflow"]);
    let outside = r#"{"q":{"dtype":"F32","shape":[1,1,1,64],"data_offsets":[0,256]}}"#;
    Bench::of_bytes(&header(outside, 4)).refuses(&[], &["`q` spans bytes 0 to 256", "the 4 bytes"]);
    let overlapping = r#"{"q":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"k":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}}"#;
    Bench::of_bytes(&header(overlapping, 6)).refuses(&[], &["no valid safetensors file", "offset"]);
}

#[test]
fn names_that_would_break_the_line_or_the_terminal() {
    let mut arrays = small(Dtype::F32);
    let long = "x".repeat(100_000);
    arrays.insert("a\nb\u{1b}[2J", zeros(Dtype::F32, &[1]));
    Bench::new(&arrays).refuses(&[], &["`a\\nb\\u{1b}[2J` is unknown"]);
    let arrays = BTreeMap::from([(long.as_str(), zeros(Dtype::F32, &[1]))]);
    let run = Bench::new(&arrays).attend(&[]);
    run.is_refused(&["`q` is missing", "xxx"]);
    assert!(run.stderr.len() < 1000);
}

#[test]
fn inputs_that_cannot_be_read() {
    let bench = Bench::new(&small(Dtype::F32));
    bench
        .sla(&["attend", "none.safetensors", "out"])
        .is_refused(&["cannot read none.safetensors", "No such file"]);
    bench.sla(&["attend", ".", "out"]).is_refused(&["cannot read .", "needed a regular file"]);
    assert_eq!(bench.names(), ["in.safetensors"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let bench = Bench::new(&small(Dtype::F32));
    let attend = |output: &str| bench.sla(&["attend", "in.safetensors", output]);
    attend("no/such/out").is_refused(&["cannot write no/such/out", "No such file"]);
    attend(".").is_refused(&["cannot write .", "needed a regular file"]);
    attend("/dev/null").is_refused(&["cannot write /dev/null", "needed a regular file"]);
    attend("/proc/out").is_refused(&["cannot write /proc/out"]);
    bench.refuses(&["--report", "no/such/report"], &["cannot write no/such/report"]);
    bench.refuses(&["--report", "out.safetensors"], &["both out.safetensors", "needed two files"]);
}

#[test]
fn an_older_output_outlives_a_failed_run() {
    let bench = with("mask", zeros(Dtype::F32, &[1, 2, 2, 2]));
    fs::write(bench.path("out.safetensors"), b"older").unwrap();
    bench.attend(&[]).is_refused(&["`mask`"]);
    assert_eq!(fs::read(bench.path("out.safetensors")).unwrap(), b"older");
    assert_eq!(bench.names(), ["in.safetensors", "out.safetensors"]);
}
