//! The one file of the interpreter that touches a tensor's memory.
//!
//! Every box is checked against the tensor's shape before an element is touched. Memory that a kernel may write is accessed by relaxed
//! atomic operations, so that programs that write one place, which is a mistake of the kernel, race for the value but stay defined.

use super::{Data, Fault};
use crate::ir::Elem;
use crate::launch::{Space, TensorArg};
use half::{bf16, f16};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed};

/// A tensor argument in host memory, with its reach checked.
pub struct HostTensor {
    name: String,
    elem: Elem,
    shape: Vec<i64>,
    strides: Vec<i64>,
    address: usize,
    mutable: bool,
}

/// A box of a tensor: one offset, extent and flag per axis.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// First index per axis.
    pub offsets: &'a [i64],
    /// Number of elements per axis.
    pub extent: &'a [i64],
    /// 1 where the box may reach past the end.
    pub check: &'a [i64],
}

/// A run along the last axis: `valid` elements from element offset `at`, then as many outside as complete `len`.
struct Row {
    at: i64,
    valid: usize,
    len: usize,
}

impl HostTensor {
    /// Takes a tensor lent to a launch, or says what is wrong with it: found, needed.
    pub fn new(name: &str, arg: &TensorArg<'_>) -> Result<HostTensor, (String, &'static str)> {
        if arg.space() != Space::Host {
            return Err((format!("a tensor on {}", arg.space()), "one in host memory"));
        }
        let shape: Option<Vec<i64>> = arg.shape().iter().map(|&d| i64::try_from(d).ok()).collect();
        let shape = shape.ok_or((format!("shape {:?}", arg.shape()), "sizes below 2^63"))?;
        let strides = arg.strides().to_vec();
        if strides.len() != shape.len() {
            return Err((format!("{} strides", strides.len()), "one per axis"));
        }
        let reach = shape.iter().zip(&strides).try_fold(0i64, |n, (&d, s)| {
            n.checked_add(d.saturating_sub(1).max(0).checked_mul(s.checked_abs()?)?)
        });
        let bytes = arg.elem().bytes();
        if reach.and_then(|r| r.checked_add(1)?.checked_mul(bytes as i64)).is_none() {
            return Err((format!("strides {strides:?}"), "a tensor within the address space"));
        }
        let empty = shape.contains(&0);
        if !empty && (arg.address() == 0 || !arg.address().is_multiple_of(bytes)) {
            return Err((format!("address {:#x}", arg.address()), "one aligned to its elements"));
        }
        let (elem, address, mutable) = (arg.elem(), arg.address(), arg.mutable());
        Ok(HostTensor { name: name.to_string(), elem, shape, strides, address, mutable })
    }

    /// The elements of a box in row-major order; zeros outside, where that is allowed.
    pub fn load(&self, w: Window<'_>) -> Result<Data, Fault> {
        let rows = self.rows(w)?;
        Ok(match self.elem {
            Elem::F32 => Data::Float(self.collect(&rows, |i| f32::from_bits(self.get32(i)))),
            Elem::F16 => Data::Float(self.collect(&rows, |i| f16::from_bits(self.get16(i)).to_f32())),
            Elem::BF16 => Data::Float(self.collect(&rows, |i| bf16::from_bits(self.get16(i)).to_f32())),
            Elem::I32 => Data::Int(self.collect(&rows, |i| self.get32(i) as i32)),
            Elem::I8 => Data::Int(self.collect(&rows, |i| self.get8(i) as i8 as i32)),
            Elem::Bool => Data::Bool(self.collect(&rows, |i| self.get8(i) != 0)),
        })
    }

    /// Writes a box; elements outside are dropped, where that is allowed. The tensor must have been lent for writing.
    pub fn store(&self, w: Window<'_>, data: &Data) -> Result<(), Fault> {
        let rows = self.rows(w)?;
        match (data, self.elem) {
            (Data::Float(v), Elem::F32) => self.each(&rows, |i, k| self.set32(i, v[k].to_bits())),
            (Data::Float(v), Elem::F16) => {
                self.each(&rows, |i, k| self.set16(i, f16::from_f32(v[k]).to_bits()));
            }
            (Data::Float(v), _) => self.each(&rows, |i, k| self.set16(i, bf16::from_f32(v[k]).to_bits())),
            (Data::Int(v), Elem::I32) => self.each(&rows, |i, k| self.set32(i, v[k] as u32)),
            (Data::Int(v), _) => self.each(&rows, |i, k| self.set8(i, v[k] as i8 as u8)),
            (Data::Bool(v), _) => self.each(&rows, |i, k| self.set8(i, v[k] as u8)),
        }
        Ok(())
    }

