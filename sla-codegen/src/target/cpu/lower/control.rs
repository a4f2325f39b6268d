//! Blocks and control flow of a kernel: ops in order, loops and branches as basic blocks, values into their buffers.

use super::super::schedule::{BufferId, Home, dims};
use super::Lower;
use super::eval::Bound;
use sla_dsl::ir::{BlockId, Class, OpCode, OpId, Value};

impl Lower<'_> {
    /// Every op of a block but a final `yield`, which belongs to the op around it.
    pub(super) fn block(&mut self, block: BlockId) {
        let ops = self.k.block(block).ops.clone();
        for id in ops {
            let op = self.k.op(id);
            self.code.at(op.loc.file, op.loc.line, op.loc.col);
            match op.code.class() {
                Class::For => self.for_(id),
                Class::If => self.if_(id),
                Class::Yield => {}
                Class::Store => self.store(id),
                Class::Debug => self.debug(id),
                _ => self.define(id),
            }
        }
    }

    /// An op with one result.
    fn define(&mut self, id: OpId) {
        let op = self.k.op(id);
        let result = op.results[0];
        match self.s.home(result) {
            Home::Scalar => {
                let value = self.scalar(id);
                self.scalars.insert(result, value);
            }
            Home::Buffer => {
                let Some(tile) = self.s.main_tile(result) else { return };
                match op.code.class() {
                    Class::Load => self.load(id, tile),
                    Class::Reduce => self.reduce(id, tile),
                    Class::Pack => self.pack_rows(id, tile),
                    Class::Dot => self.dot(id, op.operands.get(2).copied(), tile),
                    Class::Reshape if !self.renames(id) => self.reshape(op.operands[0], tile),
                    _ => match self.s.fused.get(&id).copied() {
                        Some((dot, other)) => self.dot(dot, Some(other), tile),
                        None => self.write(result, Some(id), tile),
                    },
                }
                self.copies(result);
            }
            Home::Inline | Home::Fused | Home::Tensor => {}
        }
    }

    /// A scalar op.
    fn scalar(&mut self, id: OpId) -> String {
        let op = self.k.op(id);
        match op.code {
            OpCode::Load => self.load_scalar(id),
            OpCode::Dim => {
                let dim = self.k.dims.iter().position(|d| d == op.str("name")).unwrap_or(0);
                self.dims[dim].clone()
            }
            OpCode::ProgramId => {
                let axis = op.int("axis").unwrap_or(0) as usize;
                self.place.get(axis).cloned().unwrap_or_else(|| self.code.constant("0 : i32"))
            }
            _ => {
                self.code.open_nest();
                let zero = self.code.fixed(0);
                let pos = super::eval::Pos { i: zero.clone(), j: zero, axis: 1, lanes: 1 };
                let (value, _) = self.compute(id, &pos);
                self.code.close_nest();
                value
            }
        }
    }

    /// Computes a value, or the op that defines it, into a buffer.
    pub(super) fn write(&mut self, v: Value, def: Option<OpId>, tile: BufferId) {
        let (rows, cols) = dims(self.k.ty(v));
        let axis = self.s.buffer(tile).axis;
        self.code.open_nest();
        self.over(Bound::Static(rows), Bound::Static(cols), axis, self.host.lanes, &mut |l, pos| {
            let (value, _) = match def {
                Some(id) => l.compute(id, pos),
                None => l.eval(v, pos),
            };
            l.store_tile(tile, pos, &value);
        });
        self.code.close_nest();
    }

    /// The transposed copy of a value, if some use asks for one.
    pub(super) fn copies(&mut self, v: Value) {
        let (Some(main), Some(other)) = (self.s.main_tile(v), self.s.tile(v, 1 - self.s.axis(v))) else {
            return;
        };
        if main != other {
            self.transpose_copy(main, other);
        }
    }

    /// The same elements in row-major order, under another shape.
    fn reshape(&mut self, from: Value, to: BufferId) {
        let axis = super::super::schedule::vector_axis(dims(self.k.ty(from))).unwrap_or(1);
        let Some(source) = self.s.tile(from, axis) else { return };
        self.copy(source, to);
    }

    /// Copies a buffer to one of the same size, element by element in memory order.
    fn copy(&mut self, from: BufferId, to: BufferId) {
        let (a, b) = (self.s.buffer(from).clone(), self.s.buffer(to).clone());
        let n = a.outer * a.inner;
        self.code.open_nest();
        self.over(Bound::Static(1), Bound::Static(n), 1, self.host.lanes, &mut |l, pos| {
            let source = l.view(a.offset, 1, n, a.elem);
            let target = l.view(b.offset, 1, n, b.elem);
            let value = l.load_view(&source, a.elem, pos);
            l.store_view(&target, b.elem, pos, &value);
        });
        self.code.close_nest();
    }

    /// Brings the values that leave a region into `tiles`, at once; returns the scalars.
    fn leave(
        &mut self,
        values: &[Value],
        tiles: &[Option<BufferId>],
        swaps: &[Option<BufferId>],
    ) -> Vec<String> {
        let main = |l: &Self, v: Value| if l.s.home(v) == Home::Buffer { l.s.main_tile(v) } else { None };
        for (&v, swap) in values.iter().zip(swaps) {
            if let (Some(from), Some(swap)) = (main(self, v), swap) {
                self.move_tile(v, from, *swap);
            }
        }
        for ((&v, tile), swap) in values.iter().zip(tiles).zip(swaps) {
            if let (Some(tile), None) = (tile, swap)
                && main(self, v) != Some(*tile)
            {
                self.write(v, None, *tile);
            }
        }
        for (tile, swap) in tiles.iter().zip(swaps) {
            if let (Some(tile), Some(swap)) = (tile, swap) {
                self.copy(*swap, *tile);
            }
        }
        values.iter().zip(tiles).filter(|(_, t)| t.is_none()).map(|(v, _)| self.scalars[v].clone()).collect()
    }

    /// Copies a value to a buffer, which may lie the other way round.
    fn move_tile(&mut self, v: Value, from: BufferId, to: BufferId) {
        if self.s.buffer(from).axis == self.s.buffer(to).axis {
            self.copy(from, to)
        } else {
            self.write(v, None, to)
        }
    }

    fn for_(&mut self, id: OpId) {
        let op = self.k.op(id).clone();
        let body = op.regions[0];
        let args = self.k.block(body).args.clone();
        let tiles: Vec<Option<BufferId>> = args[1..]
            .iter()
            .map(|&a| if self.s.home(a) == Home::Buffer { self.s.main_tile(a) } else { None })
            .collect();
        let swaps: Vec<Option<BufferId>> =
            (0..tiles.len()).map(|i| self.s.swaps.get(&(id, i)).copied()).collect();
        let none = vec![None; tiles.len()];
        let start = self.leave(&op.operands[2..], &tiles, &none);
        let (head, inside, after) = (self.code.label(), self.code.label(), self.code.label());
        let [lo, hi] = [0, 1].map(|i| {
            let v = self.scalars[&op.operands[i]].clone();
            self.code.op(&format!("arith.index_cast {v} : i32 to index"))
        });
        let scalars: Vec<Value> =
            args[1..].iter().zip(&tiles).filter(|(_, t)| t.is_none()).map(|(a, _)| *a).collect();
        let types: Vec<&str> =
            scalars.iter().map(|v| self.k.ty(*v).elem().map_or("i32", super::register)).collect();
        let jump = |values: &[String]| {
            let names = values.join(", ");
            let types: Vec<&str> = std::iter::once("index").chain(types.iter().copied()).collect();
            format!("cf.br {head}({names} : {})", types.join(", "))
        };
        let first: Vec<String> = std::iter::once(lo).chain(start).collect();
        self.code.line(&jump(&first));

        let at = self.code.fresh();
        let names: Vec<String> = scalars.iter().map(|_| self.code.fresh()).collect();
        let list: Vec<String> = names.iter().zip(&types).map(|(n, t)| format!(", {n}: {t}")).collect();
        self.code.bare(&format!("{head}({at}: index{}):", list.concat()));
        for (&v, name) in scalars.iter().zip(&names) {
            self.scalars.insert(v, name.clone());
        }
        let more = self.code.op(&format!("arith.cmpi slt, {at}, {hi} : index"));
        self.code.line(&format!("cf.cond_br {more}, {inside}, {after}"));
        self.code.bare(&format!("{inside}:"));
        let counter = self.code.op(&format!("arith.index_cast {at} : index to i32"));
        self.scalars.insert(args[0], counter);
        for &arg in &args[1..] {
            self.copies_if_tile(arg);
        }
        self.block(body);
        self.code.at(op.loc.file, op.loc.line, op.loc.col);
        let next = self.leave(&self.yielded(body), &tiles, &swaps);
        let step = self.code.constant(&format!("{} : index", op.int("step").unwrap_or(1)));
        let up = self.code.op(&format!("arith.addi {at}, {step} : index"));
        let next: Vec<String> = std::iter::once(up).chain(next).collect();
        self.code.line(&jump(&next));

        self.code.bare(&format!("{after}:"));
        let mut names = names.into_iter();
        for (&r, tile) in op.results.iter().zip(&tiles) {
            match tile {
                Some(_) => self.copies_if_tile(r),
                None => {
                    if let Some(name) = names.next() {
                        self.scalars.insert(r, name);
                    }
                }
            }
        }
    }

    fn if_(&mut self, id: OpId) {
        let op = self.k.op(id).clone();
        let cond = self.scalars[&op.operands[0]].clone();
        let labels = [self.code.label(), self.code.label()];
        let merge = self.code.label();
        let tiles: Vec<Option<BufferId>> = op
            .results
            .iter()
            .map(|&r| if self.s.home(r) == Home::Buffer { self.s.main_tile(r) } else { None })
            .collect();
        let none = vec![None; tiles.len()];
        let scalars: Vec<Value> =
            op.results.iter().zip(&tiles).filter(|(_, t)| t.is_none()).map(|(r, _)| *r).collect();
        let types: Vec<&str> =
            scalars.iter().map(|v| self.k.ty(*v).elem().map_or("i32", super::register)).collect();
        self.code.line(&format!("cf.cond_br {cond}, {}, {}", labels[0], labels[1]));
        for (label, &region) in labels.iter().zip(&op.regions) {
            self.code.bare(&format!("{label}:"));
            self.block(region);
            self.code.at(op.loc.file, op.loc.line, op.loc.col);
            let out = self.leave(&self.yielded(region), &tiles, &none);
            let with = if out.is_empty() {
                String::new()
            } else {
                format!("({} : {})", out.join(", "), types.join(", "))
            };
            self.code.line(&format!("cf.br {merge}{with}"));
        }
        let names: Vec<String> = scalars.iter().map(|_| self.code.fresh()).collect();
        let list: Vec<String> = names.iter().zip(&types).map(|(n, t)| format!("{n}: {t}")).collect();
        let with = if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) };
        self.code.bare(&format!("{merge}{with}:"));
        for (v, name) in scalars.into_iter().zip(names) {
            self.scalars.insert(v, name);
        }
        for &r in &op.results {
            self.copies_if_tile(r);
        }
    }

    fn copies_if_tile(&mut self, v: Value) {
        if self.s.home(v) == Home::Buffer {
            self.copies(v);
        }
    }

    /// What a region's `yield` names.
    fn yielded(&self, region: BlockId) -> Vec<Value> {
        self.k.block(region).ops.last().map(|&id| self.k.op(id).operands.clone()).unwrap_or_default()
    }
}
