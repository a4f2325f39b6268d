//! Times how long the compiler takes for shipped kernels on an NVIDIA architecture, from tile IR to PTX (our passes, MLIR, LLVM) and from PTX to a
//! cubin (ptxas). Needs no GPU. One kernel at a time, nothing cached. Prints a line per kernel, and with `--json FILE` writes the samples.
//!
//! `cargo bench --bench compile_time -- [--target sm_90a] [--samples N] [--json FILE]`

use serde_json::json;
use sla::bench::host::processor;
use sla::bench::stats::median;
use sla::kernels::find;
use sla_codegen::ptxas::assemble;
use sla_codegen::{Artifact, Options, Target, compile, toolchain};
use sla_dsl::ir::Elem;
use sla_dsl::lang::Const;
use std::error::Error;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Kernels with the rows of their tiles, in bf16 with 128 columns and states of bf16.
const KERNELS: &[(&str, i64, i64)] = &[
    ("flash_fwd", 128, 128),
    ("sparse_fwd", 128, 64),
    ("sla_fwd", 128, 64),
    ("flash_bwd_dq", 128, 64),
    ("flash_bwd_dkdv", 64, 128),
    ("sla_bwd_dq", 128, 64),
    ("sla_bwd_dkdv", 128, 64),
];

fn main() -> Result<(), Box<dyn Error>> {
    let (mut target, mut samples, mut path) = ("sm_90a".parse()?, 5, None);
    let mut rest = std::env::args().skip(1).filter(|flag| flag != "--bench");
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--target" => target = value.parse::<Target>()?,
            "--samples" => samples = value.parse::<usize>()?.max(1),
            "--json" => path = Some(value),
            _ => return Err(format!("unknown flag {flag}; there are --target, --samples, --json").into()),
        }
    }
    let Target::Cuda(arch) = target else { return Err("needed a GPU's architecture, as sm_90a".into()) };
    let (options, tools) = (Options::new(target), sla_runtime::env::tools());
    let mut rows = Vec::new();
    for &(name, bq, bk) in KERNELS {
        let entry = find(name).ok_or_else(|| format!("no kernel {name}"))?;
        let bf16 = Const::Elem(Elem::BF16);
        let consts = [("BQ", Const::Int(bq)), ("BK", Const::Int(bk)), ("D", Const::Int(128)), ("S", bf16)];
        let kernel = entry.kernel(&entry.consts_with(&consts), true)?;
        let (mut ours, mut ptxas) = (Vec::new(), Vec::new());
        for _ in 0..samples {
            let start = Instant::now();
            let Artifact::Gpu(image) = compile(&kernel, &options)? else { return Err("no PTX".into()) };
            ours.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            assemble(&tools, &image.ptx, arch)?;
            ptxas.push(start.elapsed().as_secs_f64());
        }
        let middle = |samples: &[f64]| median(samples).unwrap_or(f64::NAN);
        let (to_ptx, to_cubin) = (middle(&ours), middle(&ptxas));
        println!(
            "{name:15} {bq}x{bk}: {to_ptx:.3} s to PTX, {to_cubin:.3} s in ptxas, {:.3} s",
            to_ptx + to_cubin
        );
        rows.push(json!({
            "kernel": name, "blocks": [bq, bk], "median": to_ptx + to_cubin, "to_ptx": ours, "ptxas": ptxas,
        }));
    }
    if let Some(path) = path {
        let record = json!({
            "processor": processor(),
            "unix_time": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            "target": target.to_string(),
            "toolchain": toolchain(),
            "method": "seconds by the clock, one kernel at a time, bf16, D = 128, sizes that blocks divide; all samples given",
            "rows": rows,
        });
        std::fs::write(path, serde_json::to_string_pretty(&record)? + "\n")?;
    }
    Ok(())
}
