//! Element-wise ops, reductions, shapes, casts, integers, control, memory order.

use super::{Case, Fill::*};
use sla_dsl::prelude::*;

/// `c = a + s b`
#[kernel(dims(L), grid(p in L.div_ceil(BLOCK)))]
fn axpy<const BLOCK: usize>(
    a: &Tensor<f32, { [L] }>,
    b: &Tensor<f32, { [L] }>,
    c: &mut Tensor<f32, { [L] }>,
    s: f32,
) {
    c.block::<BLOCK>(p).store(a.block::<BLOCK>(p).load() + b.block::<BLOCK>(p).load() * s);
}

/// Softmax of rows.
#[kernel(dims(L), grid(p in L.div_ceil(BM)))]
fn softmax<const BM: usize, const N: usize>(x: &Tensor<f32, { [L, N] }>, y: &mut Tensor<f32, { [L, N] }>) {
    let v = x.block::<BM>(p).load();
    let e = exp(v - v.max(1));
    y.block::<BM>(p).store(e / e.sum(1));
}

/// All reductions along an axis.
#[kernel(dims(L), grid(p in L.div_ceil(M)))]
fn reductions<const M: usize, const N: usize>(
    x: &Tensor<f32, { [L, N] }>,
    i: &Tensor<i32, { [L, N] }>,
    rows: &mut Tensor<f32, { [3, L] }>,
    columns: &mut Tensor<f32, { [L.div_ceil(M), 3, N] }>,
    counts: &mut Tensor<i32, { [L.div_ceil(M), 2, N] }>,
) {
    let v = x.block::<M>(p).load();
    rows.at(0).block::<M>(p).store(v.sum(1).squeeze(1));
    rows.at(1).block::<M>(p).store(v.max(1).squeeze(1));
    rows.at(2).block::<M>(p).store(v.min(1).squeeze(1));
    columns.at(p, 0).block::<N>(0).store(v.sum(0).squeeze(0));
    columns.at(p, 1).block::<N>(0).store(v.max(0).squeeze(0));
    columns.at(p, 2).block::<N>(0).store(v.min(0).squeeze(0));
    let n = i.block::<M>(p).load();
    counts.at(p, 0).block::<N>(0).store(n.sum(0).squeeze(0));
    counts.at(p, 1).block::<N>(0).store(n.max(0).squeeze(0));
}

/// What is kept of each row: words, halves, bytes, and a row of rank 1.
#[kernel(dims(L), grid(p in L.div_ceil(M)))]
fn packs<const M: usize, const N: usize>(
    x: &Tensor<i32, { [L, N] }>,
    words: &mut Tensor<i32, { [L, N] }>,
    halves: &mut Tensor<bf16, { [L, N] }>,
    bytes: &mut Tensor<i8, { [L, N] }>,
    line: &mut Tensor<i32, { [L.div_ceil(M), N] }>,
) {
    let v = x.block::<M>(p).load();
    let keep = v % 3 == 0;
    words.block::<M>(p).store(iota([1, N], 1).pack(keep));
    halves.block::<M>(p).store(v.cast::<f32>().cast::<bf16>().pack(keep));
    bytes.block::<M>(p).store(v.cast::<i8>().pack(!keep));
    let sums = v.sum(0).reshape([N]);
    line.at(p).block::<N>(0).store(sums.pack(sums % 2 == 0));
}

/// Reshapes and transpositions, of floats and of halves.
#[kernel(dims(L), grid(p in L))]
fn shapes<const M: usize, const N: usize>(
    x: &Tensor<f32, { [L, M, N] }>,
    h: &Tensor<bf16, { [L, M, N] }>,
    t: &mut Tensor<f32, { [L, N, M] }>,
    r: &mut Tensor<f32, { [L, N, M] }>,
    flat: &mut Tensor<f32, { [L, M * N] }>,
    th: &mut Tensor<bf16, { [L, N, M] }>,
) {
    let v = x.at(p).block::<M>(0).load();
    t.at(p).block::<N>(0).store(v.t());
    r.at(p).block::<N>(0).store(v.reshape([N, M]) + 1.0);
    let line = v.reshape([M * N]);
    flat.at(p).block::<{ M * N }>(0).store(line * line.sum(0));
    let w = h.at(p).block::<M>(0).load();
    th.at(p).block::<N>(0).store(w.t());
}

/// Casts between all element types.
#[kernel(dims(L), grid(p in L.div_ceil(BLOCK)))]
fn casts<const BLOCK: usize>(
    x: &Tensor<f32, { [L] }>,
    i: &Tensor<i32, { [L] }>,
    bytes: &mut Tensor<i8, { [L] }>,
    halves: &mut Tensor<f16, { [L] }>,
    brains: &mut Tensor<bf16, { [L] }>,
    ints: &mut Tensor<i32, { [L] }>,
    floats: &mut Tensor<f32, { [L] }>,
) {
    let v = x.block::<BLOCK>(p).load();
    let n = i.block::<BLOCK>(p).load();
    let b = (n * 7).cast::<i8>();
    bytes.block::<BLOCK>(p).store(b);
    halves.block::<BLOCK>(p).store(v.cast::<f16>());
    brains.block::<BLOCK>(p).store((v.cast::<f16>().cast::<f32>() * 3.0).cast::<bf16>());
    ints.block::<BLOCK>(p).store((v * 1000.0).cast::<i32>() + b.cast::<i32>() + (v > 0.0).cast::<i32>());
    floats
        .block::<BLOCK>(p)
        .store(n.cast::<f32>() + select(n > 5, v.cast::<bf16>(), n.cast::<bf16>()).cast::<f32>());
}

