//! A kernel with arguments, ready to run and to compare.

use super::rng::Rng;
use super::{attention, program};
use crate::diag::Diagnostics;
use crate::ir::{Elem, Kernel, Scalar};
use crate::launch::{Arg, Space, TensorArg};
use half::{bf16, f16};

/// What random kernels may look like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Extents of tiles: those a target supports.
    pub extents: Vec<usize>,
    /// About how many ops a kernel has, not counting what prepares their operands.
    pub ops: usize,
    /// Largest runtime size.
    pub max_size: i64,
}

impl Default for Config {
    fn default() -> Self {
        Config { extents: vec![1, 2, 4, 8, 16], ops: 24, max_size: 40 }
    }
}

/// A random kernel and arguments for it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it was made from.
    pub seed: u64,
    /// The kernel.
    pub kernel: Kernel,
    /// Its runtime dims, in order of declaration.
    pub dims: Vec<i64>,
    /// The number of programs per axis.
    pub grid: [usize; 3],
    /// One per parameter.
    pub args: Vec<CaseArg>,
}

/// An argument.
#[derive(Clone, Debug)]
pub enum CaseArg {
    /// A contiguous tensor in memory aligned to 16 bytes.
    Tensor {
        /// Element type.
        elem: Elem,
        /// Size per axis.
        shape: Vec<usize>,
        /// Its memory, longer than needed by less than 16 bytes.
        storage: Vec<u128>,
        /// For outputs: how far implementations may differ in an element.
        tolerance: Option<f64>,
    },
    /// A number.
    Scalar(Scalar),
}

impl Case {
    /// The kernel and arguments of a seed.
    ///
    /// # Errors
    /// What the builder refuses: a mistake of the generator.
    pub fn new(seed: u64, config: &Config) -> Result<Case, Diagnostics> {
        program::generate(seed, &mut Rng::new(seed), config)
    }

    /// A kernel of attention's kind: an online softmax over blocks of keys.
    ///
    /// # Errors
    /// What the builder refuses: a mistake of the generator.
    pub fn attention(seed: u64) -> Result<Case, Diagnostics> {
        attention::generate(seed, &mut Rng::new(seed))
    }

    /// Lends the arguments to a launch; outputs are lent for writing.
    pub fn lend(&mut self) -> Vec<Arg<'_>> {
        self.args.iter_mut().map(CaseArg::lend).collect()
    }

    /// Whether the outputs are those of another run of the same case, within what is allowed.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn compare(&self, other: &Case) -> Result<(), String> {
        for ((param, a), b) in self.kernel.params.iter().zip(&self.args).zip(&other.args) {
            let CaseArg::Tensor { tolerance: Some(tolerance), .. } = a else { continue };
            for (i, (x, y)) in a.values().into_iter().zip(b.values()).enumerate() {
                // Not `<=` negated: NaN differs from everything but NaN.
                let same = x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= *tolerance;
                if !same {
                    let name = &param.name;
                    return Err(format!(
                        "seed {}: element {i} of `{name}` is {x} and {y}, allowed is {tolerance}",
                        self.seed
                    ));
                }
            }
        }
        Ok(())
    }
}

impl CaseArg {
    /// A tensor with `value(i)` in element `i`, rounded to its type.
    pub(super) fn tensor(elem: Elem, shape: &[usize], mut value: impl FnMut(usize) -> f64) -> CaseArg {
        let count: usize = shape.iter().product();
        let mut storage = vec![0u128; (count * elem.bytes()).div_ceil(16)];
        for i in 0..count {
            let v = value(i);
            let bytes: [u8; 4] = match elem {
                Elem::F32 => (v as f32).to_bits().to_le_bytes(),
                Elem::I32 => (v as i32).to_le_bytes(),
                Elem::F16 => (f16::from_f64(v).to_bits() as u32).to_le_bytes(),
                Elem::BF16 => (bf16::from_f64(v).to_bits() as u32).to_le_bytes(),
                Elem::I8 => (v as i8 as i32).to_le_bytes(),
                Elem::Bool => ((v != 0.0) as u32).to_le_bytes(),
            };
            for (k, &byte) in bytes[..elem.bytes()].iter().enumerate() {
                let at = i * elem.bytes() + k;
                storage[at / 16] |= (byte as u128) << (at % 16 * 8);
            }
        }
        // The bytes were put in little-endian order, as they lie in memory.
        storage.iter_mut().for_each(|word| *word = word.to_le());
        CaseArg::Tensor { elem, shape: shape.to_vec(), storage, tolerance: None }
    }

    /// The elements of a tensor, as doubles.
    pub fn values(&self) -> Vec<f64> {
        let CaseArg::Tensor { elem, shape, storage, .. } = self else { return Vec::new() };
        let byte = |at: usize| (u128::from_le(storage[at / 16]) >> (at % 16 * 8)) as u8;
        let get = |i: usize| match elem {
            Elem::F32 => f32::from_le_bytes([0, 1, 2, 3].map(|k| byte(i * 4 + k))) as f64,
            Elem::I32 => i32::from_le_bytes([0, 1, 2, 3].map(|k| byte(i * 4 + k))) as f64,
            Elem::F16 => f16::from_le_bytes([0, 1].map(|k| byte(i * 2 + k))).to_f64(),
            Elem::BF16 => bf16::from_le_bytes([0, 1].map(|k| byte(i * 2 + k))).to_f64(),
            Elem::I8 => byte(i) as i8 as f64,
            Elem::Bool => byte(i) as f64,
        };
        (0..shape.iter().product()).map(get).collect()
    }

    fn lend(&mut self) -> Arg<'_> {
        match self {
            CaseArg::Scalar(s) => Arg::Scalar(*s),
            CaseArg::Tensor { elem, shape, storage, tolerance } => {
                let strides: Vec<i64> =
                    (0..shape.len()).map(|a| shape[a + 1..].iter().product::<usize>() as i64).collect();
                let (address, mutable) = (storage.as_mut_ptr() as usize, tolerance.is_some());
                // SAFETY: `storage` is borrowed mutably for the argument's lifetime, is aligned for every element type, and
                // has room for a contiguous tensor of this shape.
                Arg::Tensor(unsafe {
                    TensorArg::from_raw(*elem, shape, &strides, address, Space::Host, mutable)
                })
            }
        }
    }
}
