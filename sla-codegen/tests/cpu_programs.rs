//! Products, reductions, memory and control flow on the host against the interpreter, for three vector lengths.

mod support;

use sla_codegen::target::cpu::{Host, compile_for};
use sla_codegen::{CodegenError, Options, Stage, Target, Tools};
use sla_dsl::diag::Loc;
use sla_dsl::ir::{
    Builder, DimExpr, Elem, Facts, GridAxis, Kernel, MemFacts, OpCode, Param, ParamKind, Pred, Scalar,
    TensorType, Value,
};
use support::*;

#[test]
fn products_of_every_orientation_and_size() {
    let sizes = [
        (1, 1, 1),
        (4, 16, 8),
        (5, 7, 3),
        (16, 64, 32),
        (33, 20, 17),
        (2, 3, 1),
        (1, 40, 9),
        (40, 1, 9),
        (13, 48, 2),
    ];
    for (case, (m, n, depth)) in sizes.into_iter().enumerate() {
        let (ta, tb, with) = (case % 2 == 0, case % 3 == 0, case % 4 < 2);
        let elem = [Elem::F32, Elem::BF16, Elem::F16][case % 3];
        let a = Data::random(elem, &if ta { [depth, m] } else { [m, depth] }, 5);
        let c = Data::random(elem, &if tb { [n, depth] } else { [depth, n] }, 6);
        let acc = Data::random(Elem::F32, &[m, n], 7);
        let out = Data::new(Elem::F32, &[m, n], &[0.0]);
        let args = [a.clone().into(), c.clone().into(), acc.clone().into(), out.clone().into()];
        let k = build(&args, 1, &[1], |b| {
            let mut x = whole(b, 0, &a);
            let mut y = whole(b, 1, &c);
            if ta {
                x = b.transpose(x, L);
            }
            if tb {
                y = b.transpose(y, L);
            }
            let start = whole(b, 2, &acc);
            let r = if with {
                b.dot(x, y, Some(start), L)
            } else {
                let product = b.dot(x, y, None, L);
                b.binary(OpCode::Add, b.binary(OpCode::Mul, start, start, L), product, L)
            };
            store_whole(b, 3, &out, r);
        });
        agree(&k, &args, &[], [1, 1, 1], 2e-5);
    }
}

#[test]
fn reductions_along_both_axes() {
    for (m, n) in [(1, 1), (3, 5), (16, 16), (7, 70), (64, 17), (1, 19), (19, 1)] {
        for elem in [Elem::F32, Elem::I32] {
            let mut values = Data::random(elem, &[m, n], 9).values();
            if elem == Elem::F32 && m * n > 3 {
                values[1] = f64::NAN;
            }
            let x = Data::new(elem, &[m, n], &values);
            let outs: Vec<Data> =
                (0..6).map(|i| Data::new(elem, &if i % 2 == 0 { [1, n] } else { [m, 1] }, &[0.0])).collect();
            let mut args: Vec<Given> = vec![x.clone().into()];
            args.extend(outs.iter().cloned().map(Given::from));
            let k = all_reductions(&x, &outs, &args);
            agree(&k, &args, &[], [1, 1, 1], 1e-5);
        }
    }
}

/// Every reduction along each axis: of an expression, and of a transposed tile.
fn all_reductions(x: &Data, outs: &[Data], args: &[Given]) -> Kernel {
    build(args, 6, &[1], |b| {
        let t = whole(b, 0, x);
        let t = b.binary(OpCode::Add, t, t, L);
        let turned = b.transpose(t, L);
        for (i, code) in [OpCode::ReduceSum, OpCode::ReduceMax, OpCode::ReduceMin].into_iter().enumerate() {
            for axis in 0..2 {
                let at = 2 * i + axis;
                let r = if i == 1 {
                    b.transpose(b.reduce(code, turned, 1 - axis, L), L)
                } else {
                    b.reduce(code, t, axis, L)
                };
                store_whole(b, at + 1, &outs[at], r);
            }
        }
    })
}

