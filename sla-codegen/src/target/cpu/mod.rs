//! The host as a target: loops over vectors, one program of the grid after the other, several threads on different programs.
//!
//! * [`check`](self) refuses what cannot be run; `schedule` decides where values live; `lower` writes MLIR.
//! * `host` is the processor: vector length, optimisation, object code. `jit` puts the object into this process.
//! * `hooks` is what compiled code calls back for; [`HostFunction`] is how it is called.

mod check;
mod function;
mod hooks;
mod host;
mod jit;
mod lower;
mod schedule;

use crate::mlir::{LlvmSession, lower_to_llvm};
use crate::trace::Trace;
use crate::{CodegenError, Options, Stage};
use hooks::Sites;
use inkwell::module::Module;
use inkwell::targets::{FileType, TargetMachine};
use lower::{ENTRY, Lowered};
use schedule::Schedule;
use sla_dsl::ir::Kernel;
use std::time::Instant;

pub use function::{Entry, HostFunction};
pub use host::Host;

/// Compiles a kernel for the host.
///
/// # Errors
/// A kernel that the host cannot run.
pub fn compile(kernel: &Kernel, _options: &Options) -> Result<HostFunction, CodegenError> {
    compile_for(kernel, &Host::native()?)
}

/// Compiles a kernel for a processor that this machine can stand in for.
///
/// # Errors
/// A kernel that the host cannot run.
pub fn compile_for(kernel: &Kernel, host: &Host) -> Result<HostFunction, CodegenError> {
    let lowered = lowered(kernel, host)?;
    let session = LlvmSession::new()?;
    let (module, machine) = optimised(kernel, host, &session, &lowered, &mut Trace::off())?;
    let object = host::write(&kernel.name, &session, &machine, &module, FileType::Object)?;
    let sites = Box::new(Sites { kernel: kernel.name.clone(), sites: lowered.sites });
    // SAFETY: the hooks have the signatures that the lowering declares, and `sites` lives beside the code.
    let loaded = unsafe { jit::Jit::load(&object, &hooks::table(&sites), ENTRY) };
    let (jit, address) = loaded.map_err(|message| CodegenError::Internal {
        kernel: kernel.name.clone(),
        stage: Stage::Ptx,
        message,
    })?;
    // SAFETY: the address is that of the function that `lower` wrote, whose signature is `Entry`'s; it touches only its arguments and
    // what they point to, and the boxed owner keeps its code and its sites.
    Ok(unsafe {
        let entry: Entry = std::mem::transmute::<usize, Entry>(address);
        HostFunction::new(entry, lowered.scratch, Box::new((jit, sites)))
    })
}

/// The text of a stage.
///
/// # Errors
/// As [`compile`].
pub fn emit(kernel: &Kernel, options: &Options, stage: Stage) -> Result<Vec<u8>, CodegenError> {
    emit_for(kernel, &Host::native()?, stage)?
        .ok_or_else(|| CodegenError::NoStage { target: options.target.to_string(), stage })
}

/// The text of a stage for a processor; nothing where the host has no such stage.
///
/// # Errors
/// As [`compile`].
pub fn emit_for(kernel: &Kernel, host: &Host, stage: Stage) -> Result<Option<Vec<u8>>, CodegenError> {
    if stage == Stage::Sched {
        check::check(kernel)?;
        return Ok(Some(Schedule::new(kernel).text(kernel).into_bytes()));
    }
    if !matches!(stage, Stage::Mlir | Stage::Ll | Stage::Ptx) {
        return Ok(None);
    }
    let lowered = lowered(kernel, host)?;
    if stage == Stage::Mlir {
        return Ok(Some(lowered.text.into_bytes()));
    }
    let session = LlvmSession::new()?;
    let (module, machine) = optimised(kernel, host, &session, &lowered, &mut Trace::off())?;
    if stage == Stage::Ll {
        return Ok(Some(module.print_to_string().to_bytes().to_vec()));
    }
    let text = host::write(&kernel.name, &session, &machine, &module, FileType::Assembly)?;
    Ok(Some(text.as_slice().iter().copied().take_while(|&b| b != 0).collect()))
}

/// Tells of every step from a kernel that the passes have gone over to assembly.
///
/// # Errors
/// As [`compile`].
pub(crate) fn trace(kernel: &Kernel, trace: &mut Trace<'_>) -> Result<(), CodegenError> {
    let host = Host::native()?;
    check::check(kernel)?;
    let start = Instant::now();
    let schedule = Schedule::new(kernel);
    trace.scheduled(kernel, start.elapsed(), || schedule.text(kernel));
    check::check_scratch(kernel, &schedule)?;
    let start = Instant::now();
    let lowered = lower::lower(kernel, &schedule, &host);
    trace.text(Stage::Mlir, "lower", start.elapsed(), || lowered.text.clone());
    let session = LlvmSession::new()?;
    let (module, machine) = optimised(kernel, &host, &session, &lowered, trace)?;
    let start = Instant::now();
    let text = host::write(&kernel.name, &session, &machine, &module, FileType::Assembly)?;
    trace.text(Stage::Ptx, "select and print", start.elapsed(), || {
        String::from_utf8_lossy(text.as_slice()).trim_end_matches('\0').to_string()
    });
    Ok(())
}

fn lowered(kernel: &Kernel, host: &Host) -> Result<Lowered, CodegenError> {
    check::check(kernel)?;
    let schedule = Schedule::new(kernel);
    check::check_scratch(kernel, &schedule)?;
    Ok(lower::lower(kernel, &schedule, host))
}

fn optimised<'s>(
    kernel: &Kernel,
    host: &Host,
    session: &'s LlvmSession,
    lowered: &Lowered,
    trace: &mut Trace<'_>,
) -> Result<(Module<'s>, TargetMachine), CodegenError> {
    let module = lower_to_llvm(session, &kernel.name, &lowered.text, trace)?;
    let start = Instant::now();
    let machine = host.optimise(&kernel.name, &module)?;
    trace.text(Stage::Ll, "default<O3>", start.elapsed(), || module.print_to_string().to_string());
    Ok((module, machine))
}
