//! What a tensor map says, and the rules that the hardware has for it. Nothing here asks the driver.

use sla_codegen::TensorMap;
use sla_dsl::ir::Elem;
use sla_dsl::launch::TensorArg;
use thiserror::Error;

/// Most axes of a tensor map.
const AXES: usize = 5;

/// Bytes that addresses and strides must be multiples of.
const ALIGN: u64 = 16;

/// Strides are below this many bytes.
const FAR: u64 = 1 << 40;

/// Most elements of a box along one axis.
const BOX: u32 = 256;

/// Most bytes of a box of halves along the last axis: a row of the 128-byte swizzle.
const ROW: u64 = 128;

/// A tensor that bulk copies cannot read or write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the messages are the documentation of the fields
pub enum MapRefusal {
    /// A driver from before tensor maps.
    #[error("the driver has no cuTensorMapEncodeTiled, a newer one is needed")]
    Driver,
    /// Too many axes, or none.
    #[error("it has {found} axes, 1 to {AXES} are possible")]
    Rank { found: usize },
    /// A box of another rank than its tensor.
    #[error("it has {axes} axes and its box {found}")]
    BoxRank { axes: usize, found: usize },
    /// An element type that bulk copies do not have.
    #[error("it has elements of {found}, bf16, f16 and f32 are possible")]
    Element { found: Elem },
    /// An address between 16-byte units.
    #[error("its address {address:#x} is no multiple of {ALIGN}")]
    Address { address: u64 },
    /// Elements of the last axis that do not lie side by side.
    #[error("its last axis has a stride of {stride}, it must be 1")]
    Spread { stride: i64 },
    /// A stride between 16-byte units, or beyond 40 bits.
    #[error("its axis {axis} has a stride of {bytes} bytes, it must be a multiple of {ALIGN} below 2^40")]
    Stride { axis: usize, bytes: i64 },
    /// A size of 0 or beyond 32 bits.
    #[error("its axis {axis} has size {size}, 1 to 2^32 are possible")]
    Size { axis: usize, size: usize },
    /// A box that is empty or too large.
    #[error("its box has {extent} elements along axis {axis}, 1 to {BOX} are possible")]
    Extent { axis: usize, extent: u32 },
    /// A last extent that is no row of the swizzle.
    #[error("its box is {bytes} bytes wide, it must be a multiple of {ALIGN} up to {ROW}")]
    Row { bytes: u64 },
}

/// A tensor map before it is encoded: axes innermost first, as the hardware counts them; what is beyond `rank` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Description {
    pub elem: Elem,
    pub rank: usize,
    pub address: u64,
    /// In elements.
    pub sizes: [u64; AXES],
    /// In bytes, of every axis but the innermost.
    pub strides: [u64; AXES - 1],
    /// In elements.
    pub extents: [u32; AXES],
}

impl Description {
    /// Whether its boxes lie in shared memory with the 128-byte swizzle, which products read: single rows of f32 do not.
    pub fn swizzled(&self) -> bool {
        self.elem.is_half() || self.extents[1..].iter().any(|&e| e > 1)
    }
}

/// The description of `tensor` for a map, if the hardware can have it.
pub(in super::super) fn describe(map: &TensorMap, tensor: &TensorArg<'_>) -> Result<Description, MapRefusal> {
    let (shape, elem, address) = (tensor.shape(), tensor.elem(), tensor.address() as u64);
    let rank = shape.len();
    if !(1..=AXES).contains(&rank) {
        return Err(MapRefusal::Rank { found: rank });
    }
    if map.extents.len() != rank {
        return Err(MapRefusal::BoxRank { axes: rank, found: map.extents.len() });
    }
    if !elem.is_float() {
        return Err(MapRefusal::Element { found: elem });
    }
    if !address.is_multiple_of(ALIGN) {
        return Err(MapRefusal::Address { address });
    }
    let bytes = elem.bytes() as u64;
    let mut made =
        Description { elem, rank, address, sizes: [0; AXES], strides: [0; AXES - 1], extents: [0; AXES] };
    for (i, axis) in (0..rank).rev().enumerate() {
        let (size, extent) = (shape[axis], map.extents[axis]);
        if !(1..=1 << 32).contains(&(size as u64)) {
            return Err(MapRefusal::Size { axis, size });
        }
        if !(1..=BOX).contains(&extent) {
            return Err(MapRefusal::Extent { axis, extent });
        }
        (made.sizes[i], made.extents[i]) = (size as u64, extent);
        let stride = tensor.strides()[axis];
        if i > 0 {
            made.strides[i - 1] = outer_stride(&made, i, axis, size, stride)?;
        } else if stride != 1 && size > 1 {
            return Err(MapRefusal::Spread { stride });
        }
    }
    let row = u64::from(made.extents[0]) * bytes;
    if made.swizzled() && row > ROW || !row.is_multiple_of(ALIGN) {
        return Err(MapRefusal::Row { bytes: row });
    }
    Ok(made)
}

