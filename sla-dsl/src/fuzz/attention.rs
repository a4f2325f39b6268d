//! Random kernels of attention's kind: an online softmax over blocks of keys, with masks, lists, scales of either sign, logits up to
//! `1e4` and rows that see nothing. For passes that look for such loops.
//!
//! Each choice is one that a user might make when writing it; some make a kernel that such a pass must leave alone.

use super::case::{Case, CaseArg};
use super::rng::Rng;
use crate::diag::{Diagnostics, Loc};
use crate::ir::{
    Builder, DimExpr, Elem, Facts, GridAxis, MemFacts, OpCode, Param, ParamKind, Pred, Scalar, TensorType,
    Value,
};

const L: Loc = Loc::UNKNOWN;

/// What was chosen.
struct Choice {
    elem: Elem,
    m: usize,
    n: usize,
    d: usize,
    /// Queries and keys there are.
    lq: i64,
    lk: i64,
    /// Blocks come from a list.
    list: bool,
    tail: bool,
    causal: bool,
    /// A truth value per key.
    keys: bool,
    scale: Scale,
    guard: Guard,
    /// `acc * alpha` is added to the product (else the product starts from it).
    added: bool,
    /// A second accumulator: the weights themselves.
    weights: bool,
    /// The start is not empty.
    started: bool,
    /// The result is stored as it is: not independent of the maximum.
    raw: bool,
}

enum Scale {
    None,
    Const(f64),
    Param(f64),
}

enum Guard {
    None,
    Equal,
    Unequal,
}

