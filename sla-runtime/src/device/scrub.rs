//! Overwriting a device's caches, so that a measured launch finds nothing of the last one there.

use super::cuda::CudaMemory;
use crate::RuntimeError;
use crate::memory::HostMemory;

/// Memory larger than the caches of its device. See [`crate::Device::scrubber`].
pub struct Scrubber(pub(super) Buffer);

pub(super) enum Buffer {
    Host(HostMemory),
    Cuda(CudaMemory),
}

impl Scrubber {
    /// Overwrites the memory, which drives everything else from the caches. On a GPU it is enqueued.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn scrub(&mut self) -> Result<(), RuntimeError> {
        match &mut self.0 {
            Buffer::Host(memory) => {
                memory.as_mut_slice().fill(0);
                std::hint::black_box(memory);
            }
            Buffer::Cuda(memory) => memory.clear()?,
        }
        Ok(())
    }
}
