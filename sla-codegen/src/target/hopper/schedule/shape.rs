//! Whether a kernel has the shape that warpgroups can pipeline, and which part of it is what.
//!
//! The shape is a loop over blocks with matrix products in it:
//! * *streams*: tiles that the loop loads for its products, by offsets that the counter alone decides; copied ahead by producers. Two loads
//!   joined along their rows are one such tile, of two copies;
//! * *lines*: rows of f32 that the loop loads beside them (statistics of its columns), streams too, which the consumer reads into registers;
//! * *residents*: tiles loaded before the loop for its products;
//! * *front* products: of streams and residents only, so that the next block's can run while this block's others do;
//! * *late* products: they add to what the loop carries. Between the two stands whatever the author wrote;
//! * *added* products: of a tile that the step computed, added to global memory in the same step (see `added`);
//! * *last* products: after the loop, of a tile in registers or a resident, and a resident that is loaded after the loop (see `last`).
//!
//! A kernel of another shape is refused with the reason, and runs on the schedule of every other architecture. Nothing is decided here about stages,
//! roles or order.

use super::added::Added;
use crate::analysis::{DotOperand, TensorUse, ahead_slice, box_axes, dot_operand, dot_size, tensor_uses};
use sla_dsl::diag::Loc;
use sla_dsl::ir::{BlockId, Effect, Elem, Kernel, Op, OpCode, OpId, Scalar, Type, Value};
use std::collections::{HashMap, HashSet};

/// A tile in shared memory.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The loads that it consists of, in the order of their rows: one, or two of as many rows each.
    pub loads: Vec<OpId>,
    /// The tile.
    pub value: Value,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Element type: a half, or f32 of a line.
    pub elem: Elem,
    /// Whether something other than products reads it, before the loop or in it.
    pub read: bool,
    /// Whether what follows the loop reads it, products aside.
    pub read_after: bool,
    /// Whether it is a resident of last products.
    pub last: bool,
}

impl Shape {
    /// Whether its loop has no steps.
    pub fn is_straight(&self) -> bool {
        self.streams.is_empty()
    }
}

impl Staged {
    /// Bytes of one stage.
    pub fn bytes(&self) -> usize {
        self.size[0] * self.size[1] * self.elem.bytes()
    }

    /// Whether it is a line: no operand of products.
    pub fn is_line(&self) -> bool {
        self.elem == Elem::F32
    }

    /// Rows of each of its loads.
    pub fn load_rows(&self) -> usize {
        self.size[0] / self.loads.len()
    }
}

/// Where a product takes an operand from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A stream, by index.
    Stream(usize),
    /// A resident, by index.
    Resident(usize),
    /// A tile in registers.
    Registers(Value),
}

/// A matrix product of the loop, or after it.
#[derive(Clone, Debug)]
pub struct Product {
    /// The dot.
    pub op: OpId,
    /// Its operands.
    pub a: Source,
    /// The second one, in shared memory.
    pub b: Source,
    /// Whether they are stored with their axes exchanged.
    pub turned: [bool; 2],
}

/// What is what.
#[derive(Debug)]
pub struct Shape {
    /// The loop.
    pub main: OpId,
    /// Consumer warpgroups: one for each 64 rows of a product.
    pub warpgroups: u32,
    /// Tiles that the loop loads.
    pub streams: Vec<Staged>,
    /// Tiles loaded before it, then those loaded after it.
    pub residents: Vec<Staged>,
    /// Products whose result the same step uses.
    pub front: Vec<Product>,
    /// Products that add to carried values.
    pub late: Vec<Product>,
    /// Products that a step adds to global memory.
    pub added: Vec<Added>,
    /// Products after the loop.
    pub last: Vec<Product>,
    /// For each late product, the carried slot that it adds to.
    pub slots: Vec<usize>,
    /// Ops of the loop that depend on an accumulator, and come before it is added to.
    pub before_late: HashSet<OpId>,
    /// Scalar ops before the loop that every role may copy.
    pub scalars: Vec<OpId>,
    /// Scalar ops after the loop that the offsets of the last residents come from.
    pub last_scalars: Vec<OpId>,
    /// Scalar ops of the loop that the streams' offsets come from.
    pub slice: Vec<OpId>,
    /// Stores after the loop that go through shared memory.
    pub sends: Vec<OpId>,
}

/// Why a kernel does not have the shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The op that is in the way.
    pub loc: Loc,
    /// What is in the way.
    pub reason: String,
}

pub(super) type Found<T> = Result<T, Refusal>;

