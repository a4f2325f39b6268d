//! The memory of a launch's tensors: strides, reach, alignment, place, and who may write where.
//!
//! Overlap is judged by byte ranges, so an output may not lie between the rows of another argument; inputs may overlap freely,
//! as the q, k and v slices of one projection do.

use super::sizes::Lent;
use super::{Arg, Refusal, Space};
use crate::ir::MemFacts;
use std::ops::Range;

/// How far a tensor reaches from its address on, and whether the kernel writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reach {
    /// Which argument it is.
    index: usize,
    bytes: usize,
    written: bool,
}

/// Checks each tensor, and all of them together; returns the memory space they share (`None` without tensors), and how far each reaches.
pub(super) fn check(tensors: &[Lent<'_, '_>]) -> Result<(Option<Space>, Vec<Reach>), Refusal> {
    let mut reach = Vec::with_capacity(tensors.len());
    for t in tensors {
        reach.push(Reach { index: t.index, bytes: range(t)?.len(), written: t.ty.mutable });
        if t.ty.mutable {
            if !t.arg.mutable() {
                return Err(Refusal::ReadOnly { param: t.name.to_string() });
            }
            disjoint_elements(t)?;
        }
    }
    let Some(first) = tensors.first() else { return Ok((None, reach)) };
    let space = first.arg.space();
    for t in tensors {
        if t.arg.space() != space {
            return Err(Refusal::Spaces {
                param: t.name.to_string(),
                found: t.arg.space(),
                other: first.name.to_string(),
                needed: space,
            });
        }
    }
    if let Some((written, other)) = overlap(&reach, |i| tensors[i].arg.address()) {
        let name = |i: usize| tensors[i].name.to_string();
        return Err(Refusal::Alias { param: name(written), other: name(other) });
    }
    Ok((Some(space), reach))
}

/// Whether tensors of a checked form may lie where these arguments do: somewhere, and what is written apart from everything else.
pub(super) fn places(reach: &[Reach], args: &[Arg<'_>]) -> bool {
    let address = |r: &Reach| match args.get(r.index) {
        Some(Arg::Tensor(t)) => t.address(),
        _ => 0,
    };
    let somewhere = |r: &Reach| address(r) != 0 && address(r).checked_add(r.bytes).is_some();
    reach.iter().all(somewhere) && overlap(reach, |i| address(&reach[i])).is_none()
}

/// A tensor that is written and another that shares memory with it, by their numbers. No range reaches past the end of all addresses.
fn overlap(reach: &[Reach], address: impl Fn(usize) -> usize) -> Option<(usize, usize)> {
    let range = |i: usize| address(i)..address(i) + reach[i].bytes;
    let written = (0..reach.len()).filter(|&i| reach[i].written);
    written.into_iter().find_map(|i| {
        let mine = range(i);
        let other = (0..reach.len()).find(|&j| {
            let other = range(j);
            i != j && mine.start < other.end && other.start < mine.end
        });
        other.map(|j| (i, j))
    })
}

/// What a kernel may assume of a tensor. Strides of axes of size 1 are never used and do not count.
pub(super) fn facts(t: &Lent<'_, '_>) -> MemFacts {
    let (shape, strides) = (t.arg.shape(), t.arg.strides());
    let Some(last) = shape.len().checked_sub(1) else { return MemFacts { packed: true, ..aligned(t, 0) } };
    MemFacts { packed: shape[last] == 1 || strides[last] == 1, ..aligned(t, last) }
}

fn aligned(t: &Lent<'_, '_>, last: usize) -> MemFacts {
    let bytes = t.ty.elem.bytes() as i64;
    let rows = t.arg.shape().iter().zip(t.arg.strides()).take(last);
    let even = rows.filter(|(n, _)| **n > 1).all(|(_, s)| s * bytes % 16 == 0);
    MemFacts { packed: false, aligned: even && t.arg.address().is_multiple_of(16), positive: true }
}

/// The bytes from the first element to the end of the last one.
fn range(t: &Lent<'_, '_>) -> Result<Range<usize>, Refusal> {
    let (shape, strides, address) = (t.arg.shape(), t.arg.strides(), t.arg.address());
    let param = || t.name.to_string();
    let bytes = t.ty.elem.bytes();
    if address == 0 {
        return Err(Refusal::Null { param: param() });
    }
    if !address.is_multiple_of(bytes) {
        return Err(Refusal::Misaligned { param: param(), address, needed: bytes });
    }
    if let Some(axis) = strides.iter().position(|&s| s < 0) {
        return Err(Refusal::NegativeStride { param: param(), axis, stride: strides[axis] });
    }
    let reach = shape.iter().zip(strides).try_fold(0i64, |reach, (&n, &s)| {
        let axis = i64::try_from(n).ok()?.checked_sub(1)?.checked_mul(s)?;
        reach.checked_add(axis)
    });
    let end = reach
        .and_then(|r| isize::try_from(r.checked_add(1)?.checked_mul(bytes as i64)?).ok())
        .and_then(|span| address.checked_add(span as usize));
    match end {
        Some(end) => Ok(address..end),
        None => Err(Refusal::Span { param: param(), shape: shape.to_vec(), strides: strides.to_vec() }),
    }
}

/// Whether no two elements share memory: each axis, by rising stride, steps past everything the axes before it reach.
fn disjoint_elements(t: &Lent<'_, '_>) -> Result<(), Refusal> {
    let (shape, strides) = (t.arg.shape(), t.arg.strides());
    let mut axes: Vec<usize> = (0..shape.len()).filter(|&a| shape[a] > 1).collect();
    axes.sort_by_key(|&a| strides[a]);
    let mut reach = 0;
    for axis in axes {
        let (stride, needed) = (strides[axis], reach + 1);
        if stride < needed {
            return Err(Refusal::SelfOverlap { param: t.name.to_string(), axis, stride, needed });
        }
        reach += (shape[axis] as i64 - 1) * stride;
    }
    Ok(())
}
