//! Structure: indices, regions, scopes, terminators. Whatever passes here may be indexed without checks.
//!
//! Types and attributes are the business of [`types`](super::types).

use super::Finding;
use crate::ir::{BlockId, Class, Kernel, OpId, ParamKind, Type, Value};

/// Regions deeper than this are refused: recursive walks must not exhaust the stack.
pub(in crate::ir) const MAX_DEPTH: usize = 64;

/// Reports every violation.
pub fn check(k: &Kernel, out: &mut Vec<Finding>) {
    let mut c = Checker {
        k,
        out,
        seen_blocks: vec![false; k.blocks.len()],
        seen_ops: vec![false; k.ops.len()],
        defined: vec![false; k.types.len()],
        visible: vec![false; k.types.len()],
    };
    let Some(body) = k.blocks.get(k.body.index()) else {
        c.report(None, format!("the body {} is not in the kernel's table of blocks", k.body));
        return;
    };
    if body.args.len() != k.params.len() {
        c.report(
            None,
            format!("the body has {} arguments for {} parameters", body.args.len(), k.params.len()),
        );
        return;
    }
    for (param, v) in k.params.iter().zip(&body.args) {
        let want = match &param.kind {
            ParamKind::Tensor(t) => Type::Tensor(t.clone()),
            ParamKind::Scalar(e) => Type::Scalar(*e),
        };
        if let Some(ty) = k.types.get(v.index()).filter(|ty| **ty != want) {
            c.report(None, format!("parameter `{}` is a {want}, its value is a {ty}", param.name));
        }
    }
    c.block(k.body, None, 0);
}

struct Checker<'a> {
    k: &'a Kernel,
    out: &'a mut Vec<Finding>,
    seen_blocks: Vec<bool>,
    seen_ops: Vec<bool>,
    /// Values with a definition somewhere.
    defined: Vec<bool>,
    /// Values visible at the current place.
    visible: Vec<bool>,
}

impl Checker<'_> {
    fn report(&mut self, op: Option<OpId>, message: String) {
        self.out.push(Finding { op, message });
    }

    /// Checks a block and what is nested in it; `owner` is the op whose region it is.
    fn block(&mut self, id: BlockId, owner: Option<OpId>, depth: usize) {
        let k = self.k;
        let Some(block) = k.blocks.get(id.index()) else {
            return self.report(owner, format!("block {id} is not in the kernel's table of blocks"));
        };
        if std::mem::replace(&mut self.seen_blocks[id.index()], true) {
            return self.report(owner, format!("block {id} is used twice"));
        }
        if depth > MAX_DEPTH {
            return self.report(owner, format!("regions are nested more than {MAX_DEPTH} deep"));
        }
        let mut local = Vec::new();
        for &v in &block.args {
            self.define(v, owner, &mut local);
            if owner.is_some() {
                self.is_value(v, owner);
            }
        }
        for (i, &op) in block.ops.iter().enumerate() {
            self.op(op, owner.is_some(), i + 1 == block.ops.len(), depth, &mut local);
        }
        if block.ops.is_empty() && owner.is_some() {
            self.report(owner, "a region has no `yield`".to_string());
        }
        for v in local {
            self.visible[v.index()] = false;
        }
    }

    fn op(&mut self, id: OpId, in_region: bool, last: bool, depth: usize, local: &mut Vec<Value>) {
        let k = self.k;
        let Some(op) = k.ops.get(id.index()) else {
            return self.report(None, format!("{id} is not in the kernel's table of ops"));
        };
        let name = op.code.name();
        if std::mem::replace(&mut self.seen_ops[id.index()], true) {
            return self.report(Some(id), format!("this `{name}` stands in two places"));
        }
        for &v in &op.operands {
            match self.visible.get(v.index()) {
                Some(true) => {}
                Some(false) if self.defined[v.index()] => {
                    self.report(
                        Some(id),
                        format!("`{name}` uses a value outside the region that defines it"),
                    );
                }
                Some(false) => self.report(Some(id), format!("`{name}` uses a value before its definition")),
                None => self.report(Some(id), format!("{v} is not in the kernel's table of values")),
            }
        }
        let is_yield = op.code.class() == Class::Yield;
        match (is_yield, in_region, last) {
            (true, false, _) => self.report(Some(id), "`yield` outside a region".to_string()),
            (true, true, false) => self.report(Some(id), "`yield` is not the last op of its region".into()),
            (false, true, true) => {
                self.report(Some(id), format!("a region ends in `{name}` instead of `yield`"))
            }
            _ => {}
        }
        let regions = match op.code.class() {
            Class::For | Class::Role => 1,
            Class::If => 2,
            _ => 0,
        };
        if op.regions.len() != regions {
            let found = op.regions.len();
            self.report(Some(id), format!("`{name}` takes {regions} regions, this has {found}"));
        }
        for &r in &op.regions {
            self.block(r, Some(id), depth + 1);
        }
        for &v in &op.results {
            self.define(v, Some(id), local);
            self.is_value(v, Some(id));
        }
    }

    fn define(&mut self, v: Value, op: Option<OpId>, local: &mut Vec<Value>) {
        match self.defined.get(v.index()) {
            None => self.report(op, format!("{v} is not in the kernel's table of values")),
            Some(true) => self.report(op, format!("the value {v} is defined twice")),
            Some(false) => {
                self.defined[v.index()] = true;
                self.visible[v.index()] = true;
                local.push(v);
            }
        }
    }

    /// Only parameters are tensors, and nothing is invalid.
    fn is_value(&mut self, v: Value, op: Option<OpId>) {
        match self.k.types.get(v.index()) {
            Some(Type::Tensor(_)) => self.report(op, "only parameters can be tensors".to_string()),
            Some(Type::Invalid) => self.report(op, "a value was rejected when it was built".to_string()),
            _ => {}
        }
    }
}