/// Looks for the shape.
///
/// # Errors
/// What is in the way of it, with its place.
pub fn shape(kernel: &Kernel) -> Found<Shape> {
    Finder::new(kernel).find()
}

pub(super) struct Finder<'k> {
    pub(super) k: &'k Kernel,
    pub(super) defs: Vec<Option<OpId>>,
    pub(super) tensors: Vec<TensorUse>,
    pub(super) uses: HashMap<Value, Vec<OpId>>,
}

impl<'k> Finder<'k> {
    fn new(k: &'k Kernel) -> Finder<'k> {
        let mut uses: HashMap<Value, Vec<OpId>> = HashMap::new();
        k.walk(&mut |k, _, id| {
            for &v in &k.op(id).operands {
                uses.entry(v).or_default().push(id);
            }
        });
        Finder { k, defs: k.defs(), tensors: tensor_uses(k), uses }
    }

    pub(super) fn refuse<T>(&self, id: OpId, reason: impl Into<String>) -> Found<T> {
        Err(Refusal { loc: self.k.op(id).loc, reason: reason.into() })
    }

    fn find(&self) -> Found<Shape> {
        let k = self.k;
        let body = &k.block(k.body).ops;
        let main = self.main()?;
        let region = k.op(main).regions[0];
        let inside: HashSet<OpId> = k.block(region).ops.iter().copied().collect();
        let at = body.iter().position(|&o| o == main).unwrap_or(0);
        let before: HashSet<OpId> = body[..at].iter().copied().collect();
        let dots: Vec<OpId> =
            k.block(region).ops.iter().copied().filter(|&o| k.op(o).code == OpCode::Dot).collect();
        let all = || body.iter().copied().filter(|&o| k.op(o).code == OpCode::Dot);
        let Some(first) = dots.first().copied().or_else(|| all().next()) else {
            return self.refuse(main, "no matrix product");
        };
        let rows = dot_size(k, &self.defs, first)[0];
        let warpgroups = match rows / 64 {
            n @ 1..=4 if rows.is_multiple_of(64) => n as u32,
            _ => {
                return self.refuse(first, format!("a product of {rows} rows; it takes 64, 128, 192 or 256"));
            }
        };
        let (slots, late) = self.accumulators(main, &dots)?;
        let before_late = self.before_late(main, region, &slots, &late)?;

        let (mut streams, mut residents) = (Vec::new(), Vec::new());
        let product = |op: OpId, streams: &mut Vec<Staged>, residents: &mut Vec<Staged>| -> Found<Product> {
            let [m, n, kk] = dot_size(k, &self.defs, op);
            if m != rows || !n.is_multiple_of(8) || n > 256 || !kk.is_multiple_of(16) {
                return self.refuse(
                    op,
                    format!("a product of [{m}, {kk}] by [{kk}, {n}] beside one of {rows} rows"),
                );
            }
            let mut place = |index: usize| -> Found<(Source, bool)> {
                let operand = dot_operand(k, &self.defs, op, index);
                let source = self.source(op, operand, index, &inside, &before, streams, residents)?;
                Ok((source, operand.transposed))
            };
            let ((a, ta), (b, tb)) = (place(0)?, place(1)?);
            Ok(Product { op, a, b, turned: [ta, tb] })
        };
        let mut front = Vec::new();
        let mut lates = Vec::new();
        let mut added = Vec::new();
        for &dot in &dots {
            if late.contains(&dot) {
                lates.push(product(dot, &mut streams, &mut residents)?);
                continue;
            }
            match self.added(dot, rows, [&inside, &before], &mut streams, &mut residents)? {
                Some(found) => added.push(found),
                None => front.push(product(dot, &mut streams, &mut residents)?),
            }
        }
        for p in &front {
            if let Source::Registers(v) = p.a
                && self.defs[v.index()].is_some_and(|d| inside.contains(&d))
            {
                return self
                    .refuse(p.op, "a product of what the same step computed, whose result it uses too");
            }
            if k.op(p.op).operands.len() > 2 {
                return self.refuse(p.op, "a product with an accumulator that is not carried");
            }
        }
        self.joined(&streams)?;
        streams.extend(self.lines(region));
        let scalars = self.scalars(&body[..at]);
        let before_last = residents.len();
        let last = self.last(&body[at + 1..], rows, &before, dots.is_empty(), &mut residents)?;
        let all = self.scalars(&[&body[..at], &body[at + 1..]].concat());
        let wanted: Vec<Value> = residents[before_last..]
            .iter()
            .flat_map(|r| &r.loads)
            .flat_map(|&l| k.op(l).offsets())
            .copied()
            .collect();
        let last_scalars = self.needed(&all[scalars.len()..], &wanted);
        let slice = self.slice(region, main, &streams, &residents, &scalars, &last_scalars)?;
        let sends = body[at..].iter().copied().filter(|&o| self.can_send(o, rows)).collect();
        Ok(Shape {
            main,
            warpgroups,
            streams,
            residents,
            front,
            late: lates,
            added,
            last,
            slots,
            before_late,
            scalars,
            last_scalars,
            slice,
            sends,
        })
    }

    /// The only loop with dots, which stands in the body; other dots stand in the body after it.
    fn main(&self) -> Found<OpId> {
        let k = self.k;
        let mut dots = Vec::new();
        k.walk(&mut |k, block, id| {
            if k.op(id).code == OpCode::Dot {
                dots.push((block, id));
            }
        });
        let none = Refusal { loc: Loc::UNKNOWN, reason: "no matrix product in a loop".to_string() };
        let &(block, first) = dots.first().ok_or(none.clone())?;
        let loops = || k.block(k.body).ops.iter().copied().filter(|&o| k.op(o).code == OpCode::For);
        let empty = |o: &OpId| block == k.body && k.op(*o).operands[0] == k.op(*o).operands[1];
        let holder = loops().find(|o| k.op(*o).regions.first() == Some(&block) || empty(o));
        let Some(main) = holder else {
            return self.refuse(first, "a matrix product outside of a loop over blocks");
        };
        // The walk is in program order, so those of the body stand after the loop.
        match dots.iter().find(|(b, _)| *b != block && *b != k.body) {
            Some(&(_, other)) => self
                .refuse(other, "a matrix product inside another region than the loop that holds the others"),
            None => Ok(main),
        }
    }

    /// The carried slots that dots add to, and those dots.
    fn accumulators(&self, main: OpId, dots: &[OpId]) -> Found<(Vec<usize>, Vec<OpId>)> {
        let k = self.k;
        let region = k.op(main).regions[0];
        let yields = k.block(region).ops.last().map(|&y| k.op(y).operands.clone()).unwrap_or_default();
        let mut found: Vec<(OpId, usize)> = Vec::new();
        for (slot, v) in yields.iter().enumerate() {
            let Some(dot) = self.defs[v.index()].filter(|d| dots.contains(d)) else { continue };
            if k.op(dot).operands.len() == 3 && self.uses.get(v).map_or(0, Vec::len) == 1 {
                found.push((dot, slot));
            }
        }
        if found.is_empty() && !dots.is_empty() {
            return self.refuse(main, "no matrix product of the loop adds to a value that it carries");
        }
        // In program order, which is the order of issue.
        found.sort_by_key(|(d, _)| dots.iter().position(|o| o == d));
        Ok((found.iter().map(|f| f.1).collect(), found.iter().map(|f| f.0).collect()))
    }

    /// What depends on an accumulator inside the loop; it must lead to late products' accumulators and nowhere else.
    fn before_late(
        &self,
        main: OpId,
        region: BlockId,
        slots: &[usize],
        late: &[OpId],
    ) -> Found<HashSet<OpId>> {
        let k = self.k;
        let args = &k.block(region).args;
        let mut tainted: HashSet<Value> = slots.iter().map(|&s| args[s + 1]).collect();
        let mut ops = HashSet::new();
        for &id in &k.block(region).ops {
            let op = k.op(id);
            let mut reads: Vec<Value> = op.operands.clone();
            for &r in &op.regions {
                self.nested_operands(r, &mut reads);
            }
            let touched = |v: &Value| tainted.contains(v);
            if late.contains(&id) {
                if op.operands[..2].iter().any(touched) {
                    return self.refuse(id, "a product of the accumulators themselves");
                }
            } else if op.code == OpCode::Yield {
                let others = op.operands.iter().enumerate().filter(|(i, _)| !slots.contains(i));
                if others.map(|(_, v)| v).any(touched) {
                    return self.refuse(main, "a carried value that depends on an accumulator");
                }
            } else if reads.iter().any(touched) {
                if op.code == OpCode::Dot || op.code.effect() == Effect::Write {
                    return self.refuse(id, "a use of an accumulator before the loop ends");
                }
                tainted.extend(&op.results);
                ops.insert(id);
            }
        }
        Ok(ops)
    }

    fn nested_operands(&self, block: BlockId, out: &mut Vec<Value>) {
        for &id in &self.k.block(block).ops {
            out.extend(&self.k.op(id).operands);
            for &r in &self.k.op(id).regions {
                self.nested_operands(r, out);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn source(
        &self,
        dot: OpId,
        operand: DotOperand,
        index: usize,
        inside: &HashSet<OpId>,
        before: &HashSet<OpId>,
        streams: &mut Vec<Staged>,
        residents: &mut Vec<Staged>,
    ) -> Found<Source> {
        let k = self.k;
        if let Some(staged) = self.staged(operand.value) {
            let (loads, load) = (&staged.loads, staged.loads[0]);
            let flows = loads.iter().all(|l| inside.contains(l));
            let (list, wrap): (_, fn(usize) -> Source) = if flows {
                (streams, Source::Stream)
            } else if loads.len() == 1 && before.contains(&load) {
                (residents, Source::Resident)
            } else {
                return self.refuse(dot, "an operand that is loaded elsewhere than in the loop or before it");
            };
            let at = list.iter().position(|s| s.value == staged.value).unwrap_or_else(|| {
                list.push(staged);
                list.len() - 1
            });
            if flows && list[at].read {
                return self.refuse(load, "a tile that the loop loads for a product and reads otherwise too");
            }
            return Ok(wrap(at));
        }
        let half = k.ty(operand.value).elem().is_some_and(Elem::is_half);
        match (index, operand.transposed) {
            (0, false) if half => Ok(Source::Registers(operand.value)),
            (0, false) => self.refuse(dot, "a product of f32 tiles"),
            _ => self.refuse(
                dot,
                "a second operand that is not loaded from a packed and aligned tensor of halves",
            ),
        }
    }

    /// The tile of a load or of two joined along their rows, if the hardware can copy it to swizzled shared memory.
    pub(super) fn staged(&self, value: Value) -> Option<Staged> {
        let k = self.k;
        let made = self.defs[value.index()]?;
        let op = k.op(made);
        let loads: Vec<OpId> = match op.code {
            OpCode::Load => vec![made],
            OpCode::Concat if op.int("axis") == Some(0) => {
                op.operands.iter().map(|v| self.defs[v.index()]).collect::<Option<_>>()?
            }
            _ => return None,
        };
        if loads.iter().any(|&l| k.op(l).code != OpCode::Load) {
            return None;
        }
        let param = k.param_of(k.op(loads[0]).operands[0])?;
        let (elem, size) = match k.ty(value) {
            Type::Tile(e, s) if s.len() == 2 && e.is_half() => (*e, [s[0], s[1]]),
            _ => return None,
        };
        let rows = size[0] / loads.len();
        let copied = |&load: &OpId| {
            let (op, ty) = (k.op(load), k.ty(k.op(load).results[0]));
            k.param_of(op.operands[0]) == Some(param)
                && ty.shape() == Some(&[rows, size[1]])
                && self.is_box(op, param, ty)
        };
        let ok = self.tensors[param].read_only()
            && loads.iter().all(copied)
            && rows.is_multiple_of(8)
            && size[0] <= 256
            && size[1].is_multiple_of(64);
        let part = |&l: &OpId| l != made && self.users(k.op(l).results[0]).iter().any(|&u| u != made);
        let read = loads.iter().any(part) || self.readers(value).next().is_some();
        ok.then_some(Staged { loads, value, size, elem, read, read_after: false, last: false })
    }

    fn users(&self, v: Value) -> &[OpId] {
        self.uses.get(&v).map_or(&[], Vec::as_slice)
    }

    /// Who reads a tile besides products: what transposes it for products alone does not.
    pub(super) fn readers(&self, v: Value) -> impl Iterator<Item = OpId> + '_ {
        self.users(v).iter().copied().filter(|&u| match self.k.op(u).code {
            OpCode::Dot => false,
            OpCode::Transpose => self.readers(self.k.op(u).results[0]).next().is_some(),
            _ => true,
        })
    }

    /// The rows of f32 that the loop loads where its counter alone decides, if the hardware can copy them.
    fn lines(&self, region: BlockId) -> Vec<Staged> {
        let k = self.k;
        let line = |&load: &OpId| -> Option<Staged> {
            let op = k.op(load);
            let param = (op.code == OpCode::Load).then(|| k.param_of(op.operands[0]))??;
            let value = op.results[0];
            let Type::Tile(Elem::F32, shape) = k.ty(value) else { return None };
            let &[1, columns] = &shape[..] else { return None };
            let memory = k.params[param].memory;
            let along = box_axes(op, k.ty(value)).last() == Some(&Some(1));
            let ok = self.tensors[param].read_only()
                && memory.packed
                && memory.aligned
                && along
                && op.offsets().len() <= 5
                && columns.is_multiple_of(32)
                && columns <= 256;
            let placed = ahead_slice(k, &self.defs, &self.tensors, region, op.offsets());
            let size = [1, columns];
            (ok && placed.is_some()).then(|| Staged {
                loads: vec![load],
                value,
                size,
                elem: Elem::F32,
                read: true,
                read_after: false,
                last: false,
            })
        };
        k.block(region).ops.iter().filter_map(line).collect()
    }

    /// Joined tiles have no other place than a stage of a ring.
    fn joined(&self, streams: &[Staged]) -> Found<()> {
        let mut other = None;
        self.k.walk(&mut |k, _, id| {
            let op = k.op(id);
            if op.code == OpCode::Concat && streams.iter().all(|s| s.value != op.results[0]) {
                other = other.or(Some(id));
            }
        });
        other.map_or(Ok(()), |id| self.refuse(id, "two tiles joined, and not by rows for a product alone"))
    }

    /// Ops of scalars that have no effect and read no tensor that the kernel writes.
    fn scalars(&self, ops: &[OpId]) -> Vec<OpId> {
        let k = self.k;
        let mut known: HashSet<Value> = k.block(k.body).args.iter().copied().collect();
        let mut out = Vec::new();
        for &id in ops {
            let op = k.op(id);
            let quiet = match op.code {
                OpCode::Load => k.param_of(op.operands[0]).is_some_and(|p| self.tensors[p].read_only()),
                _ => op.code.effect() == Effect::None && op.regions.is_empty(),
            };
            let scalar = op.results.iter().all(|&r| matches!(k.ty(r), Type::Scalar(_)));
            if quiet && scalar && op.operands.iter().all(|v| known.contains(v)) {
                known.extend(&op.results);
                out.push(id);
            }
        }
        out
    }

    /// The scalar ops of the loop that producers need, after a look at whether they have all they need.
    fn slice(
        &self,
        region: BlockId,
        main: OpId,
        streams: &[Staged],
        residents: &[Staged],
        scalars: &[OpId],
        last_scalars: &[OpId],
    ) -> Found<Vec<OpId>> {
        let k = self.k;
        let mut known: HashSet<Value> = k.block(k.body).args.iter().copied().collect();
        known.extend(scalars.iter().flat_map(|&s| &k.op(s).results));
        let bounds = &k.op(main).operands[..2];
        if let Some(v) = bounds.iter().find(|v| !known.contains(v)) {
            return self
                .refuse(self.defs[v.index()].unwrap_or(main), "a bound of the loop that tiles decide");
        }
        let last: HashSet<Value> = last_scalars.iter().flat_map(|&s| k.op(s).results.clone()).collect();
        for r in residents {
            let known = |v: &Value| known.contains(v) || r.last && last.contains(v);
            let placed = |&&l: &&OpId| k.op(l).offsets().iter().any(|v| !known(v));
            if let Some(&load) = r.loads.iter().find(placed) {
                return self.refuse(load, "a place that tiles decide");
            }
        }
        let loads = streams.iter().flat_map(|s| &s.loads);
        let offsets: Vec<Value> = loads.flat_map(|&l| k.op(l).offsets().to_vec()).collect();
        let Some(slice) = ahead_slice(k, &self.defs, &self.tensors, region, &offsets) else {
            return self.refuse(main, "a block of the loop whose place carried values decide");
        };
        known.insert(k.block(region).args[0]);
        for &id in &slice {
            if k.op(id).operands.iter().any(|v| !known.contains(v)) {
                return self.refuse(id, "a place in the loop that tiles decide");
            }
            known.extend(&k.op(id).results);
        }
        if offsets.iter().any(|v| !known.contains(v)) {
            return self.refuse(main, "a place in the loop that tiles decide");
        }
        Ok(slice)
    }

    /// Whether the hardware can copy a tile of rank 2 from or to the box of a tensor: a packed and aligned one of at most five axes, whose last one the
    /// tile's columns follow.
    pub(super) fn is_box(&self, op: &Op, param: usize, tile: &Type) -> bool {
        let (memory, axes) = (self.k.params[param].memory, box_axes(op, tile));
        memory.packed
            && memory.aligned
            && axes.len() <= 5
            && axes.last() == Some(&Some(1))
            && axes.contains(&Some(0))
    }
}

/// Whether a value is 0 everywhere.
pub fn is_zero(kernel: &Kernel, defs: &[Option<OpId>], v: Value) -> bool {
    let op = defs[v.index()].map(|d| kernel.op(d));
    op.filter(|o| o.code == OpCode::Const).and_then(|o| o.scalar()) == Some(Scalar::Float(0.0))
}
