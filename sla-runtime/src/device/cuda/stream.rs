//! Streams of a GPU: orders of work beside each other, and what one has waited for of another.
//!
//! Everything that is enqueued counts, so that a stream knows how far it is behind another without asking the driver: it waits for an event only
//! where memory was used further on than it has waited before.

use super::{CudaContext, CudaError};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUevent_flags, CUevent_wait_flags};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A stream of a context.
pub(crate) struct CudaStream {
    context: Arc<CudaContext>,
    handle: sys::CUstream,
    /// Whether it ends with this.
    owned: bool,
    number: u64,
    enqueued: AtomicU64,
    /// Up to where it has waited for streams, by their numbers.
    waited: Mutex<FxHashMap<u64, u64>>,
}

// SAFETY: the driver's handles may be used from any thread, once the context is current there.
unsafe impl Send for CudaStream {}
// SAFETY: as above; the driver locks what it shares.
unsafe impl Sync for CudaStream {}

impl PartialEq for CudaStream {
    fn eq(&self, other: &CudaStream) -> bool {
        self.number == other.number
    }
}

impl CudaStream {
    /// The default stream. There is one for a context.
    pub(super) fn default_of(context: &Arc<CudaContext>) -> Arc<CudaStream> {
        Arc::new(CudaStream::of(context, std::ptr::null_mut(), false))
    }

    /// A new stream, behind all that the default stream was given.
    pub fn new(context: &Arc<CudaContext>) -> Result<Arc<CudaStream>, CudaError> {
        CudaStream::apart(context)?.begin()
    }

    /// A new stream that waits for nothing on its own.
    pub(super) fn apart(context: &Arc<CudaContext>) -> Result<CudaStream, CudaError> {
        let failed = |e| CudaError::driver("making a stream", e);
        context.enter().map_err(failed)?;
        let handle = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        Ok(CudaStream::of(context, handle, true))
    }

    /// Somebody's stream, behind all that the default stream was given.
    ///
    /// # Safety
    /// It must be a stream of the GPU's primary context, and stay one while this or a copy of it lives.
    pub unsafe fn from_raw(
        context: &Arc<CudaContext>,
        handle: sys::CUstream,
    ) -> Result<Arc<CudaStream>, CudaError> {
        CudaStream::of(context, handle, false).begin()
    }

    fn of(context: &Arc<CudaContext>, handle: sys::CUstream, owned: bool) -> CudaStream {
        let (context, number) = (context.clone(), context.number_of_stream());
        CudaStream { context, handle, owned, number, enqueued: AtomicU64::new(0), waited: Mutex::default() }
    }

    /// From now on uses of memory are watched. What was enqueued before was in the default stream, which this one waits for.
    fn begin(self) -> Result<Arc<CudaStream>, CudaError> {
        self.context.watch();
        let wait = || {
            self.context.enter()?;
            self.wait_for_handle(std::ptr::null_mut())
        };
        wait().map_err(|e| CudaError::driver("making a stream", e))?;
        Ok(Arc::new(self))
    }

    pub(super) fn handle(&self) -> sys::CUstream {
        self.handle
    }

    /// The driver's handle.
    pub fn as_raw(&self) -> *mut std::ffi::c_void {
        self.handle.cast()
    }

    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// One more thing is enqueued; the number of all.
    pub(super) fn count(&self) -> u64 {
        self.enqueued.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Lets what is enqueued here from now on wait for the first `upto` of another stream.
    pub(super) fn wait_for(&self, other: &CudaStream, upto: u64) -> Result<(), CudaError> {
        if self == other {
            return Ok(());
        }
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        let known = waited.entry(other.number).or_default();
        if *known >= upto {
            return Ok(());
        }
        // Read before the event is recorded: what comes between is waited for, and not counted on.
        let now = other.enqueued.load(Ordering::Relaxed);
        let wait = || {
            self.context.enter()?;
            self.wait_for_handle(other.handle)
        };
        wait().map_err(|e| CudaError::driver("waiting for another stream", e))?;
        *known = now;
        Ok(())
    }

    /// Waits for all that a stream was given; the context is current.
    fn wait_for_handle(&self, other: sys::CUstream) -> Result<(), DriverError> {
        let event = result::event::create(CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        // SAFETY: both streams are there, the event was just made; once waited for it may go, the driver keeps what it needs.
        unsafe {
            let waited = result::event::record(event, other).and_then(|()| self.wait_for_event(event));
            result::event::destroy(event).and(waited)
        }
    }

    /// Lets what is enqueued here from now on wait for an event.
    ///
    /// # Safety
    /// An event of the context, which is current.
    pub(super) unsafe fn wait_for_event(&self, event: sys::CUevent) -> Result<(), DriverError> {
        // SAFETY: by this function's contract.
        unsafe { result::stream::wait_event(self.handle, event, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
    }

    /// Waits, on the host, for everything enqueued here.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        let wait = || {
            self.context.enter()?;
            // SAFETY: the stream is there.
            unsafe { result::stream::synchronize(self.handle) }
        };
        wait().map_err(|e| CudaError::driver(format!("running on cuda:{}", self.context.ordinal()), e))
    }

    /// Before something that uses memory is enqueued: waits for what others do with it. `touched` are addresses, with whether they are written.
    pub(super) fn before(
        self: &Arc<Self>,
        touched: impl Iterator<Item = (u64, bool)>,
    ) -> Result<(), CudaError> {
        if self.context.watches() {
            for (address, written) in touched {
                for (other, upto) in self.context.ledger().before(address, written, self) {
                    self.wait_for(&other, upto)?;
                }
            }
        }
        Ok(())
    }

    /// After it was enqueued. That is asked again: a stream that was made meanwhile may not know of it.
    pub(super) fn after(self: &Arc<Self>, touched: impl Iterator<Item = (u64, bool)>) {
        if self.context.watches() {
            let upto = self.count();
            touched.for_each(|(address, written)| self.context.ledger().after(address, written, self, upto));
        }
    }
}

impl Drop for CudaStream {
    fn drop(&mut self) {
        if self.owned && self.context.enter().is_ok() {
            // SAFETY: made in `new`, destroyed once; the driver lets what is enqueued run to its end.
            let _ = unsafe { result::stream::destroy(self.handle) };
        }
    }
}
