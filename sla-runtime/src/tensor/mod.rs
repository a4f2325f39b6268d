//! Owning tensors and their views, on any device.

mod convert;
mod dynamic;
mod error;
mod layout;
mod storage;
#[cfg(test)]
mod tests;

pub use dynamic::DynTensor;
pub use error::TensorError;

use crate::{Device, RuntimeError};
use sla_dsl::ir::Elem;
use sla_dsl::launch::{Element, Space, TensorArg, TensorLike};
use std::marker::PhantomData;
use std::ops::Range;

/// A tensor of `T`, or a view of one.
///
/// Clones and views share memory. While two tensors share memory, neither can be written by a kernel: make the view of an output in
/// one go, as in `Tensor::<f32>::zeros(&device, &[b, l, h, d])?.transpose(1, 2)?`.
#[derive(Clone, Debug)]
pub struct Tensor<T: Element> {
    inner: DynTensor,
    element: PhantomData<T>,
}

impl<T: Element> Tensor<T> {
    /// A contiguous tensor of zeros.
    ///
    /// # Errors
    /// A shape beyond the address space, or no memory left.
    pub fn zeros(device: &Device, shape: &[usize]) -> Result<Tensor<T>, RuntimeError> {
        DynTensor::zeros(device, T::ELEM, shape).map(Self::of)
    }

    /// A contiguous tensor with these elements, in row-major order.
    ///
    /// # Errors
    /// As [`Tensor::zeros`]; another number of elements than the shape has.
    pub fn from_vec(
        device: &Device,
        shape: &[usize],
        data: impl AsRef<[T]>,
    ) -> Result<Tensor<T>, RuntimeError> {
        DynTensor::from_bytes(device, T::ELEM, shape, as_bytes(data.as_ref())).map(Self::of)
    }

    /// The elements in row-major order. Waits for the device.
    ///
    /// # Errors
    /// A device that fails, also because of an earlier launch.
    pub fn to_vec(&self) -> Result<Vec<T>, RuntimeError> {
        let mut bytes = self.inner.to_bytes()?;
        if T::ELEM == Elem::Bool {
            bytes.iter_mut().for_each(|b| *b = (*b != 0) as u8);
        }
        let mut out = Vec::<T>::with_capacity(self.count());
        // SAFETY: `T` is as large as its element type, so there is room for all bytes; any bytes are a value of a number type,
        // and those of `bool` were made 0 or 1.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.as_mut_ptr().cast::<u8>(), bytes.len());
            out.set_len(self.count());
        }
        Ok(out)
    }

    /// Size of each axis.
    pub fn shape(&self) -> &[usize] {
        self.inner.shape()
    }

    /// Stride of each axis, in elements.
    pub fn strides(&self) -> &[i64] {
        self.inner.strides()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.inner.count()
    }

    /// Where the memory is.
    pub fn space(&self) -> Space {
        self.inner.space()
    }

    /// Whether the elements lie one after the other in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.inner.is_contiguous()
    }

    /// A view with two axes exchanged.
    ///
    /// # Errors
    /// An axis that is not there.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor<T>, TensorError> {
        self.inner.transpose(a, b).map(Self::of)
    }

    /// A view whose axis `i` is axis `order[i]` of this.
    ///
    /// # Errors
    /// An order that does not name every axis once.
    pub fn permute(&self, order: &[usize]) -> Result<Tensor<T>, TensorError> {
        self.inner.permute(order).map(Self::of)
    }

    /// A view of a range of one axis.
    ///
    /// # Errors
    /// An axis that is not there, or a range outside it.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Tensor<T>, TensorError> {
        self.inner.slice(axis, range).map(Self::of)
    }

    /// A view with an axis of size 1 repeated `size` times.
    ///
    /// # Errors
    /// An axis that is not there or has another size.
    pub fn expand(&self, axis: usize, size: usize) -> Result<Tensor<T>, TensorError> {
        self.inner.expand(axis, size).map(Self::of)
    }

    /// A view of a contiguous tensor under another shape.
    ///
    /// # Errors
    /// A shape of another number of elements, or a tensor that is not contiguous.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor<T>, TensorError> {
        self.inner.reshape(shape).map(Self::of)
    }

    /// A contiguous copy on a device, in memory of its own.
    ///
    /// # Errors
    /// No memory left, or a device that fails.
    pub fn copy_to(&self, device: &Device) -> Result<Tensor<T>, RuntimeError> {
        self.inner.copy_to(device).map(Self::of)
    }

    /// The same tensor without the Rust type.
    pub fn as_dyn(&self) -> &DynTensor {
        &self.inner
    }

    fn of(inner: DynTensor) -> Tensor<T> {
        Tensor { inner, element: PhantomData }
    }
}

impl<T: Element> From<Tensor<T>> for DynTensor {
    fn from(t: Tensor<T>) -> DynTensor {
        t.inner
    }
}

impl<T: Element> TryFrom<DynTensor> for Tensor<T> {
    type Error = TensorError;

    fn try_from(inner: DynTensor) -> Result<Tensor<T>, TensorError> {
        if inner.elem() != T::ELEM {
            return Err(TensorError::Element { found: inner.elem(), needed: T::ELEM });
        }
        Ok(Tensor::of(inner))
    }
}

// SAFETY: lends what `DynTensor` lends, whose element type is `T`'s.
unsafe impl<T: Element> TensorLike for Tensor<T> {
    type Elem = T;

    fn lend(&self) -> TensorArg<'_> {
        self.inner.lend()
    }

    fn lend_mut(&mut self) -> TensorArg<'_> {
        self.inner.lend_mut()
    }
}

/// The bytes of elements.
fn as_bytes<T: Element>(data: &[T]) -> &[u8] {
    const { assert!(size_of::<T>() == T::ELEM.bytes()) };
    // SAFETY: element types have no padding, and their size was checked above.
    unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<u8>(), size_of_val(data)) }
}
