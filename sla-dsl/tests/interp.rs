//! The interpreter on small kernels: values against plain Rust, and every fault at its place.

use sla_dsl::diag::Loc;
use sla_dsl::interp::{DeviceError, EvalError, Fault, InterpError, Interpreter, run, run_to};
use sla_dsl::ir::*;
use sla_dsl::lang::{Const, Consts, Generic, GenericKind, KernelDef};
use sla_dsl::launch::{Arg, Element, Launcher, Space, TensorArg};

const AT: Loc = Loc::new("src/k.rs", 7, 9);

fn tensor(name: &str, elem: Elem, dims: &[DimExpr], mutable: bool) -> Param {
    let kind = ParamKind::Tensor(TensorType { elem, dims: dims.to_vec(), mutable });
    Param { name: name.into(), kind, memory: MemFacts::default() }
}

fn lend<'a, T: Element>(data: &'a mut [T], shape: &[usize]) -> Arg<'a> {
    assert_eq!(data.len(), shape.iter().product::<usize>());
    let strides: Vec<i64> =
        (0..shape.len()).map(|a| shape[a + 1..].iter().product::<usize>() as i64).collect();
    let address = data.as_mut_ptr() as usize;
    // SAFETY: the slice is borrowed mutably for the lifetime of the argument, and shape and strides cover exactly it.
    Arg::Tensor(unsafe { TensorArg::from_raw(T::ELEM, shape, &strides, address, Space::Host, true) })
}

fn l() -> DimExpr {
    DimExpr::name("L")
}

fn one_axis(extent: DimExpr) -> Vec<GridAxis> {
    vec![GridAxis { name: "m".into(), extent }]
}

/// A kernel without grid that maps one i32 or f32 tile of 4 to another by `f`.
fn map4(from: Elem, to: Elem, f: impl FnOnce(&Builder, Value) -> Value) -> Kernel {
    let params = vec![tensor("x", from, &[4.into()], false), tensor("y", to, &[4.into()], true)];
    let b = Builder::new("map", &[], vec![], params, &Facts::default());
    let zero = b.int(0, AT);
    let x = b.load(b.param(0), &[zero], &[4], &[false], &[4], AT);
    let y = f(&b, x);
    b.store(OpCode::Store, b.param(1), y, &[zero], &[4], &[false], AT);
    b.finish().unwrap()
}

fn apply<A: Element, B: Element + Default>(k: &Kernel, mut x: [A; 4]) -> Result<[B; 4], InterpError> {
    let mut y = [B::default(); 4];
    run(k, &[lend(&mut x, &[4]), lend(&mut y, &[4])], &[], [1; 3])?;
    Ok(y)
}

#[test]
fn adds_vectors_with_a_ragged_tail() {
    let params = vec![tensor("a", Elem::F32, &[l()], false), tensor("b", Elem::F32, &[l()], true)];
    let b = Builder::new("add", &["L"], one_axis(l().div_ceil(4.into())), params, &Facts::default());
    let at = b.binary(OpCode::Mul, b.program_id(0, AT), b.int(4, AT), AT);
    let load = |p| b.load(b.param(p), &[at], &[4], &[true], &[4], AT);
    let sum = b.binary(OpCode::Add, load(0), load(1), AT);
    b.store(OpCode::Store, b.param(1), sum, &[at], &[4], &[true], AT);
    let k = b.finish().unwrap();
    let mut x: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let mut y = vec![0.5; 10];
    run(&k, &[lend(&mut x, &[10]), lend(&mut y, &[10])], &[10], [3, 1, 1]).unwrap();
    let want: Vec<f32> = (0..10).map(|i| i as f32 + 0.5).collect();
    assert_eq!(y, want);
}

