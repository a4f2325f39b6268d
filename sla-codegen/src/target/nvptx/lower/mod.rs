//! From a scheduled kernel to MLIR text: `scf` and `arith`, `llvm` for memory, `nvvm` for threads, inline PTX for the rest.
//!
//! A tile becomes one SSA value per register of its layout; halves that are neighbours share one `i32`. All threads run the same control
//! flow, because scalars are the same for all: barriers may stand anywhere. One file per kind of op; this one holds the values and walks the ops.

mod checks;
mod control;
mod copy;
mod dot;
mod dot_f32;
mod dot_plain;
mod draw;
mod elementwise;
mod fragment;
mod global;
mod pack;
mod pin;
mod reduce;
mod ring;
mod roles;
mod roles_check;
mod send;
mod shape;
mod shared;
mod turn;
mod wgmma;

pub use roles::lower_roles;

use super::layout::Layout;
use super::product::{fits_tensor_cores, looked_through};
use super::ptx::entry;
use super::schedule::Schedule;
use super::text::{Ssa, Text, Ty, list, place};
use crate::analysis::{Divisors, TensorUse, Uses, tensor_uses};
use crate::{DeviceLog, Options};
use checks::Log;
use dot::Kept;
use ring::View;
use roles::Roles;
use shared::SharedTile;
use sla_dsl::diag::Loc;
use sla_dsl::ir::{AbiArg, BlockId, DimExpr, Elem, Kernel, Op, OpCode, OpId, ParamKind, Type, Value};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// What the lowering yields.
pub struct Lowered {
    /// A `builtin.module`.
    pub mlir: String,
    /// Dynamic shared memory, in bytes.
    pub shared_bytes: usize,
    /// What the checks write, if they were asked for.
    pub log: Option<DeviceLog>,
}

/// What stands for a value of the kernel.
#[derive(Clone)]
enum Val {
    /// A scalar, or the registers of a tile.
    Regs(Vec<Ssa>),
    /// A tile in shared memory.
    Shared(SharedTile),
    /// A ring, by its number.
    Ring(usize),
    /// A filled stage of a ring.
    View(View),
}

/// Lowers a kernel under a schedule, with checks on the device and places in the source as the options say. The kernel has passed the target's check.
pub fn lower(kernel: &Kernel, schedule: &Schedule, options: &Options) -> Lowered {
    let mut lower = Lower::new(kernel, schedule);
    if options.lines {
        lower.t.with_places();
    }
    let arguments = lower.arguments(options.checks);
    lower.block(kernel.body);
    let shared_bytes = schedule.buffer_bytes.max(lower.scratch_end);
    let log = lower.log.take().map(|l| DeviceLog::new(&kernel.name, l.sites));
    // Left alone, ptxas spills a little where that lets one more program onto a multiprocessor. Kernels with long products are those that
    // come near it; one that is sure of a single program gets the registers that it wants.
    let registers = if schedule.long.is_empty() { "" } else { ", nvvm.minctasm = 1 : i32" };
    let mlir = lower.finish(&arguments, schedule.family.threads(), registers);
    Lowered { mlir, shared_bytes, log }
}

struct Lower<'k> {
    k: &'k Kernel,
    schedule: &'k Schedule,
    defs: Vec<Option<OpId>>,
    uses: Uses,
    tensors: Vec<TensorUse>,
    divisors: Divisors<'k>,
    t: Text,
    env: HashMap<Value, Val>,
    layouts: HashMap<Vec<usize>, Rc<Layout>>,
    /// The thread's number in the program.
    tid: Ssa,
    /// The address of dynamic shared memory, `i32`.
    pool: Ssa,
    /// The op that is being lowered.
    current: OpId,
    /// Where the highest scratch of any op ends.
    scratch_end: usize,
    /// What lies in scratch as the last dot left it; forgotten by whoever takes scratch, fills a buffer, or starts or ends a block.
    kept: Option<Kept>,
    /// Tiles that are computed where they are written.
    pinned: HashSet<Value>,
    pointers: HashMap<usize, Ssa>,
    dims: Vec<Ssa>,
    strides: HashMap<(usize, usize), Ssa>,
    /// Present when the device checks.
    log: Option<Log>,
    /// What only scheduled kernels have.
    roles: Roles,
}

