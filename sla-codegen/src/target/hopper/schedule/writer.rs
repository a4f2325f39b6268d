//! Writes the ops of a scheduled kernel, and copies ops of the tile kernel into it.
//!
//! A copy reads its operands through a map from values of the tile kernel to values of the scheduled one; what a loop or role knows ends with
//! it, so the map is saved and restored around regions. It decides nothing.

use sla_dsl::diag::Loc;
use sla_dsl::ir::{Attr, Block, BlockId, Elem, Kernel, Op, OpCode, OpId, Scalar, Type, Value};
use std::collections::HashMap;

/// What each value of the tile kernel is here.
pub type Known = HashMap<Value, Value>;

/// A scheduled kernel under construction, beside the tile kernel that it is made from.
pub struct Writer<'k> {
    /// The tile kernel.
    pub tile: &'k Kernel,
    /// The scheduled kernel.
    pub out: Kernel,
    /// Values of the tile kernel that are known at the current place.
    pub known: Known,
    /// The current program's place on each axis of the grid.
    pub place: Vec<Value>,
    open: Vec<BlockId>,
    loc: Loc,
    lost: Option<Value>,
}

/// A loop that is being written.
pub struct OpenFor {
    /// Its counter.
    pub counter: Value,
    /// What it carries, inside.
    pub carried: Vec<Value>,
    operands: Vec<Value>,
    step: i64,
    drawn: bool,
    known: Known,
}

