//! A random kernel from head to end: parameters, blocks in, ops, loops and branches, blocks out.

use super::bound::Bound;
use super::case::{Case, CaseArg, Config};
use super::rng::Rng;
use super::soup::{ANY_INT, Item, Soup, joint};
use crate::diag::Diagnostics;
use crate::ir::{
    Builder, DimExpr, Elem, Facts, GridAxis, MemFacts, OpCode, Param, ParamKind, Pred, Scalar, TensorType,
    Value,
};
use std::cell::Cell;

/// Most iterations of a random loop.
const MAX_TRIPS: i64 = 4;

/// A tensor parameter `[L]` or `[L, columns]`.
struct Tensor {
    index: usize,
    elem: Elem,
    columns: Option<usize>,
    bound: Bound,
}

pub fn generate(seed: u64, rng: &mut Rng, config: &Config) -> Result<Case, Diagnostics> {
    let (block, size) = (*rng.pick(&config.extents), rng.range(1, config.max_size));
    let mut params = Vec::new();
    let mut args = Vec::new();
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    for i in 0..rng.range(2, 4) {
        inputs.push(input(rng, config, &format!("x{i}"), size as usize, &mut params, &mut args));
    }
    for i in 0..rng.range(1, 3) {
        outputs.push(output(rng, config, &format!("y{i}"), size as usize, &mut params, &mut args));
    }
    let scalars = params.len();
    params.push(scalar_param("s", Elem::F32));
    args.push(CaseArg::Scalar(Scalar::Float(rng.range(-3, 3) as f64)));
    params.push(scalar_param("n", Elem::I32));
    args.push(CaseArg::Scalar(Scalar::Int(rng.range(0, MAX_TRIPS))));
    let grid =
        vec![GridAxis { name: "m".into(), extent: DimExpr::name("L").div_ceil((block as i64).into()) }];
    let builder = Builder::new("random", &["L"], grid, params, &Facts::default());
    let line = Cell::new(0);
    let soup = Soup { b: &builder, rng, extents: &config.extents, line: &line };
    let ragged = size % block as i64 != 0;
    let mut body = Body { soup, block, ragged, inputs, row: Value(0), pid: Value(0) };
    let tolerances = body.write(&outputs, scalars, config.ops);
    for (t, tolerance) in outputs.iter().zip(tolerances) {
        if let CaseArg::Tensor { tolerance: allowed, .. } = &mut args[t.index] {
            *allowed = Some(tolerance);
        }
    }
    let kernel = builder.finish()?;
    let programs = (size as usize).div_ceil(block);
    Ok(Case { seed, kernel, dims: vec![size], grid: [programs, 1, 1], args })
}

fn scalar_param(name: &str, elem: Elem) -> Param {
    Param { name: name.into(), kind: ParamKind::Scalar(elem), memory: MemFacts::default() }
}

fn tensor_param(
    name: &str,
    elem: Elem,
    columns: Option<usize>,
    mutable: bool,
    params: &mut Vec<Param>,
) -> usize {
    let dims = std::iter::once(DimExpr::name("L")).chain(columns.map(|c| DimExpr::from(c as i64))).collect();
    let kind = ParamKind::Tensor(TensorType { elem, dims, mutable });
    let aligned = columns.is_none_or(|c| (c * elem.bytes()).is_multiple_of(16));
    params.push(Param { name: name.into(), kind, memory: MemFacts { aligned, ..MemFacts::default() } });
    params.len() - 1
}

fn input(
    rng: &mut Rng,
    config: &Config,
    name: &str,
    size: usize,
    params: &mut Vec<Param>,
    args: &mut Vec<CaseArg>,
) -> Tensor {
    use Elem::*;
    let elem = *rng.pick(&[F32, F32, F16, BF16, BF16, I32, I8, Bool]);
    let columns = if rng.one_in(4) { None } else { Some(*rng.pick(&config.extents)) };
    let index = tensor_param(name, elem, columns, false, params);
    let whole = !elem.is_float() || rng.one_in(2);
    let bound = Bound::given(if elem.is_float() { 3.0 } else { 100.0 }, whole);
    let limit = bound.max as i64;
    let shape: Vec<usize> = std::iter::once(size).chain(columns).collect();
    args.push(CaseArg::tensor(elem, &shape, |_| match elem {
        Bool => rng.below(2) as f64,
        _ if whole => rng.range(-limit, limit) as f64,
        _ => rng.unit() * 3.0,
    }));
    Tensor { index, elem, columns, bound }
}

fn output(
    rng: &mut Rng,
    config: &Config,
    name: &str,
    size: usize,
    params: &mut Vec<Param>,
    args: &mut Vec<CaseArg>,
) -> Tensor {
    use Elem::*;
    let elem = *rng.pick(&[F32, F32, F32, F16, BF16, I32, I8, Bool]);
    let columns = if rng.one_in(3) { None } else { Some(*rng.pick(&config.extents)) };
    let index = tensor_param(name, elem, columns, true, params);
    let shape: Vec<usize> = std::iter::once(size).chain(columns).collect();
    args.push(CaseArg::tensor(elem, &shape, |i| (i % 2) as f64));
    Tensor { index, elem, columns, bound: Bound::given(1.0, true) }
}

