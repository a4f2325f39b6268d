//! Checks of whole tensors that launches cannot make: block lists are data, so a mask of another problem would send kernels out of bounds.

use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, RuntimeError};

/// Refuses tensors that are not of rank 4.
pub(super) fn rank_4(tensors: &[(&'static str, &DynTensor)]) -> Result<(), RuntimeError> {
    match tensors.iter().find(|(_, x)| x.shape().len() != 4) {
        Some((what, x)) => Err(RuntimeError::Rank { what, found: x.shape().len(), needed: 4 }),
        None => Ok(()),
    }
}

/// Refuses a tensor of another shape or element type.
pub(super) fn same(
    what: &'static str,
    x: &DynTensor,
    elem: Elem,
    shape: &[usize],
) -> Result<(), RuntimeError> {
    if x.shape() == shape && x.elem() == elem {
        return Ok(());
    }
    Err(RuntimeError::Shape {
        what,
        found: x.shape().to_vec(),
        found_elem: x.elem(),
        needed: shape.to_vec(),
        needed_elem: elem,
    })
}
