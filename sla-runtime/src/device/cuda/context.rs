//! A GPU's primary context: opened once per handle, made current by every call that needs it.

use super::ledger::Ledger;
use super::{CudaError, CudaStream};
use crate::device::meter::Meter;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute, CUevent_flags};
use sla_dsl::launch::Space;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The first driver that has every function called here, as drivers count their versions.
const OLDEST_DRIVER: i32 = 12_080;

/// A GPU's primary context.
pub(crate) struct CudaContext {
    ordinal: usize,
    device: sys::CUdevice,
    handle: sys::CUcontext,
    name: String,
    capability: (u32, u32),
    shared_bytes: usize,
    multiprocessors: u32,
    cache_bytes: usize,
    pooled: bool,
    meter: Meter,
    shared: Arc<Shared>,
}

/// What the handles of one GPU know together, for they may use each other's memory.
struct Shared {
    /// Streams that were made, default ones among them.
    streams: AtomicU64,
    /// Whether there is more than the default stream, so that uses of memory are watched.
    watches: AtomicBool,
    ledger: Ledger<Arc<CudaStream>>,
}

/// By ordinal, while a handle of the GPU or memory of it is there.
static SHARED: Mutex<BTreeMap<usize, Weak<Shared>>> = Mutex::new(BTreeMap::new());

impl Shared {
    fn of(ordinal: usize) -> Arc<Shared> {
        // Every state of the map is a good one, so a poisoned lock is as good as any.
        let mut all = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&ordinal).and_then(Weak::upgrade).unwrap_or_else(|| {
            let (streams, watches) = (AtomicU64::new(0), AtomicBool::new(false));
            let made = Arc::new(Shared { streams, watches, ledger: Ledger::new() });
            all.insert(ordinal, Arc::downgrade(&made));
            made
        })
    }
}

// SAFETY: the driver's handles may be used from any thread, once the context is current there; `enter` makes it so.
unsafe impl Send for CudaContext {}
// SAFETY: as above; the driver locks what it shares.
unsafe impl Sync for CudaContext {}

