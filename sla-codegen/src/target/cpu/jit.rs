//! Object code into this process, by LLVM's ORC LLJIT.
//!
//! The code sees the symbols of the process (memory and mathematics functions of the C library) and the hooks it is given by name.

use inkwell::llvm_sys::error::{LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage};
use inkwell::llvm_sys::orc2::lljit::*;
use inkwell::llvm_sys::orc2::*;
use inkwell::memory_buffer::MemoryBuffer;
use std::ffi::{CStr, CString};
use std::ptr;

/// Code in this process; unmapped when dropped.
pub struct Jit {
    raw: LLVMOrcLLJITRef,
}

// SAFETY: after `load` returns, the instance is touched again only by `drop`, which has exclusive access; the mapped code and data
// are immutable. ORC itself may be used from any thread.
unsafe impl Send for Jit {}
// SAFETY: as above; no method takes `&self` after construction.
unsafe impl Sync for Jit {}

impl Jit {
    /// Links `object` with `hooks` (name and address) and returns the address of `entry`.
    ///
    /// # Safety
    /// The hooks are what the code in `object` takes them for, and stay valid while the code may run.
    ///
    /// # Errors
    /// What LLVM says.
    pub unsafe fn load(
        object: &MemoryBuffer<'_>,
        hooks: &[(&str, usize)],
        entry: &str,
    ) -> Result<(Jit, usize), String> {
        let entry = CString::new(entry).map_err(|e| e.to_string())?;
        // SAFETY: each call gets live handles made just above it; what it takes ownership of is not used again. The object is
        // copied into a buffer that LLVM owns. A null builder stands for the default.
        unsafe {
            let mut raw = ptr::null_mut();
            check(LLVMOrcCreateLLJIT(&mut raw, ptr::null_mut()))?;
            let jit = Jit { raw };
            let main = LLVMOrcLLJITGetMainJITDylib(raw);

            let mut process = ptr::null_mut();
            let prefix = LLVMOrcLLJITGetGlobalPrefix(raw);
            check(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
                &mut process,
                prefix,
                None,
                ptr::null_mut(),
            ))?;
            LLVMOrcJITDylibAddGenerator(main, process);

            let mut pairs = Vec::with_capacity(hooks.len());
            for (name, address) in hooks {
                let name = CString::new(*name).map_err(|e| e.to_string())?;
                let flags = LLVMJITSymbolGenericFlags::LLVMJITSymbolGenericFlagsExported;
                pairs.push(LLVMOrcCSymbolMapPair {
                    Name: LLVMOrcLLJITMangleAndIntern(raw, name.as_ptr()),
                    Sym: LLVMJITEvaluatedSymbol {
                        Address: *address as u64,
                        Flags: LLVMJITSymbolFlags { GenericFlags: flags as u8, TargetFlags: 0 },
                    },
                });
            }
            check(LLVMOrcJITDylibDefine(main, LLVMOrcAbsoluteSymbols(pairs.as_mut_ptr(), pairs.len())))?;

            let copy = MemoryBuffer::create_from_memory_range_copy(object.as_slice(), "kernel");
            let buffer = copy.as_mut_ptr();
            std::mem::forget(copy);
            check(LLVMOrcLLJITAddObjectFile(raw, main, buffer))?;
            let mut address = 0;
            check(LLVMOrcLLJITLookup(raw, &mut address, entry.as_ptr()))?;
            Ok((jit, address as usize))
        }
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        // SAFETY: `raw` is the instance that `load` made; whoever holds code of it holds this owner.
        let error = unsafe { LLVMOrcDisposeLLJIT(self.raw) };
        // Nothing can be done about code that does not unmap; the message must still be freed.
        let _ = check(error);
    }
}

/// LLVM's error as a text.
fn check(error: LLVMErrorRef) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null error is owned by us; getting its message consumes it, and the message is freed once.
    unsafe {
        let text = LLVMGetErrorMessage(error);
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        LLVMDisposeErrorMessage(text);
        Err(owned)
    }
}
