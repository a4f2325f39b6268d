//! Shapes and strides: which element of a block of memory an index names. Views are changes of these numbers alone.

use super::TensorError;
use sla_dsl::ir::Elem;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// Axes that a view has without allocating.
const AXES: usize = 6;

/// A strided view of memory. Sizes, strides and the offset are in elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub shape: SmallVec<[usize; AXES]>,
    pub strides: SmallVec<[i64; AXES]>,
    pub offset: usize,
}

impl Layout {
    /// Row-major, without gaps.
    pub fn packed(shape: &[usize]) -> Layout {
        let mut strides: SmallVec<[i64; AXES]> = smallvec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            // Sizes of 0 leave no element to reach, so their strides do not matter.
            strides[axis - 1] = strides[axis] * shape[axis].max(1) as i64;
        }
        Layout { shape: SmallVec::from_slice(shape), strides, offset: 0 }
    }

    /// The number of bytes a packed tensor takes; an error if that is beyond the address space.
    pub fn bytes(shape: &[usize], elem: Elem) -> Result<usize, TensorError> {
        let product = |least: usize| {
            let bytes = shape.iter().try_fold(elem.bytes(), |b, &n| b.checked_mul(n.max(least)));
            bytes.filter(|&b| b <= isize::MAX as usize)
        };
        // Without the zeros first: the strides of a packed layout are products of the rest.
        match (product(1), product(0)) {
            (Some(_), Some(bytes)) => Ok(bytes),
            _ => Err(TensorError::TooLarge { shape: shape.to_vec() }),
        }
    }

    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements lie one after the other in row-major order.
    pub fn is_packed(&self) -> bool {
        let packed = Layout::packed(&self.shape);
        self.shape.iter().zip(self.strides.iter().zip(&packed.strides)).all(|(n, (s, p))| *n <= 1 || s == p)
    }

    /// The range of elements that the view reaches.
    pub fn reach(&self) -> Range<usize> {
        if self.count() == 0 {
            return self.offset..self.offset;
        }
        let last: i64 = self.shape.iter().zip(&self.strides).map(|(&n, &s)| (n as i64 - 1) * s).sum();
        self.offset..self.offset + last as usize + 1
    }

    /// Calls `f` with the place of every element, in row-major order.
    pub fn for_each(&self, mut f: impl FnMut(usize)) {
        let Some(rows) = self.shape.split_last().map(|(_, outer)| outer.iter().product::<usize>()) else {
            return f(self.offset);
        };
        let last = self.shape.len() - 1;
        let (columns, step) = (self.shape[last], self.strides[last] as usize);
        let mut index = vec![0; last];
        let mut row = self.offset;
        for _ in 0..if columns == 0 { 0 } else { rows } {
            for c in 0..columns {
                f(row + c * step);
            }
            // Counts up the outer index; the place follows by strides.
            for axis in (0..last).rev() {
                index[axis] += 1;
                row += self.strides[axis] as usize;
                if index[axis] < self.shape[axis] {
                    break;
                }
                row -= self.strides[axis] as usize * self.shape[axis];
                index[axis] = 0;
            }
        }
    }

    /// So many neighbours along the last axis as one element.
    pub fn words(&self, count: usize) -> Option<Layout> {
        let (last, outer) = self.strides.split_last()?;
        let columns = *self.shape.last()?;
        let whole = |n: usize| count > 0 && n.is_multiple_of(count);
        let even = outer.iter().all(|&stride| stride % count.max(1) as i64 == 0);
        if !(*last == 1 && even && whole(columns) && whole(self.offset)) {
            return None;
        }
        let mut l = self.clone();
        l.offset /= count;
        *l.shape.last_mut()? /= count;
        outer.iter().zip(&mut l.strides).for_each(|(from, to)| *to = from / count as i64);
        Some(l)
    }

    fn axis(&self, axis: usize) -> Result<(), TensorError> {
        if axis < self.shape.len() {
            return Ok(());
        }
        Err(TensorError::Axis { axis, shape: self.shape.to_vec() })
    }

    /// Two axes exchanged.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Layout, TensorError> {
        self.axis(a)?;
        self.axis(b)?;
        let mut l = self.clone();
        l.shape.swap(a, b);
        l.strides.swap(a, b);
        Ok(l)
    }

    /// Axis `i` of the result is axis `order[i]` of this.
    pub fn permute(&self, order: &[usize]) -> Result<Layout, TensorError> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape.len()) {
            return Err(TensorError::Order { order: order.to_vec(), shape: self.shape.to_vec() });
        }
        Ok(Layout {
            shape: order.iter().map(|&a| self.shape[a]).collect(),
            strides: order.iter().map(|&a| self.strides[a]).collect(),
            offset: self.offset,
        })
    }

    /// A range of one axis.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Layout, TensorError> {
        self.axis(axis)?;
        let Range { start, end } = range;
        let size = self.shape[axis];
        if start > end || end > size {
            return Err(TensorError::Slice { axis, start, end, size });
        }
        let mut l = self.clone();
        l.shape[axis] = end - start;
        // An empty range reaches nothing, so it need not move to a place that may lie past the end.
        if start < end {
            l.offset += start * self.strides[axis] as usize;
        }
        Ok(l)
    }

    /// One axis of size 1 repeated `size` times, without copying.
    pub fn expand(&self, axis: usize, size: usize) -> Result<Layout, TensorError> {
        self.axis(axis)?;
        if self.shape[axis] != 1 {
            return Err(TensorError::Expand { axis, size: self.shape[axis], shape: self.shape.to_vec() });
        }
        let mut l = self.clone();
        l.shape[axis] = size;
        l.strides[axis] = 0;
        // Whoever copies it must be able to count its bytes.
        Layout::bytes(&l.shape, Elem::F32)?;
        Ok(l)
    }

    /// The same elements in row-major order under another shape; the layout must be packed.
    pub fn reshape(&self, shape: &[usize]) -> Result<Layout, TensorError> {
        let needed = shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s));
        let found = self.count();
        if needed != Some(found) {
            let needed = needed.unwrap_or(usize::MAX);
            return Err(TensorError::Count { shape: shape.to_vec(), needed, found });
        }
        if !self.is_packed() {
            let (old, strides) = (self.shape.to_vec(), self.strides.to_vec());
            return Err(TensorError::Reshape { shape: old, strides, needed: shape.to_vec() });
        }
        Layout::bytes(shape, Elem::F32)?;
        Ok(Layout { offset: self.offset, ..Layout::packed(shape) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(l: &Layout) -> Vec<usize> {
        let mut out = Vec::new();
        l.for_each(|p| out.push(p));
        out
    }

    #[test]
    fn views_name_the_right_elements() {
        let l = Layout::packed(&[2, 3, 4]);
        assert_eq!(places(&l), (0..24).collect::<Vec<_>>());
        assert!(l.is_packed());
        let t = l.transpose(0, 2).unwrap();
        assert_eq!(t.shape[..], [4, 3, 2]);
        assert_eq!(places(&t)[..7], [0, 12, 4, 16, 8, 20, 1]);
        assert!(!t.is_packed());
        let s = l.slice(1, 1..3).unwrap().slice(2, 2..4).unwrap();
        assert_eq!(places(&s), [6, 7, 10, 11, 18, 19, 22, 23]);
        assert_eq!(s.reach(), 6..24);
        let e = l.slice(0, 1..2).unwrap().slice(1, 0..1).unwrap().expand(0, 2).unwrap();
        assert_eq!(places(&e), [12, 13, 14, 15, 12, 13, 14, 15]);
        assert_eq!(l.permute(&[1, 0, 2]).unwrap(), l.transpose(0, 1).unwrap());
        assert_eq!(l.reshape(&[6, 4]).unwrap().strides[..], [4, 1]);
        assert_eq!(places(&Layout::packed(&[])), [0]);
    }

    #[test]
    fn empty_views_reach_nothing() {
        for shape in [vec![0], vec![3, 0], vec![0, 3]] {
            let l = Layout::packed(&shape);
            assert!(places(&l).is_empty());
            assert_eq!(l.reach(), 0..0);
        }
        let l = Layout::packed(&[4]).slice(0, 4..4).unwrap();
        assert_eq!(l.reach(), 0..0);
    }

    #[test]
    fn wrong_views_are_refused() {
        let l = Layout::packed(&[2, 3]);
        let text = |e: Result<Layout, TensorError>| e.unwrap_err().to_string();
        assert_eq!(text(l.transpose(0, 2)), "axis 2 is out of range for shape [2, 3]");
        assert_eq!(text(l.permute(&[0, 0])), "[0, 0] is not an order of the axes of shape [2, 3]");
        assert_eq!(text(l.slice(1, 2..4)), "2..4 is not a range of axis 1, whose size is 3");
        assert_eq!(text(l.expand(1, 5)), "axis 1 of shape [2, 3] has size 3, only size 1 can be expanded");
        assert_eq!(text(l.reshape(&[4])), "shape [4] needs 4 elements, 6 were given");
        assert!(text(l.transpose(0, 1).unwrap().reshape(&[6])).contains("make it contiguous first"));
    }

    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(Layout::bytes(&[2, 3], Elem::F32), Ok(24));
        assert_eq!(Layout::bytes(&[2, 0], Elem::F32), Ok(0));
        assert!(Layout::bytes(&[usize::MAX, 2], Elem::I8).is_err());
        assert!(Layout::bytes(&[0, usize::MAX, 2], Elem::I8).is_err());
        assert!(Layout::bytes(&[isize::MAX as usize], Elem::F16).is_err());
        assert!(Layout::packed(&[0]).reshape(&[0, 1 << 40, 1 << 40]).is_err());
        let wide = Layout::packed(&[1, 1]).expand(0, 1 << 40).unwrap();
        assert!(wide.expand(1, 1 << 40).is_err());
    }
}
