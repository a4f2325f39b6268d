//! CUDA graphs: launches that a stream records instead of running them, to be enqueued later as a whole.

use super::{CudaContext, CudaDevice, CudaError, CudaStream, Prepared};
use crate::cache::Plan;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Recorded launches, ready to be enqueued.
pub(crate) struct CudaGraph {
    /// Where they are enqueued.
    stream: Arc<CudaStream>,
    /// The tensors that they use, by address, and whether they write them.
    touched: Vec<(u64, bool)>,
    /// Keeps the counters that its launches draw from.
    _plans: Vec<Arc<Plan<Prepared>>>,
    /// Locked while it is enqueued: the driver takes an executable graph from one thread at a time.
    exec: Mutex<Exec>,
}

/// An executable graph.
struct Exec(sys::CUgraphExec);

// SAFETY: the driver's handle may be used from any thread with the context current, by one at a time.
unsafe impl Send for Exec {}

/// What a recording and the handle that it gives out share.
#[derive(Default)]
pub(super) struct Recording {
    /// Whether it is over, after which nothing may go to its stream; read-locked by launches while they are enqueued.
    over: RwLock<bool>,
    touched: Mutex<BTreeMap<u64, bool>>,
    plans: Mutex<Vec<Arc<Plan<Prepared>>>>,
}

impl Recording {
    /// Runs `enqueue`, which enqueues a planned launch that uses these tensors, unless the recording is over.
    pub fn within<R>(
        &self,
        plan: &Arc<Plan<Prepared>>,
        touched: impl Iterator<Item = (u64, bool)>,
        enqueue: impl FnOnce() -> R,
    ) -> Option<R> {
        let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
        if *over {
            return None;
        }
        let mut all = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.for_each(|(address, written)| *all.entry(address).or_default() |= written);
        drop(all);
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan.clone());
        Some(enqueue())
    }
}

/// A stream that records, ended when dropped.
struct Recorder {
    stream: Arc<CudaStream>,
    recording: bool,
    shared: Arc<Recording>,
}

impl Recorder {
    fn start(context: &Arc<CudaContext>) -> Result<Recorder, CudaError> {
        // It waits for no other stream, so that tensors may be made and dropped in those meanwhile.
        let stream = Arc::new(CudaStream::apart(context)?);
        let mut recorder = Recorder { stream, recording: false, shared: Arc::default() };
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream was just made. Relaxed, because kernels may be loaded while it records.
        unsafe { result::stream::begin_capture(recorder.stream.handle(), mode) }
            .map_err(|e| CudaError::driver("starting to record", e))?;
        recorder.recording = true;
        Ok(recorder)
    }

    /// Waits for launches that are being enqueued, and lets no more come.
    fn stop(&self) {
        *self.shared.over.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// What was recorded, to be enqueued in a stream.
    fn end(mut self, on: Arc<CudaStream>) -> Result<CudaGraph, CudaError> {
        self.stop();
        let failed = |e| CudaError::driver("recording", e);
        self.stream.context().enter().map_err(failed)?;
        self.recording = false;
        let touched = self.shared.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let touched = touched.iter().map(|(address, written)| (*address, *written)).collect();
        let plans = self.shared.plans.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        // SAFETY: this stream records since `start`, and the graph it gives is destroyed once, when it has been made executable.
        unsafe {
            let graph = result::stream::end_capture(self.stream.handle()).map_err(failed)?;
            let exec = result::graph::instantiate(graph, CUgraphInstantiate_flags(0)).map_err(failed);
            let destroyed = result::graph::destroy(graph).map_err(failed);
            let graph = CudaGraph { stream: on, touched, _plans: plans, exec: Mutex::new(Exec(exec?)) };
            destroyed.map(|()| graph)
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
        if !self.recording || self.stream.context().enter().is_err() {
            return;
        }
        // SAFETY: it still records, and what it recorded is of no use to anybody. A failure leaves nothing to do.
        unsafe {
            if let Ok(graph) = result::stream::end_capture(self.stream.handle())
                && !graph.is_null()
            {
                let _ = result::graph::destroy(graph);
            }
        }
    }
}

impl CudaDevice {
    /// Records what `work` launches on the handle that it is given.
    pub fn record<E: From<CudaError>>(
        &self,
        work: impl FnOnce(CudaDevice) -> Result<(), E>,
    ) -> Result<CudaGraph, E> {
        let recorder = Recorder::start(self.context())?;
        work(self.recording(recorder.stream.clone(), recorder.shared.clone()))?;
        Ok(recorder.end(self.stream.clone())?)
    }
}

impl CudaGraph {
    /// Enqueues the launches in the stream of the handle that recorded them.
    ///
    /// # Safety
    /// The memory and the kernels that they were recorded with must still be there.
    pub unsafe fn launch(&self) -> Result<(), CudaError> {
        let launch = || {
            self.stream.context().enter()?;
            let exec = self.exec.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: by this function's contract; no other thread enqueues it meanwhile.
            unsafe { result::graph::launch(exec.0, self.stream.handle()) }
        };
        self.stream.before(self.touched.iter().copied())?;
        launch().map_err(|e| CudaError::driver("launching a graph", e))?;
        self.stream.after(self.touched.iter().copied());
        Ok(())
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        if self.stream.context().enter().is_ok() {
            let exec = self.exec.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: made in `end`, destroyed once; the driver lets a launch that runs come to its end.
            let _ = unsafe { result::graph::exec_destroy(exec.0) };
        }
    }
}
