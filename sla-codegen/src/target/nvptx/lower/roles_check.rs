//! What the lowering of scheduled kernels takes for granted, asked before any code is made: sizes of stages and products, places of roles.

use crate::target::nvptx::check::unsupported;
use crate::{Arch, CodegenError};
use sla_dsl::ir::{BlockId, Elem, Kernel, Op, OpCode, OpId, Type, Value};

/// The largest extent of a box of TMA.
const BOX: usize = 256;

/// Checks a verified kernel.
///
/// # Errors
/// What the lowering does not do, with the op's place.
pub(super) fn check(kernel: &Kernel) -> Result<(), CodegenError> {
    let fail = |id: OpId, message: String| {
        Err(unsupported(
            kernel,
            Arch::Sm90a,
            kernel.op(id).loc,
            format!("`{}`: {message}", kernel.op(id).code.name()),
        ))
    };
    let mut taken = [0u32; 32];
    let mut registers: [Option<i64>; 8] = [None; 8];
    for &id in &kernel.block(kernel.body).ops {
        let op = kernel.op(id);
        match op.code {
            OpCode::Ring => {
                if let Err(m) = ring(kernel.ty(op.results[0])) {
                    return fail(id, m);
                }
            }
            OpCode::Role => {
                if let Err(m) = role(op, &mut taken, &mut registers) {
                    return fail(id, m);
                }
                let warps = op.int("warps").unwrap_or(1) as usize;
                let mut found = Ok(());
                inside(kernel, op.regions[0], &mut |id| {
                    if let (Ok(()), Err(m)) = (&found, of_role(kernel, kernel.op(id), warps)) {
                        found = fail(id, m);
                    }
                });
                found?;
            }
            code if kernel.op(id).results.iter().any(|&v| kernel.ty(v).is_tile()) => {
                return fail(id, format!("a tile outside of every role, by `{}`", code.name()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn inside(kernel: &Kernel, block: BlockId, f: &mut dyn FnMut(OpId)) {
    for &id in &kernel.block(block).ops {
        f(id);
        for &region in &kernel.op(id).regions {
            inside(kernel, region, f);
        }
    }
}

fn need(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

fn ring(ty: &Type) -> Result<(), String> {
    let Type::Ring(elem, [_, rows, cols]) = ty else { return Ok(()) };
    if (*elem, *rows, *cols) == (Elem::I32, 1, 1) {
        return Ok(()); // A ring of numbers.
    }
    if *elem == Elem::F32 && *rows > 1 {
        return need(*rows == 64 && cols.is_multiple_of(64) && *cols <= 4 * BOX, || {
            format!("a stage of a {ty}; needed are 64 rows and columns in multiples of 64, to add from")
        });
    }
    if *elem == Elem::F32 {
        return need(cols.is_multiple_of(32) && *cols <= BOX, || {
            format!("a stage of a {ty}; needed is one row of up to {BOX} columns in multiples of 32")
        });
    }
    need(elem.is_half() && rows.is_multiple_of(8) && cols.is_multiple_of(64), || {
        format!("a stage of a {ty}; needed are halves, rows in multiples of 8 and columns in multiples of 64")
    })
}

fn role(op: &Op, taken: &mut [u32; 32], registers: &mut [Option<i64>; 8]) -> Result<(), String> {
    let (first, warps) = (op.int("first").unwrap_or(0) as usize, op.int("warps").unwrap_or(1) as usize);
    let all = warps * op.int("groups").unwrap_or(1) as usize;
    need(first + all <= 32, || format!("warps {first} to {} of 32", first + all))?;
    need(warps == 1 || warps <= 16 && warps.is_multiple_of(4) && first.is_multiple_of(4), || {
        format!("{warps} warps from {first} on; needed is one, or up to four whole warpgroups")
    })?;
    for warp in first..first + all {
        taken[warp] += 1;
        need(taken[warp] == 1, || format!("warp {warp} has two roles"))?;
        let wanted = op.int("registers").unwrap_or(0);
        let given = *registers[warp / 4].get_or_insert(wanted);
        need(given == wanted && wanted % 8 == 0, || {
            format!(
                "{wanted} registers; needed are multiples of 8, the same for a whole warpgroup (here {given})"
            )
        })?;
    }
    Ok(())
}

fn of_role(kernel: &Kernel, op: &Op, warps: usize) -> Result<(), String> {
    let lone = warps == 1;
    for &v in &op.results {
        let ty = kernel.ty(v);
        need(!(lone && (ty.is_tile() || matches!(ty, Type::Pending(..)))), || {
            format!("a {ty} in a role of one warp")
        })?;
        if let (Some(&[rows, _]), false) = (ty.shape(), warps.is_power_of_two()) {
            need(rows <= 16 * warps, || format!("a {ty} has more than {} rows", 16 * warps))?;
        }
    }
    match op.code {
        OpCode::ProgramId | OpCode::Ring | OpCode::Role => Err("not inside a role".to_string()),
        OpCode::Draw => need(lone, || format!("by {warps} warps; needed is one")),
        OpCode::Fill => {
            tensor(kernel, op)?;
            let row = op.int("row").unwrap_or(0);
            let boxes = op.ints("box");
            let extents = boxes.split_last().map_or(&[][..], |(_, before)| before);
            need(row % 8 == 0 && extents.iter().all(|&e| e as usize <= BOX), || {
                format!(
                    "a box of {boxes:?} from row {row} on; needed are extents up to {BOX} and rows in eights"
                )
            })
        }
        OpCode::Send => {
            tensor(kernel, op)?;
            let ty = kernel.ty(op.operands[1]);
            need(!lone && ty.shape().is_some_and(|s| s[0] == 16 * warps), || {
                format!("a {ty} by {warps} warps; needed are 16 rows a warp of whole warpgroups")
            })
        }
        OpCode::SendAdd => {
            tensor(kernel, op)?;
            let (ty, parts) = (kernel.ty(op.operands[1]), op.int("parts").unwrap_or(1) as usize);
            need(!lone && parts == warps / 4 && ty.shape() == Some(&[16 * warps, 64]), || {
                format!(
                    "a {ty} of {parts} parts by {warps} warps; needed is a part of 64 rows and columns for each warpgroup"
                )
            })
        }
        OpCode::Share => {
            let ty = kernel.ty(op.operands[0]);
            need(!lone && ty.shape().is_some_and(|s| s[0] == 16 * warps), || {
                format!("a {ty} by {warps} warps; needed are 16 rows a warp of whole warpgroups")
            })
        }
        OpCode::Mma => mma(kernel, op, warps),
        _ => Ok(()),
    }
}

fn tensor(kernel: &Kernel, op: &Op) -> Result<(), String> {
    let Some(param) = kernel.param_of(op.operands[0]).map(|p| &kernel.params[p]) else { return Ok(()) };
    need(param.memory.packed && param.memory.aligned && (1..=5).contains(&op.offsets().len()), || {
        format!(
            "`{}` must be contiguous along its last axis, aligned to 16 bytes, and of rank 1 to 5",
            param.name
        )
    })
}

fn mma(kernel: &Kernel, op: &Op, warps: usize) -> Result<(), String> {
    let Type::Pending(_, [m, n]) = *kernel.ty(op.results[0]) else { return Ok(()) };
    let extent = |v: Value| match kernel.ty(v) {
        Type::View(_, s) => [s[0], s[1]],
        other => other.shape().map_or([0, 0], |s| [s[0], s[s.len() - 1]]),
    };
    let depth = extent(op.operands[1])[usize::from(op.flag("tb"))];
    need(
        warps.is_multiple_of(4)
            && m == 16 * warps
            && n.is_multiple_of(8)
            && n <= 256
            && depth.is_multiple_of(16),
        || {
            format!(
                "[{m}, {depth}] by [{depth}, {n}] on {warps} warps; needed are 16 rows a warp of whole warpgroups, up to 256 columns in eights, and \
             a contracted axis in sixteens"
            )
        },
    )?;
    let parts = op.int("parts").unwrap_or(1) as usize;
    let views = [0, 1].iter().all(|&i| matches!(kernel.ty(op.operands[i]), Type::View(..)));
    need(parts == 1 || parts == warps / 4 && views && !op.flag("tb") && n.is_multiple_of(64), || {
        format!(
            "{parts} parts of {n} columns on {warps} warps; needed are one for each warpgroup, of columns in multiples of 64, both operands in shared \
             memory and the second one as it lies"
        )
    })?;
    let turned = op.flag("ta") && !matches!(kernel.ty(op.operands[0]), Type::View(..));
    need(!turned, || "a transposed first operand must be in shared memory".to_string())
}
