//! Times dense and block-sparse attention on the host: one head, f32, D = 64. Prints a line per case, and with `--json FILE` writes the
//! samples. `benches/numpy_flash.py` times the same dense computation in numpy. Both give seconds by the clock and seconds of processor time
//! (all threads together); on a machine that is shared with others only the latter can be compared.
//!
//! `cargo bench --bench host_attention -- [--length L] [--blocks BQ,BK] [--samples N] [--json FILE] [--emit STAGE]`

use serde_json::json;
use sla::bench::host::processor;
use sla::kernels::{block_sparse::sparse_fwd, flash::flash_fwd};
use sla_codegen::{Options, Stage, Target, Tools};
use sla_dsl::ir::Facts;
use sla_dsl::lang::KernelDef;
use sla_runtime::{Device, Tensor};
use std::error::Error;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const D: usize = 64;

struct Arguments {
    length: usize,
    blocks: (usize, usize),
    samples: usize,
    sparsity: f64,
    json: Option<String>,
    emit: Option<Stage>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let a = arguments()?;
    if let Some(stage) = a.emit {
        return emit(&a, stage);
    }
    let device = Device::cpu();
    let mut rows = Vec::new();
    for (what, (times, busy)) in [("dense", dense(&device, &a)?), ("sparse", sparse(&device, &a)?)] {
        let best = times.iter().copied().fold(f64::INFINITY, f64::min);
        let (median, busy_median) = (median(&times), median(&busy));
        let work =
            4.0 * (a.length * a.length * D) as f64 * if what == "dense" { 1.0 } else { 1.0 - a.sparsity };
        println!(
            "{what}: L {} blocks {:?}: median {median:.4} s, best {best:.4} s, processor {busy_median:.4} s, {:.1} GFLOP/s",
            a.length,
            a.blocks,
            work / median / 1e9
        );
        rows.push(json!({
            "what": what,
            "seconds": times,
            "median": median,
            "processor_seconds": busy,
            "processor_median": busy_median,
        }));
    }
    if let Some(path) = &a.json {
        let record = json!({
            "device": device.describe(),
            "processor": processor(),
            "unix_time": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            "shape": [1, 1, a.length, D],
            "dtype": "f32",
            "blocks": [a.blocks.0, a.blocks.1],
            "sparsity": a.sparsity,
            "method": "per launch, after one launch that compiles; all samples given",
            "rows": rows,
        });
        std::fs::write(path, serde_json::to_string_pretty(&record)? + "\n")?;
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut a =
        Arguments { length: 8192, blocks: (64, 64), samples: 7, sparsity: 0.95, json: None, emit: None };
    let mut rest = std::env::args().skip(1);
    while let Some(flag) = rest.next() {
        if flag == "--bench" {
            continue;
        }
        let value = rest.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--length" => a.length = value.parse()?,
            "--samples" => a.samples = value.parse()?,
            "--sparsity" => a.sparsity = value.parse()?,
            "--blocks" => {
                let (q, k) = value.split_once(',').ok_or("--blocks takes BQ,BK")?;
                a.blocks = (q.parse()?, k.parse()?);
            }
            "--json" => a.json = Some(value),
            "--emit" => a.emit = Some(value.parse()?),
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    Ok(a)
}

/// Seeded numbers in [-1, 1).
fn random(device: &Device, l: usize, seed: u64) -> Result<Tensor<f32>, Box<dyn Error>> {
    let mut state = seed;
    let data: Vec<f32> = (0..l * D)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Ok(Tensor::from_vec(device, &[1, 1, l, D], data)?)
}

/// Seconds by the clock and of processor time, one each per sample.
type Times = (Vec<f64>, Vec<f64>);

/// Times `launch` after one run that compiles.
fn timed(
    samples: usize,
    mut launch: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Times, Box<dyn Error>> {
    launch()?;
    let mut times = Times::default();
    for _ in 0..samples {
        let (start, busy) = (Instant::now(), processor_seconds());
        launch()?;
        times.0.push(start.elapsed().as_secs_f64());
        times.1.push(processor_seconds() - busy);
    }
    Ok(times)
}

/// What all threads of this process have run for.
fn processor_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|t| {
        let text = std::fs::read_to_string(t.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 * 1e-9
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

macro_rules! with_blocks {
    ($blocks:expr, $kernel:ident $(, $more:tt)*; $($arg:expr),*) => {
        match $blocks {
            (64, 64) => $kernel::<f32, 64, 64, 64 $(, $more)*>::launch($($arg),*)?,
            (128, 64) => $kernel::<f32, 128, 64, 64 $(, $more)*>::launch($($arg),*)?,
            (128, 128) => $kernel::<f32, 128, 128, 64 $(, $more)*>::launch($($arg),*)?,
            other => return Err(format!("blocks {other:?}; there are 64,64 128,64 128,128").into()),
        }
    };
}

fn dense(device: &Device, a: &Arguments) -> Result<Times, Box<dyn Error>> {
    let [q, k, v] =
        [random(device, a.length, 1)?, random(device, a.length, 2)?, random(device, a.length, 3)?];
    let mut out = Tensor::<f32>::zeros(device, &[1, 1, a.length, D])?;
    let mut lse = Tensor::<f32>::zeros(device, &[1, 1, a.length])?;
    timed(a.samples, || {
        with_blocks!(a.blocks, flash_fwd, false; device, &q, &k, &v, &mut out, &mut lse, 0.125);
        Ok(())
    })
}

fn sparse(device: &Device, a: &Arguments) -> Result<Times, Box<dyn Error>> {
    let [q, k, v] =
        [random(device, a.length, 1)?, random(device, a.length, 2)?, random(device, a.length, 3)?];
    let mut out = Tensor::<f32>::zeros(device, &[1, 1, a.length, D])?;
    let mut lse = Tensor::<f32>::zeros(device, &[1, 1, a.length])?;
    let (rows, columns) = (a.length.div_ceil(a.blocks.0), a.length.div_ceil(a.blocks.1));
    let kept = ((columns as f64 * (1.0 - a.sparsity)).round() as usize).max(1);
    // Every row keeps `kept` blocks, spread and shifted from row to row.
    let index = (0..rows).flat_map(|r| {
        let mut list: Vec<i32> = (0..kept).map(|i| ((r * 7 + i * columns / kept) % columns) as i32).collect();
        list.sort_unstable();
        list
    });
    let index = Tensor::from_vec(device, &[1, 1, rows, kept], index.collect::<Vec<i32>>())?;
    let count = Tensor::from_vec(device, &[1, 1, rows], vec![kept as i32; rows])?;
    timed(a.samples, || {
        with_blocks!(a.blocks, sparse_fwd; device, &q, &k, &v, &index, &count, &mut out, &mut lse, 0.125);
        Ok(())
    })
}

/// Prints a stage of the dense kernel.
fn emit(a: &Arguments, stage: Stage) -> Result<(), Box<dyn Error>> {
    let def: &KernelDef = &flash_fwd;
    let mut consts = flash_fwd::<f32, 64, 64, 64, false>::consts();
    consts.0[1].1 = sla_dsl::lang::Const::Int(a.blocks.0 as i64);
    consts.0[2].1 = sla_dsl::lang::Const::Int(a.blocks.1 as i64);
    let kernel = def.build(&consts, &Facts::default())?;
    let text = sla_codegen::emit(&kernel, &Options::new(Target::Cpu), &Tools::default(), stage)?;
    println!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
