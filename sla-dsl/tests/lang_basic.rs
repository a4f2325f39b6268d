//! Small kernels as their authors write them, run on the interpreter: memory, shapes, operators, scalars.

mod support;

use sla_dsl::interp::Interpreter;
use sla_dsl::ir::{Facts, OpCode};
use sla_dsl::prelude::*;
use support::Host;

/// `out = a + b`.
#[kernel(dims(N), grid(i in N.div_ceil(BLOCK)))]
fn vector_add<T: Element, const BLOCK: usize>(
    a: &Tensor<T, { [N] }>,
    b: &Tensor<T, { [N] }>,
    out: &mut Tensor<T, { [N] }>,
) {
    let x = a.block::<BLOCK>(i).load().cast::<f32>();
    let y = b.block::<BLOCK>(i).load().cast::<f32>();
    out.block::<BLOCK>(i).store((x + y).cast::<T>());
}

#[test]
fn vectors_add_in_every_element_type() {
    fn go<T: Element + PartialEq + std::fmt::Debug>(of: impl Fn(usize) -> T) {
        let (a, b) = (Host::new(&[21], &of), Host::new(&[21], |i| of(2 * i)));
        let mut out = Host::new(&[21], |_| of(0));
        vector_add::<T, 8>::launch(&Interpreter, &a, &b, &mut out).unwrap();
        assert_eq!(out, Host::new(&[21], |i| of(3 * i)));
    }
    go(|i| i as f32);
    go(|i| bf16::from_f32(i as f32));
    go(|i| f16::from_f32(i as f32));
    go(|i| i as i32);
}

/// Softmax of each row of `x`.
#[kernel(dims(M), grid(i in M))]
fn softmax<const N: usize>(x: &Tensor<f32, { [M, N] }>, out: &mut Tensor<f32, { [M, N] }>) {
    let s = x.at(i).load();
    let p = exp2((s - s.max(0)) * LOG2E);
    out.at(i).store(p / p.sum(0));
}

#[test]
fn rows_become_probabilities() {
    let x = Host::new(&[3, 8], |i| ((i * 7) % 5) as f32);
    let mut out = Host::new(&[3, 8], |_| 0.0);
    softmax::<8>::launch(&Interpreter, &x, &mut out).unwrap();
    for (p, s) in out.data.chunks(8).zip(x.data.chunks(8)) {
        let sum: f32 = s.iter().map(|v| v.exp()).sum();
        for (p, s) in p.iter().zip(s) {
            assert!((p - s.exp() / sum).abs() < 1e-6);
        }
    }
}

/// `c = a b`.
#[kernel(dims(M, N, K), grid(i in M.div_ceil(BM), j in N.div_ceil(BN)))]
fn matmul<const BM: usize, const BN: usize, const BK: usize>(
    a: &Tensor<f32, { [M, K] }>,
    b: &Tensor<f32, { [K, N] }>,
    c: &mut Tensor<f32, { [M, N] }>,
) {
    let mut acc = zeros::<f32>([BM, BN]);
    for k in 0..K.div_ceil(BK) {
        acc = dot_acc(a.block::<BM, BK>(i, k).load(), b.block::<BK, BN>(k, j).load(), acc);
    }
    c.block::<BM, BN>(i, j).store(acc);
}

#[test]
fn matrices_multiply_with_ragged_edges() {
    let (m, n, k) = (7, 10, 13);
    let a = Host::new(&[m, k], |i| (i % 5) as f32 - 2.0);
    let b = Host::new(&[k, n], |i| (i % 3) as f32);
    let mut c = Host::new(&[m, n], |_| 0.0);
    matmul::<4, 8, 4>::launch(&Interpreter, &a, &b, &mut c).unwrap();
    let want =
        Host::new(&[m, n], |i| (0..k).map(|x| a.data[i / n * k + x] * b.data[x * n + i % n]).sum::<f32>());
    assert_eq!(c, want);
}

#[test]
fn an_even_size_is_not_checked() {
    let checks = |even: bool| {
        let mut facts = Facts::default();
        facts.even.insert((sla_dsl::ir::DimExpr::name("N"), 8), even);
        let kernel = vector_add::<f32, 8>::build(&facts).unwrap();
        let mut checked = 0;
        kernel.walk(&mut |k, _, id| checked += k.op(id).ints("check").iter().sum::<i64>());
        checked
    };
    assert_eq!((checks(true), checks(false)), (0, 3));
}

