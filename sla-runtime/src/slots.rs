//! The arguments of a compiled kernel as slots of 8 bytes, in the order of [`sla_dsl::ir::Kernel::abi`].
//!
//! The host reads whole slots; the CUDA driver copies as many low bytes of each as the parameter's type has.

use sla_dsl::ir::{AbiArg, Elem, Scalar};
use sla_dsl::launch::Arg;
use smallvec::SmallVec;

/// Slots, of which a kernel with a dozen tensors has some sixty.
pub(crate) type Slots = SmallVec<[u64; 96]>;

/// Packs checked arguments: `args` and `dims` are those of a successful `bind`.
pub(crate) fn pack(abi: &[AbiArg], args: &[Arg<'_>], dims: &[i64]) -> Slots {
    let tensor = |param: usize| match &args[param] {
        Arg::Tensor(t) => Some(t),
        Arg::Scalar(_) => None,
    };
    abi.iter()
        .map(|a| match *a {
            AbiArg::Pointer { param } => tensor(param).map_or(0, |t| t.address() as u64),
            AbiArg::Scalar { param, elem } => match &args[param] {
                Arg::Scalar(s) => bits(elem, *s),
                Arg::Tensor(_) => 0,
            },
            AbiArg::Dim { dim } => dims[dim] as u64,
            AbiArg::Stride { param, axis } => tensor(param).map_or(0, |t| t.strides()[axis] as u64),
        })
        .collect()
}

/// A number in the low bytes of a slot; integers are sign-extended.
fn bits(elem: Elem, s: Scalar) -> u64 {
    match (elem, s) {
        (Elem::F16, Scalar::Float(v)) => half::f16::from_f64(v).to_bits() as u64,
        (Elem::BF16, Scalar::Float(v)) => half::bf16::from_f64(v).to_bits() as u64,
        (_, Scalar::Float(v)) => (v as f32).to_bits() as u64,
        (_, Scalar::Int(v)) => v as u64,
        (_, Scalar::Bool(v)) => v as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_dsl::launch::{Space, TensorArg};

    #[test]
    fn slots_follow_the_abi() {
        // SAFETY: the memory is only described.
        let x = unsafe { TensorArg::from_raw(Elem::F32, &[2, 3], &[7, 1], 0x40, Space::Host, false) };
        let args = [
            Arg::Tensor(x),
            Arg::Scalar(Scalar::Float(1.0)),
            Arg::Scalar(Scalar::Int(-2)),
            Arg::Scalar(Scalar::Bool(true)),
        ];
        let abi = [
            AbiArg::Pointer { param: 0 },
            AbiArg::Scalar { param: 1, elem: Elem::F32 },
            AbiArg::Scalar { param: 2, elem: Elem::I32 },
            AbiArg::Scalar { param: 3, elem: Elem::Bool },
            AbiArg::Dim { dim: 0 },
            AbiArg::Stride { param: 0, axis: 0 },
            AbiArg::Stride { param: 0, axis: 1 },
        ];
        assert_eq!(pack(&abi, &args, &[2])[..], [0x40, 0x3f80_0000, -2i64 as u64, 1, 2, 7, 1]);
    }

    #[test]
    fn halves_keep_their_bits() {
        assert_eq!(bits(Elem::F16, Scalar::Float(1.0)), 0x3c00);
        assert_eq!(bits(Elem::BF16, Scalar::Float(-2.0)), 0xc000);
    }
}
