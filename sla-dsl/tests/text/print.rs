//! The text form of kernels made by the builder, and what the verifier says of kernels broken by hand.

use super::AT;
use sla_dsl::ir::*;

/// Sums blocks of rows, with one of every form of text: grid, facts, memory flags, `for`, `if`, memory, attributes.
pub fn sample() -> Kernel {
    let l = DimExpr::name("L");
    let tensor =
        |mutable, dims: Vec<DimExpr>| ParamKind::Tensor(TensorType { elem: Elem::F32, dims, mutable });
    let params = vec![
        Param {
            name: "x".into(),
            kind: tensor(false, vec![l.clone(), 8.into()]),
            memory: MemFacts::default(),
        },
        Param { name: "y".into(), kind: tensor(true, vec![l.clone()]), memory: MemFacts::default() },
        Param { name: "scale".into(), kind: ParamKind::Scalar(Elem::F32), memory: MemFacts::default() },
    ];
    let grid = vec![GridAxis { name: "m".into(), extent: l.clone().div_ceil(4.into()) }];
    let facts = Facts {
        memory: vec![MemFacts { packed: false, aligned: false, positive: true }],
        ..Facts::default()
    };
    let b = Builder::new("sample", &["L"], grid, params, &facts);
    let ragged = !b.is_even(&l, 4);
    let row = b.binary(OpCode::Mul, b.program_id(0, AT), b.int(4, AT), AT);
    let init = b.full(&[4, 1], Scalar::Float(-1.5), Elem::F32, AT);
    let (lo, hi) = (b.int(0, AT), b.size(&l, AT));
    let sums = b.for_(lo, hi, 2, &[init], AT, |_, acc| {
        let x = b.load(b.param(0), &[row, lo], &[4, 8], &[ragged, false], &[4, 8], AT);
        vec![b.binary(OpCode::Add, acc[0], b.reduce(OpCode::ReduceSum, x, 1, AT), AT)]
    });
    let positive = b.cmp(Pred::Gt, b.param(2), b.constant(Scalar::Float(0.0), Elem::F32, AT), AT);
    let out = b.if_(positive, AT, || vec![b.binary(OpCode::Mul, sums[0], b.param(2), AT)], || vec![sums[0]]);
    b.print("say \"hi\"\n", &[out[0]], AT);
    b.store(OpCode::Store, b.param(1), out[0], &[row], &[4], &[ragged], AT);
    b.finish().unwrap()
}

#[test]
fn prints_every_form() {
    let want = r#"kernel sample {
  dims L
  grid m in L.div_ceil(4)
  even L by 4 = false
  param %0 = x : tensor<f32, [L, 8]> unpacked unaligned
  param %1 = y : mut tensor<f32, [L]>
  param %2 = scale : f32
  %3 = program_id {axis=0} : i32
  %4 = const {value=4} : i32
  %5 = mul %3, %4 : i32
  %6 = const {value=-1.5} : tile<4x1xf32>
  %7 = const {value=0} : i32
  %8 = dim {name="L"} : i32
  %9 = for %10 in %7..%8 carry(%11 = %6) {step=2} : tile<4x1xf32> {
    %12 = load %0[%5, %7] {box=[4, 8], check=[1, 0]} : tile<4x8xf32>
    %13 = reduce_sum %12 {axis=1} : tile<4x1xf32>
    %14 = add %11, %13 : tile<4x1xf32>
    yield %14
  }
  %15 = const {value=0.0} : f32
  %16 = cmp %2, %15 {pred=gt} : bool
  %17 = if %16 : tile<4x1xf32> {
    %18 = splat %2 : tile<4x1xf32>
    %19 = mul %9, %18 : tile<4x1xf32>
    yield %19
  } else {
    yield %9
  }
  print %17 {msg="say \"hi\"\n"}
  store %1[%5], %17 {box=[4], check=[1]}
}
"#;
    let kernel = sample();
    assert_eq!(kernel.to_string(), want);
    verify(&kernel).unwrap();
    let first = kernel.to_text_with_locs();
    assert!(first.contains("program_id {axis=0} : i32 @\"src/k.rs\":3:5\n"), "{first}");
}

/// Every index in the tables replaced by every other small one: reports or not, but no panic, in verifier or printer.
#[test]
fn survives_any_index() {
    let kernel = sample();
    let mut rejected = 0;
    for op in 0..kernel.ops.len() {
        for bad in [0, 3, 12, 17, 999] {
            for slot in 0..kernel.ops[op].operands.len() {
                let mut k = kernel.clone();
                k.ops[op].operands[slot] = Value(bad);
                rejected += verify(&k).is_err() as usize;
                let _ = k.to_string();
            }
            for slot in 0..kernel.ops[op].results.len() {
                let mut k = kernel.clone();
                k.ops[op].results[slot] = Value(bad);
                rejected += verify(&k).is_err() as usize;
                let _ = k.to_string();
            }
            for slot in 0..kernel.ops[op].regions.len() {
                let mut k = kernel.clone();
                k.ops[op].regions[slot] = BlockId(bad);
                rejected += verify(&k).is_err() as usize;
                let _ = k.to_string();
            }
        }
    }
    for block in 0..kernel.blocks.len() {
        for slot in 0..kernel.blocks[block].ops.len() {
            let mut k = kernel.clone();
            k.blocks[block].ops[slot] = OpId(999);
            assert!(verify(&k).is_err());
            let mut k = kernel.clone();
            k.blocks[block].ops.remove(slot);
            let _ = (verify(&k), k.to_string());
        }
    }
    assert!(rejected > 100, "only {rejected} broken kernels were rejected");
}