/// The stride in bytes of an axis that is not the last, `i` axes outside it; those between are in `made`.
fn outer_stride(
    made: &Description,
    i: usize,
    axis: usize,
    size: usize,
    stride: i64,
) -> Result<u64, MapRefusal> {
    let unit = made.elem.bytes() as u64;
    if size == 1 {
        // Never stepped along, so its stride may be anything, but the driver wants a possible one.
        let inside = if i == 1 { unit } else { made.strides[i - 2] };
        let pitch = made.sizes[i - 1].saturating_mul(inside);
        return Ok(pitch.clamp(ALIGN, FAR - ALIGN).next_multiple_of(ALIGN));
    }
    let bytes = stride.saturating_mul(unit as i64);
    match u64::try_from(bytes) {
        Ok(b) if b.is_multiple_of(ALIGN) && b < FAR => Ok(b),
        _ => Err(MapRefusal::Stride { axis, bytes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_dsl::launch::Space;

    fn of(
        elem: Elem,
        shape: &[usize],
        strides: &[i64],
        address: usize,
        extents: &[u32],
    ) -> Result<Description, MapRefusal> {
        // SAFETY: the memory is only described.
        let tensor = unsafe { TensorArg::from_raw(elem, shape, strides, address, Space::Cuda(0), false) };
        describe(&TensorMap { param: 0, extents: extents.to_vec() }, &tensor)
    }

    #[test]
    fn axes_are_turned_round_and_strides_are_bytes() {
        // [B, L, H, D] seen as [B, H, L, D].
        let d = of(Elem::BF16, &[2, 3, 1000, 128], &[384_000, 128, 384, 1], 0x1000, &[1, 1, 64, 64]).unwrap();
        assert_eq!((d.rank, d.address, d.elem), (4, 0x1000, Elem::BF16));
        assert_eq!(d.sizes, [128, 1000, 3, 2, 0]);
        assert_eq!(d.strides, [768, 256, 768_000, 0]);
        assert_eq!(d.extents, [64, 64, 1, 1, 0]);
        let line = of(Elem::F32, &[7], &[1], 16, &[32]).unwrap();
        assert_eq!((line.rank, line.sizes[0], line.strides), (1, 7, [0; 4]));
    }

    #[test]
    fn strides_of_axes_of_size_1_are_not_looked_at() {
        let d = of(Elem::F16, &[1, 1, 10, 40], &[3, 1, 40, 1], 0, &[1, 1, 8, 32]).unwrap();
        assert_eq!(d.strides, [80, 800, 800, 0]);
        let d = of(Elem::F16, &[1, 5], &[3, 1], 0, &[1, 8]).unwrap();
        assert_eq!(d.strides, [16, 0, 0, 0]);
        of(Elem::F16, &[4, 1], &[8, 9], 0, &[1, 8]).unwrap();
    }

    #[test]
    fn the_hardware_s_rules_are_checked() {
        let bf16 = Elem::BF16;
        let refused = |d: Result<Description, MapRefusal>| d.unwrap_err();
        assert_eq!(refused(of(bf16, &[], &[], 0, &[])), MapRefusal::Rank { found: 0 });
        assert_eq!(refused(of(bf16, &[1; 6], &[1; 6], 0, &[1; 6])), MapRefusal::Rank { found: 6 });
        assert_eq!(refused(of(bf16, &[8, 8], &[8, 1], 0, &[8])), MapRefusal::BoxRank { axes: 2, found: 1 });
        assert_eq!(refused(of(Elem::I32, &[8], &[1], 0, &[8])), MapRefusal::Element { found: Elem::I32 });
        assert_eq!(refused(of(bf16, &[8], &[1], 8, &[8])), MapRefusal::Address { address: 8 });
        assert_eq!(refused(of(bf16, &[8], &[2], 0, &[8])), MapRefusal::Spread { stride: 2 });
        let stride = |bytes| MapRefusal::Stride { axis: 0, bytes };
        assert_eq!(refused(of(bf16, &[2, 8], &[12, 1], 0, &[1, 8])), stride(24));
        assert_eq!(refused(of(bf16, &[2, 8], &[-8, 1], 0, &[1, 8])), stride(-16));
        assert_eq!(refused(of(bf16, &[2, 8], &[1 << 39, 1], 0, &[1, 8])), stride(1 << 40));
        assert_eq!(refused(of(bf16, &[0, 8], &[8, 1], 0, &[1, 8])), MapRefusal::Size { axis: 0, size: 0 });
        let extent = |axis, extent| MapRefusal::Extent { axis, extent };
        assert_eq!(refused(of(bf16, &[8, 8], &[8, 1], 0, &[257, 8])), extent(0, 257));
        assert_eq!(refused(of(bf16, &[8, 8], &[8, 1], 0, &[8, 0])), extent(1, 0));
        assert_eq!(refused(of(bf16, &[8, 128], &[128, 1], 0, &[8, 128])), MapRefusal::Row { bytes: 256 });
        assert_eq!(refused(of(bf16, &[8, 128], &[128, 1], 0, &[8, 4])), MapRefusal::Row { bytes: 8 });
        assert_eq!(refused(of(Elem::F32, &[8, 64], &[64, 1], 0, &[8, 3])), MapRefusal::Row { bytes: 12 });
        assert!(!of(Elem::F32, &[8, 64], &[64, 1], 0, &[1, 64]).unwrap().swizzled());
        assert!(of(Elem::F32, &[8, 64], &[64, 1], 0, &[8, 32]).unwrap().swizzled());
        assert_eq!(refused(of(Elem::F32, &[8, 64], &[64, 1], 0, &[8, 64])), MapRefusal::Row { bytes: 256 });
        let text = refused(of(bf16, &[2, 8], &[12, 1], 0, &[1, 8])).to_string();
        assert_eq!(text, "its axis 0 has a stride of 24 bytes, it must be a multiple of 16 below 2^40");
    }
}