#[test]
fn contracts_transposed_halves_and_accumulates() {
    let params = vec![
        tensor("a", Elem::BF16, &[3.into(), 2.into()], false),
        tensor("b", Elem::BF16, &[4.into(), 3.into()], false),
        tensor("c", Elem::F32, &[2.into(), 4.into()], true),
    ];
    let builder = Builder::new("mm", &[], vec![], params, &Facts::default());
    let b = &builder;
    let z = b.int(0, AT);
    let tile = |p, m: usize, n: usize| b.load(b.param(p), &[z, z], &[m, n], &[false, false], &[m, n], AT);
    let (x, y) = (b.transpose(tile(0, 3, 2), AT), b.transpose(tile(1, 4, 3), AT));
    let two = b.int(2, AT);
    let acc = b.full(&[2, 4], Scalar::Float(1.0), Elem::F32, AT);
    let out = b.for_(z, two, 1, &[acc], AT, |_, c| vec![b.dot(x, y, Some(c[0]), AT)]);
    b.store(OpCode::Store, b.param(2), out[0], &[z, z], &[2, 4], &[false, false], AT);
    let plain = builder.finish().unwrap();
    // The same with flags instead of transpositions.
    let mut flagged = plain.clone();
    let defs = flagged.defs();
    for id in (0..flagged.ops.len() as u32).map(OpId) {
        if flagged.op(id).code == OpCode::Dot {
            for slot in 0..2 {
                let turned = defs[flagged.op(id).operands[slot].index()].unwrap();
                flagged.op_mut(id).operands[slot] = flagged.op(turned).operands[0];
            }
            flagged.op_mut(id).attrs.insert("ta", Attr::Int(1));
            flagged.op_mut(id).attrs.insert("tb", Attr::Int(1));
        }
    }
    let half = |n: usize| (0..n).map(|i| half::bf16::from_f32(i as f32 - 2.5)).collect::<Vec<_>>();
    let (mut a, mut bb) = (half(6), half(12));
    for k in [plain, flagged] {
        let mut c = vec![0f32; 8];
        run(&k, &[lend(&mut a, &[3, 2]), lend(&mut bb, &[4, 3]), lend(&mut c, &[2, 4])], &[], [1; 3])
            .unwrap();
        for i in 0..2 {
            for j in 0..4 {
                let sum: f32 = (0..3).map(|k| a[k * 2 + i].to_f32() * bb[j * 3 + k].to_f32()).sum();
                assert_eq!(c[i * 4 + j], 1.0 + 2.0 * sum);
            }
        }
    }
}

#[test]
fn numbers_are_as_the_essay_says() {
    let nan = f32::NAN;
    let k = map4(Elem::F32, Elem::I32, |b, x| b.cast(x, Elem::I32, AT));
    assert_eq!(apply::<f32, i32>(&k, [nan, 3e9, -1.9, -3e9]).unwrap(), [0, i32::MAX, -1, i32::MIN]);
    let k = map4(Elem::I32, Elem::I8, |b, x| b.cast(x, Elem::I8, AT));
    assert_eq!(apply::<i32, i8>(&k, [127, 128, -129, 255]).unwrap(), [127, -128, 127, -1]);
    let k = map4(Elem::F32, Elem::F32, |b, x| {
        b.binary(OpCode::Max, x, b.constant(Scalar::Float(1.0), Elem::F32, AT), AT)
    });
    assert_eq!(
        apply::<f32, f32>(&k, [nan, 0.0, 2.0, f32::INFINITY]).unwrap(),
        [1.0, 1.0, 2.0, f32::INFINITY]
    );
    let k = map4(Elem::F32, Elem::Bool, |b, x| b.cmp(Pred::Ne, x, x, AT));
    assert_eq!(apply::<f32, bool>(&k, [nan, 0.0, 1.0, nan]).unwrap(), [true, false, false, true]);
    let k =
        map4(Elem::F32, Elem::F32, |b, x| b.broadcast_to(b.reduce(OpCode::ReduceMax, x, 0, AT), &[4], AT));
    assert_eq!(apply::<f32, f32>(&k, [nan; 4]).unwrap(), [f32::NEG_INFINITY; 4]);
    // One rounding: 1 + 2^-24 added three times in f32 stays 1.
    let k =
        map4(Elem::F32, Elem::F32, |b, x| b.broadcast_to(b.reduce(OpCode::ReduceSum, x, 0, AT), &[4], AT));
    let tiny = 2f32.powi(-24);
    assert_eq!(apply::<f32, f32>(&k, [1.0, tiny, tiny, 0.0]).unwrap(), [1.0 + 2f32.powi(-23); 4]);
    let k = map4(Elem::I32, Elem::I32, |b, x| b.binary(OpCode::Div, b.int(i32::MIN as i64, AT), x, AT));
    let want = [i32::MIN, i32::MIN, i32::MIN / 3, -1];
    assert_eq!(apply::<i32, i32>(&k, [-1, 1, 3, i32::MAX]).unwrap(), want);
}

