//! The host's schedule: which values are stored in scratch memory, which way round, and where; the others are computed where they are used.
//!
//! * `place`: every value is a *scalar* in a register, *inline* (computed inside the loops of its consumers) or a *buffer*.
//! * `layout`: a buffer of rank 2 has one axis contiguous. Products choose their layout, so that in the common kernels no operand is
//!   transposed inside a loop: `s = q k^T` is kept column by column, with `q` transposed once and `k` read as it lies.
//! * `arena`: loop-carried values are updated in place where that is safe, and buffers whose lives do not overlap share memory.
//!
//! Nothing here writes MLIR.

mod arena;
mod layout;
mod nest;
mod place;
mod reads;
mod text;

pub use nest::Nest;
pub use place::untransposed;
pub use reads::{memory_axis, reduce_axis};

use sla_dsl::ir::{Elem, Kernel, OpId, Type, Value};
use std::collections::BTreeMap;

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In a register.
    Scalar,
    /// In the caller's memory.
    Tensor,
    /// Nowhere: computed where it is used.
    Inline,
    /// A product that is accumulated straight into the sum that uses it.
    Fused,
    /// In scratch memory.
    Buffer,
}

/// Index into [`Schedule::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// A piece of scratch memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What is stored: floats as f32, integers as i32, truth values as bytes.
    pub elem: Elem,
    /// Size of the axis that is not contiguous.
    pub outer: usize,
    /// Size of the contiguous axis.
    pub inner: usize,
    /// Which axis of the value is contiguous: 0 or 1.
    pub axis: usize,
    /// First position at which it holds something.
    pub first: usize,
    /// Last position at which it is read.
    pub last: usize,
    /// Byte offset in scratch memory.
    pub offset: usize,
}

impl Buffer {
    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.outer * self.inner * stored(self.elem).bytes()
    }
}

/// The element type that stands for `elem` in scratch memory.
pub fn stored(elem: Elem) -> Elem {
    match elem {
        Elem::F32 | Elem::F16 | Elem::BF16 => Elem::F32,
        Elem::I32 | Elem::I8 => Elem::I32,
        Elem::Bool => Elem::Bool,
    }
}

/// Rows and columns of a value; rank 1 is one row, a scalar one element.
pub fn dims(ty: &Type) -> (usize, usize) {
    match ty.shape() {
        Some([m, n]) => (*m, *n),
        Some([n]) => (1, *n),
        _ => (1, 1),
    }
}

/// The axis along which a tile of this shape must be contiguous, if it is a vector.
pub fn vector_axis((rows, cols): (usize, usize)) -> Option<usize> {
    match (rows, cols) {
        (1, _) => Some(1),
        (_, 1) => Some(0),
        _ => None,
    }
}

/// A product as the lowering makes it: which operand is read element by element and which by vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Rows of the result are contiguous: vectors come from `b`.
    Rows,
    /// Columns of the result are contiguous: vectors come from `a`.
    Columns,
}

/// What the lowering needs to know.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Per value.
    pub homes: Vec<Home>,
    /// Per value: the contiguous axis of its buffer, or that of the loops that compute it.
    pub axes: Vec<usize>,
    /// Per buffered value and contiguous axis. The entry with the value's own axis is written first; another is a transposed copy.
    pub tiles: BTreeMap<(Value, usize), BufferId>,
    /// For a sum that absorbs a product: the product's op and the other operand.
    pub fused: BTreeMap<OpId, (OpId, Value)>,
    /// Per product.
    pub forms: BTreeMap<OpId, Form>,
    /// Per loop and carried value that passes through other memory on its way to the next iteration.
    pub swaps: BTreeMap<(OpId, usize), BufferId>,
    /// Carried values (by loop and number) whose next value is computed in place.
    pub in_place: Vec<(OpId, usize)>,
    /// Every buffer.
    pub buffers: Vec<Buffer>,
    /// Bytes of scratch memory.
    pub scratch: usize,
}

impl Schedule {
    /// Decides everything.
    pub fn new(kernel: &Kernel) -> Schedule {
        let nest = Nest::new(kernel);
        let (homes, fused) = place::homes(kernel, &nest);
        let mut schedule = Schedule {
            axes: vec![1; kernel.types.len()],
            homes,
            fused,
            tiles: BTreeMap::new(),
            forms: BTreeMap::new(),
            swaps: BTreeMap::new(),
            in_place: Vec::new(),
            buffers: Vec::new(),
            scratch: 0,
        };
        layout::choose(kernel, &nest, &mut schedule);
        arena::assign(kernel, &nest, &mut schedule);
        schedule
    }

    /// The home of a value.
    pub fn home(&self, v: Value) -> Home {
        self.homes[v.index()]
    }

    /// The contiguous axis of a value.
    pub fn axis(&self, v: Value) -> usize {
        self.axes[v.index()]
    }

    /// The buffer that holds a value with an axis contiguous.
    pub fn tile(&self, v: Value, axis: usize) -> Option<BufferId> {
        self.tiles.get(&(v, axis)).copied()
    }

    /// The buffer that a value is computed into.
    pub fn main_tile(&self, v: Value) -> Option<BufferId> {
        self.tile(v, self.axis(v))
    }

    /// A buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }
}
