//! `load`, `store` and `atomic_add`: boxes of tensors, with their ragged ends.
//!
//! An access asks, once, whether its box may be touched at all: a box that starts before the tensor, or ends past it on an axis without
//! `check`, is noted as a failure and the program left. It then computes the place of its first element and the extent that lies inside the
//! tensor; the loops run over that extent only. Vectors are used where the tensor's last axis is packed; elsewhere elements are moved one by one.

use super::super::hooks::Site;
use super::super::schedule::{BufferId, dims, memory_axis};
use super::eval::{Bound, Pos};
use super::{Lower, vector};
use sla_dsl::ir::{Op, OpCode, OpId, Type};

/// A box, ready for loops over a tile of `rows` by `cols`.
struct Access {
    memref: String,
    ty: String,
    /// Index of the first element.
    base: String,
    /// Per tile axis: elements inside, and distance of neighbours in memory (`None`: 1).
    extents: [Bound; 2],
    strides: [Option<String>; 2],
}

impl Lower<'_> {
    fn access(&mut self, op: &Op, ty: &Type) -> Access {
        let (rows, cols) = dims(ty);
        let t = &self.tensors[&op.operands[0]];
        let (memref, memref_ty, packed) = (t.memref.clone(), t.ty.clone(), t.packed);
        let (sizes, steps) = (t.sizes.clone(), t.strides.clone());
        let extent = op.ints("box").to_vec();
        let check = op.ints("check").to_vec();
        let rank = sizes.len();
        let at: Vec<String> = op
            .offsets()
            .iter()
            .map(|v| self.code.op(&format!("arith.index_cast {} : i32 to index", self.scalars[v])))
            .collect();
        self.leave_unless_inside(op, &at, &sizes);
        // Which tensor axis each tile axis runs along: both list their axes of more than one element in order.
        let mut long = (0..rank).filter(|&a| extent[a] != 1);
        let mut along = [None, None];
        for (axis, n) in [rows, cols].into_iter().enumerate() {
            if n > 1 {
                along[axis] = long.next();
            }
        }
        let mut base = self.code.index(0);
        let mut inside: Option<String> = None;
        let mut counts: Vec<Option<String>> = vec![None; rank];
        for a in 0..rank {
            let at = &at[a];
            let step = if packed && a + 1 == rank {
                at.clone()
            } else {
                self.code.op(&format!("arith.muli {at}, {} : index", steps[a]))
            };
            base = self.code.op(&format!("arith.addi {base}, {step} : index"));
            if check.get(a).is_none_or(|&c| c == 0) {
                continue;
            }
            let left = self.code.op(&format!("arith.subi {}, {at} : index", sizes[a]));
            if extent[a] == 1 {
                let zero = self.code.index(0);
                let ok = self.code.op(&format!("arith.cmpi sgt, {left}, {zero} : index"));
                inside = Some(match inside {
                    Some(other) => self.code.op(&format!("arith.andi {other}, {ok} : i1")),
                    None => ok,
                });
            } else {
                let (zero, most) = (self.code.index(0), self.code.index(extent[a] as usize));
                let n = self.code.op(&format!("arith.minsi {left}, {most} : index"));
                counts[a] = Some(self.code.op(&format!("arith.maxsi {n}, {zero} : index")));
            }
        }
        let mut extents = [Bound::Static(rows), Bound::Static(cols)];
        for (axis, n) in [rows, cols].into_iter().enumerate() {
            if let Some(count) = along[axis].and_then(|a| counts[a].take()) {
                extents[axis] = Bound::Dynamic(count, n);
            }
        }
        // A box that lies outside on an axis of one element has nothing inside: the rows say so.
        if let Some(inside) = inside {
            let all = match &extents[0] {
                Bound::Static(n) => self.code.index(*n),
                Bound::Dynamic(n, _) => n.clone(),
            };
            let zero = self.code.index(0);
            let n = self.code.op(&format!("arith.select {inside}, {all}, {zero} : index"));
            extents[0] = Bound::Dynamic(n, rows);
        }
        let strides = along.map(|a| match a {
            Some(a) if packed && a + 1 == rank => None,
            Some(a) => Some(steps[a].clone()),
            None => None,
        });
        Access { memref, ty: memref_ty, base, extents, strides }
    }

    /// Leaves the program before memory is touched where the box starts before the tensor, or ends past it on an axis without `check`. Axes
    /// on which numbers say that the box is inside are not asked about.
    fn leave_unless_inside(&mut self, op: &Op, at: &[String], sizes: &[String]) {
        let (extent, check) = (op.ints("box").to_vec(), op.ints("check").to_vec());
        let zero = self.code.index(0);
        let mut asked = Vec::new();
        for axis in 0..at.len() {
            let ends = check.get(axis).is_none_or(|&c| c == 0);
            if self.is_inside(op, axis, extent[axis], ends) {
                continue;
            }
            let mut holds = self.code.op(&format!("arith.cmpi sge, {}, {zero} : index", at[axis]));
            if ends {
                let extent = self.code.index(extent[axis] as usize);
                let last = self.code.op(&format!("arith.subi {}, {extent} : index", sizes[axis]));
                let below = self.code.op(&format!("arith.cmpi sle, {}, {last} : index", at[axis]));
                holds = self.code.op(&format!("arith.andi {holds}, {below} : i1"));
            }
            asked.push((axis, holds));
        }
        let Some((_, first)) = asked.first() else { return };
        let mut all = first.clone();
        for (_, holds) in &asked[1..] {
            all = self.code.op(&format!("arith.andi {all}, {holds} : i1"));
        }
        let (outside, on, exit) = (self.code.label(), self.code.label(), self.exit.clone());
        self.code.line(&format!("cf.cond_br {all}, {on}, {outside}"));
        self.code.bare(&format!("{outside}:"));
        // What the hook is told of: the first axis that does not hold.
        let mut told: Option<[String; 4]> = None;
        for (axis, holds) in asked.iter().rev() {
            let words = [
                self.code.index(*axis),
                at[*axis].clone(),
                self.code.index(extent[*axis] as usize),
                sizes[*axis].clone(),
            ];
            told = Some(match told {
                None => words,
                Some(later) => std::array::from_fn(|i| {
                    self.code.op(&format!("arith.select {holds}, {}, {} : index", later[i], words[i]))
                }),
            });
        }
        let words: Vec<String> = told
            .into_iter()
            .flatten()
            .map(|word| self.code.op(&format!("arith.index_cast {word} : index to i64")))
            .collect();
        let params = &self.k.block(self.k.body).args;
        let param = params.iter().position(|&v| v == op.operands[0]).unwrap_or(0);
        let site = self.sites.len();
        let message = self.k.params[param].name.clone();
        self.sites.push(Site { loc: op.loc, message, operands: Vec::new() });
        let site = self.code.constant(&format!("{site} : i32"));
        let sites = self.code.op("llvm.mlir.addressof @sla_sites : !llvm.ptr");
        self.code.line(&format!(
            "llvm.call @sla_outside({sites}, {site}, {}) : (!llvm.ptr, i32, i64, i64, i64, i64) -> ()",
            words.join(", ")
        ));
        self.code.line(&format!("cf.br {exit}"));
        self.code.bare(&format!("{on}:"));
    }

    /// Whether constants say that a box does not start before an axis nor, if `ends`, end past it.
    fn is_inside(&self, op: &Op, axis: usize, extent: i64, ends: bool) -> bool {
        let Some(at) = self.constant_of(op.offsets()[axis]).filter(|&at| at >= 0) else { return false };
        let size = match self.k.ty(op.operands[0]) {
            Type::Tensor(t) => t.dims[axis].as_const(),
            _ => None,
        };
        !ends || size.is_some_and(|size| at.checked_add(extent).is_some_and(|end| end <= size))
    }

    /// The index in memory of a position.
    fn address(&mut self, a: &Access, pos: &Pos) -> (String, usize) {
        let mut at = (a.base.clone(), 0);
        for (axis, ix) in [&pos.i, &pos.j].into_iter().enumerate() {
            let step = match &a.strides[axis] {
                Some(s) => self.code.pure(ix.depth, &format!("arith.muli {}, {s} : index", ix.ssa)),
                None => ix.ssa.clone(),
            };
            let depth = at.1.max(ix.depth);
            at = (self.code.pure(depth, &format!("arith.addi {}, {step} : index", at.0)), depth);
        }
        at
    }

    /// `load` of a tile.
    pub(super) fn load(&mut self, id: OpId, tile: BufferId) {
        let op = self.k.op(id);
        let ty = self.k.ty(op.results[0]).clone();
        let elem = self.tensors[&op.operands[0]].elem;
        let (rows, cols) = dims(&ty);
        let access = self.access(op, &ty);
        let axis = self.s.buffer(tile).axis;
        self.clear_outside(&access, (rows, cols), tile);
        let contiguous = memory_axis(self.k, op, &ty) == Some(axis);
        let most = if contiguous { self.host.lanes } else { 1 };
        let [a, b] = access.extents.clone();
        // Element by element, the tensor's order is the one to follow.
        let order = if contiguous { axis } else { memory_axis(self.k, op, &ty).unwrap_or(axis) };
        self.code.open_nest();
        self.over(a, b, order, most, &mut |l, pos| {
            let (at, _) = l.address(&access, pos);
            let cell = cell_of(&access.ty);
            let raw = if pos.lanes == 1 {
                l.code.op(&format!("memref.load {}[{at}] : {}", access.memref, access.ty))
            } else {
                let v = vector(cell, pos.lanes);
                l.code.op(&format!("vector.load {}[{at}] : {}, {v}", access.memref, access.ty))
            };
            let value = l.unpack(elem, &raw, pos.lanes);
            l.store_tile(tile, pos, &value);
        });
        self.code.close_nest();
    }

    /// Fills a buffer with zeros unless its whole box lies inside.
    fn clear_outside(&mut self, a: &Access, (rows, cols): (usize, usize), tile: BufferId) {
        let mut partial: Option<String> = None;
        for (bound, n) in a.extents.iter().zip([rows, cols]) {
            if let Bound::Dynamic(count, _) = bound {
                let n = self.code.index(n);
                let less = self.code.op(&format!("arith.cmpi slt, {count}, {n} : index"));
                partial = Some(match partial {
                    Some(other) => self.code.op(&format!("arith.ori {other}, {less} : i1")),
                    None => less,
                });
            }
        }
        let Some(partial) = partial else { return };
        let b = self.s.buffer(tile).clone();
        let n = b.outer * b.inner;
        self.code.open_nest();
        self.code.open_if(&partial);
        self.over(Bound::Static(1), Bound::Static(n), 1, self.host.lanes, &mut |l, pos| {
            let view = l.view(b.offset, 1, n, b.elem);
            let zero = l.zero(super::register(b.elem), pos.lanes);
            l.store_view(&view, b.elem, pos, &zero);
        });
        self.code.close();
        self.code.close_nest();
    }

    /// `load` of a scalar.
    pub(super) fn load_scalar(&mut self, id: OpId) -> String {
        let op = self.k.op(id);
        let ty = self.k.ty(op.results[0]).clone();
        let elem = self.tensors[&op.operands[0]].elem;
        let a = self.access(op, &ty);
        let Bound::Dynamic(count, _) = &a.extents[0] else {
            let raw = self.code.op(&format!("memref.load {}[{}] : {}", a.memref, a.base, a.ty));
            return self.unpack(elem, &raw, 1);
        };
        // Outside it is zero, and nothing is read.
        let zero = self.code.index(0);
        let inside = self.code.op(&format!("arith.cmpi sgt, {count}, {zero} : index"));
        let cell = cell_of(&a.ty);
        let empty =
            self.code.constant(&format!("{} : {cell}", if cell.starts_with('f') { "0.0" } else { "0" }));
        let (name, raw) = (self.code.fresh(), self.code.fresh());
        self.code.line(&format!(
            "{name} = scf.if {inside} -> ({cell}) {{ {raw} = memref.load {}[{}] : {} scf.yield {raw} : {cell} }} else {{ \
             scf.yield {empty} : {cell} }}",
            a.memref, a.base, a.ty
        ));
        self.unpack(elem, &name, 1)
    }

    /// `store` and `atomic_add`.
    pub(super) fn store(&mut self, id: OpId) {
        let op = self.k.op(id);
        let v = op.operands[1];
        let ty = self.k.ty(v).clone();
        let elem = self.tensors[&op.operands[0]].elem;
        let access = self.access(op, &ty);
        let [a, b] = access.extents.clone();
        let memory = memory_axis(self.k, op, &ty);
        let atomic = op.code == OpCode::AtomicAdd;
        let axis = memory.unwrap_or(1);
        let most = if memory.is_some() && !atomic { self.host.lanes } else { 1 };
        self.code.open_nest();
        self.over(a, b, axis, most, &mut |l, pos| {
            let (value, _) = l.eval(v, pos);
            let (at, _) = l.address(&access, pos);
            let Access { memref, ty, .. } = &access;
            if atomic {
                let (kind, r) = if elem.is_float() { ("addf", "f32") } else { ("addi", "i32") };
                l.code.op(&format!("memref.atomic_rmw {kind} {value}, {memref}[{at}] : ({r}, {ty}) -> {r}"));
                return;
            }
            let raw = l.pack(elem, &value, pos.lanes);
            if pos.lanes == 1 {
                l.code.line(&format!("memref.store {raw}, {memref}[{at}] : {ty}"));
            } else {
                let v = vector(cell_of(ty), pos.lanes);
                l.code.line(&format!("vector.store {raw}, {memref}[{at}] : {ty}, {v}"));
            }
        });
        self.code.close_nest();
    }
}

/// The element type of a flat memref's type.
fn cell_of(ty: &str) -> &str {
    ty.trim_start_matches("memref<?x").trim_end_matches('>')
}