#[test]
fn branches_carry_and_empty_loops_keep_their_start() {
    let k = map4(Elem::I32, Elem::I32, |b, x| {
        let zero = b.int(0, AT);
        let up = b.for_(b.int(1, AT), b.int(8, AT), 3, &[x], AT, |i, c| {
            let odd = b.cmp(Pred::Eq, i, b.int(4, AT), AT);
            let add = || vec![b.binary(OpCode::Add, c[0], b.int(100, AT), AT)];
            b.if_(odd, AT, add, || vec![b.binary(OpCode::Add, c[0], i, AT)])
        });
        b.for_(zero, zero, 1, &[up[0]], AT, |_, _| vec![b.full(&[4], Scalar::Int(9), Elem::I32, AT)])[0]
    });
    // 1, then 100 for 4, then 7.
    assert_eq!(apply::<i32, i32>(&k, [0, 1, 2, 3]).unwrap(), [108, 109, 110, 111]);
}

#[test]
fn faults_carry_their_place() {
    let fault = |r: Result<[i32; 4], InterpError>| match r {
        Err(InterpError::Fault { loc, fault, .. }) if loc == AT => *fault,
        other => panic!("expected a fault at {AT}, found {other:?}"),
    };
    let k = map4(Elem::I32, Elem::I32, |b, x| b.binary(OpCode::Rem, x, x, AT));
    assert_eq!(fault(apply(&k, [1, 2, 0, 4])), Fault::Eval(EvalError::DivisionByZero));
    let k = map4(Elem::I32, Elem::I32, |b, x| b.binary(OpCode::Shl, x, x, AT));
    assert_eq!(fault(apply(&k, [1, 2, 32, 4])), Fault::Eval(EvalError::Shift(32)));
    let k = map4(Elem::I32, Elem::I32, |b, x| {
        b.assert(b.cmp(Pred::Lt, x, b.int(4, AT), AT), "small", AT);
        x
    });
    assert_eq!(fault(apply(&k, [1, 2, 3, 4])), Fault::Assert("small".into()));
    assert_eq!(apply::<i32, i32>(&k, [1, 2, 3, 3]).unwrap(), [1, 2, 3, 3]);
    let k = map4(Elem::I32, Elem::I32, |b, _| b.load(b.param(0), &[b.int(1, AT)], &[4], &[false], &[4], AT));
    let out = |first, end| Fault::OutOfBounds { tensor: "x".into(), axis: 0, first, end, size: 4 };
    assert_eq!(fault(apply(&k, [1; 4])), out(1, 5));
    let k = map4(Elem::I32, Elem::I32, |b, _| b.load(b.param(0), &[b.int(-1, AT)], &[4], &[true], &[4], AT));
    assert_eq!(fault(apply(&k, [1; 4])), out(-1, 3));
    let k = map4(Elem::I32, Elem::I32, |b, _| b.load(b.param(0), &[b.int(3, AT)], &[4], &[true], &[4], AT));
    assert_eq!(apply::<i32, i32>(&k, [1, 2, 3, 4]).unwrap(), [4, 0, 0, 0]);
}

