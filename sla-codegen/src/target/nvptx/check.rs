//! What the baseline does not support, found before any code is made, so that a user reads a sentence with a place and LLVM never aborts.

use super::layout::Family;
use super::product::fits_tensor_cores;
use crate::analysis::dot_size;
use crate::{Arch, CodegenError};
use sla_dsl::diag::{Diagnostic, Loc};
use sla_dsl::ir::{Elem, Kernel, Level, OpCode, OpId};

/// The most registers that one tile may take in each thread.
const MAX_REGISTERS: usize = 1024;

/// The most multiplications of each thread in a dot that tensor cores do not take.
const MAX_PLAIN_STEPS: usize = 4096;

/// Refuses a kernel, with the place of an op.
pub fn unsupported(kernel: &Kernel, arch: Arch, loc: Loc, message: String) -> CodegenError {
    CodegenError::Unsupported {
        target: arch.name().to_string(),
        diagnostic: Diagnostic { kernel: kernel.name.clone(), loc, message },
    }
}

/// Checks the number of warps that was asked for.
///
/// # Errors
/// A number that is not a power of two up to 32.
pub fn check_warps(kernel: &Kernel, arch: Arch, warps: Option<u32>) -> Result<(), CodegenError> {
    match warps {
        Some(w) if !w.is_power_of_two() || w > 32 => Err(unsupported(
            kernel,
            arch,
            Loc::UNKNOWN,
            format!("{w} warps; needed is a power of two up to 32"),
        )),
        _ => Ok(()),
    }
}

/// Checks every op.
///
/// # Errors
/// A large dot whose sizes are no multiples of the instructions', or a tile too large for registers.
pub fn check(kernel: &Kernel, arch: Arch, family: &Family) -> Result<(), CodegenError> {
    let defs = kernel.defs();
    let mut found: Result<(), CodegenError> = Ok(());
    kernel.walk(&mut |k, _, id| {
        if found.is_ok()
            && let Some(message) = refusal(k, &defs, id, family)
        {
            found = Err(unsupported(k, arch, k.op(id).loc, message));
        }
    });
    found
}

fn refusal(kernel: &Kernel, defs: &[Option<OpId>], id: OpId, family: &Family) -> Option<String> {
    let op = kernel.op(id);
    if op.code.level() == Level::Sched {
        return Some(format!("`{}` is an op of scheduled kernels", op.code.name()));
    }
    for &v in &op.results {
        let ty = kernel.ty(v);
        let shape = ty.shape().unwrap_or(&[]);
        // Counted without making the layout, which for a very large tile would be large itself.
        let held = ty.count().div_ceil(family.threads() as usize);
        if held > MAX_REGISTERS || (ty.is_tile() && family.canonical(shape).regs.len() > MAX_REGISTERS) {
            return Some(format!(
                "a {ty} takes more than {MAX_REGISTERS} registers in each of {} threads; use smaller blocks",
                family.threads()
            ));
        }
    }
    if op.code != OpCode::Dot || fits_tensor_cores(kernel, defs, id) {
        return None;
    }
    let [m, n, k] = dot_size(kernel, defs, id);
    let elem = kernel.ty(op.operands[0]).elem()?;
    let step = if elem == Elem::F32 { 8 } else { 16 };
    let held = family.canonical(&[m, n]).regs.len();
    (held * k > MAX_PLAIN_STEPS).then(|| {
        format!(
            "this dot is [{m}, {k}] by [{k}, {n}] of {elem}; beyond small sizes tensor cores do it, in multiples of 16, {step} and 8 on these three axes"
        )
    })
}
