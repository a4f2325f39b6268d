//! Vectors of a value's elements, computed where a consumer's loop stands.

use super::super::schedule::{BufferId, Home, dims, vector_axis};
use super::code::Ix;
use super::{Lower, cell, lanes_for, register, vector};
use sla_dsl::ir::{Class, Elem, OpCode, OpId, Scalar, Value};

/// Which elements: `lanes` of them from (i, j) on, along `axis`.
#[derive(Clone, Debug)]
pub struct Pos {
    pub i: Ix,
    pub j: Ix,
    pub axis: usize,
    pub lanes: usize,
}

/// The extent of a loop over elements.
#[derive(Clone, Debug)]
pub enum Bound {
    /// A number.
    Static(usize),
    /// An index known when the code runs, and the number that it does not exceed.
    Dynamic(String, usize),
}

impl Bound {
    fn most(&self) -> usize {
        match self {
            Bound::Static(n) | Bound::Dynamic(_, n) => *n,
        }
    }
}

impl Pos {
    /// The index along the lanes, and the other one.
    pub fn inner_outer(&self) -> (&Ix, &Ix) {
        if self.axis == 1 { (&self.j, &self.i) } else { (&self.i, &self.j) }
    }

    fn depth(&self) -> usize {
        self.i.depth.max(self.j.depth)
    }

    /// The position from its index along the lanes and the other one.
    pub fn new(outer: Ix, inner: Ix, axis: usize, lanes: usize) -> Pos {
        let (i, j) = if axis == 1 { (outer, inner) } else { (inner, outer) };
        Pos { i, j, axis, lanes }
    }
}

