//! Products that a step computes and adds to global memory, of a tile that the same step made: `sum[i] += dS^T K`, the gradient of queries in a program of
//! keys, whose `dS` has keys along its rows.
//!
//! Such a product contracts the axis along which warpgroups split the tile, so that each of them needs all of it: they *share* it, through stages of
//! shared memory that they write together and meet at. What they split instead are the product's columns, 64 for each; the parts stand below
//! each other, and a tile in registers is as large as any other. The result leaves through shared memory too, added by the hardware there and then.

use super::consumer::Consumer;
use super::plan::{Copier, Plan, RingPlan};
use super::shape::{Finder, Found, Product, Shape, Source, Staged};
use super::writer::Writer;
use crate::analysis::{dot_operand, dot_size};
use sla_dsl::ir::{Attr, Elem, Kernel, OpCode, OpId, Type, Value};
use std::collections::HashSet;

/// Stages of a shared tile: a step's meeting is then enough for the stage of the step before.
const STAGES: usize = 2;
/// Rows of such a product: what one warpgroup multiplies.
const ROWS: usize = 64;
/// A warpgroup's columns.
const COLUMNS: usize = 64;

/// A product that is added to global memory.
#[derive(Clone, Debug)]
pub struct Added {
    /// The product, whose first operand is turned.
    pub product: Product,
    /// That operand, as the loop computes it.
    pub shared: Value,
    /// The op that adds the product.
    pub add: OpId,
}

impl Added {
    /// Columns of the product.
    fn columns(&self, k: &Kernel) -> usize {
        k.ty(k.op(self.product.op).results[0]).shape().map_or(0, |s| s[1])
    }

    /// The rings that it takes: of the shared tile, and of what is added.
    pub fn rings(&self, k: &Kernel) -> [RingPlan; 2] {
        let tile = k.ty(self.shared);
        let size = tile.shape().map_or([0, 0], |s| [s[0], s[1]]);
        let elem = tile.elem().unwrap_or(Elem::BF16);
        let tensor = k.param_of(k.op(self.add).operands[0]);
        let name = tensor.map_or("sum", |p| k.params[p].name.as_str()).to_string();
        [
            RingPlan { name: "shared".into(), elem, size, stages: STAGES },
            RingPlan { name, elem: Elem::F32, size: [ROWS, self.columns(k)], stages: 1 },
        ]
    }
}

impl Finder<'_> {
    /// The product as one that is added, if its first operand is a tile that the loop computes, turned.
    ///
    /// # Errors
    /// Sizes that warpgroups cannot split, or another use of the result.
    pub(super) fn added(
        &self,
        dot: OpId,
        rows: usize,
        [inside, before]: [&HashSet<OpId>; 2],
        streams: &mut Vec<Staged>,
        residents: &mut Vec<Staged>,
    ) -> Found<Option<Added>> {
        let k = self.k;
        let [left, right] = [0, 1].map(|index| dot_operand(k, &self.defs, dot, index));
        let computed = self.defs[left.value.index()].is_some_and(|d| inside.contains(&d));
        if !left.transposed || !computed || self.staged(left.value).is_some() {
            return Ok(None);
        }
        let [m, n, kk] = dot_size(k, &self.defs, dot);
        let half = k.ty(left.value).elem().is_some_and(Elem::is_half);
        let each = COLUMNS * rows / 64;
        let fits = m == ROWS && kk == rows && n == each;
        if !half || !fits || right.transposed || k.op(dot).operands.len() > 2 {
            let reason = format!(
                "a product of [{m}, {kk}] by [{kk}, {n}] of what the step computed, turned; it takes halves, {ROWS} rows, the step's {rows} rows \
                 contracted and {each} columns"
            );
            return self.refuse(dot, reason);
        }
        let result = k.op(dot).results[0];
        let users = self.uses.get(&result).map_or(&[][..], Vec::as_slice);
        let add = match users {
            &[add] if inside.contains(&add) && self.can_add(add, result) => add,
            _ => {
                let reason = "a product of what the step computed, turned, that is not just added to a packed and aligned tensor of f32";
                return self.refuse(dot, reason);
            }
        };
        let b = self.source(dot, right, 1, inside, before, streams, residents)?;
        let product = Product { op: dot, a: Source::Registers(left.value), b, turned: [true, false] };
        Ok(Some(Added { product, shared: left.value, add }))
    }

    /// Whether the hardware can add a tile where an op adds it.
    fn can_add(&self, id: OpId, tile: Value) -> bool {
        let (k, op) = (self.k, self.k.op(id));
        if op.code != OpCode::AtomicAdd || op.operands[1] != tile {
            return false;
        }
        let Some(param) = k.param_of(op.operands[0]) else { return false };
        let uses = self.tensors[param];
        (uses.loads, uses.stores, uses.atomics) == (0, 0, 1) && self.is_box(op, param, k.ty(tile))
    }
}

