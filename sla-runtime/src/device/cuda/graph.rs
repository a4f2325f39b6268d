//! CUDA graphs: launches that a stream records instead of running them, to be enqueued later as a whole.

use super::context::{STREAM, Stream};
use super::{CudaContext, CudaDevice, CudaError, Prepared};
use crate::cache::Plans;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Recorded launches, ready to be enqueued.
pub(crate) struct CudaGraph {
    context: Arc<CudaContext>,
    /// Keeps the counters that its launches draw from.
    _plans: Arc<Plans<Prepared>>,
    /// Locked while it is enqueued: the driver takes an executable graph from one thread at a time.
    exec: Mutex<Exec>,
}

/// An executable graph.
struct Exec(sys::CUgraphExec);

// SAFETY: the driver's handle may be used from any thread with the context current, by one at a time.
unsafe impl Send for Exec {}

/// Whether a recording is over, after which nothing may go to its stream; read-locked by launches while they are enqueued.
pub(super) type Over = Arc<RwLock<bool>>;

/// A stream that records, ended and destroyed when dropped.
struct Recorder {
    context: Arc<CudaContext>,
    stream: Stream,
    recording: bool,
    over: Over,
}

impl Recorder {
    fn start(context: &Arc<CudaContext>) -> Result<Recorder, CudaError> {
        let failed = |e| CudaError::driver("starting to record", e);
        context.enter().map_err(failed)?;
        // It does not wait for the default stream, so that tensors may be made and dropped there meanwhile.
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        let (context, over) = (context.clone(), Over::default());
        let mut recorder = Recorder { context, stream: Stream(stream), recording: false, over };
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream was just made. Relaxed, because kernels may be loaded while it records.
        unsafe { result::stream::begin_capture(stream, mode) }.map_err(failed)?;
        recorder.recording = true;
        Ok(recorder)
    }

    /// Waits for launches that are being enqueued, and lets no more come.
    fn stop(&self) {
        *self.over.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn end(mut self, plans: Arc<Plans<Prepared>>) -> Result<CudaGraph, CudaError> {
        self.stop();
        let failed = |e| CudaError::driver("recording", e);
        self.context.enter().map_err(failed)?;
        self.recording = false;
        // SAFETY: this stream records since `start`, and the graph it gives is destroyed once, when it has been made executable.
        unsafe {
            let graph = result::stream::end_capture(self.stream.0).map_err(failed)?;
            let exec = result::graph::instantiate(graph, CUgraphInstantiate_flags(0)).map_err(failed);
            let destroyed = result::graph::destroy(graph).map_err(failed);
            let (context, exec) = (self.context.clone(), Mutex::new(Exec(exec?)));
            let graph = CudaGraph { context, _plans: plans, exec };
            destroyed.map(|()| graph)
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
        if self.context.enter().is_err() {
            return;
        }
        // SAFETY: made in `start`; what it recorded, if it still does, is of no use to anybody. A failure leaves nothing to do.
        unsafe {
            if self.recording
                && let Ok(graph) = result::stream::end_capture(self.stream.0)
                && !graph.is_null()
            {
                let _ = result::graph::destroy(graph);
            }
            let _ = result::stream::destroy(self.stream.0);
        }
    }
}

impl CudaDevice {
    /// Records what `work` launches on the handle that it is given.
    pub fn record<E: From<CudaError>>(
        &self,
        work: impl FnOnce(CudaDevice) -> Result<(), E>,
    ) -> Result<CudaGraph, E> {
        let recorder = Recorder::start(&self.context)?;
        let on = self.on(recorder.stream, recorder.over.clone());
        let plans = on.plans.clone();
        work(on)?;
        Ok(recorder.end(plans)?)
    }
}

impl CudaGraph {
    /// Enqueues the launches on the default stream.
    ///
    /// # Safety
    /// The memory and the kernels that they were recorded with must still be there.
    pub unsafe fn launch(&self) -> Result<(), CudaError> {
        let launch = || {
            self.context.enter()?;
            let exec = self.exec.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: by this function's contract; no other thread enqueues it meanwhile.
            unsafe { result::graph::launch(exec.0, STREAM) }
        };
        launch().map_err(|e| CudaError::driver("launching a graph", e))
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            let exec = self.exec.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: made in `end`, destroyed once; the driver lets a launch that runs come to its end.
            let _ = unsafe { result::graph::exec_destroy(exec.0) };
        }
    }
}