impl Lower<'_> {
    /// Calls `f` for all positions of `rows` by `cols`, by vectors of at most `most` along `axis` and then single elements.
    pub(super) fn over(
        &mut self,
        rows: Bound,
        cols: Bound,
        axis: usize,
        most: usize,
        f: &mut dyn FnMut(&mut Self, &Pos),
    ) {
        let (outer, inner) = if axis == 1 { (rows, cols) } else { (cols, rows) };
        let lanes = lanes_for(self.host, inner.most().min(most));
        let zero = self.code.fixed(0);
        let one_row = matches!(outer, Bound::Static(1));
        let row = if one_row {
            zero.clone()
        } else {
            let end = self.bound(&outer);
            self.code.open_loop(&zero.ssa, &end, 1)
        };
        let split = match &inner {
            Bound::Static(n) => self.code.index(n - n % lanes),
            Bound::Dynamic(n, _) => {
                let mask = self.code.constant(&format!("{} : index", -(lanes as i64)));
                self.code.op(&format!("arith.andi {n}, {mask} : index"))
            }
        };
        if matches!(inner, Bound::Static(n) if n == lanes) {
            f(self, &Pos::new(row.clone(), zero, axis, lanes));
        } else {
            let at = self.code.open_loop(&zero.ssa, &split, lanes);
            f(self, &Pos::new(row.clone(), at, axis, lanes));
            self.code.close();
            let ragged = match inner {
                Bound::Static(n) => n % lanes != 0,
                Bound::Dynamic(..) => lanes > 1,
            };
            if ragged {
                let end = self.bound(&inner);
                let at = self.code.open_loop(&split, &end, 1);
                f(self, &Pos::new(row, at, axis, 1));
                self.code.close();
            }
        }
        if !one_row {
            self.code.close();
        }
    }

    fn bound(&mut self, b: &Bound) -> String {
        match b {
            Bound::Static(n) => self.code.index(*n),
            Bound::Dynamic(n, _) => n.clone(),
        }
    }

    /// An index moved by a constant.
    pub(super) fn shifted(&mut self, ix: &Ix, by: usize) -> Ix {
        if by == 0 {
            return ix.clone();
        }
        let c = self.code.index(by);
        Ix { ssa: self.code.pure(ix.depth, &format!("arith.addi {}, {c} : index", ix.ssa)), depth: ix.depth }
    }

    /// Elements of a value: their name, and the scope they are in.
    pub(super) fn eval(&mut self, v: Value, pos: &Pos) -> (String, usize) {
        match self.s.home(v) {
            Home::Buffer => (self.read(v, pos), pos.depth()),
            Home::Inline | Home::Fused => match self.nest.def[v.index()] {
                Some(def) => self.compute(def, pos),
                None => (String::new(), 0),
            },
            Home::Scalar | Home::Tensor => {
                let s = self.scalars[&v].clone();
                let elem = self.k.ty(v).elem().unwrap_or(Elem::F32);
                (self.splat(0, &s, elem, pos.lanes), 0)
            }
        }
    }

    /// Elements of an op's result, whether or not it has a home.
    pub(super) fn compute(&mut self, id: OpId, pos: &Pos) -> (String, usize) {
        let op = self.k.op(id);
        let ty = self.k.ty(op.results[0]);
        let elem = ty.elem().unwrap_or(Elem::F32);
        let lanes = pos.lanes;
        match op.code.class() {
            Class::Const => (self.literal(op.scalar().unwrap_or(Scalar::Int(0)), elem, lanes), 0),
            Class::Splat => {
                let s = self.scalars[&op.operands[0]].clone();
                (self.splat(0, &s, elem, lanes), 0)
            }
            Class::Iota => {
                let axis = if ty.shape().map_or(0, <[usize]>::len) == 1 {
                    1
                } else {
                    op.int("axis").unwrap_or(0) as usize
                };
                self.iota(axis, pos)
            }
            Class::Broadcast => {
                let (rows, cols) = dims(self.k.ty(op.operands[0]));
                let mut at = pos.clone();
                let zero = self.code.fixed(0);
                if rows == 1 {
                    at.i = zero.clone();
                }
                if cols == 1 {
                    at.j = zero;
                }
                if lanes > 1 && [rows, cols][pos.axis] == 1 {
                    at.lanes = 1;
                    let (s, depth) = self.eval(op.operands[0], &at);
                    return (self.splat(depth, &s, elem, lanes), depth);
                }
                self.eval(op.operands[0], &at)
            }
            Class::Transpose => self.eval(op.operands[0], &turned(pos)),
            Class::Reshape => {
                let same = dims(self.k.ty(op.operands[0])) == dims(ty);
                if same { self.eval(op.operands[0], pos) } else { self.eval(op.operands[0], &turned(pos)) }
            }
            _ => {
                let operands = op.operands.clone();
                let mut depth = 0;
                let mut args = Vec::with_capacity(operands.len());
                for v in operands {
                    let (a, d) = self.eval(v, pos);
                    depth = depth.max(d);
                    args.push(a);
                }
                (self.arith(id, &args, lanes, depth), depth)
            }
        }
    }

    /// Whether a reshape only renames axes.
    pub(super) fn renames(&self, id: OpId) -> bool {
        let op = self.k.op(id);
        let (from, to) = (dims(self.k.ty(op.operands[0])), dims(self.k.ty(op.results[0])));
        op.code == OpCode::Reshape && (from == to || vector_axis(from).is_some() && (to.1, to.0) == from)
    }

    /// Copies of a scalar.
    pub(super) fn splat(&mut self, depth: usize, scalar: &str, elem: Elem, lanes: usize) -> String {
        if lanes == 1 {
            return scalar.to_string();
        }
        let (s, v) = (register(elem), vector(register(elem), lanes));
        self.code.pure(depth, &format!("vector.broadcast {scalar} : {s} to {v}"))
    }

    fn iota(&mut self, axis: usize, pos: &Pos) -> (String, usize) {
        let ix = if axis == 1 { &pos.j } else { &pos.i };
        let (at, depth) = (ix.ssa.clone(), ix.depth);
        let first = self.code.pure(depth, &format!("arith.index_cast {at} : index to i32"));
        let all = self.splat(depth, &first, Elem::I32, pos.lanes);
        if pos.lanes == 1 || axis != pos.axis {
            return (all, depth);
        }
        let ty = vector("i32", pos.lanes);
        let steps: Vec<String> = (0..pos.lanes).map(|n| n.to_string()).collect();
        let steps = self.code.constant(&format!("dense<[{}]> : {ty}", steps.join(", ")));
        (self.code.pure(depth, &format!("arith.addi {all}, {steps} : {ty}")), depth)
    }

    /// Elements of a stored value.
    fn read(&mut self, v: Value, pos: &Pos) -> String {
        let elem = self.k.ty(v).elem().unwrap_or(Elem::F32);
        let fitting = vector_axis(dims(self.k.ty(v))).unwrap_or(pos.axis);
        let tile = self.s.tile(v, fitting).or_else(|| self.s.main_tile(v)).unwrap_or(BufferId(0));
        let view = self.buffer(tile);
        if pos.lanes == 1 || self.s.buffer(tile).axis == pos.axis {
            let at = self.tile_pos(tile, pos);
            return self.load_view(&view, elem, &at);
        }
        // No copy lies this way: element by element.
        let mut items = Vec::with_capacity(pos.lanes);
        for n in 0..pos.lanes {
            let (inner, outer) = pos.inner_outer();
            let (inner, outer) = (inner.clone(), outer.clone());
            let inner = self.shifted(&inner, n);
            let at = self.tile_pos(tile, &Pos::new(outer, inner, pos.axis, 1));
            items.push(self.load_view(&view, elem, &at));
        }
        let ty = vector(register(elem), pos.lanes);
        self.code.pure(pos.depth(), &format!("vector.from_elements {} : {ty}", items.join(", ")))
    }

    /// A position in a value as one in its buffer, whose contiguous axis counts as axis 1.
    fn tile_pos(&self, tile: BufferId, pos: &Pos) -> Pos {
        if self.s.buffer(tile).axis == 1 { pos.clone() } else { turned(pos) }
    }

    /// Loads elements of a view; `pos` has lanes along axis 1.
    pub(super) fn load_view(&mut self, view: &(String, String), elem: Elem, pos: &Pos) -> String {
        let (name, ty) = view;
        let (i, j, depth) = (&pos.i.ssa, &pos.j.ssa, pos.depth());
        let raw = if pos.lanes == 1 {
            format!("memref.load {name}[{i}, {j}] : {ty}")
        } else {
            format!("vector.load {name}[{i}, {j}] : {ty}, {}", vector(cell(elem), pos.lanes))
        };
        let raw = self.code.pure(depth, &raw);
        if elem != Elem::Bool {
            return raw;
        }
        let ty = vector("i8", pos.lanes);
        let zero = self.zero("i8", pos.lanes);
        self.code.pure(depth, &format!("arith.cmpi ne, {raw}, {zero} : {ty}"))
    }

    /// Stores elements of a value into its buffer.
    pub(super) fn store_tile(&mut self, tile: BufferId, pos: &Pos, value: &str) {
        let (view, elem) = (self.buffer(tile), self.s.buffer(tile).elem);
        let at = self.tile_pos(tile, pos);
        self.store_view(&view, elem, &at, value);
    }

    /// Stores elements to a view; `pos` has lanes along axis 1.
    pub(super) fn store_view(&mut self, view: &(String, String), elem: Elem, pos: &Pos, value: &str) {
        let (name, ty) = view;
        let (i, j) = (&pos.i.ssa, &pos.j.ssa);
        let mut value = value.to_string();
        if elem == Elem::Bool {
            let (from, to) = (vector("i1", pos.lanes), vector("i8", pos.lanes));
            value = self.code.op(&format!("arith.extui {value} : {from} to {to}"));
        }
        if pos.lanes == 1 {
            self.code.line(&format!("memref.store {value}, {name}[{i}, {j}] : {ty}"));
        } else {
            self.code.line(&format!(
                "vector.store {value}, {name}[{i}, {j}] : {ty}, {}",
                vector(cell(elem), pos.lanes)
            ));
        }
    }
}

/// The position in the transposed tile.
fn turned(pos: &Pos) -> Pos {
    Pos { i: pos.j.clone(), j: pos.i.clone(), axis: 1 - pos.axis, lanes: pos.lanes }
}
