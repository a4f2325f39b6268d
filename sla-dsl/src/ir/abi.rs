//! How a compiled kernel is called: one flat list of arguments, the same for every target.
//!
//! First each parameter in order (a tensor is the address of its first element, a scalar itself), then each runtime dim as `i32`,
//! then each tensor's strides in elements as `i64`, axis by axis. The grid is linear: program `p` is at
//! `p % extent0`, `p / extent0 % extent1`, … of the grid's axes.

use super::{Elem, Kernel, ParamKind};

/// One argument of a compiled kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiArg {
    /// The address of a tensor's first element.
    Pointer {
        /// Index of the parameter.
        param: usize,
    },
    /// A scalar parameter.
    Scalar {
        /// Index of the parameter.
        param: usize,
        /// Its type.
        elem: Elem,
    },
    /// A runtime dim, `i32`.
    Dim {
        /// Index into [`Kernel::dims`].
        dim: usize,
    },
    /// A tensor's stride along an axis, in elements, `i64`.
    Stride {
        /// Index of the parameter.
        param: usize,
        /// The axis.
        axis: usize,
    },
}

impl Kernel {
    /// The arguments of this kernel once compiled, in order.
    pub fn abi(&self) -> Vec<AbiArg> {
        let mut args = Vec::new();
        for (param, p) in self.params.iter().enumerate() {
            args.push(match p.kind {
                ParamKind::Tensor(_) => AbiArg::Pointer { param },
                ParamKind::Scalar(elem) => AbiArg::Scalar { param, elem },
            });
        }
        args.extend((0..self.dims.len()).map(|dim| AbiArg::Dim { dim }));
        for (param, p) in self.params.iter().enumerate() {
            if let ParamKind::Tensor(t) = &p.kind {
                args.extend((0..t.dims.len()).map(|axis| AbiArg::Stride { param, axis }));
            }
        }
        args
    }
}
