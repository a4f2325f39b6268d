//! How a kernel runs on the baseline: warps, layouts, which loads live in shared memory, which run ahead in rings.
//!
//! The schedule is data beside the kernel, which stays as it was: the lowering asks it what to do with each loop and load, and the
//! `sched` stage prints it. It decides and writes no code.

use super::layout::{Comp, Family};
use super::placement::place;
use super::pressure::pressure;
use super::product::{dot_source, fits_tensor_cores, is_long};
use crate::Options;
use crate::analysis::{Divisors, Parents, TensorUse, Uses, ahead_slice, box_axes, tensor_uses};
use sla_dsl::ir::{Elem, Kernel, OpCode, OpId, Type, Value};

/// How much of the contracted axis a long dot brings in at a time.
pub const STREAMED: usize = 32;

/// How a shared buffer is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// By `cp.async`, 16 bytes a thread.
    Async,
    /// Through registers, where addresses are not known to be multiples of 16 bytes.
    Registers,
}

/// A loaded tile that lives in shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The load.
    pub load: OpId,
    /// Its result.
    pub value: Value,
    /// Rows of the tile.
    pub rows: usize,
    /// Columns of the tile.
    pub cols: usize,
    /// Element type.
    pub elem: Elem,
    /// How it is filled.
    pub fill: Fill,
    /// Copies: 1, or the stages of the ring it belongs to.
    pub stages: u32,
    /// Where it starts in shared memory.
    pub offset: usize,
    /// From where to where in program order its content is needed.
    pub life: (usize, usize),
}

impl Buffer {
    /// Bytes of one copy.
    pub fn bytes(&self) -> usize {
        self.rows * self.cols * self.elem.bytes()
    }

    /// Where it ends in shared memory.
    pub fn end(&self) -> usize {
        self.offset + (self.bytes() * self.stages as usize).next_multiple_of(128)
    }
}

/// A loop whose loads run ahead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The `for`.
    pub at: OpId,
    /// Copies of each buffer; loads are issued `stages - 1` iterations early.
    pub stages: u32,
    /// Indices of its buffers.
    pub buffers: Vec<usize>,
    /// Scalar ops that the loads' offsets come from, computed ahead too.
    pub slice: Vec<OpId>,
}

/// A load that no buffer is kept for: the dots that it is the second operand of bring in parts of it as they go along the contracted axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The load.
    pub load: OpId,
    /// Its result.
    pub value: Value,
    /// How parts are brought in.
    pub fill: Fill,
}

/// A kernel's schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Layouts, and the number of warps.
    pub family: Family,
    /// Tiles in shared memory.
    pub buffers: Vec<Buffer>,
    /// Pipelined loops.
    pub rings: Vec<Ring>,
    /// Dots whose contraction is a loop.
    pub long: Vec<OpId>,
    /// Tiles that long dots bring in by parts.
    pub streams: Vec<Stream>,
    /// Bytes of all buffers.
    pub buffer_bytes: usize,
    /// Where each op starts and ends in program order.
    pub order: Vec<(usize, usize)>,
}

impl Schedule {
    /// Chooses a schedule with rings of `stages` copies (1 for none), and tiles whose columns are shared by pairs of warps if `wide`.
    pub fn new(kernel: &Kernel, options: &Options, stages: u32, wide: bool) -> Schedule {
        Planner::new(kernel).plan(options, stages, wide)
    }

    /// Whether tiles take more registers than a thread has, so that a `wide` schedule is better; false where there is none.
    pub fn is_crowded(kernel: &Kernel, options: &Options) -> bool {
        Planner::new(kernel).is_crowded(options)
    }

    /// The stream of a value.
    pub fn stream_of(&self, v: Value) -> Option<Stream> {
        self.streams.iter().find(|s| s.value == v).copied()
    }

    /// Nothing in shared memory and nothing ahead: what a role of a scheduled kernel runs under.
    pub fn plain(kernel: &Kernel, family: Family) -> Schedule {
        let order = vec![(0, 0); kernel.ops.len()];
        Schedule {
            family,
            buffers: Vec::new(),
            rings: Vec::new(),
            long: Vec::new(),
            streams: Vec::new(),
            buffer_bytes: 0,
            order,
        }
    }

    /// The buffer that a value lives in.
    pub fn buffer_of(&self, v: Value) -> Option<usize> {
        self.buffers.iter().position(|b| b.value == v)
    }

    /// Where shared memory is free while an op runs.
    pub fn free_from(&self, op: OpId) -> usize {
        let (start, end) = self.order[op.index()];
        let alive = self.buffers.iter().filter(|b| b.life.0 < end && start < b.life.1);
        alive.map(Buffer::end).max().unwrap_or(0)
    }

