//! The driver's part: a description becomes the 128 bytes that the hardware reads.

use super::describe::Description;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::{self, CUtensorMap};
use sla_dsl::ir::Elem;

/// Whether the driver, which is open, has tensor maps.
pub(in super::super) fn available() -> bool {
    type Encode = unsafe extern "C" fn();
    // SAFETY: the library is open since a context exists, and the symbol is only looked up.
    unsafe { sys::culib().get::<Encode>(b"cuTensorMapEncodeTiled\0") }.is_ok()
}

/// Encodes a description: the 128-byte swizzle for halves, zeros outside the tensor, 256 bytes at a time into L2.
///
/// The driver must have the function; see [`available`].
pub(super) fn encode(d: &Description) -> Result<CUtensorMap, DriverError> {
    use sys::CUtensorMapDataType_enum::*;
    let elem = match d.elem {
        Elem::BF16 => CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        Elem::F16 => CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        // `describe` admits no other.
        _ => CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
    };
    let mut map = CUtensorMap { opaque: [0; 16] };
    let every = [1; 5];
    let swizzle = match d.swizzled() {
        true => sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_128B,
        false => sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_NONE,
    };
    // SAFETY: each array has at least `rank` numbers (strides one fewer), and the map has its size and alignment. The address is not read.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            &raw mut map,
            elem,
            d.rank as u32,
            d.address as *mut _,
            d.sizes.as_ptr(),
            d.strides.as_ptr(),
            d.extents.as_ptr(),
            every.as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    }
    .result()
    .map(|()| map)
}
