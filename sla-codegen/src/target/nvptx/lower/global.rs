//! Loads from global memory into registers, and stores and atomic adds from them.
//!
//! Addresses are 64-bit: one uniform part for the box, one part for the thread, one for each register. Neighbouring registers go
//! in one access of up to 16 bytes where the kernel's facts and the offsets' divisors allow it; anything that may lie outside the tensor or is padding
//! or a replica is predicated.

use super::{Lower, Val, register};
use crate::analysis::box_axes;
use crate::target::nvptx::layout::{Layout, warp_bits};
use crate::target::nvptx::schedule::Fill;
use crate::target::nvptx::text::{Ssa, Ty, list};
use sla_dsl::ir::{Elem, OpCode, OpId, ParamKind, Value};

/// One axis of the tensor of a memory op.
pub(super) struct BoxAxis {
    /// Where the box starts, `i32`.
    pub offset: Ssa,
    /// Elements from one index to the next, `i64`.
    pub stride: Ssa,
    /// The tile's axis along it.
    pub tile: Option<usize>,
    /// The tensor's extent, where the box may reach past it.
    pub extent: Option<Ssa>,
}

/// A memory op with everything looked up.
pub(super) struct Access {
    pub param: usize,
    pub base: Ssa,
    pub elem: Elem,
    pub axes: Vec<BoxAxis>,
    /// Whether the box may be touched, where that was checked.
    pub allowed: Option<Ssa>,
    /// Elements that a vector access may take along the last axis of the tile.
    vector: usize,
}

