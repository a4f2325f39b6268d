//! Loops, branches, and what people see.

use super::Builder;
use crate::diag::Loc;
use crate::ir::{Attr, BlockId, Elem, Op, OpCode, Type, Value};
use std::collections::BTreeMap;

impl Builder {
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
        bad |= !self.close(&out, &types, loc, |want, got| {
            format!("a variable that this loop changes is a {want} before it and a {got} after its body; its type must not change")
        });
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
        self.close(&out, &types, loc, |_, _| String::new());
        let second = open();
        let out = otherwise();
        let same = self.close(&out, &types, loc, |a, b| {
            format!("the branches of this `if` differ: the first gives a {a}, the second a {b}")
        });
        if !same || !matches!(ty, Type::Scalar(Elem::Bool)) {
            return types.iter().map(|_| self.invalid()).collect();
        }
        self.push_region(OpCode::If, vec![cond], vec![first, second], types, BTreeMap::new(), loc)
    }

    /// Ends the innermost region with `out`, which must have `types`; says whether it has.
    fn close(
        &self,
        out: &[Value],
        types: &[Type],
        loc: Loc,
        message: impl Fn(&Type, &Type) -> String,
    ) -> bool {
        let mut same = out.len() == types.len();
        if !same {
            self.error(loc, format!("a region gives {} values where {} are needed", out.len(), types.len()));
        }
        for (&v, want) in out.iter().zip(types) {
            let got = self.ty(v);
            if got != *want && got != Type::Invalid && *want != Type::Invalid {
                self.error(loc, message(want, &got));
                same = false;
            }
        }
        self.push(OpCode::Yield, out, &[], None, loc);
        self.state.borrow_mut().open.pop();
        same
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
