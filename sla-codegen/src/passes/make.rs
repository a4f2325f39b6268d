//! Makes ops for passes: with result types worked out, branches as closures, and kept until the pass puts them into a block.
//!
//! It checks nothing; that is the verifier's.

use sla_dsl::diag::Loc;
use sla_dsl::ir::{Attr, BlockId, Elem, Kernel, Op, OpCode, OpId, Pred, Scalar, Type, Value};

/// Ops under construction.
pub struct Maker<'k> {
    /// The kernel they will be part of.
    pub kernel: &'k mut Kernel,
    loc: Loc,
    made: Vec<OpId>,
}

impl<'k> Maker<'k> {
    /// Starts a line of ops that come from the user's code at `loc`.
    pub fn new(kernel: &'k mut Kernel, loc: Loc) -> Maker<'k> {
        Maker { kernel, loc, made: Vec::new() }
    }

    /// What follows comes from the user's code at `loc`.
    pub fn at(&mut self, loc: Loc) {
        self.loc = loc;
    }

    /// Takes an op that there is already.
    pub fn keep(&mut self, id: OpId) {
        self.made.push(id);
    }

    /// The ops, in order.
    pub fn finish(self) -> Vec<OpId> {
        self.made
    }

    /// An op with one result.
    pub fn op(
        &mut self,
        code: OpCode,
        operands: &[Value],
        attrs: &[(&'static str, Attr)],
        ty: Type,
    ) -> Value {
        self.push(code, operands.to_vec(), attrs, vec![ty], Vec::new())[0]
    }

    fn push(
        &mut self,
        code: OpCode,
        operands: Vec<Value>,
        attrs: &[(&'static str, Attr)],
        types: Vec<Type>,
        regions: Vec<BlockId>,
    ) -> Vec<Value> {
        let results: Vec<Value> = types.into_iter().map(|t| self.kernel.new_value(t)).collect();
        let attrs = attrs.iter().cloned().collect();
        let op = Op { code, operands, results: results.clone(), attrs, regions, loc: self.loc };
        let id = self.kernel.new_op(op);
        self.made.push(id);
        results
    }

    fn ty(&self, v: Value) -> Type {
        self.kernel.ty(v).clone()
    }

    /// A constant; a tile of it where `ty` is a tile.
    pub fn constant(&mut self, value: Scalar, ty: Type) -> Value {
        self.op(OpCode::Const, &[], &[("value", Attr::Scalar(value))], ty)
    }

    /// An `i32` constant.
    pub fn int(&mut self, value: i64) -> Value {
        self.constant(Scalar::Int(value), Type::Scalar(Elem::I32))
    }

    /// An element-wise op whose result is of its first operand's type.
    pub fn same(&mut self, code: OpCode, operands: &[Value]) -> Value {
        let ty = self.ty(operands[0]);
        self.op(code, operands, &[], ty)
    }

    /// A comparison.
    pub fn cmp(&mut self, pred: Pred, a: Value, b: Value) -> Value {
        let ty = self.ty(a).with_elem(Elem::Bool);
        self.op(OpCode::Cmp, &[a, b], &[("pred", Attr::Pred(pred))], ty)
    }

    /// `a` where the condition holds, else `b`.
    pub fn select(&mut self, cond: Value, a: Value, b: Value) -> Value {
        let ty = self.ty(a);
        self.op(OpCode::Select, &[cond, a, b], &[], ty)
    }

    /// A tile with its axes of size 1 repeated.
    pub fn broadcast(&mut self, v: Value, shape: &[usize]) -> Value {
        let elem = self.ty(v).elem().unwrap_or(Elem::F32);
        self.op(OpCode::Broadcast, &[v], &[], Type::tile(elem, shape))
    }

    /// A reduction of the columns of an `[M, N]` to `[M, 1]`.
    pub fn reduce_columns(&mut self, code: OpCode, v: Value) -> Value {
        let ty = self.ty(v);
        let (elem, rows) = (ty.elem().unwrap_or(Elem::F32), ty.shape().map_or(1, |s| s[0]));
        self.op(code, &[v], &[("axis", Attr::Int(1))], Type::tile(elem, &[rows, 1]))
    }

    /// A branch. Both sides return values of equal types.
    pub fn branch(
        &mut self,
        cond: Value,
        then: impl FnOnce(&mut Maker<'_>) -> Vec<Value>,
        otherwise: impl FnOnce(&mut Maker<'_>) -> Vec<Value>,
    ) -> Vec<Value> {
        let (first, out) = self.region(then);
        let (second, _) = self.region(otherwise);
        let types = out.iter().map(|&v| self.ty(v)).collect();
        self.push(OpCode::If, vec![cond], &[], types, vec![first, second])
    }

    fn region(&mut self, body: impl FnOnce(&mut Maker<'_>) -> Vec<Value>) -> (BlockId, Vec<Value>) {
        let block = self.kernel.new_block();
        let mut inner = Maker::new(self.kernel, self.loc);
        let out = body(&mut inner);
        inner.push(OpCode::Yield, out.clone(), &[], Vec::new(), Vec::new());
        let ops = inner.finish();
        self.kernel.block_mut(block).ops = ops;
        (block, out)
    }
}

/// Puts ops into a block in front of `at`, which is in it.
pub fn insert_before(kernel: &mut Kernel, block: BlockId, at: OpId, ops: Vec<OpId>) {
    let into = &mut kernel.block_mut(block).ops;
    let place = into.iter().position(|&id| id == at).unwrap_or(into.len());
    into.splice(place..place, ops);
}

/// Puts ops into a block behind `at`, which is in it and does not end it.
pub fn insert_after(kernel: &mut Kernel, block: BlockId, at: OpId, ops: Vec<OpId>) {
    let into = &mut kernel.block_mut(block).ops;
    let place = into.iter().position(|&id| id == at).map_or(into.len(), |i| i + 1);
    into.splice(place..place, ops);
}
