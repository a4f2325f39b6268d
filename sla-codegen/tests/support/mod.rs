//! Runs a kernel by the interpreter and on the host and compares what it stored. Shared by the tests of the host target.
#![allow(dead_code)]

use half::{bf16, f16};
use sla_codegen::target::cpu::{Host, HostFunction, compile_for};
use sla_dsl::diag::Loc;
use sla_dsl::interp;
use sla_dsl::ir::{
    AbiArg, Builder, DimExpr, Elem, Facts, GridAxis, Kernel, MemFacts, Param, ParamKind, Scalar, TensorType,
    Value,
};
use sla_dsl::launch::{Arg, Space, TensorArg};

/// No place.
pub const L: Loc = Loc::UNKNOWN;

/// A tensor's contents: aligned bytes.
#[derive(Clone)]
pub struct Data {
    pub elem: Elem,
    pub shape: Vec<usize>,
    strides: Vec<i64>,
    count: usize,
    words: Vec<u64>,
}

impl Data {
    /// From numbers, rounded to the element type.
    pub fn new(elem: Elem, shape: &[usize], values: &[f64]) -> Data {
        let n: usize = shape.iter().product();
        let strides = (0..shape.len()).map(|a| shape[a + 1..].iter().product::<usize>() as i64).collect();
        let words = vec![0; (n * elem.bytes()).div_ceil(8)];
        let mut data = Data { elem, shape: shape.to_vec(), strides, count: n, words };
        for (i, &v) in values.iter().cycle().take(n).enumerate() {
            data.set(i, v);
        }
        data
    }

    /// Seeded numbers in [-2, 2) (integers in -8..8).
    pub fn random(elem: Elem, shape: &[usize], seed: u64) -> Data {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let n: usize = shape.iter().product();
        let values: Vec<f64> = (0..n.max(1))
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let unit = (state >> 33) as f64 / (1u64 << 31) as f64;
                if elem.is_float() { unit * 4.0 - 2.0 } else { (unit * 16.0).floor() - 8.0 }
            })
            .collect();
        Data::new(elem, shape, &values)
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    fn set(&mut self, i: usize, v: f64) {
        let (elem, w) = (self.elem, self.elem.bytes());
        let to = &mut self.bytes()[i * w..(i + 1) * w];
        match elem {
            Elem::F32 => to.copy_from_slice(&(v as f32).to_ne_bytes()),
            Elem::F16 => to.copy_from_slice(&f16::from_f64(v).to_ne_bytes()),
            Elem::BF16 => to.copy_from_slice(&bf16::from_f64(v).to_ne_bytes()),
            Elem::I32 => to.copy_from_slice(&(v as i32).to_ne_bytes()),
            Elem::I8 => to[0] = v as i8 as u8,
            Elem::Bool => to[0] = (v > 0.0) as u8,
        }
    }

    /// Everything in its memory, as numbers.
    pub fn values(&self) -> Vec<f64> {
        let (bytes, w): (&[u8], usize) = (bytemuck::cast_slice(&self.words), self.elem.bytes());
        (0..self.count)
            .map(|i| {
                let b = &bytes[i * w..(i + 1) * w];
                match self.elem {
                    Elem::F32 => f32::from_ne_bytes([b[0], b[1], b[2], b[3]]) as f64,
                    Elem::F16 => f16::from_ne_bytes([b[0], b[1]]).to_f64(),
                    Elem::BF16 => bf16::from_ne_bytes([b[0], b[1]]).to_f64(),
                    Elem::I32 => i32::from_ne_bytes([b[0], b[1], b[2], b[3]]) as f64,
                    Elem::I8 => b[0] as i8 as f64,
                    Elem::Bool => b[0] as f64,
                }
            })
            .collect()
    }

    fn address(&self) -> usize {
        self.words.as_ptr() as usize
    }

    /// The same memory seen under another shape and strides, which must stay inside it.
    pub fn seen_as(mut self, shape: &[usize], strides: &[i64]) -> Data {
        (self.shape, self.strides) = (shape.to_vec(), strides.to_vec());
        self
    }

    fn strides(&self) -> &[i64] {
        &self.strides
    }
}

