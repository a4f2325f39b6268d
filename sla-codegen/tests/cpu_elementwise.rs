//! Element-wise ops, constants, casts and shapes on the host against the interpreter, for three vector lengths.

mod support;

use sla_dsl::ir::{Elem, OpCode, Pred, Scalar};
use support::*;

const ODD: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.5,
    -3.25,
    1e-30,
    -1e-30,
    1e30,
    -1e30,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    3.5,
    65504.0,
    65520.0,
    1e-7,
    6.1e-5,
    -2.9e-8,
    0.333333,
    100.0,
    127.99,
    -126.5,
    -140.0,
    -149.4,
    -150.2,
    88.7,
    89.0,
    -87.4,
    -103.9,
    1e-40,
    2147483647.0,
    -2147483648.0,
    3e9,
    255.0,
    -129.5,
];

/// A kernel of binary ops on two tensors, with an output for each op.
fn binary(codes: &[OpCode], elem: Elem, a: &[f64], b: &[f64]) {
    let n = a.len();
    let (x, y) = (Data::new(elem, &[n], a), Data::new(elem, &[n], b));
    let out = Data::new(elem, &[n], &[0.0]);
    let mut args: Vec<Given> = vec![x.clone().into(), y.clone().into()];
    args.extend(codes.iter().map(|_| out.clone().into()));
    let k = build(&args, codes.len(), &[1], |b| {
        let (s, t) = (whole(b, 0, &x), whole(b, 1, &y));
        for (i, &code) in codes.iter().enumerate() {
            store_whole(b, i + 2, &out, b.binary(code, s, t, L));
        }
    });
    agree(&k, &args, &[], [1, 1, 1], 0.0);
}

#[test]
fn binary_ops_on_floats() {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for &x in ODD {
        for &y in ODD.iter().take(16) {
            a.push(x);
            b.push(y);
        }
    }
    binary(&[OpCode::Add, OpCode::Sub, OpCode::Mul, OpCode::Div], Elem::F32, &a, &b);
    // The sign of max(0, -0) is anybody's choice.
    let (mut a, mut b) = (a, b);
    a.iter_mut().chain(b.iter_mut()).for_each(|x| *x += 0.0);
    binary(&[OpCode::Min, OpCode::Max], Elem::F32, &a, &b);
}

#[test]
fn binary_ops_on_integers() {
    let few = [0.0, 1.0, -1.0, 7.0, -7.0, 2147483647.0, -2147483648.0, 3.0];
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for x in few {
        for y in few {
            a.push(x);
            b.push(y);
        }
    }
    use OpCode::*;
    binary(&[Add, Sub, Mul, Min, Max, And, Or, Xor], Elem::I32, &a, &b);
    let (a, b): (Vec<f64>, Vec<f64>) = a.into_iter().zip(b).filter(|(_, y)| *y != 0.0).unzip();
    binary(&[Div, Rem], Elem::I32, &a, &b);
    let shifts: Vec<f64> = (0..a.len()).map(|i| (i % 32) as f64).collect();
    binary(&[Shl, Shr], Elem::I32, &a, &shifts);
    binary(&[And, Or, Xor], Elem::Bool, &[0.0, 0.0, 1.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0, 0.0]);
}

fn unary(code: OpCode, elem: Elem, values: &[f64], tolerance: f64) {
    let x = Data::new(elem, &[values.len()], values);
    let out = Data::new(elem, &[values.len()], &[0.0]);
    let args = [x.clone().into(), out.clone().into()];
    let k = build(&args, 1, &[1], |b| store_whole(b, 1, &out, b.unary(code, whole(b, 0, &x), L)));
    agree(&k, &args, &[], [1, 1, 1], tolerance);
}

#[test]
fn unary_ops() {
    for code in [OpCode::Neg, OpCode::Abs, OpCode::Sqrt] {
        unary(code, Elem::F32, ODD, 0.0);
    }
    unary(OpCode::Rsqrt, Elem::F32, ODD, 3e-7);
    let ints = [0.0, 1.0, -1.0, -2147483648.0, 2147483647.0];
    unary(OpCode::Neg, Elem::I32, &ints, 0.0);
    unary(OpCode::Abs, Elem::I32, &ints, 0.0);
    unary(OpCode::Not, Elem::Bool, &[0.0, 1.0, 1.0], 0.0);
}

/// The relative error of exponentials and logarithms in units of the last place of f32, over their whole range.
#[test]
fn exponentials_and_logarithms_are_right_to_two_units() {
    let mut xs: Vec<f64> = ODD.iter().map(|&x| x as f32 as f64).collect();
    for i in 0..4000 {
        xs.push((i as f64 * 0.07 - 150.0) as f32 as f64);
        xs.push((i as f64 * 1e-4 + 0.8) as f32 as f64);
    }
    for e in -149..128 {
        xs.push(2f64.powi(e));
        xs.push((2f64.powi(e) * 1.37) as f32 as f64);
    }
    type Exact = fn(f64) -> f64;
    let cases: [(OpCode, Exact); 4] = [
        (OpCode::Exp2, f64::exp2),
        (OpCode::Exp, f64::exp),
        (OpCode::Log2, f64::log2),
        (OpCode::Log, f64::ln),
    ];
    for (code, exact) in cases {
        let x = Data::new(Elem::F32, &[xs.len()], &xs);
        let out = Data::new(Elem::F32, &[xs.len()], &[0.0]);
        let args = [x.clone().into(), out.clone().into()];
        let k = build(&args, 1, &[1], |b| store_whole(b, 1, &out, b.unary(code, whole(b, 0, &x), L)));
        for host in hosts() {
            let f = sla_codegen::target::cpu::compile_for(&k, &host).unwrap_or_else(|e| panic!("{e}"));
            let Given::Tensor(found) = &execute(&f, &k, &args, &[], [1, 1, 1])[1] else { panic!("a tensor") };
            for (&x, y) in xs.iter().zip(found.values()) {
                let want = exact(x);
                let rounded = want as f32;
                let unit = if rounded.is_finite() {
                    (f32::from_bits(rounded.abs().to_bits() + 1) - rounded.abs()) as f64
                } else {
                    0.0
                };
                let same =
                    rounded as f64 == y || want.is_nan() && y.is_nan() || (want - y).abs() <= 2.0 * unit;
                assert!(same, "{}({x}) with {} lanes: {y}, expected {rounded}", code.name(), host.lanes);
            }
        }
    }
}

