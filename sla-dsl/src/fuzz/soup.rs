//! Random ops on a pool of values.

use super::bound::Bound;
use super::rng::Rng;
use crate::diag::Loc;
use crate::ir::{Builder, Elem, OpCode, Pred, Scalar, Value};
use std::cell::Cell;

/// A value with what is known of it. Integers and truth values are always exact; their bound says how large they are.
#[derive(Clone, Debug)]
pub struct Item {
    pub v: Value,
    pub elem: Elem,
    pub shape: Vec<usize>,
    pub bound: Bound,
}

/// How many values go into an output.
const MIXED: usize = 8;

/// The largest tile made by broadcasting, in elements.
const MAX_TILE: usize = 1024;

/// A bound for integers about which nothing is known.
pub const ANY_INT: Bound = Bound { max: 4e9, err: 0.0, whole: true };

pub struct Soup<'b> {
    pub b: &'b Builder,
    pub rng: &'b mut Rng,
    pub extents: &'b [usize],
    /// Numbers the ops, as lines of a file that does not exist.
    pub line: &'b Cell<u32>,
}

impl Soup<'_> {
    pub fn loc(&self) -> Loc {
        self.line.set(self.line.get() + 1);
        Loc::new("random", self.line.get(), 1)
    }

    pub fn int(&self, v: i64) -> Value {
        self.b.int(v, self.loc())
    }

    fn float(&self, v: f64) -> Value {
        self.b.constant(Scalar::Float(v), Elem::F32, self.loc())
    }

    pub fn pick(&mut self, pool: &[Item], fits: impl Fn(&Item) -> bool) -> Option<Item> {
        let fitting: Vec<&Item> = pool.iter().filter(|i| fits(i)).collect();
        // The newest values are taken more often, so that chains grow.
        let newest = fitting.len().saturating_sub(4);
        let from = if self.rng.one_in(2) { &fitting[newest..] } else { &fitting[..] };
        if from.is_empty() { None } else { Some((*self.rng.pick(from)).clone()) }
    }

    /// Adds about `n` results of random ops to the pool.
    pub fn grow(&mut self, pool: &mut Vec<Item>, n: usize) {
        for _ in 0..n {
            if let Some(item) = self.op(pool).filter(|i| i.elem != Elem::F32 || i.bound.usable()) {
                pool.push(item);
            }
        }
    }

    fn op(&mut self, pool: &[Item]) -> Option<Item> {
        match self.rng.below(18) {
            0 | 1 => self.float_unary(pool),
            2..=4 => self.float_binary(pool),
            5 => self.int_binary(pool),
            6 => self.compare(pool),
            7 | 8 => self.select(pool),
            9 | 10 => self.cast(pool),
            11 => self.reduce(pool),
            12 => self.reshape(pool),
            13 | 14 => self.dot(pool),
            15 => self.masked_softmax(pool),
            16 => self.pack(pool),
            _ => self.leaf(),
        }
    }

    /// A constant or an `iota`.
    pub fn leaf(&mut self) -> Option<Item> {
        let shape = match self.rng.below(3) {
            0 => vec![*self.rng.pick(self.extents)],
            1 => vec![*self.rng.pick(self.extents), *self.rng.pick(self.extents)],
            _ => vec![],
        };
        let loc = self.loc();
        if !shape.is_empty() && self.rng.one_in(2) {
            let axis = self.rng.below(shape.len());
            let bound = Bound::given(shape[axis] as f64, true);
            return Some(Item { v: self.b.iota(&shape, axis, loc), elem: Elem::I32, shape, bound });
        }
        if self.rng.one_in(3) {
            let n = self.rng.range(-9, 9);
            let v = self.b.full(&shape, Scalar::Int(n), Elem::I32, loc);
            return Some(Item { v, elem: Elem::I32, shape, bound: Bound::given(9.0, true) });
        }
        let whole = self.rng.one_in(2);
        let x = if whole { self.rng.range(-3, 3) as f64 } else { (self.rng.unit() * 2.0) as f32 as f64 };
        let v = self.b.full(&shape, Scalar::Float(x), Elem::F32, loc);
        Some(Item { v, elem: Elem::F32, shape, bound: Bound::given(x.abs(), whole) })
    }

    fn float_unary(&mut self, pool: &[Item]) -> Option<Item> {
        let x = self.pick(pool, |i| i.elem == Elem::F32)?;
        let loc = self.loc();
        // Functions with a pole or a steep place are used from 1 upward; exponentials up to 4.
        let from_one = |s: &Self, v| s.b.binary(OpCode::Max, v, s.float(1.0), loc);
        let max = x.bound.max;
        let (code, v, bound) = match self.rng.below(9) {
            0 => (OpCode::Neg, x.v, x.bound),
            1 => (OpCode::Abs, x.v, x.bound),
            2 => (
                OpCode::Exp2,
                self.b.binary(OpCode::Min, x.v, self.float(4.0), loc),
                x.bound.through(12.0, 16.0),
            ),
            3 => (
                OpCode::Exp,
                self.b.binary(OpCode::Min, x.v, self.float(2.0), loc),
                x.bound.through(8.0, 8.0),
            ),
            4 => (OpCode::Log2, from_one(self, x.v), x.bound.through(1.5, max.max(1.0).log2() + 1.0)),
            5 => (OpCode::Log, from_one(self, x.v), x.bound.through(1.0, max.max(1.0).ln() + 1.0)),
            6 => (OpCode::Sqrt, from_one(self, x.v), x.bound.through(0.5, max.max(1.0).sqrt())),
            7 => (OpCode::Rsqrt, from_one(self, x.v), x.bound.through(0.5, 1.0)),
            _ => {
                let y = from_one(self, self.b.unary(OpCode::Abs, x.v, loc));
                let v = self.b.binary(OpCode::Div, self.float(3.0), y, loc);
                return Some(Item { v, bound: x.bound.through(3.0, 3.0), ..x });
            }
        };
        Some(Item { v: self.b.unary(code, v, loc), bound, ..x })
    }

    /// Two values that broadcast, with the joint shape.
    fn pair(&mut self, pool: &[Item], elem: Elem) -> Option<(Item, Item, Vec<usize>)> {
        let a = self.pick(pool, |i| i.elem == elem)?;
        let b = self.pick(pool, |i| i.elem == elem && joint(&a.shape, &i.shape).is_some())?;
        let shape = joint(&a.shape, &b.shape)?;
        Some((a, b, shape))
    }

    fn float_binary(&mut self, pool: &[Item]) -> Option<Item> {
        let (x, y, shape) = self.pair(pool, Elem::F32)?;
        let loc = self.loc();
        let (code, bound) = match self.rng.below(7) {
            0 | 1 => (OpCode::Add, x.bound.add(y.bound)),
            2 => (OpCode::Sub, x.bound.add(y.bound)),
            3 | 4 => (OpCode::Mul, x.bound.mul(y.bound)),
            5 => (OpCode::Min, x.bound.either(y.bound)),
            _ => (OpCode::Max, x.bound.either(y.bound)),
        };
        let v = self.b.binary(code, x.v, y.v, loc);
        let product = Item { v, elem: Elem::F32, shape, bound };
        if code != OpCode::Mul || self.rng.one_in(2) {
            return Some(product);
        }
        let z = self.pick(pool, |i| i.elem == Elem::F32 && joint(&product.shape, &i.shape).is_some())?;
        let shape = joint(&product.shape, &z.shape)?;
        let v = if self.rng.one_in(2) {
            self.b.fma(x.v, y.v, z.v, loc)
        } else {
            self.b.binary(OpCode::Add, product.v, z.v, loc)
        };
        Some(Item { v, elem: Elem::F32, shape, bound: bound.add(z.bound) })
    }

    fn int_binary(&mut self, pool: &[Item]) -> Option<Item> {
        use OpCode::*;
        let (x, y, shape) = self.pair(pool, Elem::I32)?;
        let loc = self.loc();
        let code = *self.rng.pick(&[Add, Sub, Mul, Min, Max, And, Or, Xor, Div, Rem, Shl, Shr]);
        let right = match code {
            // An odd number is not zero.
            Div | Rem => self.b.binary(Or, y.v, self.int(1), loc),
            Shl | Shr => self.b.binary(And, y.v, self.int(31), loc),
            _ => y.v,
        };
        let v = self.b.binary(code, x.v, right, loc);
        Some(Item { v, elem: Elem::I32, shape, bound: ANY_INT })
    }

    fn compare(&mut self, pool: &[Item]) -> Option<Item> {
        let elem = if self.rng.one_in(2) { Elem::F32 } else { Elem::I32 };
        let exact: Vec<Item> = pool.iter().filter(|i| i.bound.exact()).cloned().collect();
        let (x, y, shape) = self.pair(&exact, elem)?;
        let pred = *self.rng.pick(&Pred::ALL);
        let v = self.b.cmp(pred, x.v, y.v, self.loc());
        let v = if self.rng.one_in(4) { self.b.unary(OpCode::Not, v, self.loc()) } else { v };
        Some(Item { v, elem: Elem::Bool, shape, bound: Bound::given(1.0, true) })
    }

    fn select(&mut self, pool: &[Item]) -> Option<Item> {
        let elem = *self.rng.pick(&[Elem::F32, Elem::F32, Elem::I32, Elem::BF16]);
        let (x, y, shape) = self.pair(pool, elem)?;
        let c = self.pick(pool, |i| i.elem == Elem::Bool && joint(&shape, &i.shape).is_some())?;
        let shape = joint(&shape, &c.shape)?;
        let v = self.b.select(c.v, x.v, y.v, self.loc());
        Some(Item { v, elem, shape, bound: x.bound.either(y.bound) })
    }

    fn cast(&mut self, pool: &[Item]) -> Option<Item> {
        let x = self.pick(pool, |_| true)?;
        let to = *self.rng.pick(&Elem::ALL);
        self.cast_to(x, to)
    }

    /// A cast, if all implementations agree on it.
    pub fn cast_to(&mut self, x: Item, to: Elem) -> Option<Item> {
        if x.elem == to {
            return Some(x);
        }
        let loc = self.loc();
        let bound = match (x.elem, to) {
            (from, to) if from.is_float() && to.is_float() => x.bound.cast(to),
            (from, Elem::I32 | Elem::I8 | Elem::Bool) if from.is_float() && !x.bound.exact() => return None,
            (from, Elem::I32 | Elem::I8) if from.is_float() => ANY_INT,
            (Elem::I32, to) if to.is_float() => {
                // Only the low bits, so that the float is whole in every type.
                let v = self.b.binary(OpCode::And, x.v, self.int(15), loc);
                let bound = Bound::given(15.0, true);
                return Some(Item { v: self.b.cast(v, to, loc), elem: to, bound, ..x });
            }
            (Elem::I8, to) if to.is_float() => Bound::given(128.0, true),
            (_, Elem::I32 | Elem::I8) => ANY_INT,
            _ => Bound::given(1.0, true),
        };
        Some(Item { v: self.b.cast(x.v, to, loc), elem: to, bound, ..x })
    }

    fn reduce(&mut self, pool: &[Item]) -> Option<Item> {
        let x = self.pick(pool, |i| i.elem.is_arith() && !i.shape.is_empty())?;
        let axis = self.rng.below(x.shape.len());
        let code = *self.rng.pick(&[OpCode::ReduceSum, OpCode::ReduceMax, OpCode::ReduceMin]);
        let v = self.b.reduce(code, x.v, axis, self.loc());
        let bound = match (x.elem, code) {
            (Elem::I32, _) => ANY_INT,
            (_, OpCode::ReduceSum) => x.bound.sum(x.shape[axis]),
            _ => x.bound,
        };
        let mut shape = x.shape;
        shape[axis] = 1;
        Some(Item { v, elem: x.elem, shape, bound })
    }

    /// Several values of one arithmetic type in one of a shape, so that an output depends on much of the kernel: those that do not
    /// broadcast to the shape are summed up first.
    pub fn mix(&mut self, pool: &[Item], elem: Elem, shape: &[usize]) -> Option<Item> {
        let mut out: Option<Item> = None;
        for _ in 0..MIXED {
            let mut x = self.pick(pool, |i| i.elem == elem)?;
            if joint(&x.shape, shape).as_deref() != Some(shape) {
                let n = x.shape.iter().product();
                let flat = self.b.reshape(x.v, &[n], self.loc());
                let v = self.b.reduce(OpCode::ReduceSum, flat, 0, self.loc());
                let bound = if elem == Elem::F32 { x.bound.sum(n) } else { ANY_INT };
                x = Item { v, elem, shape: vec![1], bound };
            }
            let Some(sum) = &out else {
                out = Some(x);
                continue;
            };
            let bound = if elem == Elem::F32 { sum.bound.add(x.bound) } else { ANY_INT };
            if elem == Elem::F32 && !bound.usable() {
                continue;
            }
            let (a, b) = (sum.shape.clone(), x.shape.clone());
            let code = if elem == Elem::F32 { OpCode::Add } else { OpCode::Xor };
            let v = self.b.binary(code, sum.v, x.v, self.loc());
            out = Some(Item { v, elem, shape: joint(&a, &b)?, bound });
        }
        out
    }

    /// `2^(x - max)` along the last axis over the places where a mask holds; a line without any gives zeros.
    fn masked_softmax(&mut self, pool: &[Item]) -> Option<Item> {
        let x = self.pick(pool, |i| i.elem == Elem::F32 && i.shape.len() == 2)?;
        let c = self
            .pick(pool, |i| i.elem == Elem::Bool && joint(&x.shape, &i.shape).as_ref() == Some(&x.shape))?;
        let loc = self.loc();
        let low = self.float(f64::NEG_INFINITY);
        let masked = self.b.select(c.v, x.v, low, loc);
        let max = self.b.reduce(OpCode::ReduceMax, masked, 1, loc);
        let empty = self.b.cmp(Pred::Eq, max, low, loc);
        let max = self.b.select(empty, self.float(0.0), max, loc);
        let v = self.b.unary(OpCode::Exp2, self.b.binary(OpCode::Sub, masked, max, loc), loc);
        // The slope of `2^y` is below 1 for y up to 0.
        Some(Item { v, bound: x.bound.add(x.bound).through(1.0, 1.0), ..x })
    }

    fn pack(&mut self, pool: &[Item]) -> Option<Item> {
        let x = self.pick(pool, |i| !i.shape.is_empty())?;
        let fits =
            |i: &Item| i.elem == Elem::Bool && !i.shape.is_empty() && joint(&x.shape, &i.shape).is_some();
        let keep = self.pick(pool, fits)?;
        let shape = joint(&x.shape, &keep.shape)?;
        Some(Item { v: self.b.pack(x.v, keep.v, self.loc()), shape, ..x })
    }

    fn reshape(&mut self, pool: &[Item]) -> Option<Item> {
        let x = self.pick(pool, |i| !i.shape.is_empty())?;
        let loc = self.loc();
        if x.shape.len() == 2 && self.rng.one_in(2) {
            let shape = vec![x.shape[1], x.shape[0]];
            return Some(Item { v: self.b.transpose(x.v, loc), shape, ..x });
        }
        let n: usize = x.shape.iter().product();
        let shape = match self.rng.below(3) {
            0 => vec![n],
            1 => vec![n, 1],
            _ => vec![1, n],
        };
        Some(Item { v: self.b.reshape(x.v, &shape, loc), shape, ..x })
    }

    fn dot(&mut self, pool: &[Item]) -> Option<Item> {
        let matrix = |i: &Item| i.elem.is_float() && i.shape.len() == 2;
        let mut x = self.pick(pool, matrix)?;
        if self.rng.one_in(3) {
            x = Item { v: self.b.transpose(x.v, self.loc()), shape: vec![x.shape[1], x.shape[0]], ..x };
        }
        let k = x.shape[1];
        let mut y = self.pick(pool, |i| matrix(i) && i.shape.contains(&k))?;
        if y.shape[0] != k {
            y = Item { v: self.b.transpose(y.v, self.loc()), shape: vec![y.shape[1], y.shape[0]], ..y };
        }
        let elem =
            if x.elem == y.elem { x.elem } else { *self.rng.pick(&[Elem::F32, Elem::F16, Elem::BF16]) };
        let (x, y) = (self.cast_to(x, elem)?, self.cast_to(y, elem)?);
        let shape = vec![x.shape[0], y.shape[1]];
        let bound = x.bound.mul(y.bound).sum(k);
        let acc = self.pick(pool, |i| i.elem == Elem::F32 && i.shape == shape).filter(|_| self.rng.one_in(2));
        let loc = self.loc();
        let (v, bound) = match acc {
            Some(c) if self.rng.one_in(2) => (self.b.dot(x.v, y.v, Some(c.v), loc), bound.add(c.bound)),
            Some(c) => {
                let d = self.b.dot(x.v, y.v, None, loc);
                (self.b.binary(OpCode::Add, c.v, d, loc), bound.add(c.bound))
            }
            None => (self.b.dot(x.v, y.v, None, loc), bound),
        };
        Some(Item { v, elem: Elem::F32, shape, bound })
    }
}

/// The joint shape of two values by numpy's rules, unless it is too large.
pub fn joint(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    let one = |i| match (at(a, i), at(b, i)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    };
    let shape: Option<Vec<usize>> = (0..rank).map(one).collect();
    shape.filter(|s| s.iter().product::<usize>() <= MAX_TILE)
}
