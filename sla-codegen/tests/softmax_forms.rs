//! An online softmax in both of its forms, on scores that no random kernel has: what overflows, vanishes or is no number, and rows that see nothing.

use sla_codegen::{Watch, optimise, passes};
use sla_dsl::interp;
use sla_dsl::ir::{Elem, Kernel, Scalar, parse, verify};
use sla_dsl::launch::{Arg, Space, TensorArg};

const ROWS: usize = 8;
const BLOCK: usize = 32;

/// Attention of eight rows whose scores are what `s` says, times `scale`, with `v` as values; keys beyond `LK` are masked.
const TEXT: &str = "
kernel softmax {
  dims LK
  param %s = s : tensor<f32, [8, LK]>
  param %v = v : tensor<f32, [LK, 16]>
  param %out = out : mut tensor<f32, [8, 16]>
  param %lse = lse : mut tensor<f32, [8]>
  param %scale = scale : f32
  %zero = const {value=0} : i32
  %lk = dim {name=\"LK\"} : i32
  %none = const {value=-inf} : tile<8x1xf32>
  %null = const {value=0.0} : tile<8x1xf32>
  %start = const {value=0.0} : tile<8x16xf32>
  %m, %l, %acc = for %j in %zero..%lk carry(%m0 = %none, %l0 = %null, %a0 = %start) {step=32} : tile<8x1xf32>, tile<8x1xf32>, tile<8x16xf32> {
    %raw = load %s[%zero, %j] {box=[8, 32], check=[0, 1]} : tile<8x32xf32>
    %c = splat %scale : tile<8x32xf32>
    %scaled = mul %raw, %c : tile<8x32xf32>
    %column = iota {axis=1} : tile<8x32xi32>
    %left = sub %lk, %j : i32
    %end = splat %left : tile<8x32xi32>
    %inside = cmp %column, %end {pred=lt} : tile<8x32xbool>
    %far = const {value=-inf} : tile<8x32xf32>
    %sc = select %inside, %scaled, %far : tile<8x32xf32>
    %top = reduce_max %sc {axis=1} : tile<8x1xf32>
    %m1 = max %m0, %top : tile<8x1xf32>
    %empty = cmp %m1, %none {pred=eq} : tile<8x1xbool>
    %base = select %empty, %null, %m1 : tile<8x1xf32>
    %wide = broadcast %base : tile<8x32xf32>
    %less = sub %sc, %wide : tile<8x32xf32>
    %p = exp2 %less : tile<8x32xf32>
    %fall = sub %m0, %base : tile<8x1xf32>
    %alpha = exp2 %fall : tile<8x1xf32>
    %sum = reduce_sum %p {axis=1} : tile<8x1xf32>
    %l1 = fma %l0, %alpha, %sum : tile<8x1xf32>
    %by = broadcast %alpha : tile<8x16xf32>
    %a1 = mul %a0, %by : tile<8x16xf32>
    %ph = cast %p : tile<8x32xf16>
    %vt = load %v[%j, %zero] {box=[32, 16], check=[1, 0]} : tile<32x16xf32>
    %vh = cast %vt : tile<32x16xf16>
    %a2 = dot %ph, %vh, %a1 {ta=0, tb=0} : tile<8x16xf32>
    yield %m1, %l1, %a2
  }
  %nothing = cmp %l, %null {pred=eq} : tile<8x1xbool>
  %one = const {value=1.0} : tile<8x1xf32>
  %some = select %nothing, %one, %l : tile<8x1xf32>
  %wl = broadcast %some : tile<8x16xf32>
  %o = div %acc, %wl : tile<8x16xf32>
  store %out[%zero, %zero], %o {box=[8, 16], check=[0, 0]}
  %log = log2 %some : tile<8x1xf32>
  %e = add %m, %log : tile<8x1xf32>
  store %lse[%zero], %e {box=[8], check=[0]}
}
";

fn tensor<'a>(data: &'a mut [f32], shape: &[usize]) -> Arg<'a> {
    let strides: Vec<i64> =
        (0..shape.len()).map(|a| shape[a + 1..].iter().product::<usize>() as i64).collect();
    assert_eq!(data.len(), shape.iter().product());
    // SAFETY: the memory is borrowed for the argument's lifetime, and is a contiguous tensor of this shape.
    Arg::Tensor(unsafe {
        TensorArg::from_raw(Elem::F32, shape, &strides, data.as_mut_ptr() as usize, Space::Host, true)
    })
}