/// Functions of one number.
#[kernel(dims(L), grid(p in L.div_ceil(BLOCK)))]
fn functions<const BLOCK: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [8, L] }>) {
    let v = x.block::<BLOCK>(p).load();
    let a = abs(v) + 0.001;
    y.at(0).block::<BLOCK>(p).store(exp2(v));
    y.at(1).block::<BLOCK>(p).store(exp(v * 3.0));
    y.at(2).block::<BLOCK>(p).store(log2(a));
    y.at(3).block::<BLOCK>(p).store(log(a));
    y.at(4).block::<BLOCK>(p).store(sqrt(a));
    y.at(5).block::<BLOCK>(p).store(rsqrt(a) * 0.1);
    y.at(6).block::<BLOCK>(p).store(fma(v, a, 1.0) / a * 0.01);
    y.at(7).block::<BLOCK>(p).store(maximum(v, 0.25) - minimum(v, -0.25));
}

/// Integer arithmetic and conditions.
#[kernel(dims(L), grid(p in L.div_ceil(BLOCK)))]
fn integers<const BLOCK: usize>(
    a: &Tensor<i32, { [L] }>,
    b: &Tensor<i32, { [L] }>,
    c: &mut Tensor<i32, { [4, L] }>,
    k: i32,
) {
    let x = a.block::<BLOCK>(p).load() - 50;
    let y = b.block::<BLOCK>(p).load() + 1;
    c.at(0).block::<BLOCK>(p).store(x / y + x % y * 100);
    c.at(1).block::<BLOCK>(p).store(((x << 3) ^ y) | ((x >> 1) & k));
    let odd = (x & 1) == 1;
    c.at(2).block::<BLOCK>(p).store(select(odd & !(x < y), x * y, -x));
    c.at(3).block::<BLOCK>(p).store(iota([BLOCK], 0) + p * k);
}

/// Loops and branches with carried values, a list in memory, and program ids on three axes.
#[kernel(dims(A, B, C, W), grid(i in A, j in B, k in C))]
fn control(
    list: &Tensor<i32, { [A, W] }>,
    x: &Tensor<f32, { [W, 16] }>,
    y: &mut Tensor<f32, { [A, B, C, 16] }>,
) {
    let mut sum = zeros::<f32>([16]);
    let mut n = 0;
    for e in list.at(i).gather(W - j) {
        let row = x.at(e).block::<16>(0).load();
        if e % 2 == k {
            sum += row;
            n = n + 1;
        } else {
            sum = sum - row * 0.5;
        }
    }
    y.at(i, j, k).block::<16>(0).store(sum + n.cast::<f32>());
}

/// Loads that see this program's own stores, and atomic adds of every program to one place.
#[kernel(dims(L), grid(p in L))]
fn memory<const N: usize>(
    x: &Tensor<f32, { [L, N] }>,
    y: &mut Tensor<f32, { [L, N] }>,
    total: &mut Tensor<f32, { [N] }>,
    count: &mut Tensor<i32, { [1] }>,
) {
    y.at(p).block::<N>(0).store(x.at(p).block::<N>(0).load() * 2.0);
    let half = y.at(p).block::<{ N / 2 }>(1).load();
    y.at(p).block::<{ N / 2 }>(0).store(half);
    total.block::<N>(0).atomic_add(y.at(p).block::<N>(0).load());
    count.at(0).atomic_add(p * 0 + 1);
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for l in [1024, 1000] {
        let c = axpy::<256>::consts();
        all.push(Case::new(format!("axpy_{l}"), &axpy, c, &[l], &[Random, Random, Zero, Scalar(0.5)]));
    }
    for (c, l, name) in [
        (softmax::<4, 256>::consts(), 10, "softmax_4x256"),
        (softmax::<1, 4096>::consts(), 3, "softmax_1x4096"),
        (softmax::<16, 100>::consts(), 33, "softmax_16x100"),
    ] {
        all.push(Case::new(name, &softmax, c, &[l], &[Random, Zero]));
    }
    for (c, l, name) in [
        (reductions::<64, 32>::consts(), 128, "reductions_64x32"),
        (reductions::<8, 300>::consts(), 24, "reductions_8x300"),
        (reductions::<3, 5>::consts(), 9, "reductions_3x5"),
    ] {
        all.push(Case::new(name, &reductions, c, &[l], &[Random, Below(100), Zero, Zero, Zero]));
    }
    for (c, l, name) in [
        (packs::<8, 512>::consts(), 16, "packs_8x512"),
        (packs::<1, 2048>::consts(), 3, "packs_1x2048"),
        (packs::<3, 100>::consts(), 9, "packs_3x100"),
    ] {
        all.push(Case::new(name, &packs, c, &[l], &[Below(100), Zero, Zero, Zero, Zero]));
    }
    for (c, name) in
        [(shapes::<32, 64>::consts(), "shapes_32x64"), (shapes::<16, 4>::consts(), "shapes_16x4")]
    {
        all.push(Case::new(name, &shapes, c, &[3], &[Random, Random, Zero, Zero, Zero, Zero]));
    }
    let c = casts::<128>::consts();
    all.push(Case::new("casts", &casts, c, &[500], &[Random, Below(300), Zero, Zero, Zero, Zero, Zero]));
    all.push(Case::new("functions", &functions, functions::<256>::consts(), &[2000], &[Random, Zero]));
    let c = integers::<128>::consts();
    all.push(Case::new("integers", &integers, c, &[640], &[Below(1000), Below(30), Zero, Scalar(12.0)]));
    all.push(Case::new("control", &control, control::consts(), &[3, 4, 2, 9], &[Below(9), Random, Zero]));
    all.push(Case::new("memory", &memory, memory::<64>::consts(), &[40], &[Random, Zero, Zero, Zero]));
    all
}