#[test]
fn atomic_adds_all_count_and_prints_come_in_order() {
    let params = vec![tensor("n", Elem::I32, &[1.into()], true)];
    let b = Builder::new("count", &[], one_axis(3.into()), params, &Facts::default());
    let (zero, p) = (b.int(0, AT), b.program_id(0, AT));
    b.print("at", &[p, b.iota(&[2, 2], 1, AT)], AT);
    b.store(OpCode::AtomicAdd, b.param(0), p, &[zero], &[1], &[false], AT);
    let k = b.finish().unwrap();
    let (mut n, mut out) = ([10], Vec::new());
    run_to(&k, &[lend(&mut n, &[1])], &[], [3, 1, 1], &mut out).unwrap();
    assert_eq!(n, [13]);
    let line = |p| format!("count [{p}, 0, 0]: at {p} [[0, 1],\n [0, 1]]\n");
    assert_eq!(String::from_utf8(out).unwrap(), [line(0), line(1), line(2)].concat());
}

#[test]
fn refuses_arguments_that_do_not_fit() {
    let params = vec![tensor("x", Elem::F32, &[l()], true)];
    let k = Builder::new("none", &["L"], vec![], params, &Facts::default()).finish().unwrap();
    let mut f = [0f32; 4];
    let mut i = [0i32; 4];
    let refused = |r: Result<(), InterpError>| match r {
        Err(e @ InterpError::Argument { .. }) => e.to_string(),
        other => panic!("expected a refusal, found {other:?}"),
    };
    let say = refused(run(&k, &[lend(&mut i, &[4])], &[4], [1; 3]));
    assert_eq!(say, "none: argument `x`: found a tensor of i32, needed one of f32");
    let say = refused(run(&k, &[lend(&mut f, &[4])], &[5], [1; 3]));
    assert_eq!(say, "none: argument `x`: found shape [4], needed [L] = [5]");
    refused(run(&k, &[], &[4], [1; 3]));
    refused(run(&k, &[lend(&mut f, &[4])], &[], [1; 3]));
    refused(run(&k, &[lend(&mut f, &[4])], &[-1], [1; 3]));
    refused(run(&k, &[lend(&mut f, &[4])], &[4], [2, 1, 1]));
    refused(run(&k, &[Arg::Scalar(Scalar::Float(1.0))], &[4], [1; 3]));
    run(&k, &[lend(&mut f, &[4])], &[4], [1; 3]).unwrap();
}

/// Doubles blocks of `B`; checks a tail only where the launch has one.
static DOUBLE: KernelDef = KernelDef {
    name: "double",
    doc: "",
    loc: AT,
    generics: &[Generic { name: "B", kind: GenericKind::Int }],
    dims: &["L"],
    grid: |c| one_axis(l().div_ceil(c.int("B").into())),
    params: |_| vec![tensor("x", Elem::F32, &[l()], true)],
    require: &[],
    tune: sla_dsl::lang::TuneSpace::NONE,
    body: |b, c| {
        let (n, block) = (c.int("B") as usize, b.int(c.int("B"), AT));
        let at = b.binary(OpCode::Mul, b.program_id(0, AT), block, AT);
        let check = [!b.is_even(&l(), c.int("B"))];
        let x = b.load(b.param(0), &[at], &[n], &check, &[n], AT);
        let twice = b.binary(OpCode::Add, x, x, AT);
        b.store(OpCode::Store, b.param(0), twice, &[at], &[n], &check, AT);
    },
};

#[test]
fn launches_definitions() {
    let consts = Consts::new(&[("B", Const::Int(4))]);
    for len in [1, 4, 6] {
        let mut x = vec![1.5f32; len];
        Interpreter.launch(&DOUBLE, &consts, &[lend(&mut x, &[len])]).unwrap();
        assert_eq!(x, vec![3.0; len]);
    }
    let mut wrong = [0i32; 4];
    let e = Interpreter.launch(&DOUBLE, &consts, &[lend(&mut wrong, &[4])]).unwrap_err();
    assert!(matches!(e, DeviceError::Launch(_)), "{e}");
}