/// An argument of a test kernel.
#[derive(Clone)]
pub enum Given {
    Tensor(Data),
    Scalar(Elem, Scalar),
}

impl From<Data> for Given {
    fn from(d: Data) -> Given {
        Given::Tensor(d)
    }
}

/// A tensor parameter of fixed sizes; `out` marks what the kernel writes.
pub fn param(name: &str, data: &Data, out: bool) -> Param {
    let dims = data.shape.iter().map(|&n| DimExpr::Const(n as i64)).collect();
    let kind = ParamKind::Tensor(TensorType { elem: data.elem, dims, mutable: out });
    let packed = data.strides.last().is_none_or(|&s| s == 1);
    Param { name: name.into(), kind, memory: MemFacts { packed, aligned: false, positive: false } }
}

/// A kernel over fixed-size tensors, the last `outs` of which it writes, on a grid of `grid` programs.
pub fn build(args: &[Given], outs: usize, grid: &[usize], body: impl FnOnce(&Builder)) -> Kernel {
    let first_out = args.len() - outs;
    let params = args
        .iter()
        .enumerate()
        .map(|(i, a)| match a {
            Given::Tensor(d) => param(&format!("p{i}"), d, i >= first_out),
            Given::Scalar(e, _) => {
                Param { name: format!("p{i}"), kind: ParamKind::Scalar(*e), memory: Default::default() }
            }
        })
        .collect();
    let grid = grid
        .iter()
        .enumerate()
        .map(|(i, &n)| GridAxis { name: format!("g{i}"), extent: DimExpr::Const(n as i64) })
        .collect();
    let b = Builder::new("test", &[], grid, params, &Facts::default());
    body(&b);
    b.finish().unwrap_or_else(|e| panic!("{e}"))
}

/// The whole of a rank-1 or rank-2 tensor parameter.
pub fn whole(b: &Builder, param: usize, data: &Data) -> Value {
    let zero = b.int(0, L);
    let offsets = vec![zero; data.shape.len()];
    let check = vec![false; data.shape.len()];
    b.load(b.param(param), &offsets, &data.shape, &check, &data.shape, L)
}

/// Stores a tile as the whole of a tensor parameter.
pub fn store_whole(b: &Builder, param: usize, data: &Data, v: Value) {
    let zero = b.int(0, L);
    let offsets = vec![zero; data.shape.len()];
    let check = vec![false; data.shape.len()];
    b.store(sla_dsl::ir::OpCode::Store, b.param(param), v, &offsets, &data.shape, &check, L);
}

/// Runs on the interpreter; returns the arguments afterwards.
pub fn interpret(kernel: &Kernel, args: &[Given], dims: &[i64], grid: [usize; 3]) -> Vec<Given> {
    let after = args.to_vec();
    let lent: Vec<Arg<'_>> = after.iter().zip(&kernel.params).map(|(a, p)| lend(a, p)).collect();
    interp::run(kernel, &lent, dims, grid).unwrap_or_else(|e| panic!("{e}"));
    after
}

fn lend<'a>(a: &'a Given, p: &Param) -> Arg<'a> {
    match a {
        Given::Tensor(d) => {
            let mutable = matches!(&p.kind, ParamKind::Tensor(t) if t.mutable);
            // SAFETY: the data is owned by the test and used by this launch only; it is written through raw memory, never a reference.
            Arg::Tensor(unsafe {
                TensorArg::from_raw(d.elem, &d.shape, d.strides(), d.address(), Space::Host, mutable)
            })
        }
        Given::Scalar(_, s) => Arg::Scalar(*s),
    }
}