/// The places in rings of a consumer's streams and, behind them, of its shared tiles.
fn split<'a>(shape: &Shape, at: &'a [Value]) -> (&'a [Value], &'a [Value]) {
    at.split_at(shape.streams.len())
}

/// How many places in rings of streams and shared tiles a consumer carries. With products that are added a step uses a stage of each ring, from first to last:
/// one place does for all rings of as many stages, and leaves a thread registers.
pub(super) fn places(shape: &Shape, plan: &Plan) -> usize {
    match shape.added.len() {
        0 => shape.streams.len(),
        _ if plan.stages() == STAGES => 1,
        _ => 2,
    }
}

/// Those for each stream and, behind them, for each shared tile.
pub(super) fn spread(shape: &Shape, carried: &[Value]) -> Vec<Value> {
    let (Some(&of_streams), Some(&of_shared)) = (carried.first(), carried.last()) else { return Vec::new() };
    if shape.added.is_empty() {
        return carried.to_vec();
    }
    let shared = shape.added.iter().map(|_| of_shared);
    shape.streams.iter().map(|_| of_streams).chain(shared).collect()
}

/// What is carried, of the places after a step.
pub(super) fn gather(shape: &Shape, plan: &Plan, at: &[Value]) -> Vec<Value> {
    match (shape.added.len(), places(shape, plan)) {
        (0, _) => at.to_vec(),
        (_, 1) => at[..1].to_vec(),
        _ => vec![at[0], at[at.len() - 1]],
    }
}

impl Consumer<'_> {
    /// Shares the first operand of such a product and starts the product.
    pub(super) fn start_added(&self, w: &mut Writer<'_>, index: usize, at: &[Value]) -> Value {
        let added = &self.shape.added[index];
        let (streams, shared) = split(self.shape, at);
        let op = w.tile.op(added.product.op);
        w.at(op.loc);
        let tile = w.get(added.shared);
        let Type::Tile(elem, size) = w.tile.ty(added.shared).clone() else { return tile };
        let view = Type::View(elem, [size[0], size[1]]);
        let view = w.one(OpCode::Share, &[tile, self.rings.shared[index], shared[index]], view, &[]);
        let b = self.operand(w, added.product.b, 1, streams);
        let parts = self.parts_of_columns();
        let size = [ROWS * parts, added.columns(w.tile) / parts];
        let attrs = [("ta", Attr::Int(1)), ("tb", Attr::Int(0)), ("parts", Attr::Int(parts as i64))];
        w.one(OpCode::Mma, &[view, b], Type::Pending(Elem::F32, size), &attrs)
    }

    /// Adds the product to global memory.
    pub(super) fn add(&self, w: &mut Writer<'_>, index: usize) {
        let op = w.tile.op(self.shape.added[index].add);
        w.at(op.loc);
        let mut operands = vec![w.get(op.operands[0]), w.get(op.operands[1]), self.rings.adding[index]];
        operands.extend(op.offsets().iter().map(|&v| w.get(v)));
        let parts = Attr::Int(self.parts_of_columns() as i64);
        w.op(
            OpCode::SendAdd,
            &operands,
            &[],
            &[("box", Attr::Ints(op.ints("box").to_vec())), ("parts", parts)],
        );
    }

    /// All products of a step.
    pub(super) fn products(&self) -> impl Iterator<Item = &Product> {
        let added = self.shape.added.iter().map(|a| &a.product);
        self.shape.front.iter().chain(&self.shape.late).chain(added)
    }

    /// Whether a step's stages are given back as soon as their last product has ended. Where it copies for itself it does so for all stages at once.
    pub(super) fn gives_back_one_by_one(&self) -> bool {
        !self.shape.added.is_empty() && self.plan.copier == Copier::Producers
    }

    /// Each warpgroup has a part.
    fn parts_of_columns(&self) -> usize {
        self.shape.warpgroups as usize
    }
}