impl Lower<'_> {
    /// Looks up the tensor of a memory op on a value.
    pub(super) fn access(&mut self, id: OpId, value: Value) -> Access {
        let op = self.k.op(id);
        let Some((param, ParamKind::Tensor(tensor))) =
            self.k.param_of(op.operands[0]).map(|p| (p, &self.k.params[p].kind))
        else {
            unreachable!("memory ops of a verified kernel are on tensors")
        };
        let tile_axes = box_axes(op, self.k.ty(value));
        let memory = self.k.params[param].memory;
        let mut axes = Vec::new();
        for (a, &offset) in op.offsets().iter().enumerate() {
            let checked = op.ints("check").get(a) == Some(&1);
            axes.push(BoxAxis {
                offset: self.scalar(offset),
                stride: self.strides[&(param, a)],
                tile: tile_axes[a],
                extent: checked.then(|| self.size(&tensor.dims[a])),
            });
        }
        let rank = self.k.ty(value).shape().map_or(0, <[usize]>::len);
        let along =
            axes.last().is_some_and(|a| a.extent.is_none() && a.tile == rank.checked_sub(1) && rank > 0);
        let bytes = tensor.elem.bytes();
        let mut vector = if along && memory.packed && memory.aligned { 16 / bytes } else { 1 };
        if let Some(&last) = op.offsets().last() {
            vector = vector.min(self.divisors.of(last).clamp(1, 16) as usize);
        }
        // Four values travel in four registers at most, and bools one by one.
        vector = match tensor.elem {
            Elem::Bool => 1,
            Elem::I8 => vector.min(4),
            _ => vector,
        };
        let allowed = self.check_box(id, param, &tensor.dims, &axes);
        Access { param, base: self.pointers[&param], elem: tensor.elem, axes, allowed, vector }
    }

    /// The address of the box's first element.
    pub(super) fn box_pointer(&mut self, access: &Access) -> Ssa {
        let mut sum: Option<Ssa> = None;
        for axis in &access.axes {
            let offset = self.t.cast("arith.extsi", axis.offset, Ty::I32, Ty::I64);
            let term = self.t.bin("arith.muli", offset, axis.stride, Ty::I64);
            sum = Some(match sum {
                Some(s) => self.t.bin("arith.addi", s, term, Ty::I64),
                None => term,
            });
        }
        match sum {
            Some(s) => self.step(access.base, s, access.elem),
            None => access.base,
        }
    }

    /// `pointer + index`, in elements.
    pub(super) fn step(&mut self, pointer: Ssa, index: Ssa, elem: Elem) -> Ssa {
        let ty = memory(elem);
        self.t.def(format_args!(
            "llvm.getelementptr {pointer}[{index}] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, {ty}"
        ))
    }

    /// The thread's part of the index of its elements, in the head.
    fn thread_index(&mut self, access: &Access, layout: &Layout) -> Ssa {
        let mut sum = self.t.i64(0);
        for axis in &access.axes {
            let Some(a) = axis.tile else { continue };
            let position = self.thread_position(layout, a);
            let wide = self.t.head(format_args!("arith.extui {position} : i32 to i64"));
            let term = self.t.head_bin("arith.muli", wide, axis.stride, Ty::I64);
            sum = self.t.head_bin("arith.addi", sum, term, Ty::I64);
        }
        sum
    }

    /// The address of a register's element, from that of the thread's first.
    fn register_pointer(&mut self, access: &Access, layout: &Layout, reg: usize, thread: Ssa) -> Ssa {
        let mut sum: Option<Ssa> = None;
        for axis in &access.axes {
            let constant = axis.tile.map_or(0, |a| layout.regs[reg][a]);
            if constant == 0 {
                continue;
            }
            let constant = self.t.i64(constant.into());
            let term = self.t.head_bin("arith.muli", constant, axis.stride, Ty::I64);
            sum = Some(match sum {
                Some(s) => self.t.head_bin("arith.addi", s, term, Ty::I64),
                None => term,
            });
        }
        match sum {
            Some(s) => self.step(thread, s, access.elem),
            None => thread,
        }
    }

    /// Whether a register's element lies in the tensor (and is no padding), as far as that may not be so; `None` if it always does.
    fn in_bounds(&mut self, access: &Access, layout: &Layout, reg: usize) -> Option<Ssa> {
        let mut all = self.inside(layout, reg);
        all = self.and(access.allowed, all);
        for axis in &access.axes {
            let Some(extent) = axis.extent else { continue };
            let at = match axis.tile {
                Some(a) => {
                    let thread = self.thread_position(layout, a);
                    let first = self.t.bin("arith.addi", axis.offset, thread, Ty::I32);
                    self.t.add_const(first, layout.regs[reg][a].into())
                }
                None => axis.offset,
            };
            let here = self.t.def(format_args!("arith.cmpi ult, {at}, {extent} : i32"));
            all = self.and(all, Some(here));
        }
        all
    }

    /// Loads and stores of one tensor by different threads need a barrier between them.
    fn order(&mut self, id: OpId, access: &Access) {
        let uses = self.tensors[access.param];
        let op = self.k.op(id);
        let apart =
            op.offsets().iter().zip(op.ints("box")).all(|(&o, &e)| e == 1 || self.divisors.of(o) % e == 0);
        let alone = uses.loads == 0 && (uses.stores == 0 || uses.stores == 1 && uses.atomics == 0 && apart);
        if !(uses.read_only() || alone) {
            self.barrier();
        }
    }

    pub(super) fn load(&mut self, id: OpId) {
        let value = self.k.op(id).results[0];
        if self.schedule.stream_of(value).is_some() {
            return; // The dots that read it bring it in.
        }
        let Some(buffer) = self.schedule.buffer_of(value) else {
            let regs = self.load_registers(id);
            return self.set(value, regs);
        };
        let b = &self.schedule.buffers[buffer];
        if b.stages > 1 && matches!(self.env.get(&value), Some(Val::Shared(_))) {
            return; // The loop that it runs ahead of has placed it.
        }
        let fill = b.fill;
        let tile = self.buffer_tile(buffer);
        self.kept = None;
        self.barrier();
        match fill {
            Fill::Async => {
                let access = self.access(id, value);
                self.copy_async(&access, tile);
                self.commit_copies();
                self.wait_copies(0);
            }
            Fill::Registers => {
                let regs = self.load_registers(id);
                self.write_shared_tile(tile, &regs);
            }
        }
        self.barrier();
        self.env.insert(value, Val::Shared(tile));
    }

    /// A load into the registers of the canonical layout; elements outside read as zero.
    fn load_registers(&mut self, id: OpId) -> Vec<Ssa> {
        let value = self.k.op(id).results[0];
        let access = self.access(id, value);
        self.order(id, &access);
        let layout = self.layout_of(value);
        self.load_box(&access, &layout)
    }

    /// Loads the box of an access into the registers of a layout.
    pub(super) fn load_box(&mut self, access: &Access, layout: &Layout) -> Vec<Ssa> {
        let start = self.box_pointer(access);
        let index = self.thread_index(access, layout);
        let thread = self.step(start, index, access.elem);
        let run = if layout.padded(layout.last_axis()) { 1 } else { layout.run(access.vector) };
        let constant = self.tensors[access.param].read_only();
        let mut regs = Vec::new();
        for reg in (0..layout.regs.len()).step_by(run) {
            let pointer = self.register_pointer(access, layout, reg, thread);
            let pred = self.in_bounds(access, layout, reg);
            regs.extend(self.load_run(pointer, run, access.elem, pred, constant));
        }
        let split = access.elem.is_half() && layout.paired() && run == 1;
        if split { self.pack(&regs) } else { regs }
    }

    /// `run` neighbours; halves come in pairs if there are several.
    fn load_run(
        &mut self,
        pointer: Ssa,
        run: usize,
        elem: Elem,
        pred: Option<Ssa>,
        constant: bool,
    ) -> Vec<Ssa> {
        let pairs = elem.is_half() && run > 1;
        let count = if pairs { run / 2 } else { run };
        let ty = register(elem, pairs);
        let bytes = run * elem.bytes();
        if let Some(pred) = pred {
            return self.load_predicated(pointer, count, elem, ty, pred, constant);
        }
        let invariant = if constant { "invariant " } else { "" };
        let shape = if count == 1 { memory_of(ty).to_string() } else { format!("vector<{count}x{ty}>") };
        let v = self.t.def(format_args!(
            "llvm.load {pointer} {invariant}{{alignment = {bytes} : i64}} : !llvm.ptr<1> -> {shape}"
        ));
        if count == 1 {
            if ty != Ty::I1 {
                return vec![v];
            }
            let zero = self.t.int(0, Ty::I8);
            return vec![self.t.def(format_args!("arith.cmpi ne, {v}, {zero} : i8"))];
        }
        (0..count)
            .map(|i| {
                let i = self.t.i32(i as i64);
                self.t.def(format_args!("llvm.extractelement {v}[{i} : i32] : {shape}"))
            })
            .collect()
    }

    fn load_predicated(
        &mut self,
        pointer: Ssa,
        count: usize,
        elem: Elem,
        ty: Ty,
        pred: Ssa,
        constant: bool,
    ) -> Vec<Ssa> {
        let cache = if constant { ".nc" } else { "" };
        let flag = self.t.cast("arith.extui", pred, Ty::I1, Ty::I32);
        let (kind, travels) = match ty {
            Ty::F32 => ("f32", Ty::F32),
            Ty::I16 => ("b16", Ty::I16),
            Ty::I8 | Ty::I1 => (if elem == Elem::I8 { "s8" } else { "u8" }, Ty::I32),
            _ => ("b32", Ty::I32),
        };
        let zero = match travels {
            Ty::F32 => "mov.f32 {}, 0f00000000;",
            Ty::I16 => "mov.b16 {}, 0;",
            _ => "mov.b32 {}, 0;",
        };
        let clear: String = (0..count).map(|i| zero.replace("{}", &format!("${i}")) + " ").collect();
        let names = list((0..count).map(|i| format!("${i}")));
        let (vector, names) =
            if count == 1 { (String::new(), names) } else { (format!(".v{count}"), format!("{{{names}}}")) };
        let code = format!(
            "{{ .reg .pred p; setp.ne.b32 p, ${}, 0; {clear}@p ld.global{cache}{vector}.{kind} {names}, [${count}]; }}",
            count + 1
        );
        let loaded =
            self.t.asm(&code, &[(pointer, Ty::Global), (flag, Ty::I32)], &vec![travels; count], !constant);
        loaded
            .into_iter()
            .map(|v| match ty {
                Ty::I8 => self.t.cast("arith.trunci", v, Ty::I32, Ty::I8),
                Ty::I1 => {
                    let zero = self.t.i32(0);
                    self.t.def(format_args!("arith.cmpi ne, {v}, {zero} : i32"))
                }
                _ => v,
            })
            .collect()
    }

    pub(super) fn store(&mut self, id: OpId) {
        let op = self.k.op(id);
        let value = self.stored(op.operands[1]);
        let access = self.access(id, value);
        self.order(id, &access);
        let layout = self.layout_of(value);
        let regs = self.regs(value);
        let start = self.box_pointer(&access);
        let index = self.thread_index(&access, &layout);
        let thread = self.step(start, index, access.elem);
        let atomic = op.code == OpCode::AtomicAdd;
        let ragged = layout.padded(layout.last_axis());
        let run = if ragged || atomic { 1 } else { layout.run(access.vector) };
        let pairs = access.elem.is_half() && layout.paired();
        let regs = if pairs && run == 1 { self.unpack(&regs) } else { regs };
        let width = if pairs && run > 1 { run / 2 } else { run };
        let first = self.first_replica(&layout);
        for (i, reg) in (0..layout.regs.len()).step_by(run).enumerate() {
            let pointer = self.register_pointer(&access, &layout, reg, thread);
            let inside = self.in_bounds(&access, &layout, reg);
            let pred = self.and(first, inside);
            let ty = register(access.elem, pairs && run > 1);
            self.store_run(pointer, &regs[i * width..(i + 1) * width], ty, pred, atomic);
        }
    }

    /// Whether this thread is the first of those that hold the same elements, in the head; `None` if each is alone.
    pub(super) fn first_replica(&mut self, layout: &Layout) -> Option<Ssa> {
        let bits = (1u32 << layout.bits.len().max((5 + warp_bits(self.schedule.family.warps)) as usize)) - 1;
        let mask = if layout.shape.is_empty() { bits } else { layout.replica_mask() };
        if mask == 0 {
            return None;
        }
        let (mask, zero) = (self.t.i32(mask.into()), self.t.i32(0));
        let replica = self.t.head_bin("arith.andi", self.tid, mask, Ty::I32);
        Some(self.t.head(format_args!("arith.cmpi eq, {replica}, {zero} : i32")))
    }

    fn store_run(&mut self, pointer: Ssa, regs: &[Ssa], ty: Ty, pred: Option<Ssa>, atomic: bool) {
        let (kind, travels) = match ty {
            Ty::F32 => ("f32", Ty::F32),
            Ty::I16 => ("b16", Ty::I16),
            Ty::I8 | Ty::I1 => ("u8", Ty::I32),
            _ if atomic => ("s32", Ty::I32),
            _ => ("b32", Ty::I32),
        };
        let mut args = vec![(pointer, Ty::Global)];
        for &r in regs {
            let r = if travels == ty { r } else { self.t.cast("arith.extui", r, ty, Ty::I32) };
            args.push((r, travels));
        }
        let names = list((1..=regs.len()).map(|i| format!("${i}")));
        let (vector, names) = match regs.len() {
            1 => (String::new(), names),
            n => (format!(".v{n}"), format!("{{{names}}}")),
        };
        let what = if atomic { "red.global.add" } else { "st.global" };
        let access = format!("{what}{vector}.{kind} [$0], {names};");
        let code = match pred {
            None => access,
            Some(pred) => {
                args.push((self.t.cast("arith.extui", pred, Ty::I1, Ty::I32), Ty::I32));
                format!("{{ .reg .pred p; setp.ne.b32 p, ${}, 0; @p {access} }}", args.len() - 1)
            }
        };
        self.t.asm(&code, &args, &[], true);
    }
}

/// The type of an element in memory.
fn memory(elem: Elem) -> Ty {
    memory_of(register(elem, false))
}

fn memory_of(ty: Ty) -> Ty {
    if ty == Ty::I1 { Ty::I8 } else { ty }
}
