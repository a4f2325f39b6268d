//! The code generator's GPU cases, run: on the interpreter everywhere, and on a GPU, where there is one, against it.

#[path = "../../sla-codegen/tests/gpu_cases/mod.rs"]
// What only the compiler's tests use of the list.
#[allow(dead_code)]
mod gpu_cases;

use gpu_cases::{Case, Fill, cases};
use sla_dsl::ir::{Elem, ParamKind, Scalar};
use sla_dsl::launch::{Arg, Launcher};
use sla_runtime::testing::gpu_or_skip;
use sla_runtime::{Device, DynTensor, RuntimeError};

/// A seeded sequence of numbers in [0, 1).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }
}

/// Runs a case and returns every tensor that it may write, in double precision.
fn outputs(case: &Case, device: &Device) -> Result<Vec<(String, Vec<f64>)>, RuntimeError> {
    let params = (case.def.params)(&case.consts);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut tensors: Vec<Option<DynTensor>> = Vec::new();
    for (p, fill) in params.iter().zip(&case.fills) {
        let ParamKind::Tensor(t) = &p.kind else {
            tensors.push(None);
            continue;
        };
        let shape: Vec<usize> =
            t.dims.iter().map(|d| case.size(d).expect("a case gives every dim") as usize).collect();
        let count = shape.iter().product();
        tensors.push(Some(match fill {
            Fill::Zero | Fill::Scalar(_) => DynTensor::zeros(device, t.elem, &shape)?,
            Fill::Random => {
                let v: Vec<f32> = (0..count).map(|_| (2.0 * numbers.next() - 1.0) as f32).collect();
                DynTensor::from_f32(device, t.elem, &shape, &v)?
            }
            Fill::Below(n) => {
                let bytes: Vec<u8> = (0..count)
                    .map(|_| (numbers.next() * f64::from(*n)) as i32)
                    .flat_map(i32::to_ne_bytes)
                    .collect();
                DynTensor::from_bytes(device, Elem::I32, &shape, &bytes)?
            }
        }));
    }
    let mut args = Vec::new();
    for ((tensor, p), fill) in tensors.iter_mut().zip(&params).zip(&case.fills) {
        args.push(match (tensor, &p.kind, fill) {
            (Some(t), ParamKind::Tensor(ty), _) => {
                Arg::Tensor(if ty.mutable { t.lend_mut() } else { t.lend() })
            }
            (None, ParamKind::Scalar(Elem::I32), Fill::Scalar(s)) => Arg::Scalar(Scalar::Int(*s as i64)),
            (None, _, Fill::Scalar(s)) => Arg::Scalar(Scalar::Float(*s)),
            _ => panic!("{}: a scalar parameter needs Fill::Scalar", case.name),
        });
    }
    device.launch(case.def, &case.consts, &args)?;
    drop(args);
    let mut out = Vec::new();
    for (tensor, p) in tensors.into_iter().zip(&params) {
        if let (Some(t), ParamKind::Tensor(ty)) = (tensor, &p.kind)
            && ty.mutable
        {
            out.push((p.name.clone(), t.to_f64()?));
        }
    }
    Ok(out)
}

#[test]
fn the_interpreter_runs_every_case() {
    for case in cases() {
        let out = outputs(&case, &Device::interp()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for (name, values) in out {
            assert!(values.iter().any(|v| *v != 0.0), "{}: `{name}` is all zeros", case.name);
        }
    }
}

#[test]
fn a_gpu_agrees_with_the_interpreter() {
    let Some(gpu) = gpu_or_skip("a_gpu_agrees_with_the_interpreter") else { return };
    agrees(&gpu);
}

/// Nothing that is right is found wrong, and what checks add changes no result.
#[test]
fn a_gpu_that_checks_agrees_with_the_interpreter() {
    let Some(gpu) = gpu_or_skip("a_gpu_that_checks_agrees_with_the_interpreter") else { return };
    agrees(&gpu.with_checks(true));
}

fn agrees(gpu: &Device) {
    let mut wrong = Vec::new();
    for case in cases() {
        let expected = outputs(&case, &Device::interp()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        match outputs(&case, gpu) {
            Err(e) => wrong.push(format!("{}: {e}", case.name)),
            Ok(found) => {
                for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                    if let Some(m) = difference(found, expected, case.tolerance) {
                        wrong.push(format!("{} `{name}`: {m}", case.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The worst element, if it is beyond the tolerance: relative to the largest finite one.
fn difference(found: &[f64], expected: &[f64], tolerance: f64) -> Option<String> {
    let scale = expected.iter().filter(|v| v.is_finite()).fold(1e-30f64, |m, v| m.max(v.abs()));
    let error = |(f, e): (&f64, &f64)| {
        if f == e || f.is_nan() && e.is_nan() {
            0.0
        } else if f.is_finite() && e.is_finite() {
            (f - e).abs() / scale
        } else {
            f64::INFINITY
        }
    };
    let errors: Vec<f64> = found.iter().zip(expected).map(error).collect();
    let bad = errors.iter().filter(|e| **e > tolerance).count();
    let (at, worst) = errors.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    (bad > 0).then(|| {
        let all = errors.len();
        format!("{bad} of {all} differ, most {worst:.1e} at {at}: {} for {}", found[at], expected[at])
    })
}
