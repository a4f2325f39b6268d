//! A kernel as its author writes it, built and run: flash attention, dense and over lists of blocks.

mod support;

use sla_dsl::interp::Interpreter;
use sla_dsl::ir::{Facts, OpCode};
use sla_dsl::lang::{Const, Consts};
use sla_dsl::prelude::*;
use support::Host;

/// Flash attention.
#[kernel(
    dims(B, H, LQ, LK),
    require(D % 16 == 0),
    grid(m in LQ.div_ceil(BM), h in H, b in B),
)]
pub fn flash_fwd<T: Float, const BM: usize, const BN: usize, const D: usize, const CAUSAL: bool>(
    q: &Tensor<T, { [B, H, LQ, D] }>,
    k: &Tensor<T, { [B, H, LK, D] }>,
    v: &Tensor<T, { [B, H, LK, D] }>,
    out: &mut Tensor<T, { [B, H, LQ, D] }>,
    lse: &mut Tensor<f32, { [B, H, LQ] }>,
    scale: f32,
) {
    let q = q.at(b, h).block::<BM>(m).load();
    let k = k.at(b, h).blocks::<BN>();
    let v = v.at(b, h).blocks::<BN>();
    let mut acc = zeros::<f32>([BM, D]);
    let mut st = OnlineSoftmax::new(BM);
    for j in 0..k.len() {
        let s = dot(q, k[j].t()) * (scale * LOG2E);
        let s = s.mask_tail(k, j, -INF);
        let s = if CAUSAL { mask_causal(s, m * BM, j * BN) } else { s };
        let (p, alpha) = st.step(s);
        acc = acc * alpha + dot(p.cast::<T>(), v[j]);
    }
    let (inv, l2) = st.finish();
    out.at(b, h).block::<BM>(m).store((acc * inv).cast::<T>());
    lse.at(b, h).block::<BM>(m).store(l2.squeeze(1));
}

#[func]
fn mask_causal<const M: usize, const N: usize>(
    s: Tile<f32, { [M, N] }>,
    row0: i32,
    col0: i32,
) -> Tile<f32, { [M, N] }> {
    select(iota([M, 1], 0) + row0 >= iota([1, N], 1) + col0, s, -INF)
}

#[test]
fn flash_builds() {
    let kernel = flash_fwd::<bf16, 64, 32, 64, true>::build(&Facts::default()).unwrap();
    let mut codes = Vec::new();
    kernel.walk(&mut |k, _, id| codes.push(k.op(id).code));
    let count = |c| codes.iter().filter(|&&x| x == c).count();
    assert_eq!(count(OpCode::Dot), 2);
    assert_eq!(count(OpCode::For), 1);
    assert_eq!(count(OpCode::Store), 2);
    assert_eq!(count(OpCode::Transpose), 1);
}

#[test]
fn wrong_constants_are_told() {
    let mut c = flash_fwd::<f32, 64, 32, 64, true>::consts();
    c.0[3].1 = Const::Int(20);
    let e = flash_fwd.build(&c, &Facts::default()).unwrap_err().to_string();
    assert!(e.contains("requires D % 16 == 0"), "{e}");
    assert!(flash_fwd.build(&Consts::default(), &Facts::default()).is_err());
}

/// Attention of one head in double precision, over the keys that `seen(row, column)` lets through.
fn reference(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    d: usize,
    scale: f64,
    seen: impl Fn(usize, usize) -> bool,
) -> (Vec<f64>, Vec<f64>) {
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for (row, q) in q.chunks(d).enumerate() {
        let keys = k.chunks(d).zip(v.chunks(d)).enumerate().filter(|(c, _)| seen(row, *c));
        let scored: Vec<(f64, &[f32])> = keys
            .map(|(_, (k, v))| (q.iter().zip(k).map(|(a, b)| *a as f64 * *b as f64).sum::<f64>() * scale, v))
            .collect();
        let l: f64 = scored.iter().map(|(s, _)| s.exp()).sum();
        lse.push(if l == 0.0 { f64::NEG_INFINITY } else { l.log2() });
        out.extend((0..d).map(|i| {
            let sum: f64 = scored.iter().map(|(s, v)| s.exp() * v[i] as f64).sum();
            if l == 0.0 { 0.0 } else { sum / l }
        }));
    }
    (out, lse)
}

