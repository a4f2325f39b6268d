//! Times the host's part of a launch, on any device: microseconds and allocations of a launch that repeats, of one with other tensors of the same
//! form, and of one whose form is new while its kernel is compiled. On the host a launch runs its one small program, which is part of the time; on a
//! GPU it is enqueued. And what a process costs before its first kernel has run: it is started again for that, with the kernels of the run before
//! on disk.
//!
//! `cargo bench --bench launch -- [--device cpu|cuda] [--samples N] [--json FILE]`

use serde_json::json;
use sla::attention::module::{Sla, Weights};
use sla::bench::host::processor;
use sla::bench::stats::median;
use sla::kernels::flash::flash_fwd;
use sla::{Config, Device, DeviceName};
use sla_dsl::ir::Elem;
use sla_dsl::prelude::*;
use sla_runtime::DynTensor;
use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Owned = sla_runtime::Tensor<f32>;

/// Counts allocations of the whole process.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: by the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: by the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// As many tensors and numbers as the largest of the shipped kernels, and next to no work.
#[allow(unused_variables)] // they are there to be passed
#[kernel(dims(B, H, L, N), grid(m in L.div_ceil(BLOCK), h in H, b in B))]
fn light<const BLOCK: usize, const D: usize>(
    q: &Tensor<f32, { [B, H, L, D] }>,
    k: &Tensor<f32, { [B, H, L, D] }>,
    v: &Tensor<f32, { [B, H, L, D] }>,
    index: &Tensor<f32, { [B, H, N, N] }>,
    count: &Tensor<f32, { [B, H, N] }>,
    weight: &Tensor<f32, { [H, D, D] }>,
    state: &Tensor<f32, { [B, H, N, D, D] }>,
    sums: &Tensor<f32, { [B, H, N, N, D] }>,
    bias: &Tensor<f32, { [D] }>,
    out: &mut Tensor<f32, { [B, H, L, D] }>,
    other: &mut Tensor<f32, { [B, H, L, D] }>,
    lse: &mut Tensor<f32, { [B, H, L] }>,
    scale: f32,
    eps: f32,
) {
    lse.at(b, h).block::<BLOCK>(m).store(zeros::<f32>([BLOCK]) + scale);
}

/// The arguments of [`light`], of `tokens` tokens.
struct Arguments {
    read: Vec<Owned>,
    written: [Owned; 3],
}

const D: usize = 32;

impl Arguments {
    fn new(device: &Device, tokens: usize) -> Result<Arguments, Box<dyn Error>> {
        let zeros = |shape: &[usize]| Owned::zeros(device, shape);
        let rows = [1, 2, tokens, D];
        let shapes: [&[usize]; 9] = [
            &rows,
            &rows,
            &rows,
            &[1, 2, 4, 4],
            &[1, 2, 4],
            &[2, D, D],
            &[1, 2, 4, D, D],
            &[1, 2, 4, 4, D],
            &[D],
        ];
        let read = shapes.into_iter().map(zeros).collect::<Result<_, _>>()?;
        Ok(Arguments { read, written: [zeros(&rows)?, zeros(&rows)?, zeros(&rows[..3])?] })
    }

    fn launch(&mut self, device: &Device) -> Result<(), sla_runtime::RuntimeError> {
        let [q, k, v, index, count, weight, state, sums, bias] = &self.read[..] else { return Ok(()) };
        let [out, other, lse] = &mut self.written;
        light::<32, D>::launch(
            device, q, k, v, index, count, weight, state, sums, bias, out, other, lse, 1.0, 1e-6,
        )
    }
}

