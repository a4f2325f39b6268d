//! Reductions along an axis.
//!
//! Across vectors (the reduced axis is not the contiguous one) several vectors are reduced side by side; along them, a few partial results
//! are kept per row and combined at its end. Both hide the latency of the additions.

use super::super::schedule::{BufferId, dims, reduce_axis};
use super::code::Ix;
use super::eval::Pos;
use super::{Lower, lanes_for, register, vector};
use sla_dsl::ir::{Elem, OpCode, OpId, Value};

/// Partial results that are worked on at the same time.
const SIDE_BY_SIDE: usize = 4;

impl Lower<'_> {
    /// A reduction into its buffer.
    pub(super) fn reduce(&mut self, id: OpId, tile: BufferId) {
        let op = self.k.op(id);
        let v = op.operands[0];
        let ty = self.k.ty(v);
        let (rows, cols) = dims(ty);
        let reduced =
            if ty.shape().map_or(0, <[usize]>::len) == 1 { 1 } else { op.int("axis").unwrap_or(0) as usize };
        let along = reduce_axis(self.k, &self.nest, self.s, op);
        let (line, lines) = if reduced == 1 { (cols, rows) } else { (rows, cols) };
        self.code.open_nest();
        if along == reduced {
            self.reduce_along(id, v, tile, reduced, line, lines);
        } else {
            self.reduce_across(id, v, tile, reduced, line, lines);
        }
        self.code.close_nest();
    }

    /// Each of `lines` results is folded from a contiguous line.
    fn reduce_along(
        &mut self,
        id: OpId,
        v: Value,
        tile: BufferId,
        reduced: usize,
        line: usize,
        lines: usize,
    ) {
        let lanes = lanes_for(self.host, line);
        let zero = self.code.fixed(0);
        let row = if lines == 1 {
            zero.clone()
        } else {
            let end = self.code.index(lines);
            self.code.open_loop(&zero.ssa, &end, 1)
        };
        let chunks = line / lanes;
        let side = chunks.min(SIDE_BY_SIDE);
        let whole = chunks - chunks % side;
        let ty = vector(self.register_of(id), lanes);
        let mut parts: Vec<String> = vec![self.identity(id, lanes); side];
        let step = |l: &mut Self, parts: &mut [String], at: &Ix, n: usize| {
            for (p, part) in parts.iter_mut().enumerate().take(n) {
                let inner = l.shifted(at, p * lanes);
                let (x, _) = l.eval(v, &Pos::new(row.clone(), inner, reduced, lanes));
                *part = l.fold(id, part, &x, lanes);
            }
        };
        if whole == side {
            step(self, &mut parts, &zero, side);
        } else {
            let end = self.code.index(whole * lanes);
            let carried: Vec<(String, String)> = parts.iter().map(|p| (p.clone(), ty.clone())).collect();
            let (at, mut inside) = self.code.open_loop_with(&zero.ssa, &end, side * lanes, &carried);
            step(self, &mut inside, &at, side);
            let next: Vec<(String, String)> = inside.into_iter().map(|p| (p, ty.clone())).collect();
            parts = self.code.close_loop_with(&next);
        }
        let rest = self.code.fixed(whole * lanes);
        step(self, &mut parts, &rest, chunks - whole);
        while parts.len() > 1 {
            let half = parts.len().div_ceil(2);
            for i in half..parts.len() {
                let (a, b) = (parts[i - half].clone(), parts[i].clone());
                parts[i - half] = self.fold(id, &a, &b, lanes);
            }
            parts.truncate(half);
        }
        let mut result = self.across_lanes(id, &parts[0], lanes);
        if !line.is_multiple_of(lanes) {
            let r = self.register_of(id).to_string();
            let (from, end) = (self.code.index(line - line % lanes), self.code.index(line));
            let (at, inside) = self.code.open_loop_with(&from, &end, 1, &[(result, r.clone())]);
            let (x, _) = self.eval(v, &Pos::new(row.clone(), at, reduced, 1));
            let next = self.fold(id, &inside[0], &x, 1);
            result = self.code.close_loop_with(&[(next, r)]).remove(0);
        }
        // The result's only long axis is the one that was not reduced.
        self.store_tile(tile, &Pos::new(zero, row, 1 - reduced, 1), &result);
        if lines != 1 {
            self.code.close();
        }
    }

    /// Vectors of neighbouring results are folded from one line after the other.
    fn reduce_across(
        &mut self,
        id: OpId,
        v: Value,
        tile: BufferId,
        reduced: usize,
        line: usize,
        lines: usize,
    ) {
        let lanes = lanes_for(self.host, lines);
        let chunks = lines / lanes;
        let side = chunks.min(SIDE_BY_SIDE);
        let whole = chunks - chunks % side;
        let zero = self.code.fixed(0);
        let end = self.code.index(whole * lanes);
        let at = self.code.open_loop(&zero.ssa, &end, side * lanes);
        self.column(id, v, tile, reduced, line, &at, lanes, side);
        self.code.close();
        if chunks > whole {
            let at = self.code.fixed(whole * lanes);
            self.column(id, v, tile, reduced, line, &at, lanes, chunks - whole);
        }
        if !lines.is_multiple_of(lanes) {
            let (from, end) = (self.code.index(chunks * lanes), self.code.index(lines));
            let at = self.code.open_loop(&from, &end, 1);
            self.column(id, v, tile, reduced, line, &at, 1, 1);
            self.code.close();
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn column(
        &mut self,
        id: OpId,
        v: Value,
        tile: BufferId,
        reduced: usize,
        line: usize,
        at: &Ix,
        lanes: usize,
        side: usize,
    ) {
        let (zero, end) = (self.code.index(0), self.code.index(line));
        let ty = vector(self.register_of(id), lanes);
        let start = self.identity(id, lanes);
        let carried = vec![(start, ty.clone()); side];
        let columns: Vec<Ix> = (0..side).map(|n| self.shifted(at, n * lanes)).collect();
        let (row, inside) = self.code.open_loop_with(&zero, &end, 1, &carried);
        let mut next = Vec::with_capacity(side);
        for (column, part) in columns.iter().zip(inside) {
            let (x, _) = self.eval(v, &Pos::new(row.clone(), column.clone(), 1 - reduced, lanes));
            next.push((self.fold(id, &part, &x, lanes), ty.clone()));
        }
        let results = self.code.close_loop_with(&next);
        for (column, result) in columns.into_iter().zip(results) {
            let zero = self.code.fixed(0);
            self.store_tile(tile, &Pos::new(zero, column, 1 - reduced, lanes), &result);
        }
    }

    fn register_of(&self, id: OpId) -> &'static str {
        register(self.k.ty(self.k.op(id).results[0]).elem().unwrap_or(Elem::F32))
    }

    fn identity(&mut self, id: OpId, lanes: usize) -> String {
        let float = self.register_of(id) == "f32";
        match self.k.op(id).code {
            OpCode::ReduceMax if float => self.float(f32::NEG_INFINITY, lanes),
            OpCode::ReduceMin if float => self.float(f32::INFINITY, lanes),
            OpCode::ReduceMax => self.int(i32::MIN, lanes),
            OpCode::ReduceMin => self.int(i32::MAX, lanes),
            _ => self.zero(if float { "f32" } else { "i32" }, lanes),
        }
    }

    /// One step: `part` is never NaN in a maximum or minimum, so a comparison that is false for NaN passes over it.
    fn fold(&mut self, id: OpId, part: &str, x: &str, lanes: usize) -> String {
        let float = self.register_of(id) == "f32";
        let ty = vector(self.register_of(id), lanes);
        match self.k.op(id).code {
            OpCode::ReduceSum if float => self.code.op(&format!("arith.addf {part}, {x} : {ty}")),
            OpCode::ReduceSum => self.code.op(&format!("arith.addi {part}, {x} : {ty}")),
            code if float => {
                let pred = if code == OpCode::ReduceMax { "ogt" } else { "olt" };
                let better = self.code.op(&format!("arith.cmpf {pred}, {x}, {part} : {ty}"));
                let cond = if lanes == 1 { String::new() } else { format!("{}, ", vector("i1", lanes)) };
                self.code.op(&format!("arith.select {better}, {x}, {part} : {cond}{ty}"))
            }
            OpCode::ReduceMax => self.code.op(&format!("arith.maxsi {part}, {x} : {ty}")),
            _ => self.code.op(&format!("arith.minsi {part}, {x} : {ty}")),
        }
    }

    /// One element from the lanes of a partial result.
    fn across_lanes(&mut self, id: OpId, part: &str, lanes: usize) -> String {
        if lanes == 1 {
            return part.to_string();
        }
        let r = self.register_of(id);
        let kind = match (self.k.op(id).code, r) {
            (OpCode::ReduceSum, _) => "add",
            (OpCode::ReduceMax, "f32") => "maxnumf",
            (_, "f32") => "minnumf",
            (OpCode::ReduceMax, _) => "maxsi",
            _ => "minsi",
        };
        // Any order of additions is allowed, and the lanes' own order is the slowest.
        let any = if kind == "add" && r == "f32" { " fastmath<reassoc>" } else { "" };
        self.code.op(&format!("vector.reduction <{kind}>, {part}{any} : {} into {r}", vector(r, lanes)))
    }
}
