//! Launches recorded once and enqueued again as a whole, which costs the host one call.

use super::cuda::CudaGraph;
use super::{Device, Kind};
use crate::RuntimeError;
use std::sync::Arc;

/// Recorded launches of a GPU. See [`Device::record`].
pub struct Graph {
    graph: CudaGraph,
    /// Keeps the kernels loaded.
    _device: Device,
}

impl Device {
    /// Records what `work` launches on the device that it is given, a handle of this GPU with the same kernels, instead of running it.
    /// Everything else that `work` does, like making tensors, is done at once and not again: so it should be work that has run before, in
    /// memory that it keeps, such as that of a workspace.
    ///
    /// # Errors
    /// A device that is no GPU, or whose kernels check what they touch (launches of those wait); whatever `work` returns; a driver that
    /// refuses.
    pub fn record<E: From<RuntimeError>>(
        &self,
        work: impl FnOnce(&Device) -> Result<(), E>,
    ) -> Result<Graph, E> {
        let refused = |why| RuntimeError::NoGraph { device: self.to_string(), why };
        let Kind::Cuda(device) = &self.0 else { return Err(refused("only GPUs have graphs").into()) };
        if device.records() {
            return Err(refused("it is the handle of a recording").into());
        }
        if device.checks() {
            return Err(refused("its kernels check what they touch, which is waited for").into());
        }
        let graph = device.record(|on| work(&Device(Kind::Cuda(Arc::new(on)))).map_err(Failed::Work));
        match graph {
            Ok(graph) => Ok(Graph { graph, _device: self.clone() }),
            Err(Failed::Work(e)) => Err(e),
            Err(Failed::Cuda(e)) => Err(RuntimeError::from(e).into()),
        }
    }
}

enum Failed<E> {
    Work(E),
    Cuda(super::CudaError),
}

impl<E> From<super::CudaError> for Failed<E> {
    fn from(e: super::CudaError) -> Self {
        Failed::Cuda(e)
    }
}

impl Graph {
    /// Enqueues the recorded launches in the stream of the handle that recorded them, behind everything enqueued there before and behind what other
    /// streams do with their tensors.
    ///
    /// # Safety
    /// Every tensor that they read or write must still exist, at its place; and none may be used by anybody else as if its contents
    /// were his alone: those that they write change when they run.
    ///
    /// # Errors
    /// A driver that refuses, or an earlier launch that failed.
    pub unsafe fn launch(&self) -> Result<(), RuntimeError> {
        // SAFETY: by this function's contract; the device keeps the kernels.
        Ok(unsafe { self.graph.launch() }?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gpus_record() {
        let e = Device::cpu().record(|_| Ok::<_, RuntimeError>(())).err().unwrap();
        assert_eq!(e.to_string(), "cpu cannot record launches: only GPUs have graphs");
    }
}