/// Every operator and function once, on one element per program.
#[kernel(dims(N), grid(i in N))]
fn scalars(
    x: &Tensor<i32, { [N] }>,
    y: &Tensor<f32, { [N] }>,
    n: i32,
    s: f32,
    out: &mut Tensor<f32, { [N, 12] }>,
) {
    let a = x.at(i).load();
    let f = y.at(i).load();
    let o = out.at(i);
    o.at(0).store(((a + n) * 2 - a / 3 + a % 3).cast::<f32>());
    o.at(1).store(f * s - 1);
    o.at(2).store(-f);
    o.at(3).store(a.min(n).cast::<f32>());
    o.at(4).store(a.max(2).cast::<f32>());
    o.at(5).store(a.div_ceil(4).cast::<f32>());
    o.at(6).store(select(a > 3 && !(a == 5) || n == 100, 1.0, 0.0));
    o.at(7).store(((a << 2 | 1) ^ (a >> 1 & 3)).cast::<f32>());
    o.at(8).store(sqrt(f) + rsqrt(f + 1.0) + f.log() + f.log2() + exp(-f) + exp2(-f));
    o.at(9).store(fma(f, s, 1.0) + f.fma(2.0, s));
    o.at(10).store(f.maximum(2.5) + minimum(f, s) + (f - 3.0).abs());
    o.at(11).store(x.dim(0).cast::<f32>() + N.cast::<f32>());
}

#[test]
fn scalar_arithmetic_is_rusts() {
    let x = Host::new(&[6], |i| i as i32 + 1);
    let y = Host::new(&[6], |i| i as f32 + 0.5);
    let mut out = Host::new(&[6, 12], |_| 0.0);
    let (n, s) = (4, 1.5);
    scalars::launch(&Interpreter, &x, &y, n, s, &mut out).unwrap();
    for (i, got) in out.data.chunks(12).enumerate() {
        let (a, f) = (x.data[i], y.data[i]);
        let want = [
            ((a + n) * 2 - a / 3 + a % 3) as f32,
            f * s - 1.0,
            -f,
            a.min(n) as f32,
            a.max(2) as f32,
            ((a + 3) / 4) as f32,
            f32::from(a > 3 && a != 5 || n == 100),
            ((a << 2 | 1) ^ (a >> 1 & 3)) as f32,
            f.sqrt() + 1.0 / (f + 1.0).sqrt() + f.ln() + f.log2() + (-f).exp() + (-f).exp2(),
            f * s + 1.0 + f * 2.0 + s,
            f.max(2.5) + f.min(s) + (f - 3.0).abs(),
            12.0,
        ];
        for (j, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() < 1e-4, "program {i}, output {j}: {g} for {w}");
        }
    }
}

/// Shapes: broadcasting in both directions, reductions, transposition, reshape.
#[kernel(dims(), grid(i in 1))]
fn shapes(x: &Tensor<f32, { [4, 8] }>, out: &mut Tensor<f32, { [5, 8] }>) {
    let x = x.load();
    let o = out;
    o.at(0 + i).store((x + x.sum(1)).max(0).squeeze(0));
    o.at(1).store((x.t() * iota([4], 0).cast::<f32>()).sum(1).squeeze(1));
    o.at(2).store(x.reshape([8, 4]).sum(1).reshape([8]));
    o.at(3).store(x.min(0).broadcast([4, 8]).sum(0).squeeze(0));
    o.at(4).store(select(iota([8], 0) < 3, full::<f32>([8], 7.0), 1));
}

#[test]
fn shapes_follow_numpy() {
    let x = Host::new(&[4, 8], |i| ((i * 5) % 7) as f32);
    let mut out = Host::new(&[5, 8], |_| 0.0);
    shapes::launch(&Interpreter, &x, &mut out).unwrap();
    let at = |r: usize, c: usize| x.data[r * 8 + c];
    let row: Vec<f32> = (0..4).map(|r| (0..8).map(|c| at(r, c)).sum()).collect();
    for c in 0..8 {
        let most = (0..4).map(|r| at(r, c) + row[r]).fold(f32::MIN, f32::max);
        let weighted: f32 = (0..4).map(|r| at(r, c) * r as f32).sum();
        let four: f32 = x.data[c * 4..c * 4 + 4].iter().sum();
        let least = 4.0 * (0..4).map(|r| at(r, c)).fold(f32::MAX, f32::min);
        let got: Vec<f32> = (0..5).map(|r| out.data[r * 8 + c]).collect();
        assert_eq!(got, [most, weighted, four, least, if c < 3 { 7.0 } else { 1.0 }], "column {c}");
    }
}

/// What is kept of each row, of elements and of their columns.
#[kernel(dims(), grid(i in 1))]
fn kept(x: &Tensor<i32, { [3, 4] }>, out: &mut Tensor<i32, { [2, 3, 4] }>, line: &mut Tensor<f32, { [4] }>) {
    let x = x.load();
    out.at(i).store(x.pack(x > 1));
    out.at(1).store(iota([1, 4], 1).pack(x > 1));
    let row = full::<f32>([4], 2.5);
    line.store(row.pack(iota([4], 0) % 2 == 1));
}