/// Microseconds of a launch, the median, and allocations, the most; a GPU is waited for now and then, so that its queue is never full.
fn measured(
    device: &Device,
    samples: usize,
    mut launch: impl FnMut(usize) -> Result<(), Box<dyn Error>>,
) -> Result<(f64, u64), Box<dyn Error>> {
    let (mut times, mut most) = (Vec::with_capacity(samples), 0);
    for i in 0..samples {
        let (before, start) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
        launch(i)?;
        times.push(1e6 * start.elapsed().as_secs_f64());
        most = most.max(ALLOCATIONS.load(Ordering::Relaxed) - before);
        if i % 100 == 99 {
            device.synchronize()?;
        }
    }
    Ok((median(&times).unwrap_or(f64::NAN), most))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut name, mut samples, mut path, mut child) = (DeviceName::Cpu, 2000, None, None);
    let mut rest = std::env::args().skip(1).filter(|flag| flag != "--bench");
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--device" => name = value.parse::<DeviceName>()?,
            "--samples" => samples = value.parse::<usize>()?.max(1),
            "--json" => path = Some(value),
            "--started" => child = Some(UNIX_EPOCH + Duration::from_nanos(value.parse()?)),
            _ => return Err(format!("unknown flag {flag}; there are --device, --samples, --json").into()),
        }
    }
    if let Some(started) = child {
        return first_kernel(name, started);
    }
    let device = Device::open(name)?;
    let mut arguments = Arguments::new(&device, 32)?;
    // Blocks of 32 have tails in none of these.
    let mut others = (0..8).map(|_| Arguments::new(&device, 32)).collect::<Result<Vec<_>, _>>()?;
    let mut forms = (2..18).map(|n| Arguments::new(&device, 32 * n)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..100 {
        arguments.launch(&device)?;
    }
    let mut rows = Vec::new();
    let mut row = |what: &str, (us, allocations): (f64, u64)| {
        println!("{what:<44} {us:7.2} us, {allocations:3} allocations");
        rows.push(json!({ "what": what, "us": us, "allocations": allocations }));
    };
    row("a launch again", measured(&device, samples, |_| Ok(arguments.launch(&device)?))?);
    let other = measured(&device, samples, |i| Ok(others[i % 8].launch(&device)?))?;
    row("a launch of the form with other tensors", other);
    let new = measured(&device, forms.len(), |i| Ok(forms[i].launch(&device)?))?;
    row("a launch of a new form, kernel compiled", new);
    drop((arguments, others, forms));
    let mut starts = Vec::new();
    for run in 0..6 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let mut again = Command::new(std::env::current_exe()?);
        again.args(["--device", &device.name().to_string(), "--started", &now.to_string()]);
        let out = again.output()?;
        let text = String::from_utf8(out.stdout)?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned().into());
        }
        // The first compiles what is not on disk.
        if run > 0 {
            starts.push(serde_json::from_str::<serde_json::Value>(&text)?);
        }
    }
    let keys = ["main", "device", "kernel", "operator"];
    let what = [
        "from the start of a process to its first line",
        "to open the device",
        "to load and run a first kernel",
        "to load and run the operator's kernels",
    ];
    for (key, what) in keys.into_iter().zip(what) {
        let all: Vec<f64> = starts.iter().filter_map(|s| s[key].as_f64()).collect();
        println!("{what:<46} {:8.2} ms", median(&all).unwrap_or(f64::NAN));
    }
    let mapped = starts.iter().filter(|s| s["llvm"] == true).count();
    println!("{:<46} {mapped} of {}", "of these processes mapped LLVM", starts.len());
    if let Some(path) = path {
        let record = json!({
            "device": device.describe(),
            "processor": processor(),
            "unix_time": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            "method": "the host's clock around a launch of a kernel with 12 tensors and 2 numbers, medians, the most allocations; starts of a process \
                in milliseconds, each with the kernels of the one before on disk: to its first line, then to open the device (on a GPU the driver's own \
                start), then to load and run a kernel, then all kernels of the operator; the program has the compiler in it, and `llvm` says whether it was mapped",
            "launches": rows,
            "starts_ms": starts,
        });
        std::fs::write(path, serde_json::to_string_pretty(&record)? + "\n")?;
    }
    Ok(())
}

/// In a process that was started for it: milliseconds to here, to the device, and to the first kernels.
fn first_kernel(name: DeviceName, started: SystemTime) -> Result<(), Box<dyn Error>> {
    let ms = |time: Duration| 1e3 * time.as_secs_f64();
    let main = ms(started.elapsed()?);
    let start = Instant::now();
    let device = Device::open(name)?;
    let opened = ms(start.elapsed());
    let zeros = |elem, shape: &[usize]| DynTensor::zeros(&device, elem, shape);
    let x = zeros(Elem::BF16, &[1, 1, 256, 64])?;
    let typed = x.typed::<half::bf16>()?;
    let mut out = zeros(Elem::BF16, x.shape())?.typed::<half::bf16>()?;
    let mut lse = Owned::zeros(&device, &[1, 1, 256])?;
    device.synchronize()?;
    let start = Instant::now();
    flash_fwd::<half::bf16, 64, 64, 64, false>::launch(
        &device, &typed, &typed, &typed, &mut out, &mut lse, 0.1,
    )?;
    device.synchronize()?;
    let kernel = ms(start.elapsed());
    let start = Instant::now();
    Sla::new(&device, Config::default()).infer(&x, &x, &x, &Weights::default(), None)?;
    device.synchronize()?;
    let operator = ms(start.elapsed());
    // Whether this process has needed its compiler.
    let llvm = std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("libLLVM"));
    let times =
        json!({ "main": main, "device": opened, "kernel": kernel, "operator": operator, "llvm": llvm });
    println!("{times}");
    Ok(())
}
