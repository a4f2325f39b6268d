//! Builds kernels op by op, with types checked as they are made.
//!
//! The builder is what `#[kernel]` bodies expand to calls of. It applies numpy's broadcasting, so that every op it records
//! has operands of equal shapes. It never panics on a user's mistake: a rejected op is reported once, at its place, and yields an
//! invalid value on which later ops stay silent; [`Builder::finish`] then returns every report.
//!
//! Here are the state and what every op needs; the ops themselves are in one file per kind.

mod constants;
mod control;
mod elementwise;
mod memory;
mod shape;

use super::{
    Attr, BlockId, DimExpr, Elem, Facts, GridAxis, Kernel, Op, OpCode, OpId, Param, ParamKind, Scalar, Type,
    Value,
};
use crate::diag::{Diagnostic, Diagnostics, Loc};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// A kernel under construction. Methods take `&self`, so that calls nest as expressions do.
pub struct Builder {
    state: RefCell<State>,
}

struct State {
    kernel: Kernel,
    /// Facts given by the caller.
    facts: BTreeMap<(DimExpr, i64), bool>,
    /// Where ops go: the innermost open block is last.
    open: Vec<BlockId>,
    /// The number of every value made by `const`.
    constants: HashMap<Value, Scalar>,
    errors: Vec<Diagnostic>,
}

impl Builder {
    /// Starts a kernel specialised on `facts`, which also replace the parameters' `memory`.
    pub fn new(
        name: &str,
        dims: &[&str],
        grid: Vec<GridAxis>,
        mut params: Vec<Param>,
        facts: &Facts,
    ) -> Builder {
        for (p, m) in params.iter_mut().zip(&facts.memory) {
            p.memory = *m;
        }
        let mut kernel = Kernel {
            name: name.to_string(),
            dims: dims.iter().map(|d| d.to_string()).collect(),
            grid,
            params,
            even: BTreeMap::new(),
            types: Vec::new(),
            ops: Vec::new(),
            blocks: Vec::new(),
            body: BlockId(0),
        };
        kernel.body = kernel.new_block();
        for i in 0..kernel.params.len() {
            let ty = match &kernel.params[i].kind {
                ParamKind::Tensor(t) => Type::Tensor(t.clone()),
                ParamKind::Scalar(e) => Type::Scalar(*e),
            };
            let v = kernel.new_value(ty);
            let body = kernel.body;
            kernel.block_mut(body).args.push(v);
        }
        let open = vec![kernel.body];
        let (facts, constants) = (facts.even.clone(), HashMap::new());
        Builder { state: RefCell::new(State { kernel, facts, open, constants, errors: Vec::new() }) }
    }

    /// The finished kernel, or every mistake found.
    pub fn finish(self) -> Result<Kernel, Diagnostics> {
        let state = self.state.into_inner();
        if state.errors.is_empty() { Ok(state.kernel) } else { Err(Diagnostics(state.errors)) }
    }

    /// The value of a parameter.
    pub fn param(&self, index: usize) -> Value {
        let s = self.state.borrow();
        s.kernel.block(s.kernel.body).args[index]
    }

    /// The type of a value.
    pub fn ty(&self, v: Value) -> Type {
        self.state.borrow().kernel.ty(v).clone()
    }

    /// The number a value is, if it was made by `const`.
    pub fn as_const(&self, v: Value) -> Option<Scalar> {
        self.state.borrow().constants.get(&v).copied()
    }

    /// Reports a mistake and returns an invalid value.
    pub fn error(&self, loc: Loc, message: impl Into<String>) -> Value {
        let mut s = self.state.borrow_mut();
        let kernel = s.kernel.name.clone();
        s.errors.push(Diagnostic { kernel, loc, message: message.into() });
        s.kernel.new_value(Type::Invalid)
    }

    /// Whether any mistake was reported.
    pub fn failed(&self) -> bool {
        !self.state.borrow().errors.is_empty()
    }

    /// An invalid value without a report, for results of ops whose operands were already rejected.
    pub fn invalid(&self) -> Value {
        self.state.borrow_mut().kernel.new_value(Type::Invalid)
    }

    /// Whether any of the values was rejected before.
    pub fn any_invalid(&self, vs: &[Value]) -> bool {
        let s = self.state.borrow();
        vs.iter().any(|&v| *s.kernel.ty(v) == Type::Invalid)
    }

    /// Whether `block` divides the runtime size `dim`; for a dim that is only known at launch this asks the caller's facts
    /// and records the question, so that the kernel is specialised on the answer.
    pub fn is_even(&self, dim: &DimExpr, block: i64) -> bool {
        if let Some(c) = dim.as_const() {
            return c % block == 0;
        }
        if block == 1 {
            return true;
        }
        let mut s = self.state.borrow_mut();
        let key = (dim.clone(), block);
        let answer = s.facts.get(&key).copied().unwrap_or(false);
        s.kernel.even.insert(key, answer);
        answer
    }

    fn push(
        &self,
        code: OpCode,
        operands: &[Value],
        attrs: &[(&'static str, Attr)],
        result: Option<Type>,
        loc: Loc,
    ) -> Value {
        let mut s = self.state.borrow_mut();
        let results: Vec<Value> = result.into_iter().map(|t| s.kernel.new_value(t)).collect();
        let first = results.first().copied();
        let op = Op {
            code,
            operands: operands.to_vec(),
            results,
            attrs: attrs.iter().cloned().collect(),
            regions: Vec::new(),
            loc,
        };
        s.append(op);
        first.unwrap_or(Value(u32::MAX))
    }
}

impl State {
    fn append(&mut self, op: Op) -> OpId {
        if let (Some(&result), Some(value)) = (op.results.first(), op.scalar()) {
            self.constants.insert(result, value);
        }
        let id = self.kernel.new_op(op);
        let block = *self.open.last().expect("the body block is never closed");
        self.kernel.block_mut(block).ops.push(id);
        id
    }
}

/// The largest tile, in elements; beyond it no target could hold one.
const MAX_TILE: usize = 1 << 20;

pub(super) fn check_shape(shape: &[usize]) -> Result<(), String> {
    if shape.len() > 2 {
        return Err(format!("tiles have rank 1 or 2, this has shape {shape:?}"));
    }
    if shape.contains(&0) {
        return Err(format!("a tile dimension is 0 in {shape:?}"));
    }
    match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) {
        Some(n) if n <= MAX_TILE => Ok(()),
        _ => Err(format!("a tile of shape {shape:?} has more than {MAX_TILE} elements")),
    }
}

/// The joint shape of two shapes by numpy's rules.
fn broadcast_shapes(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

fn cast_hint(ty: &Type) -> &'static str {
    match ty.elem() {
        Some(e) if e.is_half() => "; cast it to f32 first",
        Some(Elem::I8) => "; cast it to i32 first",
        _ => "",
    }
}