#[test]
fn packing_keeps_the_order_of_a_row_and_ends_in_zeros() {
    let x = Host::new(&[3, 4], |i| [5, 0, 2, 7, 1, 1, 0, 1, 2, 3, 4, 5][i]);
    let (mut out, mut line) = (Host::new(&[2, 3, 4], |_| 9), Host::new(&[4], |_| 9.0));
    kept::launch(&Interpreter, &x, &mut out, &mut line).unwrap();
    assert_eq!(out.data[..12], [5, 2, 7, 0, 0, 0, 0, 0, 2, 3, 4, 5]);
    assert_eq!(out.data[12..], [0, 2, 3, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    assert_eq!(line.data, [2.5, 2.5, 0.0, 0.0]);
}

/// Histogram: many programs add to one place.
#[kernel(dims(N, K), grid(i in N))]
fn histogram(x: &Tensor<i32, { [N] }>, count: &mut Tensor<i32, { [K] }>) {
    count.at(x.at(i).load()).atomic_add(1);
}

#[test]
fn concurrent_adds_all_count() {
    let x = Host::new(&[100], |i| (i % 3) as i32);
    let mut count = Host::new(&[4], |_| 0);
    histogram::launch(&Interpreter, &x, &mut count).unwrap();
    assert_eq!(count.data, [34, 33, 33, 0]);
}

/// A window that starts anywhere.
#[kernel(dims(N), grid(i in 1))]
fn shifted<const W: usize>(x: &Tensor<f32, { [N] }>, start: i32, out: &mut Tensor<f32, { [W] }>) {
    assert!(start >= 0, "windows start inside");
    print!("start", start, i);
    out.store(x.window::<W>(start).load());
}

#[test]
fn windows_end_with_zeros() {
    let x = Host::new(&[5], |i| i as f32 + 1.0);
    let mut out = Host::new(&[4], |_| 9.0);
    shifted::<4>::launch(&Interpreter, &x, 3, &mut out).unwrap();
    assert_eq!(out.data, [4.0, 5.0, 0.0, 0.0]);
    let e = shifted::<4>::launch(&Interpreter, &x, -1, &mut out).unwrap_err().to_string();
    assert!(e.contains("windows start inside"), "{e}");
}

#[test]
fn places_are_the_users() {
    let kernel = histogram::build(&Facts::default()).unwrap();
    let mut at = None;
    kernel.walk(&mut |k, _, id| {
        if k.op(id).code == OpCode::AtomicAdd {
            at = Some(k.op(id).loc);
        }
    });
    let at = at.unwrap();
    let line = include_str!("lang_basic.rs").lines().nth(at.line as usize - 1).unwrap();
    assert!(at.file.ends_with("lang_basic.rs"));
    assert!(line[at.col as usize - 1..].starts_with("atomic_add(1)"), "{line}");
}

/// Conditions of every kind.
#[kernel(
    dims(N, K),
    require(N % BLOCK == 0 && N >= K.max(2), !WIDE || BLOCK >= 16, T == f32 || BLOCK.div_ceil(8) == 2),
    grid(i in N / BLOCK),
)]
fn conditions<T: Float, const BLOCK: usize, const WIDE: bool>(
    x: &Tensor<T, { [N] }>,
    y: &mut Tensor<T, { [K, BLOCK] }>,
) {
    let last = K - 1;
    _ = last;
    y.at(i.min(last)).store(x.block::<BLOCK>(i).load());
}

#[test]
fn conditions_hold_or_are_told_as_written() {
    let x = Host::new(&[32], |i| i as f32);
    let mut y = Host::new(&[2, 16], |_| 0.0);
    conditions::<f32, 16, true>::launch(&Interpreter, &x, &mut y).unwrap();
    assert_eq!(y.data, x.data);

    let short = Host::new(&[31], |i| i as f32);
    let e = conditions::<f32, 16, false>::launch(&Interpreter, &short, &mut y).unwrap_err().to_string();
    assert!(e.contains("N % BLOCK == 0 && N >= K.max(2)"), "{e}");

    let told = |elem, block, wide| {
        use sla_dsl::lang::{Const, Consts};
        let c = Consts::new(&[
            ("T", Const::Elem(elem)),
            ("BLOCK", Const::Int(block)),
            ("WIDE", Const::Bool(wide)),
        ]);
        conditions.build(&c, &Facts::default()).map(|_| ()).map_err(|e| e.to_string())
    };
    use sla_dsl::ir::Elem;
    assert!(told(Elem::F32, 8, true).unwrap_err().contains("requires !WIDE || BLOCK >= 16"));
    assert!(told(Elem::F16, 8, false).unwrap_err().contains("requires T == f32 || BLOCK.div_ceil(8) == 2"));
    told(Elem::F16, 16, true).unwrap();
    told(Elem::F32, 8, false).unwrap();
}