    /// The ring of a loop.
    pub fn ring_of(&self, op: OpId) -> Option<&Ring> {
        self.rings.iter().find(|r| r.at == op)
    }

    /// What was decided, in words. Buffers are named after the parameter that they are loaded from.
    pub fn describe(&self, kernel: &Kernel) -> String {
        let tensor_of = |load: OpId| {
            let tensor = kernel.param_of(kernel.op(load).operands[0]);
            tensor.map_or("?", |p| kernel.params[p].name.as_str()).to_string()
        };
        let name = |b: &Buffer| tensor_of(b.load);
        let family = &self.family;
        let mut out = format!("schedule {{\n  warps {}\n", family.warps);
        for (what, comps) in [("rows", &family.row), ("columns", &family.col), ("rank 1", &family.line)] {
            out +=
                &format!("  {what}: {}\n", comps.iter().map(Comp::to_string).collect::<Vec<_>>().join(" "));
        }
        for b in &self.buffers {
            let fill = if b.fill == Fill::Async { "cp.async" } else { "registers" };
            let copies = if b.stages > 1 { format!("{} x ", b.stages) } else { String::new() };
            let (rows, cols, elem) = (b.rows, b.cols, b.elem);
            out +=
                &format!("  shared {}: {copies}[{rows}x{cols}x{elem}] at {}, by {fill}\n", name(b), b.offset);
        }
        for s in &self.streams {
            let fill = if s.fill == Fill::Async { "cp.async" } else { "registers" };
            out += &format!("  stream of {}, by {fill}\n", tensor_of(s.load));
        }
        if !self.long.is_empty() {
            out += &format!("  dots with a loop: {}\n", self.long.len());
        }
        for r in &self.rings {
            let loads: Vec<String> = r.buffers.iter().map(|&i| name(&self.buffers[i])).collect();
            let (depth, ahead) = (r.stages - 1, r.slice.len());
            let ops = if ahead == 1 { "op" } else { "ops" };
            out += &format!(
                "  ring of {}: {depth} iterations ahead, with {ahead} scalar {ops}\n",
                loads.join(", ")
            );
        }
        out + "}\n"
    }
}

struct Planner<'k> {
    kernel: &'k Kernel,
    defs: Vec<Option<OpId>>,
    parents: Parents,
    tensors: Vec<TensorUse>,
    uses: Uses,
    /// Those of tensor cores.
    dots: Vec<OpId>,
}

