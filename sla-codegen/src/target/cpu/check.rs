//! What this target can run. Everything the lowering relies on is asked here, so that nothing reaches MLIR or LLVM that they reject.

use super::schedule::Schedule;
use crate::CodegenError;
use sla_dsl::diag::{Diagnostic, Loc};
use sla_dsl::ir::{Kernel, Level, Type};

/// Scratch memory that one thread may need.
pub const MAX_SCRATCH: usize = 64 << 20;
/// Axes of a tensor.
const MAX_RANK: usize = 8;

/// Refuses kernels that cannot be lowered.
///
/// # Errors
/// [`CodegenError::Unsupported`] with the first such op's place.
pub fn check(kernel: &Kernel) -> Result<(), CodegenError> {
    let mut found: Option<(Loc, String)> = None;
    kernel.walk(&mut |k, _, id| {
        let op = k.op(id);
        if found.is_some() {
            return;
        }
        if op.code.level() != Level::Tile {
            found = Some((op.loc, format!("`{}` belongs to another target's schedule", op.code.name())));
        }
        for &v in op.operands.iter().chain(&op.results) {
            match k.ty(v) {
                Type::Tile(_, s) if s.is_empty() || s.len() > 2 || s.contains(&0) => {
                    found = Some((op.loc, format!("tiles have rank 1 or 2, this is a {}", k.ty(v))));
                }
                Type::Tensor(t) if t.dims.len() > MAX_RANK => {
                    found = Some((
                        op.loc,
                        format!("tensors have at most {MAX_RANK} axes, this has {}", t.dims.len()),
                    ));
                }
                Type::Invalid => {
                    found = Some((op.loc, "this value was rejected when the kernel was built".into()))
                }
                _ => {}
            }
        }
    });
    if found.is_none() && kernel.grid.len() > 3 {
        found = Some((Loc::UNKNOWN, format!("a grid has at most 3 axes, this has {}", kernel.grid.len())));
    }
    found.map_or(Ok(()), |(loc, message)| Err(unsupported(kernel, loc, message)))
}

/// Refuses schedules that need too much memory.
///
/// # Errors
/// [`CodegenError::Unsupported`].
pub fn check_scratch(kernel: &Kernel, schedule: &Schedule) -> Result<(), CodegenError> {
    if schedule.scratch <= MAX_SCRATCH {
        return Ok(());
    }
    let message = format!(
        "the tiles that are alive at the same time take {} bytes, the limit is {MAX_SCRATCH}; use smaller blocks",
        schedule.scratch
    );
    Err(unsupported(kernel, Loc::UNKNOWN, message))
}

fn unsupported(kernel: &Kernel, loc: Loc, message: String) -> CodegenError {
    let diagnostic = Diagnostic { kernel: kernel.name.clone(), loc, message };
    CodegenError::Unsupported { target: "cpu".into(), diagnostic }
}
