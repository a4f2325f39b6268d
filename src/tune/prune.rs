//! What need not be compiled: candidates that the kernel refuses, and those that a small model of the hardware rules out.

use sla_codegen::{Arch, Target};
use sla_dsl::ir::{Kernel, OpCode, Type};

use super::job::Job;
use super::space::{Candidate, Space};

/// Whether a candidate is worth to be compiled; if not, why.
///
/// # Errors
/// The reason, for people.
pub fn prune(job: &Job, space: &Space, candidate: &Candidate) -> Result<(), String> {
    let (consts, options) = job.consts(space, candidate).map_err(|e| e.to_string())?;
    let kernel = job.kernel(&consts).map_err(|e| e.to_string())?;
    let Some(Target::Cuda(arch)) = job.target else { return Ok(()) };
    let tiles = Tiles::of(&kernel);
    let multiple =
        if arch == Arch::Sm90a && options.schedule != sla_codegen::ScheduleKind::Baseline { 8 } else { 16 };
    if let Some([m, n, k]) = tiles.products.iter().find(|[m, n, k]| m % 16 + n % multiple + k % 16 > 0) {
        return Err(format!("a product of {m} by {n} by {k} is no multiple of a matrix instruction's sizes"));
    }
    let (copies, shared) =
        (options.stages.unwrap_or(1).max(1) * options.groups.unwrap_or(1), shared_limit(arch));
    let needed = tiles.stream_bytes * copies as usize;
    if needed > shared {
        return Err(format!(
            "{copies} stages of its tiles are {needed} bytes, and a block of threads may have {shared}"
        ));
    }
    Ok(())
}

/// Shared memory of a block of threads, in bytes.
fn shared_limit(arch: Arch) -> usize {
    match arch {
        Arch::Sm80 => 163 * 1024,
        Arch::Sm89 | Arch::Sm120a => 99 * 1024,
        Arch::Sm90a | Arch::Sm100a => 227 * 1024,
    }
}

/// The tiles of a kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tiles {
    /// Rows, columns and contracted length of each product.
    products: Vec<[usize; 3]>,
    /// Bytes of tiles that a step of a loop loads.
    stream_bytes: usize,
}

impl Tiles {
    fn of(kernel: &Kernel) -> Tiles {
        let mut tiles = Tiles::default();
        let mut inner = Vec::new();
        kernel.walk(&mut |k, block, id| {
            let op = k.op(id);
            match op.code {
                OpCode::For => inner.extend(&op.regions),
                OpCode::Dot => {
                    let shape = |v| k.ty(v).shape().unwrap_or(&[]).to_vec();
                    let (result, a) = (shape(op.results[0]), shape(op.operands[0]));
                    if let (&[m, n], &[x, y]) = (&result[..], &a[..]) {
                        tiles.products.push([m, n, if op.flag("ta") { x } else { y }]);
                    }
                }
                OpCode::Load if inner.contains(&block) => {
                    if let Type::Tile(elem, shape) = k.ty(op.results[0])
                        && shape.len() == 2
                    {
                        tiles.stream_bytes += elem.bytes() * shape.iter().product::<usize>();
                    }
                }
                _ => {}
            }
        });
        tiles
    }
}
