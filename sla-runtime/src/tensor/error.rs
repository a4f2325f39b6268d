//! Why a tensor could not be made, viewed or converted.

use sla_dsl::ir::Elem;
use thiserror::Error;

/// A tensor operation was refused.
#[derive(Clone, Debug, PartialEq, Error)]
#[allow(missing_docs)] // the messages are the documentation of the fields
pub enum TensorError {
    /// Data of another length than the shape.
    #[error("shape {shape:?} needs {needed} elements, {found} were given")]
    Count { shape: Vec<usize>, needed: usize, found: usize },
    /// A shape beyond the address space.
    #[error("a tensor of shape {shape:?} is larger than the address space")]
    TooLarge { shape: Vec<usize> },
    /// No memory left.
    #[error("no memory for {bytes} bytes on {place}")]
    OutOfMemory { bytes: usize, place: String },
    /// An axis that is not there.
    #[error("axis {axis} is out of range for shape {shape:?}")]
    Axis { axis: usize, shape: Vec<usize> },
    /// Not every axis once.
    #[error("{order:?} is not an order of the axes of shape {shape:?}")]
    Order { order: Vec<usize>, shape: Vec<usize> },
    /// A range outside the axis.
    #[error("{start}..{end} is not a range of axis {axis}, whose size is {size}")]
    Slice { axis: usize, start: usize, end: usize, size: usize },
    /// A broadcast of an axis that has more than one element.
    #[error("axis {axis} of shape {shape:?} has size {size}, only size 1 can be expanded")]
    Expand { axis: usize, size: usize, shape: Vec<usize> },
    /// A view that no strides describe.
    #[error(
        "shape {shape:?} with strides {strides:?} cannot be viewed as {needed:?}; make it contiguous first"
    )]
    Reshape { shape: Vec<usize>, strides: Vec<i64>, needed: Vec<usize> },
    /// Elements of another type.
    #[error("the tensor has elements of {found}, {needed} are needed")]
    Element { found: Elem, needed: Elem },
    /// Bits read as elements of a type that they may not be.
    #[error("the bits of elements of {found} cannot be read as {needed}")]
    Bits { found: Elem, needed: Elem },
    /// A byte that is no truth value.
    #[error("element {index} of a bool tensor is the byte {byte}, it must be 0 or 1")]
    Bool { index: usize, byte: u8 },
}
