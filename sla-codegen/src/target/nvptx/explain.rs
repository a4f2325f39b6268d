//! How a kernel is mapped to threads, as facts for [`explain`](crate::explain).

use super::schedule::{Buffer, Fill, Schedule};
use super::{How, Ready};
use crate::explain::{AheadFacts, BufferFacts, Mapping, roles_and_rings};
use crate::trace::Trace;
use crate::{Arch, CodegenError, GpuImage, Options};
use sla_dsl::ir::Kernel;

/// The mapping and the image of a kernel that the passes have gone over.
///
/// # Errors
/// A kernel that this architecture cannot run.
pub(crate) fn explain(
    kernel: &Kernel,
    arch: Arch,
    options: &Options,
) -> Result<(Mapping, GpuImage), CodegenError> {
    let ready = Ready::new(kernel, arch, options, &mut Trace::off())?;
    let mapping = match &ready.how {
        How::Roles(scheduled) => {
            let (roles, rings) = roles_and_rings(&scheduled.kernel);
            Mapping::Roles { roles, rings }
        }
        How::Baseline(schedule) => alike(kernel, schedule),
    };
    let image = ready.image(kernel, arch)?;
    Ok((mapping, image))
}

fn alike(kernel: &Kernel, schedule: &Schedule) -> Mapping {
    let tensor = |b: &Buffer| {
        let param = kernel.param_of(kernel.op(b.load).operands[0]);
        param.map_or(String::new(), |p| kernel.params[p].name.clone())
    };
    let facts = |b: &Buffer| BufferFacts {
        tensor: tensor(b),
        copies: b.stages,
        shape: [b.rows, b.cols],
        elem: b.elem,
        by_copy: b.fill == Fill::Async,
    };
    Mapping::Baseline {
        warps: schedule.family.threads() / 32,
        buffers: schedule.buffers.iter().map(facts).collect(),
        ahead: schedule
            .rings
            .iter()
            .map(|r| AheadFacts {
                tensors: r.buffers.iter().map(|&i| tensor(&schedule.buffers[i])).collect(),
                iterations: r.stages - 1,
            })
            .collect(),
    }
}