/// A kernel over tensors with runtime dims `M` and `N`.
fn ragged(elem: Elem, body: impl FnOnce(&Builder, [Value; 3])) -> Kernel {
    let dims = || vec![DimExpr::name("B"), DimExpr::name("M"), DimExpr::name("N")];
    let tensor = |name: &str, mutable: bool| Param {
        name: name.into(),
        kind: ParamKind::Tensor(TensorType { elem, dims: dims(), mutable }),
        memory: MemFacts::default(),
    };
    let blocks = |d: &str, n: i64| DimExpr::name(d).div_ceil(n.into());
    let grid = vec![
        GridAxis { name: "n".into(), extent: blocks("N", 24) },
        GridAxis { name: "m".into(), extent: blocks("M", 8) },
        GridAxis { name: "b".into(), extent: DimExpr::name("B") },
    ];
    let params = vec![tensor("x", false), tensor("y", true)];
    let b = Builder::new("ragged", &["B", "M", "N"], grid, params, &Facts::default());
    let ids = [0, 1, 2].map(|a| b.program_id(a, L));
    body(&b, ids);
    b.finish().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn ragged_boxes_read_zeros_and_write_nothing_outside() {
    for elem in Elem::ALL {
        let k = ragged(elem, |b, [n, m, batch]| {
            let (m, n) =
                (b.binary(OpCode::Mul, m, b.int(8, L), L), b.binary(OpCode::Mul, n, b.int(24, L), L));
            let at = [batch, m, n];
            let t = b.load(b.param(0), &at, &[1, 8, 24], &[false, true, true], &[8, 24], L);
            // What lies outside must be zero: it is turned into the value stored inside.
            let sum = if elem == Elem::F32 {
                let s = b.reduce(OpCode::ReduceSum, b.reduce(OpCode::ReduceSum, t, 0, L), 1, L);
                b.binary(OpCode::Add, t, s, L)
            } else {
                t
            };
            b.store(OpCode::Store, b.param(1), sum, &at, &[1, 8, 24], &[false, true, true], L);
        });
        for (batch, rows, cols) in [(1, 8, 24), (2, 13, 30), (1, 3, 5), (3, 17, 48)] {
            let x = Data::random(elem, &[batch, rows, cols], 11);
            let y = Data::random(elem, &[batch, rows, cols], 12);
            let grid = [cols.div_ceil(24), rows.div_ceil(8), batch];
            let dims = [batch as i64, rows as i64, cols as i64];
            agree(&k, &[x.into(), y.into()], &dims, grid, if elem == Elem::F32 { 1e-5 } else { 0.0 });
        }
    }
}

#[test]
fn columns_scalars_and_atomic_additions() {
    for elem in [Elem::F32, Elem::I32] {
        let k = ragged(elem, |b, [n, m, batch]| {
            let (m, n) =
                (b.binary(OpCode::Mul, m, b.int(8, L), L), b.binary(OpCode::Mul, n, b.int(24, L), L));
            // A column, a row, and a scalar that may lie outside.
            let column = b.load(b.param(0), &[batch, m, n], &[1, 8, 1], &[false, true, true], &[8], L);
            let row = b.load(b.param(0), &[batch, m, n], &[1, 1, 24], &[false, true, true], &[1, 24], L);
            let past = b.binary(OpCode::Add, n, b.int(7, L), L);
            let one = b.load(b.param(0), &[batch, m, past], &[1, 1, 1], &[false, true, true], &[], L);
            let sum = b.binary(OpCode::Add, b.reshape(column, &[8, 1], L), row, L);
            let sum = b.binary(OpCode::Add, sum, one, L);
            let zero = b.int(0, L);
            let check = [false, true, true];
            b.store(OpCode::AtomicAdd, b.param(1), sum, &[batch, m, n], &[1, 8, 24], &check, L);
            b.store(OpCode::AtomicAdd, b.param(1), one, &[batch, zero, zero], &[1, 1, 1], &check, L);
            let narrow = b.load(b.param(0), &[batch, m, n], &[1, 8, 1], &check, &[8, 1], L);
            b.store(OpCode::AtomicAdd, b.param(1), narrow, &[batch, m, zero], &[1, 8, 1], &check, L);
        });
        for (rows, cols) in [(8, 24), (13, 30), (3, 5)] {
            let x = Data::random(elem, &[2, rows, cols], 21);
            let y = Data::random(elem, &[2, rows, cols], 22);
            let grid = [cols.div_ceil(24), rows.div_ceil(8), 2];
            agree(&k, &[x.into(), y.into()], &[2, rows as i64, cols as i64], grid, 1e-5);
        }
    }
}

#[test]
fn strided_tensors() {
    for elem in [Elem::F32, Elem::BF16, Elem::I8] {
        // Transposed, with gaps, and backwards in steps of two.
        let x = Data::random(elem, &[20, 9], 51).seen_as(&[9, 20], &[1, 9]);
        let y = Data::random(elem, &[9, 64], 52).seen_as(&[9, 20], &[64, 3]);
        let out = Data::random(elem, &[9, 20, 2], 53).seen_as(&[9, 20], &[40, 2]);
        let turned = Data::random(elem, &[9, 20], 54).seen_as(&[20, 9], &[1, 20]);
        let args = [x.clone().into(), y.clone().into(), out.clone().into(), turned.clone().into()];
        let k = build(&args, 2, &[1], |b| {
            let (s, t) = (whole(b, 0, &x), whole(b, 1, &y));
            let pick = b.cmp(Pred::Lt, b.iota(&[9, 20], 1, L), b.int(7, L), L);
            let r = b.select(pick, s, t, L);
            store_whole(b, 2, &out, r);
            store_whole(b, 3, &turned, b.transpose(r, L));
        });
        agree(&k, &args, &[], [1, 1, 1], 0.0);
    }
}

#[test]
fn products_of_tiles_that_both_lie_the_wrong_way() {
    let (a, c) = (Data::random(Elem::F32, &[48, 33], 61), Data::random(Elem::F32, &[37, 33], 62));
    let out = Data::new(Elem::F32, &[37, 48], &[0.0]);
    let args =
        [a.clone().into(), c.clone().into(), Given::Scalar(Elem::I32, Scalar::Int(3)), out.clone().into()];
    let k = build(&args, 1, &[1], |b| {
        let zero = b.constant(Scalar::Float(0.0), Elem::F32, L);
        let acc = b.broadcast_to(zero, &[48, 37], L);
        let r = b.for_(b.int(0, L), b.param(2), 1, &[acc], L, |_, v| {
            let (x, y) = (whole(b, 0, &a), whole(b, 1, &c));
            let e = b.unary(OpCode::Exp2, b.unary(OpCode::Neg, v[0], L), L);
            let product = b.dot(x, b.transpose(y, L), Some(e), L);
            let max = b.reduce(OpCode::ReduceMax, product, 0, L);
            vec![b.binary(OpCode::Sub, product, max, L)]
        });
        store_whole(b, 3, &out, b.transpose(r[0], L));
    });
    agree(&k, &args, &[], [1, 1, 1], 1e-4);
}

#[test]
fn prints_run_and_every_stage_has_a_text() {
    let x = Data::random(Elem::F32, &[2, 3], 71);
    let out = Data::new(Elem::F32, &[2, 3], &[0.0]);
    let args = [x.clone().into(), out.clone().into()];
    let k = build(&args, 1, &[1, 2], |b| {
        let t = whole(b, 0, &x);
        let column = b.reduce(OpCode::ReduceSum, t, 1, L);
        let mask = b.cmp(Pred::Gt, t, b.constant(Scalar::Float(0.0), Elem::F32, L), L);
        b.print("values", &[b.program_id(0, L), column, mask, b.transpose(t, L)], L);
        b.print("nothing", &[], L);
        store_whole(b, 1, &out, t);
    });
    agree(&k, &args, &[], [1, 2, 1], 0.0);
    let options = Options::new(Target::Cpu);
    let text = |stage| sla_codegen::emit(&k, &options, &Tools::default(), stage);
    for (stage, needle) in [
        (Stage::Sched, "bytes of scratch memory"),
        (Stage::Mlir, "func.func @sla_kernel"),
        (Stage::Ll, "define void @sla_kernel"),
        (Stage::Ptx, "sla_kernel:"),
    ] {
        let text = String::from_utf8(text(stage).unwrap_or_else(|e| panic!("{e}"))).expect("is text");
        assert!(text.contains(needle), "{stage}: {text}");
    }
    assert!(matches!(text(Stage::Cubin), Err(CodegenError::NoStage { .. })));
}

#[test]
fn loops_carry_tiles_and_scalars() {
    let x = Data::random(Elem::F32, &[6, 20], 31);
    let outs = [
        Data::new(Elem::F32, &[6, 20], &[0.0]),
        Data::new(Elem::F32, &[6, 20], &[0.0]),
        Data::new(Elem::F32, &[20, 6], &[0.0]),
    ];
    let count = Data::new(Elem::I32, &[1], &[0.0]);
    for trips in [0, 1, 5] {
        let args = [
            x.clone().into(),
            Given::Scalar(Elem::I32, Scalar::Int(trips)),
            outs[0].clone().into(),
            outs[1].clone().into(),
            outs[2].clone().into(),
            count.clone().into(),
        ];
        let k = build(&args, 4, &[1], |b| {
            let t = whole(b, 0, &x);
            let half = b.constant(Scalar::Float(0.5), Elem::F32, L);
            let u = b.binary(OpCode::Mul, t, half, L);
            let turned = b.transpose(t, L);
            let zero = b.int(0, L);
            // Trades two tiles, updates one in place, keeps one, counts.
            let r = b.for_(zero, b.param(1), 2, &[t, u, turned, zero], L, |i, v| {
                let at = b.cast(i, Elem::F32, L);
                let sum = b.binary(OpCode::Add, v[2], b.transpose(v[0], L), L);
                let sum = b.binary(OpCode::Mul, sum, half, L);
                let sum = b.binary(OpCode::Add, sum, at, L);
                let n = b.binary(OpCode::Add, v[3], b.binary(OpCode::Add, i, b.int(3, L), L), L);
                let inner = b.for_(zero, i, 1, &[v[1]], L, |_, w| {
                    let max = b.reduce(OpCode::ReduceMax, w[0], 1, L);
                    vec![b.binary(OpCode::Sub, w[0], max, L)]
                });
                vec![inner[0], v[0], sum, n]
            });
            store_whole(b, 2, &outs[0], r[0]);
            store_whole(b, 3, &outs[1], r[1]);
            store_whole(b, 4, &outs[2], r[2]);
            b.store(OpCode::Store, b.param(5), r[3], &[zero], &[1], &[false], L);
        });
        agree(&k, &args, &[], [1, 1, 1], 1e-5);
    }
}

#[test]
fn branches_nest_and_yield() {
    let x = Data::random(Elem::F32, &[3, 18], 41);
    let out = Data::new(Elem::F32, &[3, 18], &[0.0]);
    for (p, q) in [(0, 0), (1, 0), (5, 1), (9, 4)] {
        let args = [
            x.clone().into(),
            Given::Scalar(Elem::I32, Scalar::Int(p)),
            Given::Scalar(Elem::I32, Scalar::Int(q)),
            out.clone().into(),
        ];
        let k = build(&args, 1, &[1], |b| {
            let t = whole(b, 0, &x);
            let (p, q) = (b.param(1), b.param(2));
            let big = b.cmp(Pred::Gt, p, b.int(3, L), L);
            let any = b.cmp(Pred::Ne, q, b.int(0, L), L);
            let r = b.if_(
                big,
                L,
                || {
                    let e = b.unary(OpCode::Exp2, t, L);
                    let inner = b.if_(any, L, || vec![b.transpose(b.transpose(e, L), L), p], || vec![t, q]);
                    vec![b.binary(OpCode::Add, inner[0], e, L), inner[1]]
                },
                || {
                    let looped = b.for_(b.int(0, L), p, 1, &[t], L, |i, v| {
                        let f = b.cast(i, Elem::F32, L);
                        let odd = b.cmp(Pred::Eq, i, b.int(0, L), L);
                        b.if_(odd, L, || vec![b.binary(OpCode::Add, v[0], f, L)], || vec![v[0]])
                    });
                    vec![looped[0], b.int(77, L)]
                },
            );
            let y = b.binary(OpCode::Add, r[0], b.cast(r[1], Elem::F32, L), L);
            store_whole(b, 3, &out, y);
        });
        agree(&k, &args, &[], [1, 1, 1], 1e-5);
    }
}

#[test]
fn failures_come_back_with_their_place() {
    let x = Data::new(Elem::I32, &[20], &[3.0]);
    let mut values = vec![1.0; 20];
    values[17] = 0.0;
    let y = Data::new(Elem::I32, &[20], &values);
    let out = Data::new(Elem::I32, &[20], &[0.0]);
    let args = [x.clone().into(), y.clone().into(), out.clone().into()];
    // A name as few files have one, but as any may.
    let here = Loc::new("a \"d\u{e9}mo\"\\\t.rs", 3, 9);
    let k = build(&args, 1, &[1], |b| {
        let q = b.binary(OpCode::Div, whole(b, 0, &x), whole(b, 1, &y), here);
        store_whole(b, 2, &out, q);
    });
    let asserted = build(&args, 1, &[2], |b| {
        let positive = b.cmp(Pred::Gt, whole(b, 1, &y), b.int(0, L), L);
        b.assert(positive, "divisors are positive", here);
        store_whole(b, 2, &out, whole(b, 0, &x));
    });
    for (k, message) in [(k, "division by zero"), (asserted, "divisors are positive")] {
        let f = compile_for(&k, &Host::native().unwrap()).unwrap_or_else(|e| panic!("{e}"));
        let slots = slots(&k, &args, &[]);
        let mut scratch = vec![0u8; f.scratch_bytes() + 64];
        let at = scratch.as_mut_ptr();
        let skip = at.align_offset(64);
        // SAFETY: the slots describe `args`, which live on, and the scratch memory is as long and as aligned as it must be.
        let failure = unsafe { f.run(&slots, 0..2, at.add(skip)) }.expect_err("fails");
        assert!(failure.message.contains(message), "{failure}");
        assert_eq!(failure.loc, here);
    }
    assert!(out.values().iter().all(|&v| v == 0.0 || v == 3.0));
}

#[test]
fn kernels_that_need_too_much_memory_are_refused() {
    let x = Data::new(Elem::F32, &[1], &[0.0]);
    let args = [x.clone().into()];
    let k = build(&args, 1, &[1], |b| {
        let tiles: Vec<Value> = (0..20)
            .map(|i| {
                let t = b.iota(&[1024, 1024], i % 2, L);
                b.unary(OpCode::Exp2, b.cast(t, Elem::F32, L), L)
            })
            .collect();
        for &t in &tiles {
            for &u in &tiles {
                let r = b.dot(t, u, None, L);
                let r = b.reduce(OpCode::ReduceSum, b.reduce(OpCode::ReduceSum, r, 0, L), 1, L);
                b.store(OpCode::Store, b.param(0), r, &[b.int(0, L)], &[1], &[false], L);
            }
        }
    });
    let e = compile_for(&k, &Host::native().unwrap()).expect_err("is too large");
    assert!(e.to_string().contains("smaller blocks"), "{e}");
}