impl<'k> Writer<'k> {
    /// An empty kernel with the head of the tile kernel.
    pub fn new(tile: &'k Kernel) -> Writer<'k> {
        let mut out =
            Kernel { types: Vec::new(), ops: Vec::new(), blocks: vec![Block::default()], ..tile.clone() };
        out.body = BlockId(0);
        let mut known = Known::new();
        for &arg in &tile.block(tile.body).args {
            let v = out.new_value(tile.ty(arg).clone());
            out.block_mut(out.body).args.push(v);
            known.insert(arg, v);
        }
        let open = vec![out.body];
        Writer { tile, out, known, place: Vec::new(), open, loc: Loc::UNKNOWN, lost: None }
    }

    /// What a value of the tile kernel is here. Where nothing is known of it, the kernel is no schedule of the tile kernel: see [`Writer::lost`].
    pub fn get(&mut self, v: Value) -> Value {
        if let Some(&found) = self.known.get(&v) {
            return found;
        }
        self.lost.get_or_insert(v);
        let stands_in = self.out.new_value(self.tile.ty(v).clone());
        self.known.insert(v, stands_in);
        stands_in
    }

    /// A value that was asked for where nothing was known of it. What the shape lets through and the order of ops cannot serve ends here.
    pub fn lost(&self) -> Option<Value> {
        self.lost
    }

    /// Ops that follow stand for this place of the source.
    pub fn at(&mut self, loc: Loc) {
        self.loc = loc;
    }

    /// Adds an op.
    pub fn op(
        &mut self,
        code: OpCode,
        operands: &[Value],
        results: &[Type],
        attrs: &[(&'static str, Attr)],
    ) -> Vec<Value> {
        self.with_regions(code, operands, results, attrs, Vec::new())
    }

    /// Adds an op with one result.
    pub fn one(
        &mut self,
        code: OpCode,
        operands: &[Value],
        ty: Type,
        attrs: &[(&'static str, Attr)],
    ) -> Value {
        self.op(code, operands, &[ty], attrs)[0]
    }

    fn with_regions(
        &mut self,
        code: OpCode,
        operands: &[Value],
        results: &[Type],
        attrs: &[(&'static str, Attr)],
        regions: Vec<BlockId>,
    ) -> Vec<Value> {
        let results: Vec<Value> = results.iter().map(|t| self.out.new_value(t.clone())).collect();
        let op = Op {
            code,
            operands: operands.to_vec(),
            results: results.clone(),
            attrs: attrs.iter().cloned().collect(),
            regions,
            loc: self.loc,
        };
        let id = self.out.new_op(op);
        let block = self.here();
        self.out.block_mut(block).ops.push(id);
        results
    }

    fn here(&self) -> BlockId {
        self.open.last().copied().unwrap_or(self.out.body)
    }

    /// An `i32` constant.
    pub fn int(&mut self, value: i64) -> Value {
        self.one(OpCode::Const, &[], Type::Scalar(Elem::I32), &[("value", Attr::Scalar(Scalar::Int(value)))])
    }

    /// An op on `i32` scalars.
    pub fn arith(&mut self, code: OpCode, a: Value, b: Value) -> Value {
        self.one(code, &[a, b], Type::Scalar(Elem::I32), &[])
    }

    /// An op without operands that gives an `i32`.
    pub fn index(&mut self, code: OpCode, attrs: &[(&'static str, Attr)]) -> Value {
        self.one(code, &[], Type::Scalar(Elem::I32), attrs)
    }

    /// Starts a loop; what is written next is its body.
    pub fn begin_for(&mut self, lo: Value, hi: Value, step: i64, init: &[Value]) -> OpenFor {
        let block = self.out.new_block();
        let counter = self.out.new_value(Type::Scalar(Elem::I32));
        let types: Vec<Type> = init.iter().map(|&v| self.out.ty(v).clone()).collect();
        let carried: Vec<Value> = types.into_iter().map(|t| self.out.new_value(t)).collect();
        self.out.block_mut(block).args = [counter].into_iter().chain(carried.iter().copied()).collect();
        self.open.push(block);
        let operands = [lo, hi].into_iter().chain(init.iter().copied()).collect();
        OpenFor { counter, carried, operands, step, drawn: false, known: self.known.clone() }
    }

    /// Starts a loop by 1 that also ends when the first value it carries, an `i32`, is negative.
    pub fn begin_drawn(&mut self, lo: Value, hi: Value, init: &[Value]) -> OpenFor {
        OpenFor { drawn: true, ..self.begin_for(lo, hi, 1, init) }
    }

    /// Ends a loop with the values it yields; gives its results.
    pub fn end_for(&mut self, open: OpenFor, yields: &[Value]) -> Vec<Value> {
        let region = self.close(yields);
        self.known = open.known;
        let types: Vec<Type> = open.carried.iter().map(|&v| self.out.ty(v).clone()).collect();
        let attrs = [("step", Attr::Int(open.step)), ("drawn", Attr::Int(1))];
        let attrs = if open.drawn { &attrs[..] } else { &attrs[..1] };
        self.with_regions(OpCode::For, &open.operands, &types, attrs, vec![region])
    }

    /// `if cond { then } else { otherwise }`, with the values that both give.
    pub fn branch(
        &mut self,
        cond: Value,
        then: impl FnOnce(&mut Self) -> Vec<Value>,
        otherwise: impl FnOnce(&mut Self) -> Vec<Value>,
    ) -> Vec<Value> {
        let known = self.known.clone();
        self.open_block();
        let values = then(self);
        let types: Vec<Type> = values.iter().map(|&v| self.out.ty(v).clone()).collect();
        let first = self.close(&values);
        self.known = known.clone();
        self.open_block();
        let values = otherwise(self);
        let second = self.close(&values);
        self.known = known;
        self.with_regions(OpCode::If, &[cond], &types, &[], vec![first, second])
    }

    /// A role: what `warps` warps from `first` on do, and as many more for each further group.
    pub fn role(
        &mut self,
        name: &str,
        (first, warps, groups): (u32, u32, u32),
        registers: u32,
        body: impl FnOnce(&mut Self),
    ) {
        let known = self.known.clone();
        self.open_block();
        body(self);
        let region = self.close(&[]);
        self.known = known;
        let attrs = [
            ("name", Attr::Str(name.to_string())),
            ("first", Attr::Int(first.into())),
            ("warps", Attr::Int(warps.into())),
            ("registers", Attr::Int(registers.into())),
            ("groups", Attr::Int(groups.into())),
        ];
        let attrs = if groups > 1 { &attrs[..] } else { &attrs[..4] };
        self.with_regions(OpCode::Role, &[], &[], attrs, vec![region]);
    }

    fn open_block(&mut self) {
        let block = self.out.new_block();
        self.open.push(block);
    }

    fn close(&mut self, yields: &[Value]) -> BlockId {
        self.op(OpCode::Yield, yields, &[], &[]);
        self.open.pop().unwrap_or(self.out.body)
    }

    /// Copies an op of the tile kernel with what is nested in it; its results become known.
    pub fn copy(&mut self, id: OpId) {
        let tile = self.tile;
        let op = tile.op(id);
        self.loc = op.loc;
        if op.code == OpCode::ProgramId
            && let Some(&place) = op.int("axis").and_then(|a| self.place.get(a as usize))
        {
            self.known.insert(op.results[0], place);
            return;
        }
        let operands: Vec<Value> = op.operands.iter().map(|&v| self.get(v)).collect();
        let mut regions = Vec::new();
        for &region in &op.regions {
            let known = self.known.clone();
            self.open_block();
            for &arg in &tile.block(region).args {
                let v = self.out.new_value(tile.ty(arg).clone());
                let block = self.here();
                self.out.block_mut(block).args.push(v);
                self.known.insert(arg, v);
            }
            for &inner in &tile.block(region).ops {
                self.copy(inner);
            }
            regions.push(self.open.pop().unwrap_or(self.out.body));
            self.known = known;
        }
        let types: Vec<Type> = op.results.iter().map(|&r| tile.ty(r).clone()).collect();
        let attrs: Vec<(&'static str, Attr)> = op.attrs.iter().map(|(k, a)| (*k, a.clone())).collect();
        let results = self.with_regions(op.code, &operands, &types, &attrs, regions);
        self.known.extend(op.results.iter().copied().zip(results));
    }
}
