//! Matrix products.
//!
//! The result is computed in small blocks that stay in registers: a few lines, each of a few vectors. One loop over the contraction loads the
//! vectors of one operand and single elements of the other, and adds their products. Where the block's initial value is an expression
//! (`acc * alpha`), it is computed there, and no pass over the accumulator is needed for it.
//!
//! "Lines" run along the result's axis that is not contiguous. With columns contiguous the roles of `a` and `b` are exchanged.

use super::super::schedule::{BufferId, Form, dims, untransposed};
use super::code::Ix;
use super::eval::Pos;
use super::{Lower, lanes_for, vector};
use sla_dsl::ir::{Elem, OpId, Value};

/// An operand: the stored value below any transpositions, and whether its axes are exchanged.
#[derive(Clone, Copy)]
struct Operand {
    root: Value,
    flipped: bool,
}

/// One product. With rows contiguous, `single` is `a` and `vectors` is `b`; with columns contiguous it is the other way round.
struct Product {
    form: Form,
    single: Operand,
    vectors: Operand,
    depth: usize,
    start: Option<Value>,
    tile: BufferId,
}

/// A block in registers.
struct Block<'a> {
    line: &'a Ix,
    at: &'a Ix,
    lines: usize,
    vectors: usize,
    lanes: usize,
}