impl CudaContext {
    pub fn open(ordinal: usize) -> Result<CudaContext, CudaError> {
        start_driver()?;
        let count = result::device::get_count().map_err(|e| CudaError::driver("counting GPUs", e))?;
        let count = usize::try_from(count).unwrap_or(0);
        if ordinal >= count {
            return Err(CudaError::NoDevice { ordinal, count });
        }
        let what = |e| CudaError::driver(format!("opening cuda:{ordinal}"), e);
        let device = result::device::get(ordinal as i32).map_err(what)?;
        let name = result::device::get_name(device).map_err(what)?;
        use CUdevice_attribute::*;
        let ask = |attribute| {
            // SAFETY: `device` is one that the driver returned.
            let value = unsafe { result::device::get_attribute(device, attribute) };
            value.map(|v| v.max(0) as u32).map_err(what)
        };
        let major = ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let shared = ask(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let multiprocessors = ask(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let cache = ask(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?;
        let pooled = ask(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? != 0;
        // SAFETY: as above; released when this is dropped.
        let handle = unsafe { result::primary_ctx::retain(device) }.map_err(what)?;
        let context = CudaContext {
            ordinal,
            device,
            handle,
            name,
            capability: (major, minor),
            shared_bytes: shared as usize,
            multiprocessors,
            cache_bytes: cache as usize,
            pooled,
            meter: Meter::default(),
            shared: Shared::of(ordinal),
        };
        if pooled {
            context.keep_freed_memory().map_err(what)?;
        }
        Ok(context)
    }

    /// What was allocated in it.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A number that no other stream has.
    pub(super) fn number_of_stream(&self) -> u64 {
        self.shared.streams.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether uses of memory are watched.
    pub(super) fn watches(&self) -> bool {
        self.shared.watches.load(Ordering::SeqCst)
    }

    /// Watches uses of memory from now on.
    pub(super) fn watch(&self) {
        self.shared.watches.store(true, Ordering::SeqCst);
    }

    /// Who uses which memory.
    pub(super) fn ledger(&self) -> &Ledger<Arc<CudaStream>> {
        &self.shared.ledger
    }

    /// Lets the driver keep freed memory for the next allocation instead of returning it at each synchronisation.
    fn keep_freed_memory(&self) -> Result<(), DriverError> {
        self.enter()?;
        let mut everything = u64::MAX;
        // SAFETY: the device has pools, and the attribute is a 64-bit number.
        unsafe {
            let pool = result::device::get_mem_pool(self.device)?;
            sys::cuMemPoolSetAttribute(
                pool,
                sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                (&raw mut everything).cast(),
            )
            .result()
        }
    }

    /// Makes the context current on this thread.
    pub(super) fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained while `self` lives.
        unsafe { result::ctx::set_current(self.handle) }
    }

    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    pub fn space(&self) -> Space {
        Space::Cuda(self.ordinal)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Most shared memory that one block of threads can have.
    pub fn shared_bytes(&self) -> usize {
        self.shared_bytes
    }

    /// Multiprocessors of the GPU.
    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// Size of the cache that all multiprocessors share (L2).
    pub fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// The GPU's place on the PCI bus, as `nvidia-smi -i` takes it.
    pub fn bus_id(&self) -> Result<String, CudaError> {
        let mut text = [0u8; 32];
        // SAFETY: writes a terminated string of at most so many bytes.
        unsafe {
            sys::cuDeviceGetPCIBusId(text.as_mut_ptr().cast(), text.len() as i32, self.device).result()
        }
        .map_err(|e| CudaError::driver("asking for the GPU's place", e))?;
        Ok(String::from_utf8_lossy(text.split(|&b| b == 0).next().unwrap_or_default()).into_owned())
    }

    /// Whether memory is allocated and freed in stream order.
    pub(super) fn pooled(&self) -> bool {
        self.pooled
    }

    /// Waits for everything enqueued in any stream.
    pub(super) fn synchronize(&self) -> Result<(), CudaError> {
        let wait = || {
            self.enter()?;
            result::ctx::synchronize()
        };
        wait().map_err(|e| CudaError::driver(format!("running on cuda:{}", self.ordinal), e))
    }
}

impl Drop for CudaContext {
    fn drop(&mut self) {
        // SAFETY: retained in `open`. A failure leaves nothing to do.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A recorded event.
pub(crate) struct Event {
    stream: Arc<CudaStream>,
    handle: sys::CUevent,
}

impl Event {
    /// A point in the order of a stream, from now.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Event, CudaError> {
        let make = || {
            stream.context().enter()?;
            let handle = result::event::create(CUevent_flags::CU_EVENT_DEFAULT)?;
            let event = Event { stream: stream.clone(), handle };
            // SAFETY: the event was just made, in the stream's context.
            unsafe { result::event::record(event.handle, stream.handle())? };
            Ok(event)
        };
        make().map_err(|e| CudaError::driver("recording an event", e))
    }

    /// Lets what is enqueued in a stream of the same GPU from now on wait for it.
    pub fn hold(&self, stream: &CudaStream) -> Result<(), CudaError> {
        let wait = || {
            self.context().enter()?;
            // SAFETY: both are of one context, the event's.
            unsafe { stream.wait_for_event(self.handle) }
        };
        wait().map_err(|e| CudaError::driver("waiting for an event", e))
    }

    pub fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// Waits for everything enqueued in its stream and returns the GPU's time since this event.
    pub fn elapsed(&self) -> Result<Duration, CudaError> {
        self.until(&Event::new(&self.stream)?)
    }

    /// Waits for `end`, an event of the same GPU, and returns the GPU's time from this one to it.
    pub fn until(&self, end: &Event) -> Result<Duration, CudaError> {
        let measure = || {
            self.context().enter()?;
            // SAFETY: both events were recorded and are alive.
            let ms = unsafe {
                result::event::synchronize(end.handle)?;
                result::event::elapsed(self.handle, end.handle)?
            };
            Ok(Duration::from_secs_f64(ms.max(0.0) as f64 / 1e3))
        };
        measure().map_err(|e| CudaError::driver("measuring time", e))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context().enter().is_ok() {
            // SAFETY: made in `new`, destroyed once.
            let _ = unsafe { result::event::destroy(self.handle) };
        }
    }
}

/// Opens libcuda and starts it; every call after the first is cheap.
fn start_driver() -> Result<(), CudaError> {
    // SAFETY: loads a library and looks nothing up. Any other call panics where there is none.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    if let Err(e) = result::init() {
        return Err(match CudaError::driver("", e) {
            CudaError::Driver { name, message, .. } => CudaError::NoStart(format!("{name}: {message}")),
            other => other,
        });
    }
    let version = driver_version().map_err(|e| CudaError::driver("asking for the driver's version", e))?;
    if version < OLDEST_DRIVER {
        let shown = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
        return Err(CudaError::OldDriver { found: shown(version), needed: shown(OLDEST_DRIVER) });
    }
    Ok(())
}

/// The driver's version, as drivers count: 13000 for CUDA 13.0.
fn driver_version() -> Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version).result() }?;
    Ok(version)
}

/// The release of CUDA that an opened driver is of, and with it its compiler.
pub(super) fn driver_release() -> Option<(u32, u32)> {
    let version = u32::try_from(driver_version().ok()?).ok()?;
    Some((version / 1000, version % 1000 / 10))
}
