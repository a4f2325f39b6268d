//! The ops that look at a tile's shape: counting, repeating, reducing, transposing, contracting.

use super::{Data, EvalError};
use crate::ir::{OpCode, Type};

/// Rows and columns of a tile; a tile of rank 1 is one row.
fn rows_cols(ty: &Type) -> Result<(usize, usize), EvalError> {
    match ty.shape() {
        Some([n]) => Ok((1, *n)),
        Some([m, n]) => Ok((*m, *n)),
        _ => Err(EvalError::Malformed),
    }
}

/// Whether `axis` of a tile is its row index.
fn is_rows(axis: Option<i64>, ty: &Type) -> Result<bool, EvalError> {
    match (ty.shape().map(<[usize]>::len), axis) {
        (Some(1), Some(0)) | (Some(2), Some(1)) => Ok(false),
        (Some(2), Some(0)) => Ok(true),
        _ => Err(EvalError::Malformed),
    }
}

/// Positions along an axis.
pub fn iota(axis: Option<i64>, result: &Type) -> Result<Data, EvalError> {
    let ((_, n), rows) = (rows_cols(result)?, is_rows(axis, result)?);
    let at = |i: usize| if rows { i / n } else { i % n };
    Ok(Data::Int((0..result.count()).map(|i| at(i) as i32).collect()))
}

/// Axes of size 1 repeated.
pub fn broadcast(x: &Data, from: &Type, to: &Type) -> Result<Data, EvalError> {
    let ((m, n), (tm, tn)) = (rows_cols(from)?, rows_cols(to)?);
    if x.len() != m * n {
        return Err(EvalError::Malformed);
    }
    let indices = (0..tm).flat_map(|i| (0..tn).map(move |j| (i % m) * n + j % n));
    Ok(x.gather(indices))
}

/// A rank-2 tile with its axes exchanged.
pub fn transpose(x: &Data, ty: &Type) -> Result<Data, EvalError> {
    let (m, n) = rows_cols(ty)?;
    if x.len() != m * n {
        return Err(EvalError::Malformed);
    }
    Ok(x.gather((0..n).flat_map(|j| (0..m).map(move |i| i * n + j))))
}

/// The elements of each row that are kept, in order, and zeros behind them.
pub fn pack(x: &Data, keep: &[bool], ty: &Type) -> Result<Data, EvalError> {
    fn rows<T: Copy + Default>(x: &[T], keep: &[bool], n: usize) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        for ((x, keep), out) in x.chunks(n).zip(keep.chunks(n)).zip(out.chunks_mut(n)) {
            let kept = x.iter().zip(keep).filter(|(_, keep)| **keep);
            out.iter_mut().zip(kept).for_each(|(o, (x, _))| *o = *x);
        }
        out
    }
    let (m, n) = rows_cols(ty)?;
    if x.len() != m * n || keep.len() != m * n {
        return Err(EvalError::Malformed);
    }
    Ok(match x {
        Data::Float(v) => Data::Float(rows(v, keep, n)),
        Data::Int(v) => Data::Int(rows(v, keep, n)),
        Data::Bool(v) => Data::Bool(rows(v, keep, n)),
    })
}

/// A reduction along an axis; float sums are accumulated in f64 and rounded once.
pub fn reduce(code: OpCode, axis: Option<i64>, x: &Data, ty: &Type) -> Result<Data, EvalError> {
    let ((m, n), rows) = (rows_cols(ty)?, is_rows(axis, ty)?);
    if x.len() != m * n {
        return Err(EvalError::Malformed);
    }
    // Line `l` holds the elements `l * start + k * step` for k in 0..len.
    let (lines, start, len, step) = if rows { (n, 1, m, n) } else { (m, n, n, 1) };
    fn fold<T: Copy, A>(v: &[T], at: (usize, usize, usize), init: A, f: impl Fn(A, T) -> A) -> A {
        let (first, len, step) = at;
        (0..len).fold(init, |a, k| f(a, v[first + k * step]))
    }
    let line = |l: usize| (l * start, len, step);
    match (x, code) {
        (Data::Float(v), OpCode::ReduceSum) => {
            let sum = |l| fold(v, line(l), 0.0, |a: f64, x| a + x as f64) as f32;
            Ok(Data::Float((0..lines).map(sum).collect()))
        }
        (Data::Float(v), OpCode::ReduceMax) => {
            Ok(Data::Float((0..lines).map(|l| fold(v, line(l), f32::NEG_INFINITY, f32::max)).collect()))
        }
        (Data::Float(v), OpCode::ReduceMin) => {
            Ok(Data::Float((0..lines).map(|l| fold(v, line(l), f32::INFINITY, f32::min)).collect()))
        }
        (Data::Int(v), _) => {
            let (init, f): (i32, fn(i32, i32) -> i32) = match code {
                OpCode::ReduceSum => (0, i32::wrapping_add),
                OpCode::ReduceMax => (i32::MIN, i32::max),
                OpCode::ReduceMin => (i32::MAX, i32::min),
                _ => return Err(EvalError::Malformed),
            };
            Ok(Data::Int((0..lines).map(|l| fold(v, line(l), init, f)).collect()))
        }
        _ => Err(EvalError::Malformed),
    }
}

