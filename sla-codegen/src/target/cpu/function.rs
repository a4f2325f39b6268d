//! A compiled host function: its entry point, the scratch memory it needs, and the code that must outlive both.
//!
//! It says how a kernel is called, not how it is made or on which threads it runs.

use super::hooks;
use sla_dsl::diag::Diagnostic;
use std::any::Any;
use std::fmt;
use std::ops::Range;

/// Runs programs `first..last` of the linear grid.
///
/// `args` holds one slot of 8 bytes per entry of [`sla_dsl::ir::Kernel::abi`]: addresses as they are, `i32`, `i8` and dims sign-extended,
/// floats as the bits of their type in the low part, truth values as 0 or 1, strides as `i64`. `scratch` is 64-byte aligned memory of
/// [`HostFunction::scratch_bytes`] that no other running call uses; its contents are arbitrary.
pub type Entry = unsafe extern "C" fn(args: *const u64, first: u64, last: u64, scratch: *mut u8);

/// A kernel compiled for this process.
pub struct HostFunction {
    entry: Entry,
    scratch_bytes: usize,
    /// Whatever keeps the machine code mapped.
    _code: Box<dyn Any + Send + Sync>,
}

impl HostFunction {
    /// Wraps machine code.
    ///
    /// # Safety
    /// `entry` does what [`Entry`] says, may be called from several threads at once, and stays valid while `code` lives.
    pub unsafe fn new(entry: Entry, scratch_bytes: usize, code: Box<dyn Any + Send + Sync>) -> HostFunction {
        HostFunction { entry, scratch_bytes, _code: code }
    }

    /// The entry point; valid while `self` lives. [`HostFunction::run`] also reports failures.
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// Bytes of scratch memory per running call.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch_bytes
    }

    /// Runs programs of the linear grid on this thread. After the first failed assertion or access outside a tensor no further program
    /// is started.
    ///
    /// # Errors
    /// The first assertion that did not hold, access of elements outside a tensor (none of which is touched), or integer division by zero
    /// (which yields 0), with its place.
    ///
    /// # Safety
    /// `args` and `scratch` are what [`Entry`] asks for, and the tensors have the sizes that the dims say.
    pub unsafe fn run(&self, args: &[u64], programs: Range<u64>, scratch: *mut u8) -> Result<(), Diagnostic> {
        hooks::take_failure();
        // SAFETY: the caller's promise; the code is mapped while `self` lives.
        unsafe { (self.entry)(args.as_ptr(), programs.start, programs.end, scratch) };
        hooks::take_failure().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostFunction").field("scratch_bytes", &self.scratch_bytes).finish_non_exhaustive()
    }
}
