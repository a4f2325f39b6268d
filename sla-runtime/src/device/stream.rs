//! Streams: orders of work beside each other on one GPU.

use super::cuda::{CudaDevice, CudaStream};
use super::mark::Point;
use super::{Device, Kind, Mark};
use crate::RuntimeError;
use std::ffi::c_void;
use std::sync::Arc;

/// An order of work of a device. A handle of the device has one, see [`Device::on`]; that of [`Device::cuda`] is the default stream of the GPU's primary
/// context.
///
/// Work in one stream runs in order. Between streams of one device and of the handles made from it, tensors keep order by themselves: a launch waits, on
/// the GPU, for the launches of other streams that write what it reads, and for those that use what it writes; memory is freed behind everything
/// that uses it. That costs nothing while there is one stream. It is about tensors of this library: what others enqueue, and memory that
/// [`TensorArg::from_raw`](sla_dsl::launch::TensorArg::from_raw) describes, is ordered by its owner, with [`Stream::wait`] and [`Device::mark`] or events of the
/// driver.
///
/// A stream ends when neither a handle of it is left nor a tensor that was made in it, or that it wrote last, or has read since.
///
/// On the host and in the interpreter launches have ended when they return, and a stream is nothing.
#[derive(Clone)]
pub struct Stream(Option<Arc<CudaStream>>);

impl Stream {
    /// A new stream, behind everything that the device's default stream was given.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn new(device: &Device) -> Result<Stream, RuntimeError> {
        Ok(Stream(gpu(device).map(|d| CudaStream::new(d.context())).transpose()?))
    }

    /// Somebody's stream, a `CUstream` or `cudaStream_t`, behind everything that the device's default stream was given. On the host the handle
    /// is not looked at.
    ///
    /// # Safety
    /// It must be a stream of the GPU's primary context (that of the CUDA runtime, of PyTorch, of cudarc), and stay one while this, a copy of it,
    /// a handle of it, or memory that was used there lives.
    ///
    /// # Errors
    /// A GPU that fails.
    pub unsafe fn from_raw(device: &Device, handle: *mut c_void) -> Result<Stream, RuntimeError> {
        // SAFETY: by this function's contract.
        let wrap = |d: &Arc<CudaDevice>| unsafe { CudaStream::from_raw(d.context(), handle.cast()) };
        Ok(Stream(gpu(device).map(wrap).transpose()?))
    }

    /// The driver's handle, a `CUstream`; null for the default stream, and on the host.
    pub fn as_raw(&self) -> *mut c_void {
        self.0.as_ref().map_or(std::ptr::null_mut(), |stream| stream.as_raw())
    }

    /// Lets what is enqueued from now on wait, on the GPU, for a point in the order of another stream.
    ///
    /// # Errors
    /// A mark of another device, or a GPU that fails.
    pub fn wait(&self, mark: &Mark) -> Result<(), RuntimeError> {
        match (&self.0, &mark.0) {
            (Some(stream), Point::Event(event)) if Arc::ptr_eq(stream.context(), event.context()) => {
                Ok(event.hold(stream)?)
            }
            (None, Point::Clock(_)) => Ok(()),
            (stream, _) => {
                let device = stream.as_ref().map(|s| s.context().space());
                let device = device.map_or("the host".to_string(), |space| space.to_string());
                Err(RuntimeError::OtherDevice { what: "the mark", device })
            }
        }
    }

    /// Waits, on the host, for everything enqueued in it.
    ///
    /// # Errors
    /// A launch that failed on the device.
    pub fn synchronize(&self) -> Result<(), RuntimeError> {
        self.0.as_ref().map_or(Ok(()), |stream| Ok(stream.synchronize()?))
    }
}

impl Device {
    /// The stream that this handle's work goes to; for the handle of a recording, that of the handle which records.
    pub fn stream(&self) -> Stream {
        Stream(gpu(self).map(|d| d.memory().clone()))
    }

    /// A handle of the same device, with the same compiled kernels, whose launches, tensors, marks and [`synchronize`](Device::synchronize) are in a
    /// stream. It prepares its launches itself: make it once rather than for every call.
    ///
    /// # Errors
    /// A stream of another device; the handle of a recording, which keeps its own.
    pub fn on(&self, stream: &Stream) -> Result<Device, RuntimeError> {
        match (&self.0, &stream.0) {
            (Kind::Cuda(d), _) if d.records() => {
                let why = "what a recording launches goes to no other stream";
                Err(RuntimeError::NoGraph { device: self.to_string(), why })
            }
            (Kind::Cuda(d), Some(stream)) if Arc::ptr_eq(d.context(), stream.context()) => {
                Ok(Device(Kind::Cuda(Arc::new(d.on(stream)))))
            }
            (Kind::Cpu(_) | Kind::Interp | Kind::Plan(_), None) => Ok(self.clone()),
            _ => Err(RuntimeError::OtherDevice { what: "the stream", device: self.to_string() }),
        }
    }
}

fn gpu(device: &Device) -> Option<&Arc<CudaDevice>> {
    match &device.0 {
        Kind::Cuda(d) => Some(d),
        Kind::Cpu(_) | Kind::Interp | Kind::Plan(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_host_a_stream_is_nothing() {
        for device in [Device::cpu(), Device::interp()] {
            let stream = Stream::new(&device).unwrap();
            let on = device.on(&stream).unwrap();
            assert_eq!((on.name(), stream.as_raw()), (device.name(), std::ptr::null_mut()));
            stream.wait(&on.mark().unwrap()).unwrap();
            stream.synchronize().unwrap();
            // SAFETY: there is no GPU, and so no stream that it could be.
            unsafe { Stream::from_raw(&device, std::ptr::null_mut()) }.unwrap();
        }
    }
}