struct Body<'b> {
    soup: Soup<'b>,
    /// Rows per program.
    block: usize,
    /// Whether the last block reaches past the end.
    ragged: bool,
    inputs: Vec<Tensor>,
    /// First row of this program.
    row: Value,
    pid: Value,
}

impl Body<'_> {
    /// Writes the body; returns the allowed difference of each output.
    fn write(&mut self, outputs: &[Tensor], scalars: usize, ops: usize) -> Vec<f64> {
        let b = self.soup.b;
        self.pid = b.program_id(0, self.soup.loc());
        self.row = b.binary(OpCode::Mul, self.pid, self.soup.int(self.block as i64), self.soup.loc());
        let scalar = |v, elem, bound| Item { v, elem, shape: vec![], bound };
        let mut pool = vec![
            scalar(b.param(scalars), Elem::F32, Bound::given(3.0, true)),
            scalar(b.param(scalars + 1), Elem::I32, Bound::given(MAX_TRIPS as f64, true)),
            scalar(self.pid, Elem::I32, ANY_INT),
        ];
        for i in 0..self.inputs.len() {
            let row = self.row;
            pool.push(self.load(i, row, self.block, self.ragged));
        }
        for part in 0..3 {
            self.soup.grow(&mut pool, ops / 4);
            let more = match (part + self.soup.rng.below(3)) % 3 {
                0 => self.loop_(&pool, scalars + 1, ops / 4),
                1 => self.branch(&pool, ops / 4),
                _ => Vec::new(),
            };
            pool.extend(more);
        }
        self.soup.grow(&mut pool, ops / 4);
        outputs.iter().map(|t| self.store(&pool, t)).collect()
    }

    /// Rows `at..at + rows` of an input.
    fn load(&mut self, input: usize, at: Value, rows: usize, check: bool) -> Item {
        let (s, t) = (&self.soup, &self.inputs[input]);
        let mut offsets = vec![at];
        let mut extent = vec![rows];
        let mut checks = vec![check];
        if let Some(columns) = t.columns {
            offsets.push(s.int(0));
            extent.push(columns);
            checks.push(false);
        }
        // A row alone comes as a tile of one row or of rank 1.
        let shape: Vec<usize> = if t.columns.is_some() && rows == 1 && s.line.get() % 2 == 0 {
            extent[1..].to_vec()
        } else {
            extent.clone()
        };
        let v = s.b.load(s.b.param(t.index), &offsets, &extent, &checks, &shape, s.loc());
        Item { v, elem: t.elem, shape, bound: t.bound }
    }

    /// A loop that accumulates, takes the largest, or mangles integers; perhaps over rows chosen by a scalar.
    fn loop_(&mut self, pool: &[Item], trips: usize, ops: usize) -> Vec<Item> {
        let b = self.soup.b;
        let lo = self.soup.int(0);
        let hi = match self.soup.rng.below(3) {
            0 => {
                let trips = self.soup.rng.range(0, MAX_TRIPS);
                self.soup.int(trips)
            }
            1 => b.param(trips),
            _ => b.binary(OpCode::And, self.pid, self.soup.int(3), self.soup.loc()),
        };
        let step = self.soup.rng.range(1, 2);
        let mut starts = Vec::new();
        for _ in 0..self.soup.rng.range(1, 3) {
            starts.extend(self.soup.pick(pool, |i| i.elem.is_arith()));
        }
        let init: Vec<Value> = starts.iter().map(|i| i.v).collect();
        let mut bounds: Vec<Bound> = starts.iter().map(|i| i.bound).collect();
        let loc = self.soup.loc();
        let out = b.for_(lo, hi, step, &init, loc, |i, carried| {
            let mut inner = pool.to_vec();
            inner.push(Item {
                v: i,
                elem: Elem::I32,
                shape: vec![],
                bound: Bound::given(MAX_TRIPS as f64, true),
            });
            let input = self.soup.rng.below(self.inputs.len());
            let size = b.dim("L", self.soup.loc());
            let at = b.binary(OpCode::Rem, i, size, self.soup.loc());
            inner.push(self.load(input, at, 1, false));
            self.soup.grow(&mut inner, ops);
            let next =
                |((start, &c), bound): ((&Item, &Value), &mut Bound)| self.next(&inner, start, c, bound);
            starts.iter().zip(carried).zip(&mut bounds).map(next).collect()
        });
        let results = out.into_iter().zip(starts).zip(bounds);
        let items = results.map(|((v, start), bound)| Item { v, bound, ..start });
        items.filter(|i| i.elem == Elem::I32 || i.bound.usable()).collect()
    }

    /// The next value of a carried one, and in `bound` what is known of it after the loop.
    fn next(&mut self, inner: &[Item], start: &Item, carried: Value, bound: &mut Bound) -> Value {
        let (b, loc) = (self.soup.b, self.soup.loc());
        let Some(x) = self.soup.pick(inner, |i| i.elem == start.elem && i.shape == start.shape) else {
            return carried;
        };
        if start.elem == Elem::I32 {
            *bound = ANY_INT;
            let code = *self.soup.rng.pick(&[OpCode::Add, OpCode::Xor, OpCode::Mul, OpCode::Min]);
            return b.binary(code, carried, x.v, loc);
        }
        if self.soup.rng.one_in(3) {
            *bound = bound.either(x.bound);
            return b.binary(OpCode::Max, carried, x.v, loc);
        }
        *bound = bound.add(x.bound.sum(MAX_TRIPS as usize));
        for _ in 0..MAX_TRIPS {
            *bound = bound.add(Bound::given(0.0, true));
        }
        b.binary(OpCode::Add, carried, x.v, loc)
    }

    /// A branch on scalars whose sides give values of the same types.
    fn branch(&mut self, pool: &[Item], ops: usize) -> Vec<Item> {
        let b = self.soup.b;
        let exact: Vec<Item> = pool.iter().filter(|i| i.bound.exact()).cloned().collect();
        let Some(x) = self.soup.pick(&exact, |i| i.elem == Elem::I32 && i.shape.is_empty()) else {
            return Vec::new();
        };
        let (limit, pred) = (self.soup.int(1), *self.soup.rng.pick(&Pred::ALL));
        let cond = b.cmp(pred, x.v, limit, self.soup.loc());
        let wanted: Vec<Item> =
            (0..self.soup.rng.range(1, 2)).filter_map(|_| self.soup.pick(pool, |_| true)).collect();
        let sides = Cell::new(Vec::new());
        let loc = self.soup.loc();
        let me = std::cell::RefCell::new(self);
        let side = || {
            let soup = &mut me.borrow_mut().soup;
            let mut inner = pool.to_vec();
            soup.grow(&mut inner, ops / 2);
            let same = |w: &Item| {
                let found = soup.pick(&inner, |i| i.elem == w.elem && i.shape == w.shape);
                found.unwrap_or_else(|| w.clone())
            };
            let items: Vec<Item> = wanted.iter().map(same).collect();
            let mut both = sides.take();
            both.push(items.iter().map(|i| i.bound).collect::<Vec<Bound>>());
            sides.set(both);
            items.into_iter().map(|i| i.v).collect()
        };
        let out = b.if_(cond, loc, side, side);
        let sides = sides.take();
        let joined = sides[0].iter().zip(&sides[1]).map(|(a, b)| a.either(*b));
        out.into_iter().zip(wanted).zip(joined).map(|((v, w), bound)| Item { v, bound, ..w }).collect()
    }

    /// Stores a mixture of values to an output; returns the allowed difference.
    fn store(&mut self, pool: &[Item], t: &Tensor) -> f64 {
        let b = self.soup.b;
        let extent: Vec<usize> = std::iter::once(self.block).chain(t.columns).collect();
        let kind = if t.elem.is_float() { Elem::F32 } else { Elem::I32 };
        let item = match t.elem {
            Elem::Bool => self
                .soup
                .pick(pool, |i| i.elem == Elem::Bool && joint(&i.shape, &extent).as_ref() == Some(&extent)),
            _ => self.soup.mix(pool, kind, &extent),
        };
        let cast = item.and_then(|i| self.soup.cast_to(i, t.elem)).map(|i| {
            let v = b.broadcast_to(i.v, &extent, self.soup.loc());
            Item { v, shape: extent.clone(), ..i }
        });
        let loc = self.soup.loc();
        let item = cast.unwrap_or_else(|| {
            let zero = match t.elem {
                Elem::Bool => Scalar::Bool(false),
                e if e.is_float() => Scalar::Float(0.0),
                _ => Scalar::Int(0),
            };
            let v = b.full(&extent, zero, t.elem, loc);
            Item { v, elem: t.elem, shape: extent.clone(), bound: Bound::given(0.0, true) }
        });
        let mut offsets = vec![self.row];
        let mut checks = vec![self.ragged];
        if t.columns.is_some() {
            offsets.push(self.soup.int(0));
            checks.push(false);
        }
        // Integer sums are exact in any order, so that adding to what is there has one result.
        let adds = t.elem == Elem::I32 && self.soup.rng.one_in(2);
        let code = if adds { OpCode::AtomicAdd } else { OpCode::Store };
        b.store(code, b.param(t.index), item.v, &offsets, &extent, &checks, loc);
        if t.elem.is_float() { 2.0 * item.bound.err } else { 0.0 }
    }
}