impl<'k> Planner<'k> {
    fn new(kernel: &'k Kernel) -> Planner<'k> {
        let (mut dots, defs) = (Vec::new(), kernel.defs());
        kernel.walk(&mut |k, _, id| {
            if k.op(id).code == OpCode::Dot && fits_tensor_cores(k, &defs, id) {
                dots.push(id);
            }
        });
        let (parents, tensors, uses) = (Parents::new(kernel), tensor_uses(kernel), Uses::new(kernel));
        Planner { kernel, defs, parents, tensors, uses, dots }
    }

    fn plan(&self, options: &Options, stages: u32, wide: bool) -> Schedule {
        let family = self.family(options, wide);
        let crowded = wide || self.crowded(&family);
        let long: Vec<OpId> =
            self.dots.iter().copied().filter(|&d| is_long(self.kernel, &self.defs, &family, d)).collect();
        let mut streams = Vec::new();
        let mut buffers = Vec::new();
        let mut rings: Vec<Ring> = Vec::new();
        let divisors = Divisors::new(self.kernel);
        let mut loads = Vec::new();
        self.kernel.walk(&mut |k, _, id| {
            if k.op(id).code == OpCode::Load {
                loads.push(id);
            }
        });
        for load in loads {
            let value = self.kernel.op(load).results[0];
            if self.is_streamed(load, value, &long) {
                let fill = if self.can_copy_async(load, &divisors) { Fill::Async } else { Fill::Registers };
                streams.push(Stream { load, value, fill });
                continue;
            }
            let (Some((rows, cols, elem)), true) =
                (self.tile(value), self.wants_shared(load, value, &family, crowded, wide))
            else {
                continue;
            };
            let fill = if self.can_copy_async(load, &divisors) { Fill::Async } else { Fill::Registers };
            let mut buffer =
                Buffer { load, value, rows, cols, elem, fill, stages: 1, offset: 0, life: (0, 0) };
            if stages > 1
                && fill == Fill::Async
                && let Some((at, slice)) = self.ring(load)
            {
                buffer.stages = stages;
                let ring = match rings.iter().position(|r| r.at == at) {
                    Some(i) => i,
                    None => {
                        rings.push(Ring { at, stages, buffers: Vec::new(), slice: Vec::new() });
                        rings.len() - 1
                    }
                };
                rings[ring].buffers.push(buffers.len());
                rings[ring].slice.extend(slice);
            }
            buffers.push(buffer);
        }
        for ring in &mut rings {
            let body = self.kernel.block(self.kernel.op(ring.at).regions[0]);
            ring.slice.sort_by_key(|id| body.ops.iter().position(|o| o == id));
            ring.slice.dedup();
        }
        let order = place(self.kernel, &mut buffers, &rings);
        let buffer_bytes = buffers.iter().map(Buffer::end).max().unwrap_or(0);
        Schedule { family, buffers, rings, long, streams, buffer_bytes, order }
    }

    /// Shape and element type of a value that ldmatrix or its f32 counterpart could read.
    fn tile(&self, v: Value) -> Option<(usize, usize, Elem)> {
        match self.kernel.ty(v) {
            Type::Tile(e, s) if s.len() == 2 && s[0] > 1 && e.is_float() => {
                (s[1] * e.bytes()).is_multiple_of(16).then_some((s[0], s[1], *e))
            }
            _ => None,
        }
    }

    /// Whether a load is best kept in shared memory: a dot's second operand or a transposed first one always is; a first operand inside a loop so
    /// that it can run ahead, one outside of the loop that uses it if registers are short (`crowded`) or the dot is long, and any where no
    /// warp has all of its columns (`wide`).
    fn wants_shared(&self, load: OpId, value: Value, family: &Family, crowded: bool, wide: bool) -> bool {
        let home = self.parents.loop_of(self.kernel, load);
        self.dots.iter().any(|&dot| {
            let a = dot_source(self.kernel, &self.defs, dot, 0);
            let b = dot_source(self.kernel, &self.defs, dot, 1);
            let scarce = crowded || is_long(self.kernel, &self.defs, family, dot);
            let held = wide || scarce && self.parents.loop_of(self.kernel, dot) != home;
            b.value == value || a.value == value && (a.transposed || home.is_some() || held)
        })
    }

    /// Whether a load is large, and read only as the second operand of long dots of the same loop, each of which goes through it once.
    fn is_streamed(&self, load: OpId, value: Value, long: &[OpId]) -> bool {
        /// Bytes from which a buffer is worth less than the room it takes.
        const LARGE: usize = 48 * 1024;
        let op = self.kernel.op(load);
        let Some((rows, cols, Elem::F32)) = self.tile(value) else { return false };
        let home = self.parents.loop_of(self.kernel, load);
        let reads_only = |&(user, operand): &(OpId, usize)| match self.kernel.op(user).code {
            OpCode::Dot => {
                operand == 1 && long.contains(&user) && self.parents.loop_of(self.kernel, user) == home
            }
            OpCode::Transpose => {
                self.uses.of(self.kernel.op(user).results[0]).iter().all(|&(dot, operand)| {
                    operand == 1 && long.contains(&dot) && self.parents.loop_of(self.kernel, dot) == home
                })
            }
            _ => false,
        };
        rows * cols * Elem::F32.bytes() >= LARGE
            && rows.is_multiple_of(STREAMED)
            && cols.is_multiple_of(STREAMED)
            && self.kernel.param_of(op.operands[0]).is_some_and(|p| self.tensors[p].read_only())
            && self.uses.of(value).iter().all(reads_only)
    }

    /// Whether tiles take more than what a thread has registers for, and there are warps to share their columns with.
    fn is_crowded(&self, options: &Options) -> bool {
        /// Registers that tiles may take of the 255 of a thread.
        const ROOM: usize = 176;
        if self.dots.is_empty() || options.warps.is_some() || self.family(options, true).col_warps() == 1 {
            return false;
        }
        let family = self.family(options, false);
        let placed = |v: Value| {
            let load = self.defs[v.index()].filter(|&d| self.kernel.op(d).code == OpCode::Load);
            load.is_some_and(|load| self.wants_shared(load, v, &family, true, false))
        };
        pressure(self.kernel, &family, &placed) > ROOM
    }

    /// Whether first operands that are loaded before a loop would leave it too few registers: counts theirs, those that the loop carries, and those
    /// of the largest product in it (twice for f32, whose sums are kept apart).
    fn crowded(&self, family: &Family) -> bool {
        /// Registers that these may take of the 255 of a thread.
        const ROOM: usize = 120;
        let threads = family.threads() as usize;
        let take = |v: Value| {
            let ty = self.kernel.ty(v);
            (ty.count() * ty.elem().map_or(4, Elem::bytes)).div_ceil(4 * threads)
        };
        let mut fullest = 0;
        self.kernel.walk(&mut |k, _, id| {
            let op = k.op(id);
            if op.code != OpCode::For {
                return;
            }
            let inside: Vec<OpId> =
                self.dots.iter().copied().filter(|&d| self.parents.loop_of(k, d) == Some(id)).collect();
            let mut held: Vec<Value> =
                inside.iter().map(|&d| dot_source(k, &self.defs, d, 0)).map(|a| a.value).collect();
            held.retain(|v| {
                let def = self.defs[v.index()].filter(|&d| k.op(d).code == OpCode::Load);
                def.is_some_and(|d| self.parents.loop_of(k, d) != Some(id))
            });
            held.sort();
            held.dedup();
            let twice = |d: &OpId| k.ty(k.op(*d).operands[0]).elem() == Some(Elem::F32);
            let product = |d: &OpId| take(k.op(*d).results[0]) * if twice(d) { 2 } else { 1 };
            let carried: usize = op.results.iter().map(|&r| take(r)).sum();
            // A product that is added to an accumulator takes no registers of its own.
            let fresh = inside.iter().filter(|d| k.op(**d).operands.len() == 2 || twice(d));
            let products = fresh.map(product).max().unwrap_or(0);
            let held: usize = held.into_iter().map(take).sum();
            fullest = fullest.max(held + carried + products);
        });
        fullest > ROOM
    }

    fn can_copy_async(&self, load: OpId, divisors: &Divisors) -> bool {
        let op = self.kernel.op(load);
        let Some(p) = self.kernel.param_of(op.operands[0]) else { return false };
        let memory = self.kernel.params[p].memory;
        let (Some(elem), Some(&last)) = (self.kernel.ty(op.operands[0]).elem(), op.offsets().last()) else {
            return false;
        };
        let axes = box_axes(op, self.kernel.ty(op.results[0]));
        self.tensors[p].read_only()
            && memory.packed
            && memory.aligned
            && axes.last() == Some(&Some(1))
            && axes.contains(&Some(0))
            && op.ints("check").last() == Some(&0)
            && divisors.of(last) * elem.bytes() as i64 >= 16
    }

    /// The loop that a load can run ahead of, with the ops that compute its offsets.
    fn ring(&self, load: OpId) -> Option<(OpId, Vec<OpId>)> {
        let block = self.parents.block(load)?;
        let at = self.parents.holder(block).filter(|&o| self.kernel.op(o).code == OpCode::For)?;
        let slice =
            ahead_slice(self.kernel, &self.defs, &self.tensors, block, self.kernel.op(load).offsets())?;
        Some((at, slice))
    }

    /// Layouts and warps; with `wide`, two warps along the columns of tiles where the program has room for twice as many.
    fn family(&self, options: &Options, wide: bool) -> Family {
        let (mut rows, mut count) = (1usize, 1usize);
        for ty in self.kernel.types.iter().filter(|t| t.is_tile()) {
            count = count.max(ty.count());
            if let Some([m, _]) = ty.shape() {
                rows = rows.max(*m);
            }
        }
        let largest_power = |n: usize| 1u32 << n.max(1).ilog2().min(10);
        if self.dots.is_empty() {
            let fit = largest_power(count.div_ceil(32 * 8)).clamp(1, 8);
            let warps = options.warps.unwrap_or(fit);
            return Family::rows(warps, largest_power(rows).min(warps));
        }
        let dot_rows: Vec<usize> = self
            .dots
            .iter()
            .filter_map(|&d| self.kernel.ty(self.kernel.op(d).results[0]).shape()?.first().copied())
            .collect();
        let most = dot_rows.iter().max().map_or(1, |m| m / 16);
        let mut warps = options.warps.unwrap_or(largest_power(most).min(8));
        // Rows that are not a power of two of 16 must come out even among the warps.
        let even =
            |w: u32| dot_rows.iter().all(|m| (m / 16).is_power_of_two() || m.is_multiple_of(16 * w as usize));
        while warps > 1 && !even(warps) {
            warps /= 2;
        }
        // Two warps take turns at 16 columns each.
        let pairs = |v: Value| {
            self.kernel.ty(v).shape().is_none_or(|s| s.len() < 2 || s[1] <= 16 || s[1].is_multiple_of(32))
        };
        let results = self.dots.iter().all(|&d| pairs(self.kernel.op(d).results[0]));
        let lefts = self.dots.iter().all(|&d| pairs(dot_source(self.kernel, &self.defs, d, 0).value));
        let two = wide && warps <= 4 && results && lefts;
        if two { Family::mma_pairs(warps) } else { Family::mma(warps) }
    }
}
