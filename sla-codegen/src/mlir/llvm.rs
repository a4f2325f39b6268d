//! An LLVM context whose errors are collected. Without a handler LLVM prints an error and ends the process.

use crate::CodegenError;
use inkwell::context::{AsContextRef, Context};
use inkwell::llvm_sys::LLVMDiagnosticSeverity;
use inkwell::llvm_sys::core::{
    LLVMContextSetDiagnosticHandler, LLVMDisposeMessage, LLVMGetDiagInfoDescription, LLVMGetDiagInfoSeverity,
};
use inkwell::llvm_sys::prelude::LLVMDiagnosticInfoRef;
use std::cell::RefCell;
use std::ffi::{CStr, c_void};

/// One compilation's LLVM context and the errors that LLVM reported in it. Modules borrow it; it stays on one thread.
pub struct LlvmSession {
    context: Context,
    errors: Box<RefCell<Vec<String>>>,
}

impl LlvmSession {
    /// A new context; the first in a process brings LLVM and MLIR into it.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub fn new() -> Result<LlvmSession, CodegenError> {
        super::load()?;
        let session = LlvmSession { context: Context::create(), errors: Box::default() };
        let sink: *const RefCell<Vec<String>> = &*session.errors;
        // SAFETY: the handler gets `sink` back only while this context lives, and the box that it points to lives in the same
        // struct, declared after the context and so dropped after it.
        unsafe {
            LLVMContextSetDiagnosticHandler(
                (&session.context).as_ctx_ref(),
                Some(collect),
                sink as *mut c_void,
            );
        }
        Ok(session)
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What LLVM reported as errors so far, joined; empty if nothing. A back end calls this after emitting code.
    pub fn take_errors(&self) -> String {
        self.errors.take().join("; ")
    }
}

extern "C" fn collect(info: LLVMDiagnosticInfoRef, sink: *mut c_void) {
    // SAFETY: LLVM passes a live diagnostic, and `sink` is the cell that `LlvmSession::new` gave it. The text is a C string
    // that we own and free.
    unsafe {
        if !matches!(LLVMGetDiagInfoSeverity(info), LLVMDiagnosticSeverity::LLVMDSError) {
            return;
        }
        let text = LLVMGetDiagInfoDescription(info);
        let sink = &*(sink as *const RefCell<Vec<String>>);
        sink.borrow_mut().push(CStr::from_ptr(text).to_string_lossy().into_owned());
        LLVMDisposeMessage(text);
    }
}
