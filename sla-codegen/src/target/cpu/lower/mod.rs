//! A scheduled kernel as MLIR text.
//!
//! The function runs programs `first..last` one after the other. Control flow of the kernel becomes blocks and branches (`cf`), so that a
//! failed assertion can leave from anywhere; the loops over a tile's elements are `scf.for`. Tiles in scratch memory are `memref`s of
//! static shape at fixed offsets, elements are processed as `vector`s of the host's length with scalar tails, and tensors are flat `memref`s
//! addressed by offsets computed from their strides.
//!
//! * `code` writes text; `frame` writes the function around the kernel; `control` walks its blocks.
//! * `eval` computes vectors of a value's elements; `arith`, `math` and `convert` are the instructions.
//! * `memory`, `reduce`, `pack`, `dot` and `debug` lower the ops of those kinds.

mod arith;
mod code;
mod control;
mod convert;
mod debug;
mod dot;
mod eval;
mod frame;
mod math;
mod memory;
mod pack;
mod reduce;
mod transpose;

use super::hooks::Site;
use super::host::Host;
use super::schedule::{BufferId, Nest, Schedule};
use code::Code;
use sla_dsl::ir::{Elem, Kernel, Value};
use std::collections::HashMap;

/// The name of the compiled function.
pub const ENTRY: &str = "sla_kernel";

/// MLIR text and what goes with it.
pub struct Lowered {
    /// The module.
    pub text: String,
    /// Places that call back, in the order of their numbers.
    pub sites: Vec<Site>,
    /// Bytes of scratch memory.
    pub scratch: usize,
}

/// Lowers a kernel that passed the target's check.
pub fn lower(kernel: &Kernel, schedule: &Schedule, host: &Host) -> Lowered {
    let mut lower = Lower {
        k: kernel,
        s: schedule,
        host,
        nest: Nest::new(kernel),
        code: Code::default(),
        scalars: HashMap::new(),
        tensors: HashMap::new(),
        views: Vec::new(),
        sites: Vec::new(),
        scratch: schedule.scratch,
        place: Vec::new(),
        dims: Vec::new(),
        exit: String::new(),
    };
    let text = lower.function();
    Lowered { text, sites: lower.sites, scratch: lower.scratch }
}

/// A tensor parameter inside the function.
struct Tensor {
    /// The flat memref.
    memref: String,
    /// Its type.
    ty: String,
    elem: Elem,
    packed: bool,
    /// Per axis: size and stride, indices.
    sizes: Vec<String>,
    strides: Vec<String>,
}

struct Lower<'k> {
    k: &'k Kernel,
    s: &'k Schedule,
    host: &'k Host,
    nest: Nest,
    code: Code,
    /// SSA names of scalar values.
    scalars: HashMap<Value, String>,
    tensors: HashMap<Value, Tensor>,
    /// Names and lines of scratch views, made at the function's entry.
    views: Vec<(String, String)>,
    sites: Vec<Site>,
    scratch: usize,
    /// The program's place on the grid, i32.
    place: Vec<String>,
    /// Runtime dims, i32.
    dims: Vec<String>,
    /// The label to leave from.
    exit: String,
}

/// The MLIR type of `lanes` elements.
fn vector(elem: &str, lanes: usize) -> String {
    if lanes == 1 { elem.to_string() } else { format!("vector<{lanes}x{elem}>") }
}

/// The type that stands for an element type in registers.
fn register(elem: Elem) -> &'static str {
    match elem {
        Elem::F32 | Elem::F16 | Elem::BF16 => "f32",
        Elem::I32 | Elem::I8 => "i32",
        Elem::Bool => "i1",
    }
}

/// The type that stands for an element type in scratch memory.
fn cell(elem: Elem) -> &'static str {
    match elem {
        Elem::Bool => "i8",
        e => register(e),
    }
}

/// The largest power of two that is no more than `n` and the host's vector length.
fn lanes_for(host: &Host, n: usize) -> usize {
    let fit = host.lanes.min(n.max(1));
    1 << fit.ilog2()
}

impl Lower<'_> {
    /// A view of scratch memory: name and type.
    fn view(&mut self, offset: usize, outer: usize, inner: usize, elem: Elem) -> (String, String) {
        let ty = format!("memref<{outer}x{inner}x{}>", cell(elem));
        let name = format!("%s{offset}_{outer}x{inner}{}", cell(elem));
        if !self.views.iter().any(|(n, _)| *n == name) {
            let at = self.code.index(offset);
            self.views.push((name.clone(), format!("memref.view %scratch[{at}][] : memref<?xi8> to {ty}")));
        }
        (name, ty)
    }

    /// The view of a buffer.
    fn buffer(&mut self, id: BufferId) -> (String, String) {
        let b = self.s.buffer(id).clone();
        self.view(b.offset, b.outer, b.inner, b.elem)
    }
}