/// The argument slots of a host function.
pub fn slots(kernel: &Kernel, args: &[Given], dims: &[i64]) -> Vec<u64> {
    let bits = |e: Elem, s: Scalar| match (e, s) {
        (Elem::F16, Scalar::Float(v)) => f16::from_f64(v).to_bits() as u64,
        (Elem::BF16, Scalar::Float(v)) => bf16::from_f64(v).to_bits() as u64,
        (_, Scalar::Float(v)) => (v as f32).to_bits() as u64,
        (_, Scalar::Int(v)) => v as u64,
        (_, Scalar::Bool(v)) => v as u64,
    };
    let tensor = |param: usize| match &args[param] {
        Given::Tensor(d) => d,
        Given::Scalar(..) => panic!("parameter {param} is a tensor"),
    };
    kernel
        .abi()
        .iter()
        .map(|a| match *a {
            AbiArg::Pointer { param } => tensor(param).address() as u64,
            AbiArg::Scalar { param, elem } => match &args[param] {
                Given::Scalar(_, s) => bits(elem, *s),
                Given::Tensor(_) => panic!("parameter {param} is a scalar"),
            },
            AbiArg::Dim { dim } => dims[dim] as u64,
            AbiArg::Stride { param, axis } => tensor(param).strides()[axis] as u64,
        })
        .collect()
}

/// Runs a compiled kernel on this thread; returns the arguments afterwards.
pub fn execute(
    f: &HostFunction,
    kernel: &Kernel,
    args: &[Given],
    dims: &[i64],
    grid: [usize; 3],
) -> Vec<Given> {
    let after = args.to_vec();
    let slots = slots(kernel, &after, dims);
    let mut scratch = vec![0x7fu8; f.scratch_bytes() + 64];
    let at = scratch.as_mut_ptr();
    let skip = at.align_offset(64);
    let count = (grid[0] * grid[1] * grid[2]) as u64;
    // SAFETY: the slots describe `after`, which nobody else uses, and the scratch memory is as long and as aligned as it must be.
    unsafe { f.run(&slots, 0..count, at.add(skip)) }.unwrap_or_else(|e| panic!("{e}"));
    after
}

/// Processors to compile for, as far as this machine can run the code.
pub fn hosts() -> Vec<Host> {
    let mut hosts = vec![Host::native().unwrap(), Host::new("x86-64", "+sse2")];
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        hosts.push(Host::new("haswell", "+avx,+avx2,+fma,+f16c,+bmi,+bmi2"));
    }
    hosts
}

/// Runs on the interpreter and on each processor, optimised by the tile passes and not, and compares every tensor. `tolerance` is relative
/// to the larger of 1 and the expected value; 0 asks for equal bits (any NaN equals any NaN).
pub fn agree(kernel: &Kernel, args: &[Given], dims: &[i64], grid: [usize; 3], tolerance: f64) {
    let expected = interpret(kernel, args, dims, grid);
    let optimised = sla_codegen::optimise(kernel).unwrap_or_else(|e| panic!("{e}"));
    for host in hosts() {
        for (which, k) in [("as built", kernel), ("optimised", &optimised)] {
            let f = compile_for(k, &host).unwrap_or_else(|e| panic!("{which} for {host:?}: {e}"));
            let found = execute(&f, k, args, dims, grid);
            for (p, (e, f)) in expected.iter().zip(&found).enumerate() {
                let (Given::Tensor(e), Given::Tensor(f)) = (e, f) else { continue };
                for (i, (x, y)) in e.values().iter().zip(f.values()).enumerate() {
                    let same = *x == y && (tolerance > 0.0 || x.is_sign_negative() == y.is_sign_negative())
                        || x.is_nan() && y.is_nan()
                        || (x - y).abs() <= tolerance * x.abs().max(1.0);
                    assert!(
                        same,
                        "{which} for {} lanes: element {i} of parameter {p} is {y}, expected {x}",
                        host.lanes
                    );
                }
            }
        }
    }
}
