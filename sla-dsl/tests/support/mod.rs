//! A tensor in host memory, for tests that launch kernels on the interpreter.

use sla_dsl::launch::{Element, Space, TensorArg, TensorLike};

/// Elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Host<T> {
    pub data: Vec<T>,
    pub shape: Vec<usize>,
}

impl<T: Element> Host<T> {
    /// Element by element from its index in row-major order.
    pub fn new(shape: &[usize], f: impl Fn(usize) -> T) -> Host<T> {
        Host { data: (0..shape.iter().product()).map(f).collect(), shape: shape.to_vec() }
    }

    fn arg(&self, mutable: bool) -> TensorArg<'_> {
        let strides: Vec<i64> =
            (0..self.shape.len()).map(|a| self.shape[a + 1..].iter().product::<usize>() as i64).collect();
        let address = self.data.as_ptr() as usize;
        // SAFETY: the elements live as long as the borrow; `lend_mut` borrows them exclusively.
        unsafe { TensorArg::from_raw(T::ELEM, &self.shape, &strides, address, Space::Host, mutable) }
    }
}

// SAFETY: shape and strides cover exactly the elements, which are borrowed for the argument's lifetime.
unsafe impl<T: Element> TensorLike for Host<T> {
    type Elem = T;
    fn lend(&self) -> TensorArg<'_> {
        self.arg(false)
    }
    fn lend_mut(&mut self) -> TensorArg<'_> {
        self.arg(true)
    }
}
