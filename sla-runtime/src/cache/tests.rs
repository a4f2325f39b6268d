//! One compilation per kernel, and the right kernel for each launch.

use super::*;
use sla_codegen::Target;
use sla_dsl::diag::Loc;
use sla_dsl::ir::{Elem, Param, ParamKind, Scalar, TensorType};
use sla_dsl::launch::{Arg, Space, TensorArg, bind};
use std::sync::atomic::{AtomicUsize, Ordering};

static DEF: KernelDef = KernelDef {
    name: "copy",
    doc: "",
    loc: Loc::UNKNOWN,
    generics: &[],
    dims: &["L"],
    grid: |_| Vec::new(),
    params: |_| {
        let kind =
            ParamKind::Tensor(TensorType { elem: Elem::F32, dims: vec![DimExpr::name("L")], mutable: false });
        vec![Param { name: "x".into(), kind, memory: MemFacts::default() }]
    },
    require: &[],
    tune: sla_dsl::lang::TuneSpace::NONE,
    body: |b, _| {
        b.is_even(&DimExpr::name("L"), 8);
    },
};

fn launch(l: usize, address: usize) -> Bound {
    // SAFETY: the memory is only described.
    let x = unsafe { TensorArg::from_raw(Elem::F32, &[l], &[1], address, Space::Host, false) };
    bind(&DEF, &Consts::default(), &[Arg::Tensor(x)]).unwrap()
}

fn get(
    cache: &KernelCache<bool>,
    bound: &Bound,
    make: impl FnOnce() -> Result<(), RuntimeError>,
) -> Result<bool, RuntimeError> {
    let even = |k: &Kernel| {
        let code = k.even[&(DimExpr::name("L"), 8)];
        make().map(|()| Compiled { abi: k.abi(), code })
    };
    let options = Options::new(Target::Cpu);
    cache.get(&DEF, &Consts::default(), &options, bound, even).map(|c| c.code)
}

#[test]
fn a_kernel_is_compiled_once_for_each_answer_and_memory() {
    let cache = KernelCache::new(None);
    let made = AtomicUsize::new(0);
    let code = |l, address| {
        let count = || {
            made.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let code = get(&cache, &launch(l, address), count).unwrap();
        (code, made.load(Ordering::Relaxed))
    };
    assert_eq!(code(16, 64), (true, 1));
    assert_eq!(code(24, 64), (true, 1));
    assert_eq!(code(17, 64), (false, 2));
    assert_eq!(code(33, 64), (false, 2));
    assert_eq!(code(16, 64), (true, 2));
    // Not on a 16-byte boundary: other memory facts.
    assert_eq!(code(16, 68), (true, 3));
}

#[test]
fn concurrent_callers_compile_once() {
    let cache = KernelCache::new(None);
    let made = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                get(&cache, &launch(16, 64), || {
                    made.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    Ok(())
                })
                .unwrap()
            });
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[test]
fn a_failure_is_not_kept() {
    let cache = KernelCache::new(None);
    let fail = || Err(RuntimeError::DeviceName("x".into()));
    assert!(get(&cache, &launch(16, 64), fail).is_err());
    assert!(get(&cache, &launch(16, 64), || Ok(())).unwrap());
}

#[test]
fn a_launch_that_repeats_is_not_prepared_again() {
    let (plans, cache, made) = (Plans::new(), KernelCache::new(None), AtomicUsize::new(0));
    let (plain, consts) = (Options::new(Target::Cpu), Consts::default());
    let four = Options { warps: Some(4), ..plain.clone() };
    let launch = |l: usize, address: usize, scale: f64, options: &Options| {
        // SAFETY: the memory is only described.
        let x = unsafe { TensorArg::from_raw(Elem::F32, &[l], &[1], address, Space::Host, false) };
        let args = [Arg::Tensor(x), Arg::Scalar(Scalar::Float(scale))];
        let plan = plans.get(&DEF, &consts, options, &args, || {
            made.fetch_add(1, Ordering::Relaxed);
            let bound = bind(&DEF, &consts, &args[..1])?;
            let ready =
                cache.get(&DEF, &consts, options, &bound, |k| Ok(Compiled { abi: k.abi(), code: () }))?;
            Ok::<_, RuntimeError>(Plan { bound, ready })
        });
        plan.map(|plan| (plan.bound.dims[0], made.load(Ordering::Relaxed)))
    };
    let right = |l, address, scale, options| launch(l, address, scale, options).unwrap();
    assert_eq!(right(16, 64, 1.0, &plain), (16, 1));
    assert_eq!(right(16, 64, 1.0, &plain), (16, 1));
    assert_eq!(right(24, 64, 1.0, &plain), (24, 2));
    assert_eq!(right(16, 128, 1.0, &plain), (16, 2), "another place");
    assert_eq!(right(16, 64, 2.0, &plain), (16, 2), "another number");
    assert_eq!(right(16, 68, 1.0, &plain), (16, 3), "another alignment");
    assert_eq!(right(16, 64, -1.0, &plain), (16, 4), "a number that is not positive");
    assert_eq!(right(16, 64, 1.0, &four), (16, 5));
    assert_eq!(right(16, 64, 1.0, &plain), (16, 5), "others do not drive it out");
    let e = launch(16, 0, 1.0, &plain).unwrap_err();
    assert!(e.to_string().contains("address is null"), "{e}");
    for other in 0..600 {
        right(other + 100, 64, 1.0, &plain);
    }
    let before = made.load(Ordering::Relaxed);
    assert_eq!(right(16, 64, 1.0, &plain), (16, before + 1), "very many do");
}

#[test]
fn a_launch_that_is_refused_is_not_kept() {
    let plans = Plans::<()>::new();
    let get = || plans.get(&DEF, &Consts::default(), &Options::new(Target::Cpu), &[], || Err(7));
    assert_eq!((get().err(), get().err()), (Some(7), Some(7)));
}
