//! What compilation yields.

use crate::target::cpu::HostFunction;

/// A compiled kernel. Its arguments are those of [`sla_dsl::ir::Kernel::abi`].
pub enum Artifact {
    /// Code in this process.
    Host(HostFunction),
    /// An image for a GPU.
    Gpu(GpuImage),
}

/// PTX with what a launch needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuImage {
    /// The entry's name.
    pub entry: String,
    /// The PTX text.
    pub ptx: String,
    /// Threads per program (one block of threads each).
    pub threads: u32,
    /// Dynamic shared memory per program, in bytes.
    pub shared_bytes: u32,
}
