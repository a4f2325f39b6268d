//! A kernel loaded on a GPU: from code and an image's facts to something that can be launched.

use super::code::{Code, assembler};
use super::maps::{self, Description, MapRefusal, RecentMaps};
use super::{CudaContext, CudaError, CudaMemory, CudaStream};
use crate::device::Resources;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUfunction_attribute, CUjit_option, CUtensorMap};
use sla_codegen::ptxas::Report;
use sla_codegen::{DeviceLog, GpuImage, GridKind, TensorMap};
use sla_dsl::launch::Arg;
use smallvec::SmallVec;
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// Shared memory that needs no permission.
const FREE_SHARED_BYTES: u32 = 48 * 1024;

/// Bytes of the counter of a kernel that draws its programs.
const COUNTER_BYTES: usize = 4;

/// A loaded kernel.
pub(super) struct CudaKernel {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
    function: sys::CUfunction,
    threads: u32,
    shared_bytes: u32,
    grid: GridKind,
    maps: Vec<TensorMap>,
    /// Whether programs are drawn from a counter.
    draws: bool,
    recent: RecentMaps,
    report: Option<Report>,
    fingerprint: u64,
    assembler: Option<String>,
    log: Option<DeviceLog>,
    name: &'static str,
    params: Vec<String>,
}

/// What launches of one form in one stream share.
pub(super) struct Layout {
    /// Blocks of threads.
    blocks: u32,
    /// The tensor maps in order: of which argument, and what they say but for its address.
    maps: Vec<(usize, Description)>,
    /// The counter that programs are drawn from, which is zero between launches: they are in one order.
    counter: Option<CudaMemory>,
}

type Maps = SmallVec<[CUtensorMap; 8]>;

// SAFETY: the driver's handles may be used from any thread with the context current.
unsafe impl Send for CudaKernel {}
// SAFETY: as above; launching does not change the kernel.
unsafe impl Sync for CudaKernel {}

impl CudaKernel {
    /// Loads an image and checks that one block of its threads fits the GPU. `params` are the names of the kernel's parameters.
    pub fn load(
        context: &Arc<CudaContext>,
        name: &'static str,
        params: Vec<String>,
        image: &GpuImage,
        code: Code,
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
        let signed = assembler(&code.bytes);
        let (module, report) = load_code(name, code, &image.ptx)?;
        let mut kernel = CudaKernel {
            context: context.clone(),
            module,
            function: std::ptr::null_mut(),
            threads: image.threads,
            shared_bytes: image.shared_bytes,
            grid: image.grid,
            maps: image.maps.clone(),
            draws: image.queue,
            recent: RecentMaps::default(),
            assembler: signed.filter(|_| report.is_some()),
            report,
            fingerprint: image.fingerprint(),
            log: image.log.clone(),
            name,
            params,
        };
        if let Some(map) = kernel.maps.first()
            && !maps::available()
        {
            return Err(kernel.refusal(map, MapRefusal::Driver));
        }
        let missing = |message: String| CudaError::Image { kernel: name.to_string(), message };
        let entry = CString::new(image.entry.as_str()).map_err(|e| missing(e.to_string()))?;
        // SAFETY: the module was just loaded.
        kernel.function = unsafe { result::module::get_function(kernel.module, entry) }
            .map_err(|e| missing(format!("no entry `{}`: {e}", image.entry)))?;
        kernel.fit().map_err(loading)?.map_or(Ok(kernel), Err)
    }

    /// The same with the fingerprint of the code that it was assembled from, which need not be there.
    pub fn known_as(mut self, fingerprint: u64) -> CudaKernel {
        self.fingerprint = fingerprint;
        self
    }

