//! Tensors whose elements lie more than 2^31 apart: kernels compute places in 64 bits. Only the memory that is used is ever touched, so that
//! the host needs address space and hardly any memory.

use half::f16;
use sla::kernels::flash::flash_fwd;
use sla::{Device, DynTensor, Tensor};
use sla_dsl::ir::Elem;
use sla_dsl::launch::{Space, TensorArg, TensorLike};
use sla_dsl::prelude::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};

const SHAPE: [usize; 4] = [2, 2, 80, 64];
/// Elements of a tensor without gaps.
const COUNT: usize = 2 * 2 * 80 * 64;

/// `to = from`, however the two lie in memory.
#[kernel(dims(B, H, L), grid(m in L.div_ceil(64), h in H, b in B))]
fn lay<const D: usize>(from: &Tensor<f16, { [B, H, L, D] }>, to: &mut Tensor<f16, { [B, H, L, D] }>) {
    to.at(b, h).block::<64>(m).store(from.at(b, h).block::<64>(m).load());
}

/// Zeroed memory that the system provides as it is touched.
enum Room {
    Host(*mut u8, Layout),
    Gpu(DynTensor),
}

impl Room {
    /// Room for so many numbers of 16 bits; none where the system has no such address space.
    fn new(device: &Device, numbers: usize) -> Option<Room> {
        if device.space() != Space::Host {
            return Some(Room::Gpu(DynTensor::zeros(device, Elem::F16, &[numbers]).unwrap()));
        }
        // Up to 16 bytes of alignment the allocator takes pages from the system and writes nothing itself.
        let layout = Layout::from_size_align(2 * numbers, 16).unwrap();
        // SAFETY: the size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Room::Host(start, layout))
    }

    fn address(&self) -> usize {
        match self {
            Room::Host(start, _) => *start as usize,
            Room::Gpu(tensor) => tensor.lend().address(),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Room::Host(start, layout) = *self {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(start, layout) }
        }
    }
}

/// A tensor of [`SHAPE`] in a room of its own.
struct Far {
    room: Room,
    space: Space,
    strides: [i64; 4],
}

impl Far {
    fn new(device: &Device, strides: [i64; 4]) -> Option<Far> {
        let last: i64 = SHAPE.iter().zip(strides).map(|(&n, s)| (n as i64 - 1) * s).sum();
        assert!(last > 1 << 31, "the last element is {last} from the first");
        Some(Far { room: Room::new(device, last as usize + 1)?, space: device.space(), strides })
    }

    fn arg(&self, mutable: bool) -> TensorArg<'_> {
        let address = self.room.address();
        // SAFETY: the room holds what the strides reach and lives as long as `self`; it is lent for writing from `&mut self` only.
        unsafe { TensorArg::from_raw(Elem::F16, &SHAPE, &self.strides, address, self.space, mutable) }
    }
}

// SAFETY: see `arg`.
unsafe impl TensorLike for Far {
    type Elem = f16;

    fn lend(&self) -> TensorArg<'_> {
        self.arg(false)
    }

    fn lend_mut(&mut self) -> TensorArg<'_> {
        self.arg(true)
    }
}

/// Attention from and to such tensors gives the bits that it gives without gaps: batch entries far from each other, and then rows, so that
/// one tile spans more than 2^31 elements.
pub fn places_beyond_two_to_the_31(device: &Device) {
    let near = |seed: usize| {
        let value = |i: usize| f16::from_f32(((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0);
        Tensor::from_vec(device, &SHAPE, (0..COUNT).map(value).collect::<Vec<_>>()).unwrap()
    };
    let zeros = || Tensor::<f16>::zeros(device, &SHAPE).unwrap();
    let lse = || Tensor::<f32>::zeros(device, &SHAPE[..3]).unwrap();
    let (q, k, v) = (near(1), near(2), near(3));
    let (mut needed, mut needed_lse) = (zeros(), lse());
    flash_fwd::<f16, 64, 64, 64, false>::launch(device, &q, &k, &v, &mut needed, &mut needed_lse, 0.125)
        .unwrap();
    let needed = (needed.to_vec().unwrap(), needed_lse.to_vec().unwrap());
    assert!(needed.0.iter().any(|x| x.to_f32() != 0.0));
    for strides in [[(1 << 31) + 8, 80 * 64, 64, 1], [128, 64, 1 << 25, 1]] {
        let far = |from: &Tensor<f16>| {
            let mut to = Far::new(device, strides)?;
            lay::<64>::launch(device, from, &mut to).unwrap();
            Some(to)
        };
        let (Some(far_q), Some(far_k), Some(far_v), Some(mut out)) =
            (far(&q), far(&k), far(&v), far(&zeros()))
        else {
            eprintln!("skipped: no address space for tensors of more than 2^31 elements");
            return;
        };
        let (mut near_out, mut far_lse) = (zeros(), lse());
        flash_fwd::<f16, 64, 64, 64, false>::launch(
            device,
            &far_q,
            &far_k,
            &far_v,
            &mut out,
            &mut far_lse,
            0.125,
        )
        .unwrap();
        lay::<64>::launch(device, &out, &mut near_out).unwrap();
        let found = (near_out.to_vec().unwrap(), far_lse.to_vec().unwrap());
        assert!(found == needed, "{device}: strides {strides:?}");
    }
}