    /// Adds to a box of f32 or i32. Programs that add must not run at the same time.
    pub fn add(&self, w: Window<'_>, data: &Data) -> Result<(), Fault> {
        let rows = self.rows(w)?;
        match data {
            Data::Float(v) => self.each(&rows, |i, k| {
                self.set32(i, (f32::from_bits(self.get32(i)) + v[k]).to_bits());
            }),
            Data::Int(v) => {
                self.each(&rows, |i, k| self.set32(i, (self.get32(i) as i32).wrapping_add(v[k]) as u32));
            }
            Data::Bool(_) => {}
        }
        Ok(())
    }

    /// The runs of a box along the last axis, checked against the shape.
    fn rows(&self, w: Window<'_>) -> Result<Vec<Row>, Fault> {
        let rank = self.shape.len();
        let mut valid = Vec::with_capacity(rank);
        for axis in 0..rank {
            let (first, extent, size) = (w.offsets[axis], w.extent[axis], self.shape[axis]);
            let end = first + extent;
            if first < 0 || end > size && w.check[axis] == 0 {
                return Err(Fault::OutOfBounds { tensor: self.name.clone(), axis, first, end, size });
            }
            valid.push((size - first).clamp(0, extent));
        }
        let (outer, last) = (rank.saturating_sub(1), rank.checked_sub(1));
        let len = last.map_or(1, |a| w.extent[a] as usize);
        let inner = last.map_or(1, |a| valid[a] as usize);
        let count: i64 = w.extent[..outer].iter().product();
        let mut rows = Vec::with_capacity(count as usize);
        for n in 0..count {
            // Place of row `n` along the outer axes, innermost fastest. An index is below its size where it is valid, so no
            // product overflows: the reach was checked.
            let (mut rest, mut at, mut inside) = (n, 0i64, true);
            for axis in (0..outer).rev() {
                let i = rest % w.extent[axis];
                rest /= w.extent[axis];
                inside &= i < valid[axis];
                if inside {
                    at += (w.offsets[axis] + i) * self.strides[axis];
                }
            }
            let valid = if inside { inner } else { 0 };
            if let Some(a) = last.filter(|_| valid > 0) {
                at += w.offsets[a] * self.strides[a];
            }
            rows.push(Row { at, valid, len });
        }
        Ok(rows)
    }

    fn step(&self) -> i64 {
        self.strides.last().copied().unwrap_or(0)
    }

    fn collect<T: Copy + Default>(&self, rows: &[Row], get: impl Fn(i64) -> T) -> Vec<T> {
        let mut out = Vec::with_capacity(rows.iter().map(|r| r.len).sum());
        for r in rows {
            out.extend((0..r.valid as i64).map(|k| get(r.at + k * self.step())));
            out.resize(out.len() + r.len - r.valid, T::default());
        }
        out
    }

    /// Calls `set` with the offset in memory and the index in the box of every element inside.
    fn each(&self, rows: &[Row], set: impl Fn(i64, usize)) {
        let mut k = 0;
        for r in rows {
            for j in 0..r.valid {
                set(r.at + j as i64 * self.step(), k + j);
            }
            k += r.len;
        }
    }

    /// The address of an element that `rows` found inside the tensor.
    fn place<T>(&self, index: i64) -> *mut T {
        let bytes = index * self.elem.bytes() as i64;
        self.address.wrapping_add_signed(bytes as isize) as *mut T
    }

    fn get32(&self, i: i64) -> u32 {
        // SAFETY: `TensorArg::from_raw` promises memory of 4-byte elements wherever shape and strides reach, `rows` gives no index
        // outside, and `new` checked alignment. Memory lent for writing is accessed only atomically here and by nobody else.
        unsafe {
            if self.mutable {
                AtomicU32::from_ptr(self.place(i)).load(Relaxed)
            } else {
                self.place::<u32>(i).read()
            }
        }
    }

    fn get16(&self, i: i64) -> u16 {
        // SAFETY: as in `get32`, for 2-byte elements.
        unsafe {
            if self.mutable {
                AtomicU16::from_ptr(self.place(i)).load(Relaxed)
            } else {
                self.place::<u16>(i).read()
            }
        }
    }

    fn get8(&self, i: i64) -> u8 {
        // SAFETY: as in `get32`, for 1-byte elements; a bool is read as a byte, so that any byte is defined.
        unsafe {
            if self.mutable {
                AtomicU8::from_ptr(self.place(i)).load(Relaxed)
            } else {
                self.place::<u8>(i).read()
            }
        }
    }

    fn set32(&self, i: i64, v: u32) {
        // SAFETY: as in `get32`; `run` refuses a tensor that was not lent for writing where the kernel may write.
        unsafe { AtomicU32::from_ptr(self.place(i)).store(v, Relaxed) }
    }

    fn set16(&self, i: i64, v: u16) {
        // SAFETY: as in `set32`, for 2-byte elements.
        unsafe { AtomicU16::from_ptr(self.place(i)).store(v, Relaxed) }
    }

    fn set8(&self, i: i64, v: u8) {
        // SAFETY: as in `set32`, for 1-byte elements.
        unsafe { AtomicU8::from_ptr(self.place(i)).store(v, Relaxed) }
    }
}
