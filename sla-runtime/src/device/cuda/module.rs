//! A kernel loaded on a GPU: from PTX or a cubin to something that can be launched.

use super::context::STREAM;
use super::{CudaContext, CudaError};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUfunction_attribute, CUjit_option};
use sla_codegen::GpuImage;
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// Shared memory that needs no permission.
const FREE_SHARED_BYTES: u32 = 48 * 1024;

/// A loaded kernel.
pub(super) struct CudaKernel {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
    function: sys::CUfunction,
    threads: u32,
    shared_bytes: u32,
    name: &'static str,
}

// SAFETY: the driver's handles may be used from any thread with the context current.
unsafe impl Send for CudaKernel {}
// SAFETY: as above; launching does not change the kernel.
unsafe impl Sync for CudaKernel {}

impl CudaKernel {
    /// Loads an image and checks that one program of it fits the GPU.
    pub fn load(
        context: &Arc<CudaContext>,
        name: &'static str,
        image: &GpuImage,
    ) -> Result<CudaKernel, CudaError> {
        let available = context.shared_bytes();
        if image.shared_bytes as usize > available {
            return Err(CudaError::Shared {
                kernel: name.to_string(),
                needed: image.shared_bytes as usize,
                available,
                ordinal: context.ordinal(),
            });
        }
        let loading = |e| CudaError::driver(format!("{name}: loading"), e);
        context.enter().map_err(loading)?;
        let mut kernel = CudaKernel {
            context: context.clone(),
            module: load_module(name, image.ptx.as_bytes())?,
            function: std::ptr::null_mut(),
            threads: image.threads,
            shared_bytes: image.shared_bytes,
            name,
        };
        let missing = |message: String| CudaError::Image { kernel: name.to_string(), message };
        let entry = CString::new(image.entry.as_str()).map_err(|e| missing(e.to_string()))?;
        // SAFETY: the module was just loaded.
        kernel.function = unsafe { result::module::get_function(kernel.module, entry) }
            .map_err(|e| missing(format!("no entry `{}`: {e}", image.entry)))?;
        kernel.fit().map_err(loading)?.map_or(Ok(kernel), Err)
    }

    /// Asks for the shared memory, and tells whether the threads do not fit.
    fn fit(&self) -> Result<Option<CudaError>, DriverError> {
        use CUfunction_attribute::*;
        // SAFETY: a function of a loaded module.
        let ask = |attribute| unsafe { result::function::get_function_attribute(self.function, attribute) };
        let available = ask(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?.max(0) as u32;
        if self.threads > available {
            let registers = ask(CU_FUNC_ATTRIBUTE_NUM_REGS)?.max(0) as u32;
            let kernel = self.name.to_string();
            return Ok(Some(CudaError::Threads { kernel, needed: self.threads, registers, available }));
        }
        if self.shared_bytes > FREE_SHARED_BYTES {
            let attribute = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: as above.
            unsafe {
                result::function::set_function_attribute(self.function, attribute, self.shared_bytes as i32)?;
            }
        }
        Ok(None)
    }

    /// Enqueues `programs` programs, which must not be 0.
    ///
    /// # Safety
    /// `slots` must be right for the kernel, and memory they point to must stay valid in stream order.
    pub unsafe fn launch(&self, programs: u32, slots: &mut [u64]) -> Result<(), CudaError> {
        let failed = |e| CudaError::driver(format!("{}: launching", self.name), e);
        self.context.enter().map_err(failed)?;
        // The driver reads as many bytes at each address as the parameter has; numbers are little-endian, so a slot's low bytes.
        let mut params: Vec<*mut c_void> = slots.iter_mut().map(|s| (s as *mut u64).cast()).collect();
        let (grid, block) = ((programs, 1, 1), (self.threads, 1, 1));
        // SAFETY: by this function's contract; the driver copies the parameters before it returns.
        unsafe { result::launch_kernel(self.function, grid, block, self.shared_bytes, STREAM, &mut params) }
            .map_err(failed)
    }
}

impl Drop for CudaKernel {
    fn drop(&mut self) {
        // Launches may still be running its code. After a failed one there is nothing left to unload.
        if self.context.synchronize().is_ok() {
            // SAFETY: loaded in `load`, unloaded once, not running.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

/// Loads PTX text or a cubin into the current context; the driver's own words are kept when it refuses.
fn load_module(kernel: &str, code: &[u8]) -> Result<sys::CUmodule, CudaError> {
    // The driver takes the text to end at a zero byte.
    let mut image = code.to_vec();
    image.push(0);
    let mut log = vec![0u8; 8192];
    let mut options =
        [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = std::ptr::null_mut();
    // SAFETY: a terminated image and a log buffer of the size given; both outlive the call.
    let outcome = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut module,
            image.as_ptr().cast(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    match outcome.result() {
        Ok(()) => Ok(module),
        Err(e) => {
            let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
            let said = String::from_utf8_lossy(&log[..end]);
            Err(CudaError::Image { kernel: kernel.to_string(), message: format!("{e}: {}", said.trim()) })
        }
    }
}