/// The kernel and arguments of a seed.
pub fn generate(seed: u64, rng: &mut Rng) -> Result<Case, Diagnostics> {
    let scale = *rng.pick(&[0.125, 0.3, 1.0, -0.5]);
    let largest = *rng.pick(&[1.0, 30.0, 1e4]);
    let n = *rng.pick(&[8, 16, 32]);
    // Ends that lack nothing or one key of a block are where a mistake by one shows.
    let some = rng.range(1, 100);
    let lk = match rng.below(3) {
        0 => (some as usize).next_multiple_of(n) as i64,
        1 => (some as usize).next_multiple_of(n) as i64 - 1,
        _ => some,
    };
    let c = Choice {
        elem: *rng.pick(&[Elem::BF16, Elem::F16, Elem::F32]),
        m: *rng.pick(&[8, 16]),
        n,
        d: *rng.pick(&[8, 16]),
        lq: rng.range(1, 40),
        lk,
        list: rng.one_in(2),
        tail: !rng.one_in(4),
        causal: rng.one_in(3),
        keys: rng.one_in(3),
        scale: match rng.below(3) {
            0 => Scale::None,
            1 => Scale::Const(scale),
            _ => Scale::Param(scale),
        },
        guard: match rng.below(6) {
            0 => Guard::None,
            1 | 2 => Guard::Unequal,
            _ => Guard::Equal,
        },
        added: rng.one_in(2),
        weights: rng.one_in(4),
        started: rng.one_in(6),
        raw: rng.one_in(12),
    };
    let blocks = (c.lk as usize).div_ceil(c.n);
    let tensor = |elem, dims: &[DimExpr], mutable| {
        ParamKind::Tensor(TensorType { elem, dims: dims.to_vec(), mutable })
    };
    let (lq, lk, w, d) =
        (DimExpr::name("LQ"), DimExpr::name("LK"), DimExpr::name("W"), DimExpr::from(c.d as i64));
    let n = DimExpr::from(c.n as i64);
    let positive = matches!(c.scale, Scale::Param(s) if s > 0.0);
    let kinds = [
        ("q", tensor(c.elem, &[lq.clone(), d.clone()], false)),
        ("k", tensor(c.elem, &[lk.clone(), d.clone()], false)),
        ("v", tensor(c.elem, &[lk.clone(), d.clone()], false)),
        ("index", tensor(Elem::I32, &[w], false)),
        ("keys", tensor(Elem::Bool, &[lk], false)),
        ("scale", ParamKind::Scalar(Elem::F32)),
        ("out", tensor(Elem::F32, &[lq.clone(), d], true)),
        ("lse", tensor(Elem::F32, std::slice::from_ref(&lq), true)),
        ("sums", tensor(Elem::F32, &[lq.clone(), n], true)),
    ];
    let params = kinds.map(|(name, kind)| Param {
        name: name.into(),
        kind,
        memory: MemFacts { positive, ..MemFacts::default() },
    });
    let grid = vec![GridAxis { name: "m".into(), extent: lq.div_ceil((c.m as i64).into()) }];
    let b = Builder::new("attention", &["LQ", "LK", "W"], grid, params.to_vec(), &Facts::default());
    body(&b, &c);
    let kernel = b.finish()?;

    // A list has distinct blocks, in any order, perhaps none.
    let mut list: Vec<usize> = (0..blocks).collect();
    for i in (1..list.len()).rev() {
        list.swap(i, rng.below(i + 1));
    }
    let size = if c.list { rng.below(blocks + 1) } else { blocks };
    list.truncate(size);
    let far = (largest / scale.abs()).sqrt();
    let given = *rng.pick(&[1, 2, 8, usize::MAX]);
    let mut floats = |elem, shape: &[usize], far: f64| CaseArg::tensor(elem, shape, |_| rng.unit() * far);
    let (rows, keys) = (c.lq as usize, c.lk as usize);
    let (q, k) = (floats(c.elem, &[rows, c.d], far), floats(c.elem, &[keys, c.d], far));
    let v = floats(c.elem, &[keys, c.d], 1.0);
    let out = |shape: &[usize], allowed| match CaseArg::tensor(Elem::F32, shape, |i| (i % 2) as f64) {
        CaseArg::Tensor { elem, shape, storage, .. } => {
            CaseArg::Tensor { elem, shape, storage, tolerance: Some(allowed) }
        }
        scalar => scalar,
    };
    // Relative to values up to 1, and to logits of which f32 has 24 bits.
    let (loose, fine) = (0.02, 1e-4 + largest * c.d as f64 * 4e-7);
    let args = vec![
        q,
        k,
        v,
        CaseArg::tensor(Elem::I32, &[size], |i| list[i] as f64),
        CaseArg::tensor(Elem::Bool, &[keys], |i| {
            (given == usize::MAX || i % given != 0 || i % 3 == 0) as u8 as f64
        }),
        CaseArg::Scalar(Scalar::Float(scale)),
        out(&[rows, c.d], if c.raw { 0.0 } else { loose }),
        out(&[rows], fine),
        out(&[rows, c.n], loose),
    ];
    let programs = rows.div_ceil(c.m);
    Ok(Case { seed, kernel, dims: vec![c.lq, c.lk, size as i64], grid: [programs, 1, 1], args })
}

