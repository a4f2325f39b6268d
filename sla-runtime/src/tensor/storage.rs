//! The memory behind tensors: of this process or of a GPU.

use super::TensorError;
use crate::RuntimeError;
use crate::device::{CudaMemory, Device};
use crate::memory::HostMemory;
use sla_dsl::launch::Space;
use std::ops::Range;

/// A block of memory in one place.
pub(crate) enum Storage {
    Host(HostMemory),
    Cuda(CudaMemory),
}

impl Storage {
    /// Zeroed memory of a device.
    pub fn zeroed(device: &Device, bytes: usize) -> Result<Storage, RuntimeError> {
        match device.cuda_memory() {
            Some(gpu) => Ok(Storage::Cuda(CudaMemory::zeroed(gpu, bytes)?)),
            None => Ok(Storage::Host(HostMemory::zeroed(bytes).ok_or_else(|| host_full(bytes))?)),
        }
    }

    /// Memory of a device that will be written before it is read: zeroed on the host, where that costs nothing, and as it is on a GPU.
    pub fn empty(device: &Device, bytes: usize) -> Result<Storage, RuntimeError> {
        match device.cuda_memory() {
            Some(gpu) => Ok(Storage::Cuda(CudaMemory::empty(gpu, bytes)?)),
            None => Storage::zeroed(device, bytes),
        }
    }

    /// Memory of a device that holds `data`.
    pub fn copy_of(device: &Device, data: &[u8]) -> Result<Storage, RuntimeError> {
        match device.cuda_memory() {
            Some(gpu) => Ok(Storage::Cuda(CudaMemory::copy_of(gpu, data)?)),
            None => Ok(Storage::Host(HostMemory::copy_of(data).ok_or_else(|| host_full(data.len()))?)),
        }
    }

    pub fn space(&self) -> Space {
        match self {
            Storage::Host(_) => Space::Host,
            Storage::Cuda(m) => m.space(),
        }
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        match self {
            Storage::Host(m) => m.len(),
            Storage::Cuda(m) => m.bytes(),
        }
    }

    pub fn address(&self) -> usize {
        match self {
            Storage::Host(m) => m.address(),
            Storage::Cuda(m) => m.address(),
        }
    }

    /// Calls `f` with a range of the bytes, copied to the host where needed, after everything enqueued before has run.
    pub fn read<R>(&self, range: Range<usize>, f: impl FnOnce(&[u8]) -> R) -> Result<R, RuntimeError> {
        match self {
            Storage::Host(m) => Ok(f(&m.as_slice()[range])),
            Storage::Cuda(m) => {
                let mut copy = HostMemory::zeroed(range.len()).ok_or_else(|| host_full(range.len()))?;
                m.read(range.start, copy.as_mut_slice())?;
                Ok(f(copy.as_slice()))
            }
        }
    }
}

fn host_full(bytes: usize) -> TensorError {
    TensorError::OutOfMemory { bytes, place: Space::Host.to_string() }
}
