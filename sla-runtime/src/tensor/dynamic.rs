//! Tensors whose element type is known at run time only: what files hold and the operator passes on.

use super::layout::Layout;
use super::storage::Storage;
use super::{Tensor, TensorError};
use crate::{Device, RuntimeError};
use sla_dsl::ir::Elem;
use sla_dsl::launch::{Element, Space, TensorArg};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A tensor of any element type, or a view of one.
///
/// Clones and views share memory. While two tensors share memory, neither can be written by a kernel.
#[derive(Clone)]
pub struct DynTensor {
    elem: Elem,
    layout: Layout,
    storage: Arc<Storage>,
}

impl DynTensor {
    /// A contiguous tensor of zeros.
    ///
    /// # Errors
    /// A shape beyond the address space, or no memory left.
    pub fn zeros(device: &Device, elem: Elem, shape: &[usize]) -> Result<DynTensor, RuntimeError> {
        let bytes = Layout::bytes(shape, elem)?;
        let storage = Arc::new(Storage::zeroed(device, bytes)?);
        Ok(DynTensor { elem, layout: Layout::packed(shape), storage })
    }

    /// A contiguous tensor for a kernel to write whole: on a GPU its elements are whatever was in that memory before, elsewhere zero (bools
    /// are zero everywhere).
    ///
    /// # Errors
    /// As [`DynTensor::zeros`].
    pub fn empty(device: &Device, elem: Elem, shape: &[usize]) -> Result<DynTensor, RuntimeError> {
        if elem == Elem::Bool {
            return DynTensor::zeros(device, elem, shape);
        }
        let bytes = Layout::bytes(shape, elem)?;
        let storage = Arc::new(Storage::empty(device, bytes)?);
        Ok(DynTensor { elem, layout: Layout::packed(shape), storage })
    }

    /// A contiguous tensor with these bytes: elements in row-major order, each in the machine's byte order.
    ///
    /// # Errors
    /// As [`DynTensor::zeros`]; data of another length; a bool that is neither 0 nor 1.
    pub fn from_bytes(
        device: &Device,
        elem: Elem,
        shape: &[usize],
        data: &[u8],
    ) -> Result<DynTensor, RuntimeError> {
        let bytes = Layout::bytes(shape, elem)?;
        if bytes != data.len() {
            let (needed, found) = (bytes / elem.bytes(), data.len() / elem.bytes());
            return Err(TensorError::Count { shape: shape.to_vec(), needed, found }.into());
        }
        if elem == Elem::Bool
            && let Some(index) = data.iter().position(|&b| b > 1)
        {
            return Err(TensorError::Bool { index, byte: data[index] }.into());
        }
        let storage = Arc::new(Storage::copy_of(device, data)?);
        Ok(DynTensor { elem, layout: Layout::packed(shape), storage })
    }

    /// Element type.
    pub fn elem(&self) -> Elem {
        self.elem
    }

    /// Size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Stride of each axis, in elements.
    pub fn strides(&self) -> &[i64] {
        &self.layout.strides
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.layout.count()
    }

    /// Where the memory is.
    pub fn space(&self) -> Space {
        self.storage.space()
    }