impl Lower<'_> {
    /// A product, added to `start` if there is one, into a buffer.
    pub(super) fn dot(&mut self, id: OpId, start: Option<Value>, tile: BufferId) {
        let op = self.k.op(id);
        let (rows, cols) = dims(self.k.ty(op.results[0]));
        let operand = |number: usize, flag: &str| {
            let (root, odd) = untransposed(self.k, &self.nest, op.operands[number]);
            Operand { root, flipped: odd != op.flag(flag) }
        };
        let (a, b) = (operand(0, "ta"), operand(1, "tb"));
        let (m, n) = dims(self.k.ty(a.root));
        let depth = if a.flipped { m } else { n };
        let form = self.s.forms.get(&id).copied().unwrap_or(Form::Rows);
        let (single, vectors, lines, width) = match form {
            Form::Rows => (a, b, rows, cols),
            Form::Columns => (b, a, cols, rows),
        };
        let product = Product { form, single, vectors, depth, start, tile };
        self.code.open_nest();
        self.product(&product, lines, width);
        self.code.close_nest();
    }

    /// All blocks: those of full width first, then what is left of the width by vectors, then by elements.
    fn product(&mut self, p: &Product, lines: usize, width: usize) {
        let lanes = lanes_for(self.host, width);
        let chunks = width / lanes;
        let (most_lines, vectors) = self.block_shape(lines, chunks);
        let whole = chunks - chunks % vectors;
        self.strip(p, lines, most_lines, 0..whole * lanes, vectors, lanes);
        if chunks > whole {
            self.strip(p, lines, most_lines, whole * lanes..chunks * lanes, chunks - whole, lanes);
        }
        if !width.is_multiple_of(lanes) {
            self.strip(p, lines, most_lines, chunks * lanes..width, 1, 1);
        }
    }

    /// Lines and vectors of a block: as many products per loaded vector and element as registers allow.
    fn block_shape(&self, lines: usize, chunks: usize) -> (usize, usize) {
        let vectors = if self.host.registers >= 32 { 4 } else { 2 };
        let vectors = (1..=vectors.min(chunks)).rev().find(|v| chunks.is_multiple_of(*v)).unwrap_or(1);
        // Besides the block itself the vectors and one repeated element are in registers.
        let most = ((self.host.registers - vectors - 1) / vectors).min(8);
        let even = (most.div_ceil(2)..=most).rev().find(|r| lines.is_multiple_of(*r));
        (even.unwrap_or(most).min(lines), vectors)
    }

    /// The blocks of one range of the contiguous axis.
    fn strip(
        &mut self,
        p: &Product,
        lines: usize,
        most_lines: usize,
        range: std::ops::Range<usize>,
        vectors: usize,
        lanes: usize,
    ) {
        let step = vectors * lanes;
        let single = range.len() == step;
        let at = if single {
            self.code.fixed(range.start)
        } else {
            let (from, to) = (self.code.index(range.start), self.code.index(range.end));
            self.code.open_loop(&from, &to, step)
        };
        let whole = lines - lines % most_lines;
        if whole == most_lines {
            let line = self.code.fixed(0);
            self.block_of(p, &Block { line: &line, at: &at, lines: most_lines, vectors, lanes });
        } else {
            let (from, to) = (self.code.index(0), self.code.index(whole));
            let line = self.code.open_loop(&from, &to, most_lines);
            self.block_of(p, &Block { line: &line, at: &at, lines: most_lines, vectors, lanes });
            self.code.close();
        }
        if lines > whole {
            let line = self.code.fixed(whole);
            self.block_of(p, &Block { line: &line, at: &at, lines: lines - whole, vectors, lanes });
        }
        if !single {
            self.code.close();
        }
    }

    /// One block, from its initial values to the buffer.
    fn block_of(&mut self, p: &Product, b: &Block<'_>) {
        let ty = vector("f32", b.lanes);
        let axis = if p.form == Form::Rows { 1 } else { 0 };
        let lines: Vec<Ix> = (0..b.lines).map(|n| self.shifted(b.line, n)).collect();
        let columns: Vec<Ix> = (0..b.vectors).map(|n| self.shifted(b.at, n * b.lanes)).collect();
        let mut places = Vec::with_capacity(b.lines * b.vectors);
        for line in &lines {
            for column in &columns {
                places.push(Pos::new(line.clone(), column.clone(), axis, b.lanes));
            }
        }
        let mut carried = Vec::with_capacity(places.len());
        for place in &places {
            let start = match p.start {
                Some(v) => self.eval(v, place).0,
                None => self.zero("f32", b.lanes),
            };
            carried.push((start, ty.clone()));
        }
        let (from, to) = (self.code.index(0), self.code.index(p.depth));
        let (k, sums) = self.code.open_loop_with(&from, &to, 1, &carried);
        let vectors: Vec<String> = columns.iter().map(|c| self.vector_at(p, &k, c, b.lanes)).collect();
        let mut next = Vec::with_capacity(sums.len());
        for (n, line) in lines.iter().enumerate() {
            let (element, depth) = self.single_at(p, line, &k);
            let element = self.splat(depth, &element, Elem::F32, b.lanes);
            for (c, v) in vectors.iter().enumerate() {
                let sum = &sums[n * b.vectors + c];
                next.push((self.multiply_add(&element, v, sum, &ty), ty.clone()));
            }
        }
        let results = self.code.close_loop_with(&next);
        for (place, result) in places.iter().zip(results) {
            self.store_tile(p.tile, place, &result);
        }
    }

    fn vector_at(&mut self, p: &Product, k: &Ix, at: &Ix, lanes: usize) -> String {
        let pos = match p.form {
            Form::Rows => Pos { i: k.clone(), j: at.clone(), axis: 1, lanes },
            Form::Columns => Pos { i: at.clone(), j: k.clone(), axis: 0, lanes },
        };
        self.operand_at(p.vectors, pos).0
    }

    fn single_at(&mut self, p: &Product, line: &Ix, k: &Ix) -> (String, usize) {
        let pos = match p.form {
            Form::Rows => Pos { i: line.clone(), j: k.clone(), axis: 1, lanes: 1 },
            Form::Columns => Pos { i: k.clone(), j: line.clone(), axis: 0, lanes: 1 },
        };
        self.operand_at(p.single, pos)
    }

    fn operand_at(&mut self, operand: Operand, pos: Pos) -> (String, usize) {
        let pos = if operand.flipped {
            Pos { i: pos.j, j: pos.i, axis: 1 - pos.axis, lanes: pos.lanes }
        } else {
            pos
        };
        self.eval(operand.root, &pos)
    }

    fn multiply_add(&mut self, a: &str, b: &str, c: &str, ty: &str) -> String {
        if self.host.fma {
            return self.code.op(&format!("math.fma {a}, {b}, {c} : {ty}"));
        }
        let product = self.code.op(&format!("arith.mulf {a}, {b} : {ty}"));
        self.code.op(&format!("arith.addf {product}, {c} : {ty}"))
    }
}
