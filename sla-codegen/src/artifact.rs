//! What compilation yields.

use crate::target::cpu::HostFunction;
use crate::target::nvptx::DeviceLog;

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
    /// Threads of one block of threads.
    pub threads: u32,
    /// Dynamic shared memory per block of threads, in bytes.
    pub shared_bytes: u32,
    /// Tensor maps, passed by value (128 bytes each, `__grid_constant__`) after the flat arguments, in order.
    pub maps: Vec<TensorMap>,
    /// Whether the address of a counter follows the maps: four bytes of global memory that are 0 before the first launch, are 0 again after every
    /// launch, and that no two launches use at a time.
    pub queue: bool,
    /// How many blocks of threads a launch starts.
    pub grid: GridKind,
    /// With `Options::checks`: the log whose address the kernel takes after the flat arguments.
    pub log: Option<DeviceLog>,
}

/// How many blocks of threads a launch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GridKind {
    /// One per program.
    Programs,
    /// At most so many per multiprocessor, and never more than programs; each walks the programs by the grid's size.
    Persistent {
        /// Blocks of threads on one multiprocessor; at least 1.
        per_sm: u32,
    },
}

/// What a TMA descriptor of a tensor parameter looks like: its boxes lie in shared memory with the 128-byte swizzle (single rows of f32 as in memory), and what a box
/// has outside the tensor reads as zeros and is not written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorMap {
    /// The parameter.
    pub param: usize,
    /// The box's extents, one per axis of the tensor, outermost first; the last is at most 128 bytes, of a row of f32 256 elements.
    pub extents: Vec<u32>,
}
