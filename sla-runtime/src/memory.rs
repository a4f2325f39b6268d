//! Aligned memory of this process: tensors and scratch of the host.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Bytes on a 64-byte boundary, which is a cache line and the widest vector register.
pub(crate) struct HostMemory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns plain bytes; access through it follows Rust's borrowing, and kernels get its address only from a lent tensor.
unsafe impl Send for HostMemory {}
// SAFETY: as above; `&HostMemory` only reads.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    pub const ALIGN: usize = 64;

    /// Zeroed memory; `None` if the system has none.
    pub fn zeroed(bytes: usize) -> Option<HostMemory> {
        let layout = Self::layout(bytes)?;
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(HostMemory { start, bytes })
    }

    /// A copy of `data`; `None` if the system has no memory.
    pub fn copy_of(data: &[u8]) -> Option<HostMemory> {
        let mut memory = HostMemory::zeroed(data.len())?;
        memory.as_mut_slice().copy_from_slice(data);
        Some(memory)
    }

    /// Empty memory still has an address.
    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.max(1), Self::ALIGN).ok()
    }

    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    #[cfg(feature = "compile")]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `bytes` initialised bytes that live as long as `self`; whoever may write them holds `&mut` or a lent tensor.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bytes) {
            // SAFETY: allocated by `zeroed` with the same layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_and_bounded() {
        for bytes in [0, 1, 63, 4096] {
            let m = HostMemory::zeroed(bytes).unwrap();
            assert_eq!(m.address() % HostMemory::ALIGN, 0);
            assert_eq!(m.as_slice(), vec![0; bytes]);
        }
        assert_eq!(HostMemory::copy_of(&[1, 2, 3]).unwrap().as_slice(), [1, 2, 3]);
        assert!(HostMemory::zeroed(usize::MAX).is_none());
        assert!(HostMemory::zeroed(isize::MAX as usize - 100).is_none());
    }
}
