//! What compilation yields.

use crate::DeviceLog;
#[cfg(feature = "llvm")]
use crate::target::cpu::HostFunction;

/// A compiled kernel. Its arguments are those of [`sla_dsl::ir::Kernel::abi`].
pub enum Artifact {
    /// Code in this process.
    #[cfg(feature = "llvm")]
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

impl GpuImage {
    /// A number that changes with the code and with what a launch does with it, and neither with places in the source nor with remarks. Two images
    /// of one number run alike, where one assembler makes machine code of them.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::default();
        let mut debug = false;
        for line in self.ptx.lines().map(str::trim) {
            debug |= line.starts_with(".section") && line.contains(".debug_");
            let silent = [".loc", ".file", "//"].iter().any(|start| line.starts_with(start));
            if !debug && !silent {
                hash.text(line);
            }
            debug &= line != "}";
        }
        let GpuImage { entry, threads, shared_bytes, maps, queue, grid, .. } = self;
        hash.text(&format!("{entry} {threads} {shared_bytes} {maps:?} {queue} {grid:?}"));
        hash.0
    }
}

/// FNV-1a: the same number on every machine and for every release of the standard library.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// A text, and its end.
    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn image(ptx: &str, threads: u32) -> GpuImage {
        let (entry, ptx, grid) = ("k".to_owned(), ptx.to_owned(), GridKind::Programs);
        GpuImage { entry, ptx, threads, shared_bytes: 0, maps: Vec::new(), queue: false, grid, log: None }
    }

    #[test]
    fn fingerprints_are_of_code_and_not_of_places() {
        let plain = image("ld.a;\nret;\n", 128).fingerprint();
        let placed =
            ".file 1 \"k.rs\"\n\t.loc 1 7 3\nld.a; \n// said\nret;\n.section .debug_abbrev\n{\n.b8 1\n}\n";
        assert_eq!(image(placed, 128).fingerprint(), plain);
        assert_ne!(image("ld.b;\nret;\n", 128).fingerprint(), plain);
        assert_ne!(image("ld.a;\nret;\n", 256).fingerprint(), plain);
        assert_ne!(image("ld.a;\nret;\n.section .debug_abbrev\n{\n}\nbra;\n", 128).fingerprint(), plain);
    }
}