/// The result and its logarithms.
fn attend(kernel: &Kernel, keys: usize, score: &dyn Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut s: Vec<f32> = (0..ROWS).flat_map(|row| (0..keys).map(move |key| score(row, key))).collect();
    let mut v: Vec<f32> = (0..keys * 16).map(|i| (i % 7) as f32 - 3.0).collect();
    let (mut out, mut lse) = (vec![9.0f32; ROWS * 16], vec![9.0f32; ROWS]);
    let args = [
        tensor(&mut s, &[ROWS, keys]),
        tensor(&mut v, &[keys, 16]),
        tensor(&mut out, &[ROWS, 16]),
        tensor(&mut lse, &[ROWS]),
        Arg::Scalar(Scalar::Float(1.0)),
    ];
    interp::run(kernel, &args, &[keys as i64], [1, 1, 1]).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    out.extend(lse);
    out
}

#[test]
fn forms_agree_on_scores_that_overflow_vanish_or_are_no_numbers() {
    let written = optimise(&parse(TEXT).unwrap()).unwrap();
    let forms = Watch::ALL.map(|watch| {
        let mut kernel = written.clone();
        assert!(passes::reference_max(&mut kernel, watch), "{kernel}");
        verify(&kernel).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
        kernel
    });
    let block = |key: usize| (key / BLOCK) as f32;
    let small = |row: usize, key: usize| ((row * 31 + key * 17) % 64) as f32 / 16.0;
    type Score<'s> = (&'static str, &'s dyn Fn(usize, usize) -> f32);
    let scores: &[Score<'_>] = &[
        ("small", &small),
        ("far below 0 at first", &|row, key| small(row, key) - if key < BLOCK { 3e4 } else { 0.0 }),
        ("all far below 0", &|row, key| small(row, key) - 1e5),
        ("a rise beyond what exponentials hold", &|row, key| small(row, key) + 300.0 * block(key)),
        ("a rise by what is let through", &|row, key| small(row, key) + 3.9 * block(key)),
        ("a rise of some rows only", &|row, key| {
            small(row, key) + if row % 3 == 0 { 9.5 * block(key) } else { 0.0 }
        }),
        ("a fall", &|row, key| small(row, key) - 200.0 * block(key)),
        ("one key has it all", &|row, key| if key == 70 + row { 1e4 } else { small(row, key) }),
        ("nothing in the first block", &|row, key| {
            if key < BLOCK { f32::NEG_INFINITY } else { small(row, key) - 500.0 }
        }),
        ("rows without keys", &|row, key| if row < 4 { f32::NEG_INFINITY } else { small(row, key) }),
        ("rows without keys after the first block", &|row, key| {
            if row < 4 && key >= BLOCK { f32::NEG_INFINITY } else { small(row, key) }
        }),
        ("infinity", &|row, key| if (row, key) == (2, 40) { f32::INFINITY } else { small(row, key) }),
        ("no number", &|row, key| if (row, key) == (2, 40) { f32::NAN } else { small(row, key) }),
    ];
    for &(name, score) in scores {
        // None, part of a block, whole blocks, a last block with a tail.
        for keys in [0, 5, 3 * BLOCK, 4 * BLOCK - 7] {
            let expected = attend(&written, keys, score);
            for (kernel, watch) in forms.iter().zip(Watch::ALL) {
                let found = attend(kernel, keys, score);
                for (i, (&x, &y)) in expected.iter().zip(&found).enumerate() {
                    let near = (x - y).abs() <= 2e-3 * x.abs().max(1.0);
                    let same = x == y || x.is_nan() && y.is_nan() || near;
                    assert!(same, "{name}, {keys} keys, {}: element {i} is {x} and {y}", watch.name());
                }
            }
        }
    }
}
