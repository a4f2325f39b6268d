//! NVIDIA GPUs from sm_80 on.
//!
//! Two ways to run a kernel: the baseline of every architecture (warps, mma.sync, cp.async), which [`schedule`] decides and `check` refuses; and on
//! Hopper the roles of [`hopper`](super::hopper), for kernels of the shape that it asks for. `lower` writes MLIR for both, `ptx` takes that
//! through LLVM.

mod check;
mod explain;
mod layout;
mod lower;
mod placement;
mod pressure;
mod product;
pub(crate) mod ptx;
mod schedule;
mod stage;
mod text;

pub(crate) use explain::explain;

use super::hopper::{self, Scheduled};
use crate::trace::Trace;
use crate::{
    Arch, CodegenError, DeviceLog, GpuImage, GridKind, Options, ScheduleKind, Stage, TensorMap, Tools,
};
use lower::{Lowered, lower_roles};
use schedule::Schedule;
use sla_dsl::diag::Loc;
use sla_dsl::ir::{Kernel, verify};
use std::time::{Duration, Instant};

/// Dynamic shared memory that one program may have, in bytes.
const fn shared_limit(arch: Arch) -> usize {
    arch.shared_bytes() as usize
}

/// A kernel that is ready for the back end.
struct Ready {
    how: How,
    mlir: String,
    threads: u32,
    shared_bytes: usize,
    maps: Vec<TensorMap>,
    queue: bool,
    log: Option<DeviceLog>,
    /// Time of scheduling, and of lowering.
    took: [Duration; 2],
}

/// How a kernel's programs are mapped to threads.
enum How {
    Baseline(Box<Schedule>),
    Roles(Box<Scheduled>),
}

impl Ready {
    fn new(
        kernel: &Kernel,
        arch: Arch,
        options: &Options,
        trace: &mut Trace<'_>,
    ) -> Result<Ready, CodegenError> {
        let forced = matches!(options.schedule, ScheduleKind::Roles | ScheduleKind::SelfLoading);
        if forced && arch != Arch::Sm90a {
            let message = format!("schedules of roles are Hopper's ({})", Arch::Sm90a.name());
            return Err(check::unsupported(kernel, arch, Loc::UNKNOWN, message));
        }
        if arch == Arch::Sm90a && options.schedule != ScheduleKind::Baseline && !options.checks {
            match hopper::schedule_seen(kernel, options, trace) {
                Ok((scheduled, took)) => match Ready::roles(scheduled, options.lines, took) {
                    Err(CodegenError::Unsupported { diagnostic, .. }) if !forced => {
                        trace.give_up("roles", kernel, &diagnostic.to_string());
                    }
                    done => return done,
                },
                Err(refusal) if forced => {
                    let message = format!("it has no schedule of roles: {}", refusal.reason);
                    return Err(check::unsupported(kernel, arch, refusal.loc, message));
                }
                Err(refusal) => trace.give_up("roles", kernel, &refusal.reason),
            }
        }
        let (schedule, lowered, took) = baseline(kernel, arch, options)?;
        Ok(Ready {
            threads: schedule.family.threads(),
            how: How::Baseline(Box::new(schedule)),
            mlir: lowered.mlir,
            shared_bytes: lowered.shared_bytes,
            maps: Vec::new(),
            queue: false,
            log: lowered.log,
            took,
        })
    }

    fn roles(scheduled: Scheduled, lines: bool, took: Duration) -> Result<Ready, CodegenError> {
        if cfg!(debug_assertions) {
            verify(&scheduled.kernel)?;
            if let Err(found) = hopper::verify::verify_protocol(&scheduled.kernel) {
                let message = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let kernel = scheduled.kernel.name.clone();
                return Err(CodegenError::Internal { kernel, stage: Stage::Sched, message });
            }
        }
        let start = Instant::now();
        let lowered = lower_roles(&scheduled.kernel, scheduled.ctas_per_sm, lines)?;
        Ok(Ready {
            how: How::Roles(Box::new(scheduled)),
            mlir: lowered.mlir,
            threads: lowered.threads,
            shared_bytes: lowered.shared_bytes,
            maps: lowered.maps,
            queue: lowered.queue,
            log: None,
            took: [took, start.elapsed()],
        })
    }

    /// What is loaded on a GPU.
    fn image(self, kernel: &Kernel, arch: Arch) -> Result<GpuImage, CodegenError> {
        let ptx = ptx::assembly(&kernel.name, arch, &self.mlir, |_| {}, &mut Trace::off())?;
        Ok(GpuImage {
            entry: ptx::entry(kernel),
            ptx,
            threads: self.threads,
            shared_bytes: self.shared_bytes as u32,
            grid: self.grid(),
            maps: self.maps,
            queue: self.queue,
            log: self.log,
        })
    }

    /// The `sched` stage.
    fn describe(&self, kernel: &Kernel) -> String {
        let (threads, shared) = (self.threads, self.shared_bytes);
        let sizes = format!("{threads} threads, {shared} bytes of shared memory\n");
        match &self.how {
            How::Baseline(schedule) => format!("{kernel}{}{sizes}", schedule.describe(kernel)),
            How::Roles(scheduled) => format!("{}{sizes}", scheduled.kernel),
        }
    }

    fn grid(&self) -> GridKind {
        match &self.how {
            How::Baseline(_) => GridKind::Programs,
            How::Roles(scheduled) => scheduled.grid(),
        }
    }
}

