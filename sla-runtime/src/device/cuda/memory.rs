//! Device memory that frees itself in the order of enqueued work.

use super::stream::CudaStream;
use super::{CudaContext, CudaError};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUdeviceptr, CUresult};
use sla_dsl::launch::Space;
use std::sync::Arc;

/// A block of memory of one GPU.
pub(crate) struct CudaMemory {
    /// The stream that it was allocated in and is freed in, behind those that used it.
    stream: Arc<CudaStream>,
    start: CUdeviceptr,
    bytes: usize,
}

impl CudaMemory {
    pub fn zeroed(stream: &Arc<CudaStream>, bytes: usize) -> Result<CudaMemory, CudaError> {
        let memory = CudaMemory::empty(stream, bytes)?;
        memory.clear()?;
        Ok(memory)
    }

    pub fn copy_of(stream: &Arc<CudaStream>, data: &[u8]) -> Result<CudaMemory, CudaError> {
        let memory = CudaMemory::empty(stream, data.len())?;
        // SAFETY: the allocation has the size of `data`, which is read until the stream has been waited for.
        unsafe { result::memcpy_htod_async(memory.start, data, stream.handle()) }
            .map_err(|e| CudaError::driver("copying to the GPU", e))?;
        stream.synchronize()?;
        Ok(memory)
    }

    /// Enqueues overwriting all of it with zeros.
    pub fn clear(&self) -> Result<(), CudaError> {
        let touched = || std::iter::once((self.start, true));
        self.stream.before(touched())?;
        let clear = || {
            self.context().enter()?;
            // SAFETY: fills exactly this allocation, in stream order.
            unsafe { result::memset_d8_async(self.start, 0, self.bytes, self.stream.handle()) }
        };
        clear().map_err(|e| CudaError::driver("filling memory", e))?;
        self.stream.after(touched());
        Ok(())
    }

    /// Memory with whatever was in it before; makes the context current.
    pub fn empty(stream: &Arc<CudaStream>, bytes: usize) -> Result<CudaMemory, CudaError> {
        let context = stream.context();
        // The driver refuses to allocate nothing.
        let size = bytes.max(1);
        let allocate = || {
            context.enter()?;
            // SAFETY: in a stream of the context; contents are written before anything reads them.
            unsafe {
                if context.pooled() {
                    result::malloc_async(stream.handle(), size)
                } else {
                    result::malloc_sync(size)
                }
            }
        };
        match allocate() {
            Ok(start) => {
                context.meter().add(bytes);
                // Others wait for the allocation as for a write.
                let writer = context.watches().then(|| (stream.clone(), stream.count()));
                context.ledger().add(start, size, writer);
                Ok(CudaMemory { stream: stream.clone(), start, bytes })
            }
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = result::mem_get_info().unwrap_or_default();
                Err(CudaError::OutOfMemory { bytes, ordinal: context.ordinal(), free, total })
            }
            Err(e) => Err(CudaError::driver(format!("allocating {bytes} bytes"), e)),
        }
    }

    fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    pub fn space(&self) -> Space {
        self.context().space()
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn address(&self) -> usize {
        self.start as usize
    }

    /// Copies `to.len()` bytes from `offset` on to the host, after everything enqueued before that writes them.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), CudaError> {
        if to.is_empty() {
            return Ok(());
        }
        assert!(offset.checked_add(to.len()).is_some_and(|end| end <= self.bytes), "a read past the end");
        self.stream.before(std::iter::once((self.start, false)))?;
        self.stream.synchronize()?;
        // SAFETY: the range was checked; the call returns when the copy has ended.
        unsafe { result::memcpy_dtoh_sync(to, self.start + offset as u64) }
            .map_err(|e| CudaError::driver("copying from the GPU", e))
    }
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        let context = self.context();
        context.meter().take(self.bytes);
        let users = context.ledger().remove(self.start);
        // Memory that cannot wait for its users is left to the end of the process.
        let behind = users.iter().all(|(user, upto)| self.stream.wait_for(user, *upto).is_ok());
        if behind && context.enter().is_ok() {
            // SAFETY: allocated in `empty` by the same choice, freed once; kernels enqueued before may still use it, and run first:
            // the free is in stream order behind all of them, or waits for the device.
            let _ = unsafe {
                if context.pooled() {
                    result::free_async(self.start, self.stream.handle())
                } else {
                    result::free_sync(self.start)
                }
            };
        }
    }
}
