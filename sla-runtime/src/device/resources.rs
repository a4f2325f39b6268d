//! What a compiled kernel takes of a GPU: figures for reports, no part of a launch.

use sla_codegen::ptxas::Report;

/// What a loaded kernel takes of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Threads of one block.
    pub threads: u32,
    /// Registers per thread at launch.
    pub registers: u32,
    /// Bytes of local memory per thread: spilled registers and arrays.
    pub local_bytes: u32,
    /// Dynamic shared memory of one block, in bytes.
    pub shared_bytes: u32,
    /// Blocks that fit one multiprocessor at a time.
    pub blocks_per_sm: u32,
    /// Whether blocks walk over programs, rather than each being one.
    pub persistent: bool,
    /// Tensor maps that it takes.
    pub maps: usize,
    /// What ptxas said; `None` where the driver assembled it.
    pub report: Option<Report>,
    /// [`GpuImage::fingerprint`](sla_codegen::GpuImage::fingerprint) of what the compiler made.
    pub fingerprint: u64,
    /// The version of ptxas, as it signed the code; `None` where the driver assembled it.
    pub assembler: Option<String>,
}