    /// Whether the elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_packed()
    }

    /// Whether it has all of its memory to itself: no other tensor shares it, and it is no view of a part.
    pub fn is_whole(&self) -> bool {
        let bytes = self.count() * self.elem.bytes();
        Arc::strong_count(&self.storage) == 1 && self.is_contiguous() && self.storage.bytes() == bytes
    }

    /// The elements in row-major order, each in the machine's byte order. Waits for the device.
    ///
    /// # Errors
    /// A device that fails, also because of an earlier launch.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RuntimeError> {
        let size = self.elem.bytes();
        let reach = self.layout.reach();
        self.storage.read(reach.start * size..reach.end * size, |bytes| {
            if self.layout.is_packed() {
                return bytes.to_vec();
            }
            let mut out = Vec::with_capacity(self.count() * size);
            self.layout.for_each(|place| {
                let at = (place - reach.start) * size;
                out.extend_from_slice(&bytes[at..at + size]);
            });
            out
        })
    }

    /// A view with two axes exchanged.
    ///
    /// # Errors
    /// An axis that is not there.
    pub fn transpose(&self, a: usize, b: usize) -> Result<DynTensor, TensorError> {
        self.layout.transpose(a, b).map(|l| self.view(l))
    }

    /// A view whose axis `i` is axis `order[i]` of this.
    ///
    /// # Errors
    /// An order that does not name every axis once.
    pub fn permute(&self, order: &[usize]) -> Result<DynTensor, TensorError> {
        self.layout.permute(order).map(|l| self.view(l))
    }

    /// A view of a range of one axis.
    ///
    /// # Errors
    /// An axis that is not there, or a range outside it.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<DynTensor, TensorError> {
        self.layout.slice(axis, range).map(|l| self.view(l))
    }

    /// A view with an axis of size 1 repeated `size` times.
    ///
    /// # Errors
    /// An axis that is not there or has another size.
    pub fn expand(&self, axis: usize, size: usize) -> Result<DynTensor, TensorError> {
        self.layout.expand(axis, size).map(|l| self.view(l))
    }

    /// A view of a contiguous tensor under another shape.
    ///
    /// # Errors
    /// A shape of another number of elements, or a tensor that is not contiguous.
    pub fn reshape(&self, shape: &[usize]) -> Result<DynTensor, TensorError> {
        self.layout.reshape(shape).map(|l| self.view(l))
    }

    /// A view of the same bits as numbers of another type of the same size.
    ///
    /// # Errors
    /// A type of another size; bools, which are not any bits.
    pub fn bits(&self, elem: Elem) -> Result<DynTensor, TensorError> {
        let bools = self.elem == Elem::Bool || elem == Elem::Bool;
        if self.elem.bytes() != elem.bytes() || bools && self.elem != elem {
            return Err(TensorError::Bits { found: self.elem, needed: elem });
        }
        Ok(DynTensor { elem, ..self.clone() })
    }

    /// A view of neighbours along the last axis as numbers of a wider type, the first of them in its lowest bits; `None` where they do not lie so: the axis is
    /// not contiguous, or something is no multiple of their number.
    pub fn words(&self, elem: Elem) -> Option<DynTensor> {
        let count = elem.bytes() / self.elem.bytes();
        let bools = self.elem == Elem::Bool || elem == Elem::Bool;
        let layout = if bools || cfg!(target_endian = "big") { None } else { self.layout.words(count) };
        layout.map(|layout| DynTensor { elem, ..self.view(layout) })
    }

    fn view(&self, layout: Layout) -> DynTensor {
        DynTensor { elem: self.elem, layout, storage: self.storage.clone() }
    }

    /// A contiguous copy on a device, in memory of its own.
    ///
    /// # Errors
    /// No memory left, or a device that fails.
    pub fn copy_to(&self, device: &Device) -> Result<DynTensor, RuntimeError> {
        let storage = Arc::new(Storage::copy_of(device, &self.to_bytes()?)?);
        Ok(DynTensor { elem: self.elem, layout: Layout::packed(self.shape()), storage })
    }

    /// The same tensor with a Rust element type; shares memory.
    ///
    /// # Errors
    /// Another element type.
    pub fn typed<T: Element>(&self) -> Result<Tensor<T>, TensorError> {
        Tensor::try_from(self.clone())
    }

    /// Lends it to a launch for reading.
    pub fn lend(&self) -> TensorArg<'_> {
        self.arg(false)
    }

    /// Lends it to a launch for writing; for reading only if it shares its memory with another tensor, which a launch then refuses.
    pub fn lend_mut(&mut self) -> TensorArg<'_> {
        let alone = Arc::get_mut(&mut self.storage).is_some();
        self.arg(alone)
    }

    fn arg(&self, mutable: bool) -> TensorArg<'_> {
        let address = self.storage.address() + self.layout.offset * self.elem.bytes();
        let (shape, strides) = (&self.layout.shape, &self.layout.strides);
        // SAFETY: the layout stays inside the storage, which `self` keeps alive; initialised on allocation. Writing is lent only
        // from `&mut self` whose storage nobody shares, and shared tensors cannot be lent for writing at all.
        unsafe { TensorArg::from_raw(self.elem, shape, strides, address, self.space(), mutable) }
    }
}

impl fmt::Debug for DynTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor of {} {:?} on {}", self.elem, self.layout.shape, self.space())
    }
}