/// The columns of equal number modulo 8 of an f32 tile, summed in f64, or their largest.
pub fn fold(code: OpCode, x: &Data, ty: &Type) -> Result<Data, EvalError> {
    let ((m, n), v) = (rows_cols(ty)?, x.floats()?);
    if v.len() != m * n || n % 8 != 0 {
        return Err(EvalError::Malformed);
    }
    let at = |i: usize, q: usize| v[i * n..(i + 1) * n].iter().skip(q).step_by(8).copied();
    let one = |(i, q)| match code {
        OpCode::FoldSum => at(i, q).map(f64::from).sum::<f64>() as f32,
        _ => at(i, q).fold(f32::NEG_INFINITY, f32::max),
    };
    Ok(Data::Float((0..m).flat_map(|i| (0..8).map(move |q| (i, q))).map(one).collect()))
}

/// The second tile behind the first along an axis.
pub fn concat(axis: Option<i64>, a: (&Data, &Type), b: (&Data, &Type)) -> Result<Data, EvalError> {
    fn join<T: Copy>(a: &[T], b: &[T], [na, nb]: [usize; 2]) -> Vec<T> {
        let lines = a.chunks_exact(na.max(1)).zip(b.chunks_exact(nb.max(1)));
        lines.flat_map(|(a, b)| a.iter().chain(b).copied()).collect()
    }
    let (size_a, size_b) = (rows_cols(a.1)?, rows_cols(b.1)?);
    // Along rows each tile is one line.
    let lines =
        if is_rows(axis, a.1)? { [size_a.0 * size_a.1, size_b.0 * size_b.1] } else { [size_a.1, size_b.1] };
    match (a.0, b.0) {
        (Data::Float(x), Data::Float(y)) => Ok(Data::Float(join(x, y, lines))),
        (Data::Int(x), Data::Int(y)) => Ok(Data::Int(join(x, y, lines))),
        (Data::Bool(x), Data::Bool(y)) => Ok(Data::Bool(join(x, y, lines))),
        _ => Err(EvalError::Malformed),
    }
}

/// `op(a) op(b) + acc`: products are exact, sums are in f64, and the result is rounded once to f32.
pub fn dot(
    (a, ta): (&Data, &Type),
    (b, tb): (&Data, &Type),
    acc: Option<&Data>,
    (a_turned, b_turned): (bool, bool),
) -> Result<Data, EvalError> {
    let turn = |x: &Data, ty: &Type, turned: bool| -> Result<(Data, usize, usize), EvalError> {
        let (m, n) = rows_cols(ty)?;
        Ok(if turned { (transpose(x, ty)?, n, m) } else { (x.clone(), m, n) })
    };
    let ((a, m, ka), (b, kb, n)) = (turn(a, ta, a_turned)?, turn(b, tb, b_turned)?);
    let (a, b) = (a.floats()?, b.floats()?);
    let acc = acc.map(Data::floats).transpose()?;
    if ka != kb || a.len() != m * ka || b.len() != kb * n || acc.is_some_and(|c| c.len() != m * n) {
        return Err(EvalError::Malformed);
    }
    let wide: Vec<f64> = b.iter().map(|&x| x as f64).collect();
    let mut out = Vec::with_capacity(m * n);
    let mut row = vec![0f64; n];
    for i in 0..m {
        match acc {
            Some(c) => row.iter_mut().zip(&c[i * n..]).for_each(|(r, &c)| *r = c as f64),
            None => row.fill(0.0),
        }
        for (&x, b_row) in a[i * ka..(i + 1) * ka].iter().zip(wide.chunks_exact(n)) {
            let x = x as f64;
            for (r, &y) in row.iter_mut().zip(b_row) {
                *r += x * y;
            }
        }
        out.extend(row.iter().map(|&r| r as f32));
    }
    Ok(Data::Float(out))
}
