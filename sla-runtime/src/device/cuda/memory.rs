//! Device memory that frees itself in the order of enqueued work.

use super::context::STREAM;
use super::{CudaContext, CudaError};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUdeviceptr, CUresult};
use sla_dsl::launch::Space;
use std::sync::Arc;

/// A block of memory of one GPU.
pub(crate) struct CudaMemory {
    context: Arc<CudaContext>,
    start: CUdeviceptr,
    bytes: usize,
}

impl CudaMemory {
    pub fn zeroed(context: &Arc<CudaContext>, bytes: usize) -> Result<CudaMemory, CudaError> {
        let memory = CudaMemory::allocate(context, bytes)?;
        memory.clear()?;
        Ok(memory)
    }

    /// Memory with whatever was in it before.
    pub fn empty(context: &Arc<CudaContext>, bytes: usize) -> Result<CudaMemory, CudaError> {
        CudaMemory::allocate(context, bytes)
    }

    pub fn copy_of(context: &Arc<CudaContext>, data: &[u8]) -> Result<CudaMemory, CudaError> {
        let memory = CudaMemory::allocate(context, data.len())?;
        // SAFETY: the allocation has the size of `data`. The copy has ended when the call returns, so `data` may go.
        unsafe { result::memcpy_htod_sync(memory.start, data) }
            .map_err(|e| CudaError::driver("copying to the GPU", e))?;
        Ok(memory)
    }

    /// Enqueues overwriting all of it with zeros.
    pub fn clear(&self) -> Result<(), CudaError> {
        let clear = || {
            self.context.enter()?;
            // SAFETY: fills exactly this allocation, in stream order.
            unsafe { result::memset_d8_async(self.start, 0, self.bytes, STREAM) }
        };
        clear().map_err(|e| CudaError::driver("filling memory", e))
    }

    /// Memory with arbitrary contents; makes the context current.
    fn allocate(context: &Arc<CudaContext>, bytes: usize) -> Result<CudaMemory, CudaError> {
        // The driver refuses to allocate nothing.
        let size = bytes.max(1);
        let allocate = || {
            context.enter()?;
            // SAFETY: in the context's own stream; contents are written before anything reads them.
            unsafe {
                if context.pooled() { result::malloc_async(STREAM, size) } else { result::malloc_sync(size) }
            }
        };
        match allocate() {
            Ok(start) => {
                context.meter().add(bytes);
                Ok(CudaMemory { context: context.clone(), start, bytes })
            }
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = result::mem_get_info().unwrap_or_default();
                Err(CudaError::OutOfMemory { bytes, ordinal: context.ordinal(), free, total })
            }
            Err(e) => Err(CudaError::driver(format!("allocating {bytes} bytes"), e)),
        }
    }

    pub fn space(&self) -> Space {
        self.context.space()
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn address(&self) -> usize {
        self.start as usize
    }

    /// Copies `to.len()` bytes from `offset` on to the host, after everything enqueued before.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), CudaError> {
        if to.is_empty() {
            return Ok(());
        }
        assert!(offset.checked_add(to.len()).is_some_and(|end| end <= self.bytes), "a read past the end");
        self.context.synchronize()?;
        // SAFETY: the range was checked; the call returns when the copy has ended.
        unsafe { result::memcpy_dtoh_sync(to, self.start + offset as u64) }
            .map_err(|e| CudaError::driver("copying from the GPU", e))
    }
}

impl Drop for CudaMemory {
    fn drop(&mut self) {
        self.context.meter().take(self.bytes);
        if self.context.enter().is_ok() {
            // SAFETY: allocated in `allocate` by the same choice, freed once; kernels enqueued before may still use it, and run first:
            // the free is in stream order, or waits for the device.
            let _ = unsafe {
                if self.context.pooled() {
                    result::free_async(self.start, STREAM)
                } else {
                    result::free_sync(self.start)
                }
            };
        }
    }
}