fn body(b: &Builder, c: &Choice) {
    let zero = b.int(0, L);
    let float = |v: f64| b.constant(Scalar::Float(v), Elem::F32, L);
    let bin = |code, x, y| b.binary(code, x, y, L);
    let times = |x, by: usize| bin(OpCode::Mul, x, b.int(by as i64, L));
    let row = times(b.program_id(0, L), c.m);
    let q = b.load(b.param(0), &[row, zero], &[c.m, c.d], &[true, false], &[c.m, c.d], L);
    let keys = b.dim("LK", L);
    let full = |shape: &[usize], v: f64| b.full(shape, Scalar::Float(v), Elem::F32, L);
    let (m0, l0) = if c.started { (2.5, 1.0) } else { (f64::NEG_INFINITY, 0.0) };
    let init = [full(&[c.m, 1], m0), full(&[c.m, 1], l0), full(&[c.m, c.d], 0.0), full(&[c.m, c.n], 0.0)];
    let last = bin(OpCode::Add, keys, b.int(c.n as i64 - 1, L));
    let blocks = bin(OpCode::Div, last, b.int(c.n as i64, L));
    let count = if c.list { b.dim("W", L) } else { blocks };
    let out = b.for_(zero, count, 1, &init, L, |e, carried| {
        let at = if c.list { b.load(b.param(3), &[e], &[1], &[false], &[], L) } else { e };
        let from = times(at, c.n);
        let block = |p: usize| b.load(b.param(p), &[from, zero], &[c.n, c.d], &[true, false], &[c.n, c.d], L);
        let mut s = b.dot(q, b.transpose(block(1), L), None, L);
        match c.scale {
            Scale::None => {}
            Scale::Const(v) => s = bin(OpCode::Mul, s, float(v)),
            Scale::Param(_) => s = bin(OpCode::Mul, s, bin(OpCode::Mul, b.param(5), float(1.5))),
        }
        let none = float(f64::NEG_INFINITY);
        let column = b.iota(&[1, c.n], 1, L);
        if c.tail {
            let inside = b.cmp(Pred::Lt, column, bin(OpCode::Sub, keys, from), L);
            s = b.select(inside, s, none, L);
        }
        if c.causal {
            let row = bin(OpCode::Add, b.iota(&[c.m, 1], 0, L), row);
            let later = b.cmp(Pred::Gt, bin(OpCode::Add, column, from), row, L);
            s = b.select(later, none, s, L);
        }
        if c.keys {
            let seen = b.load(b.param(4), &[from], &[c.n], &[true], &[1, c.n], L);
            s = b.select(seen, s, none, L);
        }
        let m = bin(OpCode::Max, carried[0], b.reduce(OpCode::ReduceMax, s, 1, L));
        let base = match c.guard {
            Guard::None => m,
            Guard::Equal => b.select(b.cmp(Pred::Eq, m, none, L), float(0.0), m, L),
            Guard::Unequal => b.select(b.cmp(Pred::Ne, none, m, L), m, float(0.0), L),
        };
        let p = b.unary(OpCode::Exp2, bin(OpCode::Sub, s, base), L);
        let alpha = b.unary(OpCode::Exp2, bin(OpCode::Sub, carried[0], base), L);
        let scaled = |x: Value| bin(OpCode::Mul, x, alpha);
        let l = bin(OpCode::Add, scaled(carried[1]), b.reduce(OpCode::ReduceSum, p, 1, L));
        let (half, v) = (b.cast(p, c.elem, L), block(2));
        let acc = if c.added {
            bin(OpCode::Add, b.dot(half, v, None, L), scaled(carried[2]))
        } else {
            b.dot(half, v, Some(scaled(carried[2])), L)
        };
        let sums = if c.weights { bin(OpCode::Add, scaled(carried[3]), p) } else { carried[3] };
        vec![m, l, acc, sums]
    });
    let (m, l) = (out[0], out[1]);
    let empty = b.cmp(Pred::Eq, l, float(0.0), L);
    let some = b.select(empty, float(1.0), l, L);
    let inv = b.select(empty, float(0.0), bin(OpCode::Div, float(1.0), some), L);
    let lse =
        b.select(empty, float(f64::NEG_INFINITY), bin(OpCode::Add, m, b.unary(OpCode::Log2, some, L)), L);
    let store = |p: usize, v: Value, columns: usize| {
        let (offsets, extent, check) = ([row, zero], [c.m, columns], [true, false]);
        b.store(OpCode::Store, b.param(p), v, &offsets, &extent, &check, L);
    };
    let acc = if c.raw { out[2] } else { bin(OpCode::Mul, out[2], inv) };
    store(6, acc, c.d);
    b.store(OpCode::Store, b.param(7), b.reshape(lse, &[c.m], L), &[row], &[c.m], &[true], L);
    store(8, if c.weights { bin(OpCode::Mul, out[3], inv) } else { out[3] }, c.n);
}