impl<'k> Lower<'k> {
    fn new(kernel: &'k Kernel, schedule: &'k Schedule) -> Lower<'k> {
        let mut text = Text::default();
        let tid = text.head("nvvm.read.ptx.sreg.tid.x : i32");
        let pool = text.head("llvm.mlir.addressof @pool$ : !llvm.ptr<3>");
        let pool = text.head(format_args!("llvm.ptrtoint {pool} : !llvm.ptr<3> to i32"));
        Lower {
            k: kernel,
            schedule,
            defs: kernel.defs(),
            uses: Uses::new(kernel),
            tensors: tensor_uses(kernel),
            divisors: Divisors::new(kernel),
            t: text,
            env: HashMap::new(),
            layouts: HashMap::new(),
            tid,
            pool,
            current: OpId(0),
            scratch_end: 0,
            kept: None,
            pinned: HashSet::new(),
            pointers: HashMap::new(),
            dims: Vec::new(),
            strides: HashMap::new(),
            log: None,
            roles: Roles::default(),
        }
    }
}

impl Lower<'_> {
    /// Names the arguments and returns their declarations.
    fn arguments(&mut self, checks: bool) -> Vec<String> {
        let mut out = Vec::new();
        for arg in self.k.abi() {
            let v = self.t.fresh();
            let (ty, attrs) = match arg {
                AbiArg::Pointer { param } => {
                    self.pointers.insert(param, v);
                    let p = &self.k.params[param];
                    let elem = self.k.ty(self.k.block(self.k.body).args[param]).elem().map_or(1, Elem::bytes);
                    let align = if p.memory.aligned { 16 } else { elem };
                    let readonly = if self.tensors[param].read_only() { ", llvm.readonly" } else { "" };
                    (Ty::Global, format!(" {{llvm.noalias, llvm.align = {align} : i64{readonly}}}"))
                }
                AbiArg::Scalar { param, elem } => {
                    let ty = if elem == Elem::Bool { Ty::I8 } else { register(elem, false) };
                    let value = self.k.block(self.k.body).args[param];
                    let mut is = v;
                    if elem == Elem::Bool {
                        let zero = self.t.int(0, Ty::I8);
                        is = self.t.head(format_args!("arith.cmpi ne, {v}, {zero} : i8"));
                    }
                    self.env.insert(value, Val::Regs(vec![is]));
                    (ty, String::new())
                }
                AbiArg::Dim { .. } => {
                    self.dims.push(v);
                    (Ty::I32, String::new())
                }
                AbiArg::Stride { param, axis } => {
                    self.strides.insert((param, axis), v);
                    (Ty::I64, String::new())
                }
            };
            out.push(format!("{v}: {ty}{attrs}"));
        }
        if checks {
            let pointer = self.t.fresh();
            self.log = Some(Log { pointer, sites: Vec::new() });
            out.push(format!("{pointer}: {}", Ty::Global));
        }
        for (i, p) in self.k.params.iter().enumerate() {
            if let ParamKind::Tensor(t) = &p.kind
                && p.memory.packed
                && !t.dims.is_empty()
            {
                let one = self.t.i64(1);
                self.strides.insert((i, t.dims.len() - 1), one);
            }
        }
        out
    }

    /// The module, with attributes of its function beside the number of threads.
    fn finish(self, arguments: &[String], threads: u32, attributes: &str) -> String {
        let place = if self.t.has_places() { place(first_place(self.k)) } else { String::new() };
        format!(
            "{}module {{\n  llvm.mlir.global external @pool$() {{addr_space = 3 : i32, alignment = 1024 : i64}} : \
             !llvm.array<0 x i8>\n  llvm.func @{}({}) attributes {{nvvm.kernel, nvvm.maxntid = array<i32: {threads}>{attributes}}} {{\n\
             {}    llvm.return\n  }}{place}\n}}{place}\n",
            self.t.names(),
            entry(self.k),
            list(arguments),
            self.t.finish(),
        )
    }

    /// The threads that run this code meet, and see each other's writes.
    fn barrier(&mut self) {
        match self.roles.current {
            None => self.t.barrier(),
            Some(_) => self.role_barrier(),
        }
    }

    /// Lowers the ops of a block except its `yield`.
    fn block(&mut self, block: BlockId) {
        self.kept = None;
        for i in 0..self.k.block(block).ops.len() {
            let id = self.k.block(block).ops[i];
            self.op(id);
        }
        self.kept = None;
    }

    fn op(&mut self, id: OpId) {
        let before = self.t.at(self.k.op(id).loc);
        self.op_here(id);
        self.t.back(before);
    }

    fn op_here(&mut self, id: OpId) {
        let op = self.k.op(id);
        self.current = id;
        if op.results.iter().any(|&r| looked_through(self.k, &self.uses, &self.defs, r)) {
            return;
        }
        match op.code {
            OpCode::Yield => {}
            OpCode::Assert => self.assert_op(id),
            OpCode::Print => self.print_op(id),
            OpCode::For => self.for_op(id),
            OpCode::If => self.if_op(id),
            OpCode::Load => self.load(id),
            OpCode::Store | OpCode::AtomicAdd => self.store(id),
            OpCode::Dot if fits_tensor_cores(self.k, &self.defs, id) => self.dot(id),
            OpCode::Dot => self.dot_plain(id),
            OpCode::Reshape | OpCode::Transpose => self.reshape(id),
            OpCode::Pack => self.pack_rows(id),
            OpCode::ReduceSum | OpCode::ReduceMax | OpCode::ReduceMin => self.reduce(id),
            OpCode::FoldSum | OpCode::FoldMax => self.fold(id),
            OpCode::Ring | OpCode::Role => {}
            OpCode::Cursor => self.cursor(id),
            OpCode::Advance => self.advance(id),
            OpCode::Lap => self.lap(id),
            OpCode::Acquire => self.acquire(id),
            OpCode::Fill => self.fill(id),
            OpCode::Draw => self.draw(id),
            OpCode::Take => self.take(id),
            OpCode::Await => self.await_stage(id),
            OpCode::Release => self.release(id),
            OpCode::Read => self.read_view(id),
            OpCode::Mma => self.wgmma(id),
            OpCode::MmaWait => self.wgmma_wait(id),
            OpCode::Send => self.send(id),
            OpCode::TakeTurn => self.take_turn(),
            OpCode::PassTurn => self.pass_turn(),
            OpCode::SendAdd => self.send_add(id),
            OpCode::Share => self.share(id),
            _ => self.elementwise(id),
        }
    }

    fn elem(&self, v: Value) -> Elem {
        self.k.ty(v).elem().unwrap_or(Elem::I32)
    }

    /// The layout of tiles of a shape; a scalar has one register everywhere.
    fn layout(&mut self, shape: &[usize]) -> Rc<Layout> {
        if let Some(l) = self.layouts.get(shape) {
            return l.clone();
        }
        let l = Rc::new(self.schedule.family.canonical(shape));
        self.layouts.insert(shape.to_vec(), l.clone());
        l
    }

    fn layout_of(&mut self, v: Value) -> Rc<Layout> {
        let shape = self.k.ty(v).shape().unwrap_or(&[]).to_vec();
        self.layout(&shape)
    }

    /// The registers of a value, by type.
    fn registers(&mut self, v: Value) -> (Ty, usize) {
        match self.k.ty(v) {
            Type::Cursor => return (Ty::I32, 2),
            Type::Pending(_, shape) => {
                let shape = *shape;
                return (Ty::F32, self.layout(&shape).regs.len());
            }
            _ => {}
        }
        let layout = self.layout_of(v);
        let elem = self.elem(v);
        let paired = elem.is_half() && layout.paired();
        (register(elem, paired), if paired { layout.regs.len() / 2 } else { layout.regs.len() })
    }

    /// The registers that hold a value; a tile in shared memory is read.
    fn regs(&mut self, v: Value) -> Vec<Ssa> {
        match self.env.get(&v) {
            Some(Val::Regs(r)) => r.clone(),
            Some(Val::Shared(s)) => {
                let s = *s;
                self.read_shared_tile(s)
            }
            Some(Val::Ring(_) | Val::View(_)) => unreachable!("{v} is no tile in a verified kernel"),
            None => unreachable!("{v} is used before its definition in a verified kernel"),
        }
    }

    /// The one register of a scalar.
    fn scalar(&mut self, v: Value) -> Ssa {
        self.regs(v)[0]
    }

    fn set(&mut self, v: Value, regs: Vec<Ssa>) {
        self.env.insert(v, Val::Regs(regs));
    }

    /// One register per element: halves that share a register are taken apart.
    fn elements(&mut self, v: Value) -> Vec<Ssa> {
        let regs = self.regs(v);
        let layout = self.layout_of(v);
        if self.elem(v).is_half() && layout.paired() { self.unpack(&regs) } else { regs }
    }

    /// The inverse of [`Lower::elements`] for a tile of a layout.
    fn join_elements(&mut self, elem: Elem, layout: &Layout, elements: Vec<Ssa>) -> Vec<Ssa> {
        if elem.is_half() && layout.paired() { self.pack(&elements) } else { elements }
    }

    fn unpack(&mut self, pairs: &[Ssa]) -> Vec<Ssa> {
        let sixteen = self.t.i32(16);
        let mut out = Vec::new();
        for &p in pairs {
            out.push(self.t.cast("arith.trunci", p, Ty::I32, Ty::I16));
            let high = self.t.bin("arith.shrui", p, sixteen, Ty::I32);
            out.push(self.t.cast("arith.trunci", high, Ty::I32, Ty::I16));
        }
        out
    }

    fn pack(&mut self, halves: &[Ssa]) -> Vec<Ssa> {
        let sixteen = self.t.i32(16);
        let mut out = Vec::new();
        for pair in halves.chunks(2) {
            let low = self.t.cast("arith.extui", pair[0], Ty::I16, Ty::I32);
            let high = self.t.cast("arith.extui", pair[1], Ty::I16, Ty::I32);
            let high = self.t.bin("arith.shli", high, sixteen, Ty::I32);
            out.push(self.t.bin("arith.ori", low, high, Ty::I32));
        }
        out
    }

    /// `(tid >> first) & (2^count - 1)`, in the head.
    fn thread_bits(&mut self, first: u32, count: u32) -> Ssa {
        let (shift, mask) = (self.t.i32(first.into()), self.t.i32((1i64 << count) - 1));
        let v = if first == 0 { self.tid } else { self.t.head_bin("arith.shrui", self.tid, shift, Ty::I32) };
        self.t.head_bin("arith.andi", v, mask, Ty::I32)
    }

    /// The thread's part of a position on an axis, in the head.
    fn thread_position(&mut self, layout: &Layout, axis: usize) -> Ssa {
        let mut sum: Option<Ssa> = None;
        for (first, count, base) in layout.groups(axis) {
            let bits = self.thread_bits(first, count);
            let base = self.t.i32(base.into());
            let term = self.t.head_bin("arith.muli", bits, base, Ty::I32);
            sum = Some(match sum {
                Some(s) => self.t.head_bin("arith.addi", s, term, Ty::I32),
                None => term,
            });
        }
        sum.unwrap_or_else(|| self.t.i32(0))
    }

    /// A register's position on an axis, in the head.
    fn position(&mut self, layout: &Layout, reg: usize, axis: usize) -> Ssa {
        let thread = self.thread_position(layout, axis);
        let constant = self.t.i32(layout.regs[reg][axis].into());
        self.t.head_bin("arith.addi", thread, constant, Ty::I32)
    }

    /// Whether a register is no padding: `None` if it never is.
    fn inside(&mut self, layout: &Layout, reg: usize) -> Option<Ssa> {
        let mut all = None;
        for axis in 0..layout.shape.len() {
            if layout.padded(axis) {
                let position = self.position(layout, reg, axis);
                let extent = self.t.i32(layout.shape[axis] as i64);
                let here = self.t.head(format_args!("arith.cmpi ult, {position}, {extent} : i32"));
                all = self.and(all, Some(here));
            }
        }
        all
    }

    /// Both conditions; `None` is true.
    fn and(&mut self, a: Option<Ssa>, b: Option<Ssa>) -> Option<Ssa> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.t.bin("arith.andi", a, b, Ty::I1)),
            (a, b) => a.or(b),
        }
    }

    /// A size, in the head.
    fn size(&mut self, e: &DimExpr) -> Ssa {
        let wide = self.wide_size(e);
        self.t.head(format_args!("arith.trunci {wide} : i64 to i32"))
    }

    /// The same before it is known to fit: products on the way may not.
    fn wide_size(&mut self, e: &DimExpr) -> Ssa {
        let mut two = |op: &str, a: &DimExpr, b: &DimExpr| {
            let (a, b) = (self.wide_size(a), self.wide_size(b));
            self.t.head_bin(op, a, b, Ty::I64)
        };
        match e {
            DimExpr::Const(c) => self.t.i64(*c),
            DimExpr::Name(n) => match self.k.dims.iter().position(|d| d == n) {
                Some(i) => {
                    let dim = self.dims[i];
                    self.t.head(format_args!("arith.extsi {dim} : i32 to i64"))
                }
                None => unreachable!("{n} is not a dim of a verified kernel"),
            },
            DimExpr::Add(a, b) => two("arith.addi", a, b),
            DimExpr::Sub(a, b) => two("arith.subi", a, b),
            DimExpr::Mul(a, b) => two("arith.muli", a, b),
            DimExpr::Div(a, b) => two("arith.divui", a, b),
            DimExpr::Rem(a, b) => two("arith.remui", a, b),
            DimExpr::Min(a, b) => two("arith.minsi", a, b),
            DimExpr::Max(a, b) => two("arith.maxsi", a, b),
            DimExpr::DivCeil(a, b) => {
                let (a, b, one) = (self.wide_size(a), self.wide_size(b), self.t.i64(-1));
                let less = self.t.head_bin("arith.addi", b, one, Ty::I64);
                let up = self.t.head_bin("arith.addi", a, less, Ty::I64);
                self.t.head_bin("arith.divui", up, b, Ty::I64)
            }
        }
    }

    /// Whether a value is the extent of a grid axis, or how many blocks of threads there are.
    fn is_extent(&self, v: Value) -> bool {
        self.defs[v.index()].is_some_and(|d| matches!(self.k.op(d).code, OpCode::Extent | OpCode::Ctas))
    }

    /// What stands for a division by an extent, in the head: `(2^32 - 1) / d`.
    fn reciprocal(&mut self, d: Ssa) -> Ssa {
        let all = self.t.i32(-1);
        let m = self.t.head_bin("arith.divui", all, d, Ty::I32);
        self.t.head(format_args!("arith.extui {m} : i32 to i64"))
    }

    /// The quotient or remainder of a number of programs, which is not negative, by an extent. With `m = (2^32 - 1) / d`, made once in the
    /// head, `x m / 2^32` is the quotient or one less for all `x` below `2^31`: `m >= 2^32 / d - 1`.
    fn by_extent(&mut self, op: &Op) -> Ssa {
        let (x, d) = (self.scalar(op.operands[0]), self.scalar(op.operands[1]));
        let (m, wide) = (self.reciprocal(d), self.t.i64(32));
        let long = self.t.cast("arith.extui", x, Ty::I32, Ty::I64);
        let product = self.t.bin("arith.muli", long, m, Ty::I64);
        let high = self.t.bin("arith.shrui", product, wide, Ty::I64);
        let q = self.t.cast("arith.trunci", high, Ty::I64, Ty::I32);
        let back = self.t.bin("arith.muli", q, d, Ty::I32);
        let r = self.t.bin("arith.subi", x, back, Ty::I32);
        let more = self.t.def(format_args!("arith.cmpi uge, {r}, {d} : i32"));
        if op.code == OpCode::Div {
            let next = self.t.add_const(q, 1);
            self.t.select(more, next, q, Ty::I32)
        } else {
            let less = self.t.bin("arith.subi", r, d, Ty::I32);
            self.t.select(more, less, r, Ty::I32)
        }
    }

    /// This program's place on a grid axis, in the head.
    fn program_id(&mut self, axis: usize) -> Ssa {
        let mut p = self.t.head("nvvm.read.ptx.sreg.ctaid.x : i32");
        let grid = &self.k.grid;
        for before in grid.iter().take(axis) {
            let extent = self.size(&before.extent);
            p = self.t.head_bin("arith.divui", p, extent, Ty::I32);
        }
        if axis + 1 < grid.len() {
            let extent = self.size(&grid[axis].extent);
            p = self.t.head_bin("arith.remui", p, extent, Ty::I32);
        }
        p
    }
}

/// The place of the first op that has one.
fn first_place(kernel: &Kernel) -> Loc {
    let mut first = Loc::UNKNOWN;
    kernel.walk(&mut |k, _, id| {
        if first.line == 0 {
            first = k.op(id).loc;
        }
    });
    first
}

/// The type of the register that holds an element, or two halves of it.
fn register(elem: Elem, paired: bool) -> Ty {
    match elem {
        Elem::F32 => Ty::F32,
        Elem::I32 => Ty::I32,
        Elem::I8 => Ty::I8,
        Elem::Bool => Ty::I1,
        Elem::F16 | Elem::BF16 if paired => Ty::I32,
        Elem::F16 | Elem::BF16 => Ty::I16,
    }
}