fn wave(shape: &[usize], step: usize) -> Host<f32> {
    Host::new(shape, |i| ((i * step) % 17) as f32 / 8.0 - 1.0)
}

fn assert_close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(*g as f64 == *w || (*g as f64 - w).abs() < 1e-5, "element {i}: {g} for {w}");
    }
}

#[test]
fn flash_agrees_with_the_formula() {
    let (b, h, lq, lk, d) = (2, 1, 11, 13, 16);
    let (q, k, v) = (wave(&[b, h, lq, d], 5), wave(&[b, h, lk, d], 7), wave(&[b, h, lk, d], 3));
    for causal in [false, true] {
        let (mut out, mut lse) = (wave(&[b, h, lq, d], 1), wave(&[b, h, lq], 1));
        let launch = if causal {
            flash_fwd::<f32, 4, 8, 16, true>::launch
        } else {
            flash_fwd::<f32, 4, 8, 16, false>::launch
        };
        launch(&Interpreter, &q, &k, &v, &mut out, &mut lse, 0.25).unwrap();
        for head in 0..b * h {
            let part = |x: &[f32], n: usize| x[head * n..(head + 1) * n].to_vec();
            let (o, l) = reference(
                &part(&q.data, lq * d),
                &part(&k.data, lk * d),
                &part(&v.data, lk * d),
                d,
                0.25,
                |r, c| !causal || c <= r,
            );
            assert_close(&part(&out.data, lq * d), &o);
            assert_close(&part(&lse.data, lq), &l);
        }
    }
}

/// Attention of each block of rows to the blocks of keys that its list names.
#[kernel(
    dims(L, N, TOPK),
    grid(m in N),
)]
fn listed<const BQ: usize, const BK: usize, const D: usize>(
    q: &Tensor<f32, { [L, D] }>,
    k: &Tensor<f32, { [L, D] }>,
    v: &Tensor<f32, { [L, D] }>,
    lists: &Tensor<i32, { [N, TOPK] }>,
    counts: &Tensor<i32, { [N] }>,
    out: &mut Tensor<f32, { [L, D] }>,
    lse: &mut Tensor<f32, { [L] }>,
    scale: f32,
) {
    let q = q.block::<BQ>(m).load();
    let (k, v) = (k.blocks::<BK>(), v.blocks::<BK>());
    let mut acc = zeros::<f32>([BQ, D]);
    let mut st = OnlineSoftmax::new(BQ);
    for j in lists.at(m).gather(counts.at(m).load()) {
        let s = (dot(q, k[j].t()) * (scale * LOG2E)).mask_tail(k, j, -INF);
        let (p, alpha) = st.step(s);
        acc = acc * alpha + dot(p, v[j]);
    }
    let (inv, l2) = st.finish();
    out.block::<BQ>(m).store(acc * inv);
    lse.block::<BQ>(m).store(l2.squeeze(1));
}

#[test]
fn a_row_without_keys_gives_zeros_and_minus_infinity() {
    let (l, d) = (18, 16);
    let (q, k, v) = (wave(&[l, d], 5), wave(&[l, d], 7), wave(&[l, d], 3));
    let lists = Host { data: vec![4, 1, 0, 9, 9, 9, 2, 9, 9, 0, 1, 2, 3, 4, 9], shape: vec![5, 3] };
    let counts = Host { data: vec![2, 0, 1, 3, 2], shape: vec![5] };
    let (mut out, mut lse) = (wave(&[l, d], 1), wave(&[l], 1));
    listed::<4, 4, 16>::launch(&Interpreter, &q, &k, &v, &lists, &counts, &mut out, &mut lse, 0.5).unwrap();
    let seen = |r: usize, c: usize| {
        let m = r / 4;
        (0..counts.data[m] as usize).any(|i| lists.data[m * 3 + i] as usize == c / 4)
    };
    let (o, s) = reference(&q.data, &k.data, &v.data, d, 0.5, seen);
    assert_close(&out.data, &o);
    assert_close(&lse.data, &s);
    assert!(lse.data[4..8].iter().all(|&x| x == f32::NEG_INFINITY));
}
