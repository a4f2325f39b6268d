//! The kernel as a data structure: tables of values, ops and blocks.
//!
//! Ops refer to values by index, so a pass edits tables and never pointers. A verified kernel keeps: every operand is
//! defined before its use, in its block or one around it; every block but the body ends in `yield`.

use super::{BlockId, DimExpr, Elem, OpCode, OpId, Pred, Scalar, TensorType, Type, Value};
use crate::diag::Loc;
use std::collections::BTreeMap;

/// What is known of a launch when a kernel is specialised. The default is what holds for ordinary contiguous tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Whether a block size divides a runtime size; what is absent counts as "does not divide".
    pub even: BTreeMap<(DimExpr, i64), bool>,
    /// One entry per parameter (scalars included); missing entries are the default.
    pub memory: Vec<MemFacts>,
}

/// What is known of an argument: how a tensor lies in memory, the sign of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemFacts {
    /// The last axis has stride 1.
    pub packed: bool,
    /// The base address, and the stride of every axis but the last in bytes, are multiples of 16.
    pub aligned: bool,
    /// A float is above 0; of no meaning for tensors and integers.
    pub positive: bool,
}

impl Default for MemFacts {
    fn default() -> Self {
        MemFacts { packed: true, aligned: true, positive: true }
    }
}

/// What a parameter is.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamKind {
    /// A tensor in memory.
    Tensor(TensorType),
    /// A number passed at launch.
    Scalar(Elem),
}

/// A kernel parameter; the body's argument of the same index is its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// The user's name for it.
    pub name: String,
    /// What it is.
    pub kind: ParamKind,
    /// What the kernel may assume of it.
    pub memory: MemFacts,
}

/// One axis of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridAxis {
    /// The user's name for the program's place on it.
    pub name: String,
    /// Number of programs along it. The first axis runs fastest.
    pub extent: DimExpr,
}

/// An attribute: a constant part of an op.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// A number.
    Int(i64),
    /// A list of numbers: extents, or flags as 0 and 1.
    Ints(Vec<i64>),
    /// A constant value.
    Scalar(Scalar),
    /// A comparison.
    Pred(Pred),
    /// A text.
    Str(String),
}

/// An op: a code, operands, results, constant attributes and nested blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// What it does.
    pub code: OpCode,
    /// Values it uses, in the order of the op table's documentation.
    pub operands: Vec<Value>,
    /// Values it defines.
    pub results: Vec<Value>,
    /// Constant parts by name, in a fixed order.
    pub attrs: BTreeMap<&'static str, Attr>,
    /// Nested blocks: one for `for` (arguments: counter, carried values) and `role`, two for `if`.
    pub regions: Vec<BlockId>,
    /// Where the user wrote it.
    pub loc: Loc,
}

impl Op {
    /// An integer attribute.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.attrs.get(key) {
            Some(Attr::Int(v)) => Some(*v),
            _ => None,
        }
    }

    /// A list attribute; empty when absent.
    pub fn ints(&self, key: &str) -> &[i64] {
        match self.attrs.get(key) {
            Some(Attr::Ints(v)) => v,
            _ => &[],
        }
    }

    /// A flag: an integer attribute that is not 0.
    pub fn flag(&self, key: &str) -> bool {
        self.int(key).is_some_and(|v| v != 0)
    }

    /// A text attribute; empty when absent.
    pub fn str(&self, key: &str) -> &str {
        match self.attrs.get(key) {
            Some(Attr::Str(s)) => s,
            _ => "",
        }
    }

    /// The constant of a `const` op.
    pub fn scalar(&self) -> Option<Scalar> {
        match self.attrs.get("value") {
            Some(Attr::Scalar(s)) => Some(*s),
            _ => None,
        }
    }

    /// The comparison of a `cmp` op.
    pub fn pred(&self) -> Option<Pred> {
        match self.attrs.get("pred") {
            Some(Attr::Pred(p)) => Some(*p),
            _ => None,
        }
    }

    /// For ops on a box of a tensor: the offsets, one per axis of the tensor.
    pub fn offsets(&self) -> &[Value] {
        match self.code {
            OpCode::Load => self.operands.get(1..),
            OpCode::Store | OpCode::AtomicAdd => self.operands.get(2..),
            OpCode::Fill | OpCode::Send | OpCode::SendAdd => self.operands.get(3..),
            _ => None,
        }
        .unwrap_or_default()
    }
}

/// A straight line of ops. Region blocks end in `yield`; a kernel's body does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Values defined on entry.
    pub args: Vec<Value>,
    /// Ops in order.
    pub ops: Vec<OpId>,
}

/// One kernel, with its constants substituted.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The user's name for it.
    pub name: String,
    /// Runtime dims in order of declaration.
    pub dims: Vec<String>,
    /// The grid's axes, fastest first; at most three.
    pub grid: Vec<GridAxis>,
    /// Parameters in order.
    pub params: Vec<Param>,
    /// Facts this kernel was specialised on: whether a block size divides a dim, by (dim, block). Asked of the caller while building.
    pub even: BTreeMap<(DimExpr, i64), bool>,
    /// Type of every value.
    pub types: Vec<Type>,
    /// Every op, live or not; blocks say which are live.
    pub ops: Vec<Op>,
    /// Every block.
    pub blocks: Vec<Block>,
    /// The outermost block; its arguments are the parameters.
    pub body: BlockId,
}

impl Kernel {
    /// The type of a value.
    pub fn ty(&self, v: Value) -> &Type {
        &self.types[v.index()]
    }

    /// An op.
    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[id.index()]
    }

    /// An op, to change.
    pub fn op_mut(&mut self, id: OpId) -> &mut Op {
        &mut self.ops[id.index()]
    }

    /// A block.
    pub fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id.index()]
    }

    /// A block, to change.
    pub fn block_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.blocks[id.index()]
    }

    /// A new value of a type, not yet defined by anything.
    pub fn new_value(&mut self, ty: Type) -> Value {
        self.types.push(ty);
        Value((self.types.len() - 1) as u32)
    }

    /// Adds an op to the table, not yet to a block.
    pub fn new_op(&mut self, op: Op) -> OpId {
        self.ops.push(op);
        OpId((self.ops.len() - 1) as u32)
    }

    /// Adds an empty block.
    pub fn new_block(&mut self) -> BlockId {
        self.blocks.push(Block::default());
        BlockId((self.blocks.len() - 1) as u32)
    }

    /// The parameter that a tensor value is.
    pub fn param_of(&self, tensor: Value) -> Option<usize> {
        self.block(self.body).args.iter().position(|&a| a == tensor)
    }

    /// The tensor type of a parameter, by its value.
    pub fn tensor(&self, v: Value) -> Option<&TensorType> {
        match self.ty(v) {
            Type::Tensor(t) => Some(t),
            _ => None,
        }
    }

    /// Calls `f` on every live op, outer before inner, in program order.
    pub fn walk(&self, f: &mut dyn FnMut(&Kernel, BlockId, OpId)) {
        fn go(k: &Kernel, b: BlockId, f: &mut dyn FnMut(&Kernel, BlockId, OpId)) {
            for &id in &k.block(b).ops {
                f(k, b, id);
                for &r in &k.op(id).regions {
                    go(k, r, f);
                }
            }
        }
        go(self, self.body, f);
    }

    /// For each value, the op that defines it; `None` for block arguments and dead values.
    pub fn defs(&self) -> Vec<Option<OpId>> {
        let mut defs = vec![None; self.types.len()];
        self.walk(&mut |k, _, id| {
            for &r in &k.op(id).results {
                defs[r.index()] = Some(id);
            }
        });
        defs
    }
}