#[test]
fn casts_between_all_types() {
    for from in Elem::ALL {
        let values: Vec<f64> =
            if from.is_float() { ODD.to_vec() } else { (-20..20).map(|i| (i * 13) as f64).collect() };
        let x = Data::new(from, &[values.len()], &values);
        let targets: Vec<Elem> = Elem::ALL.into_iter().filter(|&to| to != from).collect();
        let outs: Vec<Data> = targets.iter().map(|&to| Data::new(to, &[values.len()], &[0.0])).collect();
        let mut args: Vec<Given> = vec![x.clone().into()];
        args.extend(outs.iter().cloned().map(Given::from));
        let k = build(&args, outs.len(), &[1], |b| {
            let t = whole(b, 0, &x);
            for (i, (&to, out)) in targets.iter().zip(&outs).enumerate() {
                store_whole(b, i + 1, out, b.cast(t, to, L));
            }
        });
        agree(&k, &args, &[], [1, 1, 1], 0.0);
    }
}

#[test]
fn every_half_survives_the_way_through_registers() {
    for elem in [Elem::F16, Elem::BF16] {
        let values: Vec<f64> = (0..65536u32)
            .map(|b| match elem {
                Elem::F16 => half::f16::from_bits(b as u16).to_f64(),
                _ => half::bf16::from_bits(b as u16).to_f64(),
            })
            .collect();
        let x = Data::new(elem, &[65536], &values);
        let out = Data::new(elem, &[65536], &[0.0]);
        let args = [x.clone().into(), out.clone().into()];
        let k = build(&args, 1, &[1], |b| store_whole(b, 1, &out, whole(b, 0, &x)));
        agree(&k, &args, &[], [1, 1, 1], 0.0);
    }
}

#[test]
fn comparisons_and_selections() {
    let n = ODD.len();
    let x = Data::new(Elem::F32, &[n], ODD);
    let mut turned = ODD.to_vec();
    turned.rotate_left(3);
    turned[5] = ODD[5];
    let y = Data::new(Elem::F32, &[n], &turned);
    for pred in Pred::ALL {
        for elem in [Elem::F32, Elem::I32] {
            let out = Data::new(elem, &[n], &[0.0]);
            let mask = Data::new(Elem::Bool, &[n], &[0.0]);
            let args = [x.clone().into(), y.clone().into(), out.clone().into(), mask.clone().into()];
            let k = build(&args, 2, &[1], |b| {
                let (a, c) = (b.cast(whole(b, 0, &x), elem, L), b.cast(whole(b, 1, &y), elem, L));
                let m = b.cmp(pred, a, c, L);
                store_whole(b, 2, &out, b.select(m, a, c, L));
                store_whole(b, 3, &mask, m);
            });
            agree(&k, &args, &[], [1, 1, 1], 0.0);
        }
    }
}

#[test]
fn shapes_broadcasts_and_counting() {
    for (m, n) in [(1, 1), (3, 5), (16, 16), (8, 33), (17, 64), (5, 1), (1, 7)] {
        let x = Data::random(Elem::F32, &[m, n], 1);
        let row = Data::random(Elem::F32, &[n], 2);
        let column = Data::random(Elem::F32, &[m, 1], 3);
        let out = Data::new(Elem::F32, &[m, n], &[0.0]);
        let flat = Data::new(Elem::F32, &[m * n], &[0.0]);
        let turned = Data::new(Elem::F32, &[n, m], &[0.0]);
        let args = [
            x.clone().into(),
            row.clone().into(),
            column.clone().into(),
            Given::Scalar(Elem::F32, Scalar::Float(1.5)),
            out.clone().into(),
            flat.clone().into(),
            turned.clone().into(),
        ];
        let k = build(&args, 3, &[1], |b| {
            let (t, r, c) = (whole(b, 0, &x), whole(b, 1, &row), whole(b, 2, &column));
            let i = b.cast(b.iota(&[m, n], 0, L), Elem::F32, L);
            let j = b.cast(b.iota(&[n], 0, L), Elem::F32, L);
            let y = b.binary(OpCode::Add, t, r, L);
            let y = b.binary(OpCode::Mul, y, c, L);
            let y = b.fma(y, b.param(3), i, L);
            let y = b.binary(OpCode::Sub, y, j, L);
            let y = b.binary(OpCode::Add, y, b.constant(Scalar::Float(0.25), Elem::F32, L), L);
            store_whole(b, 4, &out, y);
            let e = b.unary(OpCode::Exp2, c, L);
            let z = b.binary(OpCode::Mul, y, e, L);
            store_whole(b, 5, &flat, b.reshape(z, &[m * n], L));
            let back = b.reshape(b.reshape(z, &[m * n], L), &[n, m], L);
            let sum = b.binary(OpCode::Add, b.transpose(z, L), back, L);
            store_whole(b, 6, &turned, sum);
        });
        agree(&k, &args, &[], [1, 1, 1], 1e-5);
    }
}