/// Schedules and lowers a kernel: with the deepest rings that leave room for two programs at a time, else two copies, else none.
fn baseline(
    kernel: &Kernel,
    arch: Arch,
    options: &Options,
) -> Result<(Schedule, Lowered, [Duration; 2]), CodegenError> {
    check::check_warps(kernel, arch, options.warps)?;
    let limit = options.shared.map_or(usize::MAX, |s| s as usize).min(shared_limit(arch));
    let asked = options.stages.map(|s| s.clamp(1, 8));
    let candidates: Vec<u32> = match asked {
        Some(s) => (1..=s).rev().collect(),
        None => vec![3, 2, 1],
    };
    // Pairs of warps share columns where registers are short, unless their exchange of operands does not fit.
    let shapes: &[bool] = if Schedule::is_crowded(kernel, options) { &[true, false] } else { &[false] };
    let mut wanted = 0;
    for (&wide, &stages) in shapes.iter().flat_map(|w| candidates.iter().map(move |s| (w, s))) {
        let start = Instant::now();
        let schedule = Schedule::new(kernel, options, stages, wide);
        let scheduling = start.elapsed();
        check::check(kernel, arch, &schedule.family)?;
        if schedule.buffer_bytes > limit && stages > 1 {
            continue;
        }
        let start = Instant::now();
        let lowered = lower::lower(kernel, &schedule, options);
        let room = if asked.is_none() && stages > 2 { limit / 2 } else { limit };
        if lowered.shared_bytes <= room {
            return Ok((schedule, lowered, [scheduling, start.elapsed()]));
        }
        wanted = lowered.shared_bytes;
    }
    let message = format!(
        "it takes {wanted} bytes of shared memory, and a program may have {limit}; use smaller blocks"
    );
    Err(check::unsupported(kernel, arch, Loc::UNKNOWN, message))
}

/// Compiles a kernel to PTX.
///
/// # Errors
/// A kernel that this architecture cannot run.
pub fn compile(kernel: &Kernel, arch: Arch, options: &Options) -> Result<GpuImage, CodegenError> {
    Ready::new(kernel, arch, options, &mut Trace::off())?.image(kernel, arch)
}

/// Compiles a kernel of roles that was written as such, of which `ctas_per_sm` blocks of threads are to fit a multiprocessor.
///
/// # Errors
/// Ops that the lowering of roles does not have; in debug builds a protocol that does not hold.
pub fn compile_roles(kernel: &Kernel, ctas_per_sm: u32) -> Result<GpuImage, CodegenError> {
    Ready::roles(Scheduled::persistent(kernel.clone(), ctas_per_sm), false, Duration::ZERO)?
        .image(kernel, Arch::Sm90a)
}

/// The text of a stage (bytes for `Cubin`).
///
/// # Errors
/// As [`compile`], or a missing tool.
pub fn emit(
    kernel: &Kernel,
    arch: Arch,
    options: &Options,
    tools: &Tools,
    stage: Stage,
) -> Result<Vec<u8>, CodegenError> {
    let ready = Ready::new(kernel, arch, options, &mut Trace::off())?;
    match stage {
        Stage::Tile => Err(CodegenError::NoStage { target: arch.name().to_string(), stage }),
        Stage::Sched => Ok(ready.describe(kernel).into_bytes()),
        _ => emit_from(&kernel.name, &ready.mlir, Stage::Mlir, arch, tools, stage),
    }
}

/// Tells of every step from a kernel that the passes have gone over to PTX.
///
/// # Errors
/// As [`compile`].
pub(crate) fn trace(
    kernel: &Kernel,
    arch: Arch,
    options: &Options,
    trace: &mut Trace<'_>,
) -> Result<(), CodegenError> {
    let ready = Ready::new(kernel, arch, options, trace)?;
    let [scheduling, lowering] = ready.took;
    let scheduled = match &ready.how {
        How::Baseline(_) => kernel,
        How::Roles(scheduled) => &scheduled.kernel,
    };
    trace.scheduled(scheduled, scheduling, || ready.describe(kernel));
    trace.text(Stage::Mlir, "lower", lowering, || ready.mlir.clone());
    ptx::assembly(&kernel.name, arch, &ready.mlir, |_| {}, trace).map(drop)
}

/// The text of a stage (bytes for `Cubin`), from MLIR or PTX for a kernel of that name; a stage before that is the text itself.
///
/// # Errors
/// What MLIR, LLVM or a tool says against the text, or a missing tool.
pub fn emit_from(
    name: &str,
    text: &str,
    from: Stage,
    arch: Arch,
    tools: &Tools,
    stage: Stage,
) -> Result<Vec<u8>, CodegenError> {
    if stage <= from {
        return Ok(text.as_bytes().to_vec());
    }
    let made;
    let ptx = match from {
        Stage::Ptx => text,
        _ => {
            let mut ll = String::new();
            let optimised = |module: &inkwell::module::Module<'_>| {
                if stage == Stage::Ll {
                    ll = module.print_to_string().to_string();
                }
            };
            made = ptx::assembly(name, arch, text, optimised, &mut Trace::off())?;
            if stage == Stage::Ll {
                return Ok(ll.into_bytes());
            }
            &made
        }
    };
    if stage == Stage::Ptx {
        return Ok(ptx.as_bytes().to_vec());
    }
    let cubin = crate::ptxas::assemble(tools, ptx, arch)?.cubin;
    if stage == Stage::Cubin {
        return Ok(cubin);
    }
    Ok(crate::ptxas::disassemble(tools, &cubin)?.into_bytes())
}