    /// Asks for the shared memory, and tells whether the threads do not fit.
    fn fit(&self) -> Result<Option<CudaError>, DriverError> {
        use CUfunction_attribute::*;
        let available = self.ask(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?;
        if self.threads > available {
            let registers = self.ask(CU_FUNC_ATTRIBUTE_NUM_REGS)?;
            let kernel = self.name.to_string();
            return Ok(Some(CudaError::Threads { kernel, needed: self.threads, registers, available }));
        }
        if self.shared_bytes > FREE_SHARED_BYTES {
            let attribute = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: a function of a loaded module.
            unsafe {
                result::function::set_function_attribute(self.function, attribute, self.shared_bytes as i32)?;
            }
        }
        Ok(None)
    }

    fn ask(&self, attribute: CUfunction_attribute) -> Result<u32, DriverError> {
        // SAFETY: a function of a loaded module.
        let value = unsafe { result::function::get_function_attribute(self.function, attribute) };
        value.map(|v| v.max(0) as u32)
    }

    /// What it takes of the GPU.
    pub fn resources(&self) -> Result<Resources, CudaError> {
        use CUfunction_attribute::*;
        let read = || {
            self.context.enter()?;
            let (threads, shared) = (self.threads as i32, self.shared_bytes as usize);
            let mut blocks = 0;
            // SAFETY: a function of a loaded module; writes one number.
            unsafe {
                sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(
                    &raw mut blocks,
                    self.function,
                    threads,
                    shared,
                )
                .result()?;
            }
            Ok(Resources {
                threads: self.threads,
                shared_bytes: self.shared_bytes,
                registers: self.ask(CU_FUNC_ATTRIBUTE_NUM_REGS)?,
                local_bytes: self.ask(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
                blocks_per_sm: blocks.max(0) as u32,
                persistent: matches!(self.grid, GridKind::Persistent { .. }),
                maps: self.maps.len(),
                report: self.report.clone(),
                fingerprint: self.fingerprint,
                assembler: self.assembler.clone(),
            })
        };
        read().map_err(|e| CudaError::driver(format!("{}: asking for its resources", self.name), e))
    }

    fn refusal(&self, map: &TensorMap, reason: MapRefusal) -> CudaError {
        let param = self.params.get(map.param).cloned().unwrap_or_default();
        CudaError::Map { kernel: self.name.to_string(), param, reason }
    }

    /// What launches of one form share; `memory` is the stream that their counter is made in.
    pub fn layout(
        &self,
        memory: &Arc<CudaStream>,
        programs: u32,
        args: &[Arg<'_>],
    ) -> Result<Layout, CudaError> {
        if programs == 0 {
            // Nothing is launched, and tensors need not be what the hardware can copy.
            return Ok(Layout { blocks: 0, maps: Vec::new(), counter: None });
        }
        let describe = |map: &TensorMap| {
            // A map of something else is no map of a tensor of any rank.
            let Some(Arg::Tensor(tensor)) = args.get(map.param) else {
                return Err(self.refusal(map, MapRefusal::Rank { found: 0 }));
            };
            let description = maps::describe(map, tensor).map_err(|reason| self.refusal(map, reason))?;
            Ok((map.param, description))
        };
        let maps = self.maps.iter().map(describe).collect::<Result<_, _>>()?;
        let counter = match self.draws {
            true => Some(CudaMemory::zeroed(memory, COUNTER_BYTES)?),
            false => None,
        };
        Ok(Layout { blocks: blocks(self.grid, programs, self.context.multiprocessors()), maps, counter })
    }

    /// The tensor maps of a launch, in order; the layout is that of its form.
    fn maps(&self, layout: &Layout, args: &[Arg<'_>]) -> Result<Maps, CudaError> {
        let encode = |(param, description): &(usize, Description)| {
            let address = match args.get(*param) {
                Some(Arg::Tensor(tensor)) => tensor.address() as u64,
                _ => description.address,
            };
            let what = || format!("{}: encoding a tensor map", self.name);
            self.recent
                .get(&Description { address, ..*description })
                .map_err(|e| CudaError::driver(what(), e))
        };
        layout.maps.iter().map(encode).collect()
    }

    /// The log of a kernel that checks: its address follows the flat arguments.
    pub fn log(&self) -> Option<&DeviceLog> {
        self.log.as_ref()
    }

    /// Enqueues a launch of a form on a stream of the context. `args` are those that `slots` were made from.
    ///
    /// # Safety
    /// `slots` and `args` must be right for the kernel and of the form of the layout, and memory they point to must stay valid in stream order.
    /// All launches with one layout must be in one order, as those of one stream are.
    pub unsafe fn launch(
        &self,
        stream: &CudaStream,
        layout: &Layout,
        slots: &mut [u64],
        args: &[Arg<'_>],
    ) -> Result<(), CudaError> {
        let failed = |e| CudaError::driver(format!("{}: launching", self.name), e);
        self.context.enter().map_err(failed)?;
        let mut maps = self.maps(layout, args)?;
        let mut counter = layout.counter.as_ref().map(|memory| memory.address() as u64);
        // The driver reads as many bytes at each address as the parameter has; numbers are little-endian, so a slot's low bytes.
        let slots = slots.iter_mut().map(|s| (s as *mut u64).cast());
        let maps = maps.iter_mut().map(|m| (m as *mut CUtensorMap).cast());
        let counter = counter.as_mut().map(|address| (address as *mut u64).cast());
        let mut params: SmallVec<[*mut c_void; 96]> = slots.chain(maps).chain(counter).collect();
        let (grid, block) = ((layout.blocks, 1, 1), (self.threads, 1, 1));
        // SAFETY: by this function's contract; the driver copies the parameters before it returns.
        unsafe {
            result::launch_kernel(self.function, grid, block, self.shared_bytes, stream.handle(), &mut params)
        }
        .map_err(failed)
    }
}

/// Blocks of threads for a number of programs on a GPU with so many multiprocessors.
pub(super) fn blocks(grid: GridKind, programs: u32, multiprocessors: u32) -> u32 {
    match grid {
        GridKind::Programs => programs,
        GridKind::Persistent { per_sm } => programs.min(per_sm.saturating_mul(multiprocessors).max(1)),
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

/// Loads what ptxas made, or the PTX where it made nothing or the driver does not take it; with the report on what was loaded.
fn load_code(kernel: &str, code: Code, ptx: &str) -> Result<(sys::CUmodule, Option<Report>), CudaError> {
    match load_module(kernel, &code.bytes) {
        Ok(module) => Ok((module, code.report)),
        // A ptxas newer than the driver makes what the driver cannot load.
        Err(_) if code.report.is_some() && !ptx.is_empty() => {
            Ok((load_module(kernel, ptx.as_bytes())?, None))
        }
        Err(CudaError::Image { kernel, message }) => {
            let also = code.refused.map_or(String::new(), |why| format!("; ptxas neither: {why}"));
            Err(CudaError::Image { kernel, message: message + &also })
        }
        Err(e) => Err(e),
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
