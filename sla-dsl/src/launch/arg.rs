//! Typed, borrowed arguments: what a launcher hands to a device.
//!
//! A [`TensorArg`] is a description of memory that its owner keeps alive and, for outputs, lends exclusively. Making one from
//! raw parts is unsafe; everything after that is checked.

use crate::ir::{Elem, Scalar};
use crate::lang::{Consts, KernelDef};
use smallvec::SmallVec;
use std::marker::PhantomData;

/// Where memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Memory of this process.
    Host,
    /// Memory of the CUDA device with this ordinal.
    Cuda(usize),
}

impl std::fmt::Display for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Space::Host => f.write_str("the host"),
            Space::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// Axes that are described without allocating.
const AXES: usize = 6;

/// A tensor lent to a launch.
#[derive(Clone, Debug)]
pub struct TensorArg<'a> {
    elem: Elem,
    shape: SmallVec<[usize; AXES]>,
    strides: SmallVec<[i64; AXES]>,
    address: usize,
    space: Space,
    mutable: bool,
    /// Stays on its thread: launches take arguments by shared reference, and two at a time must not write one tensor.
    lent: PhantomData<(&'a mut (), *mut ())>,
}

impl<'a> TensorArg<'a> {
    /// Describes memory at `address` (of the element with index 0 on every axis); `strides` are in elements.
    ///
    /// # Safety
    /// For `'a`, every element the shape and strides reach is valid memory of `elem` in `space`, not written by others,
    /// and, if `mutable`, not accessed by others at all.
    pub unsafe fn from_raw(
        elem: Elem,
        shape: &[usize],
        strides: &[i64],
        address: usize,
        space: Space,
        mutable: bool,
    ) -> TensorArg<'a> {
        TensorArg {
            elem,
            shape: SmallVec::from_slice(shape),
            strides: SmallVec::from_slice(strides),
            address,
            space,
            mutable,
            lent: PhantomData,
        }
    }

    /// Element type.
    pub fn elem(&self) -> Elem {
        self.elem
    }

    /// Size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Stride of each axis, in elements.
    pub fn strides(&self) -> &[i64] {
        &self.strides
    }

    /// Address of the first element.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Where the memory is.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Whether it was lent for writing.
    pub fn mutable(&self) -> bool {
        self.mutable
    }
}

/// One argument of a launch, in the order of the kernel's parameters.
#[derive(Clone, Debug)]
pub enum Arg<'a> {
    /// A tensor.
    Tensor(TensorArg<'a>),
    /// A number.
    Scalar(Scalar),
}

mod sealed {
    /// Only this crate says which Rust types have the layout of which element type.
    pub trait Sealed {}
}

/// A Rust type that is an element type of the language: same size, same meaning of its bits. No other crate can add one.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The element type it is.
    const ELEM: Elem;
}

macro_rules! element {
    ($($t:ty => $e:ident),+ $(,)?) => { $(impl sealed::Sealed for $t {} impl Element for $t { const ELEM: Elem = Elem::$e; })+ };
}
element!(f32 => F32, half::f16 => F16, half::bf16 => BF16, i32 => I32, i8 => I8, bool => Bool);

/// An element type that holds real numbers: f32, f16, bf16.
pub trait Float: Element {}
impl Float for f32 {}
impl Float for half::f16 {}
impl Float for half::bf16 {}

/// A 16-bit element type: f16, bf16.
pub trait Half: Float {}
impl Half for half::f16 {}
impl Half for half::bf16 {}

/// Something that owns or borrows a tensor and can lend it to a launch.
///
/// # Safety
/// The arguments returned must satisfy [`TensorArg::from_raw`] for the borrow's lifetime.
pub unsafe trait TensorLike {
    /// Element type, for typed launchers.
    type Elem: Element;
    /// Lends it for reading.
    fn lend(&self) -> TensorArg<'_>;
    /// Lends it for reading and writing.
    fn lend_mut(&mut self) -> TensorArg<'_>;
}

/// Something that can run kernels: a device of the runtime, or the interpreter.
pub trait Launcher {
    /// What can go wrong.
    type Error;
    /// Checks the arguments and runs (or enqueues) the kernel.
    fn launch(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
    ) -> Result<(), Self::Error>;
}
