//! What a GPU kernel is made of, as data: who does what, through which memory, and what the assembler made of it.
//!
//! For people who ask why a kernel is as fast as it is. Nothing is decided here; a target tells how it mapped the kernel, `machine` asks the
//! tools.

mod machine;
mod roles;

pub use machine::{Instructions, Machine, Resident};
pub use roles::{RingFacts, RoleFacts, roles_and_rings};

use crate::target::nvptx;
use crate::{Arch, CodegenError, GpuImage, Options, Tools, optimise, ptxas};
use sla_dsl::ir::{Elem, Kernel};

/// How a kernel's programs are mapped to threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// All warps do the same.
    Baseline {
        /// Warps of a program.
        warps: u32,
        /// Tiles in shared memory.
        buffers: Vec<BufferFacts>,
        /// Loops whose loads run ahead.
        ahead: Vec<AheadFacts>,
    },
    /// Warps have roles.
    Roles {
        /// In order of their declaration.
        roles: Vec<RoleFacts>,
        /// In order of their declaration.
        rings: Vec<RingFacts>,
    },
}

/// A loaded tile that lives in shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferFacts {
    /// The parameter that it is loaded from.
    pub tensor: String,
    /// Copies.
    pub copies: u32,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Element type.
    pub elem: Elem,
    /// Whether `cp.async` fills it; else registers do.
    pub by_copy: bool,
}

/// A loop whose loads run ahead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AheadFacts {
    /// The parameters that are loaded.
    pub tensors: Vec<String>,
    /// Iterations ahead.
    pub iterations: u32,
}

/// A GPU kernel, explained.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// How programs are mapped to threads.
    pub mapping: Mapping,
    /// What a launch needs to know; its `ptx` is what the machine's part is about.
    pub image: GpuImage,
    /// What the assembler says; absent without one.
    pub machine: Option<Machine>,
}

/// Explains a kernel for a GPU. Without `ptxas` among the tools the machine's part is left out, without `nvdisasm` its instructions.
///
/// # Errors
/// As [`compile`](crate::compile), or a tool that fails.
pub fn explain(
    kernel: &Kernel,
    arch: Arch,
    options: &Options,
    tools: &Tools,
) -> Result<Explanation, CodegenError> {
    let kernel = optimise(kernel)?;
    let (mapping, image) = nvptx::explain(&kernel, arch, options)?;
    let machine = match tools.ptxas {
        Some(_) => {
            let assembled = ptxas::assemble(tools, &image.ptx, arch)?;
            let sass = match tools.nvdisasm {
                Some(_) => Some(ptxas::disassemble(tools, &assembled.cubin)?),
                None => None,
            };
            let version = assembled.version;
            Some(Machine::new(arch, &image, assembled.report, version, sass.as_deref()))
        }
        None => None,
    };
    Ok(Explanation { mapping, image, machine })
}
