//! Builds kernels op by op, with types checked as they are made.
//!
//! The builder is what `#[kernel]` bodies expand to calls of. It applies numpy's broadcasting, so that every op it records
//! has operands of equal shapes. It never panics on a user's mistake: a rejected op is reported once, at its place, and yields an
//! invalid value on which later ops stay silent; [`Builder::finish`] then returns every report.

use super::{
    Attr, BlockId, Class, DimExpr, Elem, Facts, GridAxis, Kernel, Op, OpCode, OpId, Param, ParamKind, Pred,
    Scalar, Type, Value,
};
use crate::diag::{Diagnostic, Diagnostics, Loc};
use std::cell::RefCell;
use std::collections::BTreeMap;

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
        Builder { state: RefCell::new(State { kernel, facts: facts.even.clone(), open, errors: Vec::new() }) }
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
        let s = self.state.borrow();
        s.kernel.ops.iter().find(|o| o.results.first() == Some(&v)).and_then(|o| o.scalar())
    }

    /// Reports a mistake and returns an invalid value.
    pub fn error(&self, loc: Loc, message: impl Into<String>) -> Value {
        let mut s = self.state.borrow_mut();
        let kernel = s.kernel.name.clone();
        s.errors.push(Diagnostic { kernel, loc, message: message.into() });
        s.kernel.new_value(Type::Invalid)
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

    // ---- constants and indices

    /// A scalar constant.
    pub fn constant(&self, value: Scalar, elem: Elem, loc: Loc) -> Value {
        self.full(&[], value, elem, loc)
    }

    /// A tile filled with a constant (a scalar for the empty shape).
    pub fn full(&self, shape: &[usize], value: Scalar, elem: Elem, loc: Loc) -> Value {
        let fits = match value {
            Scalar::Float(_) => elem.is_float(),
            Scalar::Int(i) => {
                elem == Elem::I32 && i32::try_from(i).is_ok() || elem == Elem::I8 && i8::try_from(i).is_ok()
            }
            Scalar::Bool(_) => elem == Elem::Bool,
        };
        if !fits {
            return self.error(loc, format!("the constant {value:?} is not a value of type {elem}"));
        }
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        self.push(OpCode::Const, &[], &[("value", Attr::Scalar(value))], Some(Type::of(elem, shape)), loc)
    }

    /// An i32 scalar constant.
    pub fn int(&self, value: i64, loc: Loc) -> Value {
        self.constant(Scalar::Int(value), Elem::I32, loc)
    }

    /// The value of a runtime dim.
    pub fn dim(&self, name: &str, loc: Loc) -> Value {
        if !self.state.borrow().kernel.dims.iter().any(|d| d == name) {
            return self.error(loc, format!("`{name}` is not a dim of this kernel"));
        }
        self.push(
            OpCode::Dim,
            &[],
            &[("name", Attr::Str(name.to_string()))],
            Some(Type::Scalar(Elem::I32)),
            loc,
        )
    }

    /// A size as an i32 scalar: ops on dims and constants.
    pub fn size(&self, e: &DimExpr, loc: Loc) -> Value {
        use DimExpr::*;
        let two = |code, a: &DimExpr, b: &DimExpr| {
            let (x, y) = (self.size(a, loc), self.size(b, loc));
            self.binary(code, x, y, loc)
        };
        match e {
            Const(c) => self.int(*c, loc),
            Name(n) => self.dim(n, loc),
            Add(a, b) => two(OpCode::Add, a, b),
            Sub(a, b) => two(OpCode::Sub, a, b),
            Mul(a, b) => two(OpCode::Mul, a, b),
            Div(a, b) => two(OpCode::Div, a, b),
            Rem(a, b) => two(OpCode::Rem, a, b),
            Min(a, b) => two(OpCode::Min, a, b),
            Max(a, b) => two(OpCode::Max, a, b),
            DivCeil(a, b) => {
                let (x, y) = (self.size(a, loc), self.size(b, loc));
                let less = self.binary(OpCode::Sub, y, self.int(1, loc), loc);
                let up = self.binary(OpCode::Add, x, less, loc);
                self.binary(OpCode::Div, up, y, loc)
            }
        }
    }

    /// This program's place on a grid axis.
    pub fn program_id(&self, axis: usize, loc: Loc) -> Value {
        self.push(
            OpCode::ProgramId,
            &[],
            &[("axis", Attr::Int(axis as i64))],
            Some(Type::Scalar(Elem::I32)),
            loc,
        )
    }

    /// An i32 tile that counts along `axis`.
    pub fn iota(&self, shape: &[usize], axis: usize, loc: Loc) -> Value {
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        if axis >= shape.len() {
            return self.error(loc, format!("axis {axis} is out of range for a tile of shape {shape:?}"));
        }
        self.push(
            OpCode::Iota,
            &[],
            &[("axis", Attr::Int(axis as i64))],
            Some(Type::tile(Elem::I32, shape)),
            loc,
        )
    }

    // ---- element-wise

    /// Copies `v` to `shape` by numpy's rules: a scalar to anything, axes of size 1 to any size, missing leading axes put in front.
    pub fn broadcast_to(&self, v: Value, shape: &[usize], loc: Loc) -> Value {
        let ty = self.ty(v);
        let (Some(elem), Some(from)) = (ty.elem(), ty.shape()) else {
            return if ty == Type::Invalid {
                v
            } else {
                self.error(loc, format!("a {ty} is not a value: load from it first"))
            };
        };
        if from == shape {
            return v;
        }
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        if from.is_empty() {
            return match self.as_const(v) {
                Some(c) => self.full(shape, c, elem, loc),
                None => self.push(OpCode::Splat, &[v], &[], Some(Type::tile(elem, shape)), loc),
            };
        }
        if from.len() > shape.len() {
            return self.error(loc, format!("a tile of shape {from:?} does not broadcast to {shape:?}"));
        }
        let mut full = vec![1; shape.len() - from.len()];
        full.extend_from_slice(from);
        if full.iter().zip(shape).any(|(f, s)| f != s && *f != 1) {
            return self.error(loc, format!("a tile of shape {from:?} does not broadcast to {shape:?}"));
        }
        let v = if full.len() != from.len() { self.reshape(v, &full, loc) } else { v };
        if full == shape {
            v
        } else {
            self.push(OpCode::Broadcast, &[v], &[], Some(Type::tile(elem, shape)), loc)
        }
    }

    /// Brings operands to one shape and checks that they have one element type.
    fn unify(&self, vs: &[Value], loc: Loc) -> Option<(Vec<Value>, Elem, Vec<usize>)> {
        if self.any_invalid(vs) {
            return None;
        }
        let mut shape: Vec<usize> = Vec::new();
        let mut elem: Option<Elem> = None;
        for &v in vs {
            let ty = self.ty(v);
            let (Some(e), Some(s)) = (ty.elem(), ty.shape()) else {
                self.error(loc, format!("a {ty} is not a value: load from it first"));
                return None;
            };
            match elem {
                Some(other) if other != e => {
                    self.error(loc, format!("operands have types {other} and {e}; cast one of them"));
                    return None;
                }
                _ => elem = Some(e),
            }
            match broadcast_shapes(&shape, s) {
                Some(joint) => shape = joint,
                None => {
                    self.error(loc, format!("tiles of shape {shape:?} and {s:?} do not broadcast"));
                    return None;
                }
            }
        }
        let vs = vs.iter().map(|&v| self.broadcast_to(v, &shape, loc)).collect();
        Some((vs, elem?, shape))
    }

    /// A unary op.
    pub fn unary(&self, code: OpCode, x: Value, loc: Loc) -> Value {
        let ty = self.ty(x);
        let ok = match (&ty, code) {
            (Type::Invalid, _) => return x,
            (Type::Tensor(_), _) => false,
            (_, OpCode::Not) => ty.elem() == Some(Elem::Bool),
            (_, OpCode::Neg | OpCode::Abs) => ty.elem().is_some_and(Elem::is_arith),
            _ => ty.elem() == Some(Elem::F32),
        };
        if code.class() != Class::Unary || !ok {
            return self.error(loc, format!("`{}` is not defined on {ty}{}", code.name(), cast_hint(&ty)));
        }
        self.push(code, &[x], &[], Some(ty), loc)
    }

    /// A binary op, with broadcasting.
    pub fn binary(&self, code: OpCode, a: Value, b: Value, loc: Loc) -> Value {
        let Some((vs, elem, shape)) = self.unify(&[a, b], loc) else { return self.invalid() };
        let ok = match code {
            OpCode::And | OpCode::Or | OpCode::Xor => matches!(elem, Elem::I32 | Elem::Bool),
            OpCode::Rem | OpCode::Shl | OpCode::Shr => elem == Elem::I32,
            _ => elem.is_arith(),
        };
        let ty = Type::of(elem, &shape);
        if code.class() != Class::Binary || !ok {
            return self.error(loc, format!("`{}` is not defined on {ty}{}", code.name(), cast_hint(&ty)));
        }
        self.push(code, &vs, &[], Some(ty), loc)
    }

    /// `a * b + c`, rounded once, with broadcasting; f32.
    pub fn fma(&self, a: Value, b: Value, c: Value, loc: Loc) -> Value {
        let Some((vs, elem, shape)) = self.unify(&[a, b, c], loc) else { return self.invalid() };
        let ty = Type::of(elem, &shape);
        if elem != Elem::F32 {
            return self.error(loc, format!("`fma` is not defined on {ty}{}", cast_hint(&ty)));
        }
        self.push(OpCode::Fma, &vs, &[], Some(ty), loc)
    }

    /// A comparison, with broadcasting.
    pub fn cmp(&self, pred: Pred, a: Value, b: Value, loc: Loc) -> Value {
        let Some((vs, elem, shape)) = self.unify(&[a, b], loc) else { return self.invalid() };
        let ordered = !matches!(pred, Pred::Eq | Pred::Ne);
        if elem.is_half() || elem == Elem::I8 || elem == Elem::Bool && ordered {
            let ty = Type::of(elem, &shape);
            return self.error(loc, format!("`{}` is not defined on {ty}{}", pred.name(), cast_hint(&ty)));
        }
        self.push(OpCode::Cmp, &vs, &[("pred", Attr::Pred(pred))], Some(Type::of(Elem::Bool, &shape)), loc)
    }

    /// `a` where `c` holds, else `b`, with broadcasting.
    pub fn select(&self, c: Value, a: Value, b: Value, loc: Loc) -> Value {
        let Some((ab, elem, shape)) = self.unify(&[a, b], loc) else { return self.invalid() };
        let ty = self.ty(c);
        if ty == Type::Invalid {
            return c;
        }
        if ty.elem() != Some(Elem::Bool) || matches!(ty, Type::Tensor(_)) {
            return self.error(loc, format!("the condition of `select` is a {ty}, not a bool"));
        }
        let Some(joint) = broadcast_shapes(&shape, ty.shape().unwrap_or(&[])) else {
            return self
                .error(loc, format!("a condition {ty} does not broadcast with a tile of shape {shape:?}"));
        };
        let vs: Vec<Value> = [c, ab[0], ab[1]].iter().map(|&v| self.broadcast_to(v, &joint, loc)).collect();
        self.push(OpCode::Select, &vs, &[], Some(Type::of(elem, &joint)), loc)
    }

    /// Another element type; nothing when it is the same.
    pub fn cast(&self, x: Value, to: Elem, loc: Loc) -> Value {
        let ty = self.ty(x);
        match &ty {
            Type::Invalid => x,
            Type::Tensor(_) => self.error(loc, format!("a {ty} is not a value: load from it first")),
            _ if ty.elem() == Some(to) => x,
            _ => {
                let to = ty.with_elem(to);
                self.push(OpCode::Cast, &[x], &[], Some(to), loc)
            }
        }
    }

    // ---- shape

    /// A reduction that keeps its axis with size 1.
    pub fn reduce(&self, code: OpCode, x: Value, axis: usize, loc: Loc) -> Value {
        let ty = self.ty(x);
        let Type::Tile(elem, mut shape) = ty.clone() else {
            return if ty == Type::Invalid {
                x
            } else {
                self.error(loc, format!("a {ty} has no axis to reduce"))
            };
        };
        if axis >= shape.len() {
            return self.error(loc, format!("axis {axis} is out of range for a tile of shape {shape:?}"));
        }
        if code.class() != Class::Reduce || !elem.is_arith() {
            return self.error(loc, format!("`{}` is not defined on {ty}{}", code.name(), cast_hint(&ty)));
        }
        shape[axis] = 1;
        self.push(code, &[x], &[("axis", Attr::Int(axis as i64))], Some(Type::Tile(elem, shape)), loc)
    }

    /// The same elements under another shape of the same count.
    pub fn reshape(&self, x: Value, shape: &[usize], loc: Loc) -> Value {
        let ty = self.ty(x);
        let Type::Tile(elem, from) = &ty else {
            return if ty == Type::Invalid {
                x
            } else {
                self.error(loc, format!("a {ty} has no shape to change"))
            };
        };
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        let (a, b) = (from.iter().product::<usize>(), shape.iter().product::<usize>());
        if a != b {
            return self
                .error(loc, format!("reshape keeps the element count: {from:?} has {a}, {shape:?} has {b}"));
        }
        if from == shape {
            return x;
        }
        self.push(OpCode::Reshape, &[x], &[], Some(Type::tile(*elem, shape)), loc)
    }

    /// A rank-2 tile with its axes exchanged.
    pub fn transpose(&self, x: Value, loc: Loc) -> Value {
        match self.ty(x) {
            Type::Tile(elem, s) if s.len() == 2 => {
                self.push(OpCode::Transpose, &[x], &[], Some(Type::tile(elem, &[s[1], s[0]])), loc)
            }
            Type::Invalid => x,
            ty => self.error(loc, format!("only tiles of rank 2 can be transposed, this is a {ty}")),
        }
    }

    /// Matrix product of rank-2 tiles of one float type, in f32, added to `acc` if there is one.
    pub fn dot(&self, a: Value, b: Value, acc: Option<Value>, loc: Loc) -> Value {
        if self.any_invalid(&[a, b]) || acc.is_some_and(|c| self.any_invalid(&[c])) {
            return self.invalid();
        }
        let (ta, tb) = (self.ty(a), self.ty(b));
        let (Type::Tile(ea, sa), Type::Tile(eb, sb)) = (&ta, &tb) else {
            return self.error(loc, format!("dot takes two tiles of rank 2, these are {ta} and {tb}"));
        };
        if sa.len() != 2 || sb.len() != 2 {
            return self.error(loc, format!("dot takes two tiles of rank 2, these are {ta} and {tb}"));
        }
        if ea != eb || !ea.is_float() {
            return self
                .error(loc, format!("dot takes two tiles of one float type, these are {ta} and {tb}"));
        }
        if sa[1] != sb[0] {
            let hint = if sa[1] == sb[1] { "; did you mean `dot(a, b.t())`?" } else { "" };
            return self
                .error(loc, format!("dot contracts {} of {sa:?} with {} of {sb:?}{hint}", sa[1], sb[0]));
        }
        let ty = Type::tile(Elem::F32, &[sa[0], sb[1]]);
        let mut operands = vec![a, b];
        if let Some(c) = acc {
            let tc = self.ty(c);
            if tc != ty {
                return self.error(loc, format!("the accumulator of this dot must be a {ty}, it is a {tc}"));
            }
            operands.push(c);
        }
        self.push(OpCode::Dot, &operands, &[("ta", Attr::Int(0)), ("tb", Attr::Int(0))], Some(ty), loc)
    }

    // ---- memory

    /// Checks a box against a tensor; returns the `box` and `check` attributes and the extents without the ones.
    #[allow(clippy::type_complexity)]
    fn access(
        &self,
        tensor: Value,
        offsets: &[Value],
        extent: &[usize],
        check: &[bool],
        loc: Loc,
    ) -> Option<([(&'static str, Attr); 2], Vec<usize>, Elem, bool)> {
        if self.any_invalid(offsets) || self.any_invalid(&[tensor]) {
            return None;
        }
        let Type::Tensor(t) = self.ty(tensor) else {
            self.error(loc, "only tensor parameters can be loaded from and stored to");
            return None;
        };
        let rank = t.dims.len();
        if offsets.len() != rank || extent.len() != rank || check.len() != rank {
            self.error(loc, format!("a tensor of rank {rank} is accessed with {} offsets", offsets.len()));
            return None;
        }
        for &o in offsets {
            let ty = self.ty(o);
            if ty != Type::Scalar(Elem::I32) {
                self.error(loc, format!("an offset must be an i32 scalar, this is a {ty}"));
                return None;
            }
        }
        let shape: Vec<usize> = extent.iter().copied().filter(|&e| e != 1).collect();
        if let Err(m) = check_shape(&shape) {
            self.error(loc, m);
            return None;
        }
        let attrs = [
            ("box", Attr::Ints(extent.iter().map(|&e| e as i64).collect())),
            ("check", Attr::Ints(check.iter().map(|&c| c as i64).collect())),
        ];
        Some((attrs, shape, t.elem, t.mutable))
    }

    /// Reads a box: one offset (i32 scalar, in elements) and one extent per tensor axis. `shape` is the result's shape: the extents, with
    /// ones left out or put in anywhere; all ones with an empty `shape` give a scalar.
    pub fn load(
        &self,
        tensor: Value,
        offsets: &[Value],
        extent: &[usize],
        check: &[bool],
        shape: &[usize],
        loc: Loc,
    ) -> Value {
        let Some((attrs, core, elem, _)) = self.access(tensor, offsets, extent, check, loc) else {
            return self.invalid();
        };
        if let Err(m) = check_shape(shape) {
            return self.error(loc, m);
        }
        if shape.iter().copied().filter(|&e| e != 1).ne(core.iter().copied()) {
            return self
                .error(loc, format!("a box of {extent:?} cannot be read as a tile of shape {shape:?}"));
        }
        let operands: Vec<Value> = std::iter::once(tensor).chain(offsets.iter().copied()).collect();
        self.push(OpCode::Load, &operands, &attrs, Some(Type::of(elem, shape)), loc)
    }

    /// Writes (`Store`) or adds to (`AtomicAdd`) a box. The value's shape is the extents, with ones left out or put in; a scalar is
    /// broadcast. Its element type must be the tensor's.
    #[allow(clippy::too_many_arguments)]
    pub fn store(
        &self,
        code: OpCode,
        tensor: Value,
        value: Value,
        offsets: &[Value],
        extent: &[usize],
        check: &[bool],
        loc: Loc,
    ) {
        let Some((attrs, core, elem, mutable)) = self.access(tensor, offsets, extent, check, loc) else {
            return;
        };
        if self.any_invalid(&[value]) {
            return;
        }
        if !mutable {
            self.error(loc, "this tensor is read-only: take it as `&mut Tensor` to write it");
            return;
        }
        let ty = self.ty(value);
        if ty.elem() != Some(elem) {
            self.error(loc, format!("this stores a {ty} into a tensor of {elem}; cast it first"));
            return;
        }
        if code == OpCode::AtomicAdd && !elem.is_arith() {
            self.error(loc, format!("atomic_add is defined on f32 and i32 tensors, this one holds {elem}"));
            return;
        }
        let value = if ty.shape() == Some(&[]) && !core.is_empty() {
            self.broadcast_to(value, &core, loc)
        } else {
            value
        };
        let ty = self.ty(value);
        let found = ty.shape().unwrap_or(&[]);
        if found.iter().copied().filter(|&e| e != 1).ne(core.iter().copied()) {
            self.error(loc, format!("this stores a tile of shape {found:?} into a block of shape {core:?}"));
            return;
        }
        let operands: Vec<Value> = [tensor, value].into_iter().chain(offsets.iter().copied()).collect();
        self.push(code, &operands, &attrs, None, loc);
    }

    // ---- control

    /// A counted loop. `body` gets the counter and the carried values and returns their next values.
    pub fn for_(
        &self,
        lo: Value,
        hi: Value,
        step: i64,
        init: &[Value],
        loc: Loc,
        body: impl FnOnce(Value, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let mut bad = self.any_invalid(&[lo, hi]) || self.any_invalid(init);
        for v in [lo, hi] {
            let ty = self.ty(v);
            if !matches!(ty, Type::Scalar(Elem::I32) | Type::Invalid) {
                self.error(loc, format!("a loop bound must be an i32 scalar, this is a {ty}"));
                bad = true;
            }
        }
        if step < 1 {
            self.error(loc, format!("a loop's step must be positive, this is {step}"));
            bad = true;
        }
        let types: Vec<Type> = init.iter().map(|&v| self.ty(v)).collect();
        let (region, iv, args) = {
            let mut s = self.state.borrow_mut();
            let region = s.kernel.new_block();
            let iv = s.kernel.new_value(Type::Scalar(Elem::I32));
            let args: Vec<Value> = types.iter().map(|t| s.kernel.new_value(t.clone())).collect();
            s.kernel.block_mut(region).args = std::iter::once(iv).chain(args.iter().copied()).collect();
            s.open.push(region);
            (region, iv, args)
        };
        let out = body(iv, &args);
        self.close(&out, &types, "loop-carried", loc);
        if bad {
            return init.iter().map(|_| self.invalid()).collect();
        }
        let operands: Vec<Value> = [lo, hi].into_iter().chain(init.iter().copied()).collect();
        self.push_region(OpCode::For, operands, vec![region], types, [("step", Attr::Int(step))].into(), loc)
    }

    /// A branch on a bool scalar. Both sides return values of equal types.
    pub fn if_(
        &self,
        cond: Value,
        loc: Loc,
        then: impl FnOnce() -> Vec<Value>,
        otherwise: impl FnOnce() -> Vec<Value>,
    ) -> Vec<Value> {
        let ty = self.ty(cond);
        if !matches!(ty, Type::Scalar(Elem::Bool) | Type::Invalid) {
            self.error(loc, format!("the condition of `if` must be a bool scalar, this is a {ty}"));
        }
        let open = || {
            let mut s = self.state.borrow_mut();
            let region = s.kernel.new_block();
            s.open.push(region);
            region
        };
        let first = open();
        let out = then();
        let types: Vec<Type> = out.iter().map(|&v| self.ty(v)).collect();
        self.close(&out, &types, "`if`", loc);
        let second = open();
        let out = otherwise();
        self.close(&out, &types, "`if`", loc);
        if !matches!(ty, Type::Scalar(Elem::Bool)) {
            return types.iter().map(|_| self.invalid()).collect();
        }
        self.push_region(OpCode::If, vec![cond], vec![first, second], types, BTreeMap::new(), loc)
    }

    /// Ends the innermost region with `out`, which must have `types`.
    fn close(&self, out: &[Value], types: &[Type], what: &str, loc: Loc) {
        if out.len() != types.len() {
            self.error(loc, format!("{what} values differ in number: {} and {}", types.len(), out.len()));
        }
        for (&v, want) in out.iter().zip(types) {
            let got = self.ty(v);
            if got != *want && got != Type::Invalid && *want != Type::Invalid {
                self.error(
                    loc,
                    format!("a {what} value is a {want} and becomes a {got}; its type must not change"),
                );
            }
        }
        self.push(OpCode::Yield, out, &[], None, loc);
        self.state.borrow_mut().open.pop();
    }

    fn push_region(
        &self,
        code: OpCode,
        operands: Vec<Value>,
        regions: Vec<BlockId>,
        types: Vec<Type>,
        attrs: BTreeMap<&'static str, Attr>,
        loc: Loc,
    ) -> Vec<Value> {
        let mut s = self.state.borrow_mut();
        let results: Vec<Value> = types.into_iter().map(|t| s.kernel.new_value(t)).collect();
        s.append(Op { code, operands, results: results.clone(), attrs, regions, loc });
        results
    }

    // ---- for people

    /// Stops the program with `msg` unless `cond` holds everywhere.
    pub fn assert(&self, cond: Value, msg: &str, loc: Loc) {
        let ty = self.ty(cond);
        match ty.elem() {
            _ if ty == Type::Invalid => {}
            Some(Elem::Bool) => {
                self.push(OpCode::Assert, &[cond], &[("msg", Attr::Str(msg.to_string()))], None, loc);
            }
            _ => {
                self.error(loc, format!("assert takes a bool, this is a {ty}"));
            }
        }
    }

    /// Prints `msg` and the values.
    pub fn print(&self, msg: &str, values: &[Value], loc: Loc) {
        if !self.any_invalid(values) {
            self.push(OpCode::Print, values, &[("msg", Attr::Str(msg.to_string()))], None, loc);
        }
    }
}

impl State {
    fn append(&mut self, op: Op) -> OpId {
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
