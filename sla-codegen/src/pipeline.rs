//! The way from a kernel to an artifact, as data: the list of passes and the stages of each target.

use crate::passes;
use crate::target::{cpu, nvptx};
use crate::trace::Trace;
use crate::{Artifact, CodegenError, Options, Stage, Target, Tools};
use sla_dsl::ir::{Kernel, verify};

/// A target-independent pass.
type Pass = (&'static str, fn(&mut Kernel));

/// Target-independent passes, in order.
pub const PASSES: &[Pass] = &[
    ("canonicalise", passes::canonicalise),
    ("cse", passes::cse),
    ("licm", passes::licm),
    // What left a loop may equal what was there already.
    ("cse", passes::cse),
    ("dce", passes::dce),
];

/// Runs the target-independent passes.
///
/// # Errors
/// An invalid kernel, before or (our mistake, checked in debug builds) after a pass.
pub fn optimise(kernel: &Kernel) -> Result<Kernel, CodegenError> {
    optimise_seen(kernel, &mut Trace::off())
}

/// As [`optimise`], and tells of each pass.
pub(crate) fn optimise_seen(kernel: &Kernel, trace: &mut Trace<'_>) -> Result<Kernel, CodegenError> {
    verify(kernel)?;
    let mut kernel = kernel.clone();
    for (name, pass) in PASSES {
        trace.pass(name, &mut kernel, pass);
        if cfg!(debug_assertions) {
            verify(&kernel).map_err(|mut found| {
                found.0.iter_mut().for_each(|d| d.message = format!("after `{name}`: {}", d.message));
                found
            })?;
        }
    }
    Ok(kernel)
}

/// Compiles a kernel.
///
/// # Errors
/// An invalid kernel, or one that the target cannot run.
pub fn compile(kernel: &Kernel, options: &Options) -> Result<Artifact, CodegenError> {
    let kernel = optimise(kernel)?;
    match options.target {
        Target::Cpu => cpu::compile(&kernel, options).map(Artifact::Host),
        Target::Cuda(arch) => nvptx::compile(&kernel, arch, options).map(Artifact::Gpu),
    }
}

/// The text of a kernel at a stage; for `Cubin` the bytes.
///
/// # Errors
/// As [`compile`]; also a stage that the target does not have, or a missing tool.
pub fn emit(
    kernel: &Kernel,
    options: &Options,
    tools: &Tools,
    stage: Stage,
) -> Result<Vec<u8>, CodegenError> {
    if stage == Stage::Tile {
        return Ok(kernel.to_string().into_bytes());
    }
    let kernel = optimise(kernel)?;
    match options.target {
        Target::Cpu => cpu::emit(&kernel, options, stage),
        Target::Cuda(arch) => nvptx::emit(&kernel, arch, options, tools, stage),
    }
}

/// As [`emit`], from a text that somebody has changed by hand: a kernel's tile IR, or what a GPU target made of one, MLIR or PTX, of the stage `from`.
/// `name` is that of its kernel.
///
/// # Errors
/// As [`emit`]; also a stage that nothing starts from, or one that is before it.
pub fn emit_from(
    name: &str,
    text: &str,
    from: Stage,
    options: &Options,
    tools: &Tools,
    stage: Stage,
) -> Result<Vec<u8>, CodegenError> {
    let none = || CodegenError::NoStage {
        target: format!("a text of stage `{from}` for {}", options.target),
        stage,
    };
    match (from, options.target) {
        (Stage::Tile, _) => emit(&sla_dsl::ir::parse(text)?, options, tools, stage),
        (Stage::Mlir | Stage::Ptx, Target::Cuda(arch)) if stage >= from => {
            nvptx::emit_from(name, text, from, arch, tools, stage)
        }
        _ => Err(none()),
    }
}
