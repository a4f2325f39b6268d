//! Accesses outside tensors, by safe launches: the host reports them in the interpreter's words and touches nothing, and so does a GPU,
//! where there is one, when it is asked to check.

use sla_dsl::prelude::*;
use sla_runtime::testing::gpu_or_skip;
use sla_runtime::{Device, RuntimeError, Tensor as Owned};
use std::sync::LazyLock;

const LOAD: usize = 1;
const STORE: usize = 2;
const ADD: usize = 3;

#[kernel(dims(N), grid(p in 1))]
fn element<const OP: usize>(
    x: &Tensor<f32, { [N] }>,
    _list: &Tensor<i32, { [2] }>,
    y: &mut Tensor<f32, { [N] }>,
    i: i32,
) {
    if OP == LOAD {
        y.at(p).store(x.at(i).load());
    } else if OP == STORE {
        y.at(i).store(x.at(p).load());
    } else {
        y.at(i).atomic_add(x.at(p).load());
    }
}

#[kernel(dims(N), grid(p in 1))]
fn block<const OP: usize>(
    x: &Tensor<f32, { [N] }>,
    _list: &Tensor<i32, { [2] }>,
    y: &mut Tensor<f32, { [N] }>,
    i: i32,
) {
    if OP == LOAD {
        y.block::<8>(p).store(x.block::<8>(i).load());
    } else if OP == STORE {
        y.block::<8>(i).store(x.block::<8>(p).load());
    } else {
        y.block::<8>(i).atomic_add(x.block::<8>(p).load());
    }
}

#[kernel(dims(N), grid(p in 1))]
fn window<const OP: usize>(
    x: &Tensor<f32, { [N] }>,
    _list: &Tensor<i32, { [2] }>,
    y: &mut Tensor<f32, { [N] }>,
    i: i32,
) {
    if OP == LOAD {
        y.window::<8>(p).store(x.window::<8>(i * 8 - 3).load());
    } else if OP == STORE {
        y.window::<8>(i * 8 - 3).store(x.window::<8>(p).load());
    } else {
        y.window::<8>(i * 8 - 3).atomic_add(x.window::<8>(p).load());
    }
}

/// The first entry of the list is right, the second is `i`.
#[kernel(dims(N), grid(p in 1))]
fn listed<const OP: usize>(
    x: &Tensor<f32, { [N] }>,
    list: &Tensor<i32, { [2] }>,
    y: &mut Tensor<f32, { [N] }>,
    _i: i32,
) {
    for j in list.gather(2) {
        if OP == LOAD {
            y.block::<8>(p).store(x.block::<8>(j).load());
        } else if OP == STORE {
            y.block::<8>(j).store(x.block::<8>(p).load());
        } else {
            y.block::<8>(j).atomic_add(x.block::<8>(p).load());
        }
    }
}

type Outcome = Result<Vec<f32>, RuntimeError>;

/// The devices that are held against the interpreter.
static DEVICES: LazyLock<Vec<Device>> = LazyLock::new(|| {
    let gpu = gpu_or_skip("accesses outside tensors").map(|gpu| gpu.with_checks(true));
    std::iter::once(Device::cpu()).chain(gpu).collect()
});

/// What a kernel makes of `y`; after a failure, `y` as the failure left it.
fn outcome<L>(device: &Device, n: usize, i: i32, launch: &L) -> (Outcome, Vec<f32>)
where
    L: Fn(&Device, &Owned<f32>, &Owned<i32>, &mut Owned<f32>, i32) -> Result<(), RuntimeError>,
{
    let values: Vec<f32> = (1..=n).map(|v| v as f32).collect();
    let x = Owned::from_vec(device, &[n], &values).unwrap();
    let list = Owned::from_vec(device, &[2], [1, i]).unwrap();
    let mut y = Owned::<f32>::zeros(device, &[n]).unwrap();
    let done = launch(device, &x, &list, &mut y, i);
    let after = y.to_vec().unwrap();
    (done.map(|()| after.clone()), after)
}

/// Whether every device refuses; panics where they do not agree.
fn refused<L>(n: usize, i: i32, launch: L) -> bool
where
    L: Fn(&Device, &Owned<f32>, &Owned<i32>, &mut Owned<f32>, i32) -> Result<(), RuntimeError>,
{
    let (expected, left) = outcome(&Device::interp(), n, i, &launch);
    for device in DEVICES.iter() {
        let (found, after) = outcome(device, n, i, &launch);
        assert_eq!(left, after, "{device}: i = {i}");
        match (&expected, &found) {
            (Ok(_), Ok(_)) => {}
            (Err(e), Err(f)) => {
                let words = e.to_string().replace("program [0, 0, 0]: ", "");
                assert_eq!(words, f.to_string(), "{device}: i = {i}");
                assert!(words.contains(" are accessed, its size is "), "{words}");
            }
            (e, f) => panic!("i = {i}: {e:?} on the interpreter, {f:?} on {device}"),
        }
    }
    expected.is_err()
}

macro_rules! each_op {
    ($kernel:ident, $n:expr, $i:expr, $refused:expr) => {
        let (n, i, bad) = ($n, $i, $refused);
        assert_eq!(refused(n, i, |d, x, l, y, i| $kernel::<LOAD>::launch(d, x, l, y, i)), bad, "load {i}");
        assert_eq!(refused(n, i, |d, x, l, y, i| $kernel::<STORE>::launch(d, x, l, y, i)), bad, "store {i}");
        assert_eq!(refused(n, i, |d, x, l, y, i| $kernel::<ADD>::launch(d, x, l, y, i)), bad, "add {i}");
    };
}

#[test]
fn elements() {
    for (i, bad) in [(0, false), (63, false), (-1, true), (64, true), (1 << 28, true), (i32::MIN, true)] {
        each_op!(element, 64, i, bad);
    }
}

#[test]
fn blocks_that_divide_the_size() {
    for (i, bad) in [(0, false), (7, false), (-1, true), (8, true), (1 << 20, true), (1 << 28, true)] {
        each_op!(block, 64, i, bad);
    }
}

#[test]
fn ragged_blocks_may_end_past_the_end_only() {
    for (i, bad) in [(0, false), (7, false), (8, false), (1 << 20, false), (-1, true), (1 << 28, true)] {
        each_op!(block, 60, i, bad);
    }
}

#[test]
fn windows_may_end_past_the_end_only() {
    for (i, bad) in [(1, false), (8, false), (1 << 20, false), (0, true), (-1, true), (1 << 28, false)] {
        each_op!(window, 64, i, bad);
    }
}

#[test]
fn entries_of_lists() {
    for (i, bad) in [(0, false), (7, false), (-1, true), (8, true), (1000, true), (i32::MAX, true)] {
        each_op!(listed, 64, i, bad);
    }
}

#[kernel(dims(B, M), grid(p in 1))]
fn cube(x: &Tensor<f32, { [B, M, 16] }>, y: &mut Tensor<f32, { [16] }>, b: i32, m: i32, d: i32) {
    y.block::<8>(p).store(x.at(b, m).block::<8>(d).load());
}

#[test]
fn the_first_axis_that_does_not_fit_is_named() {
    for (place, words) in [
        ([1, 4, 1], None),
        ([2, 4, 0], Some("elements 2..3 of axis 0 of `x` are accessed, its size is 2")),
        ([1, 5, 2], Some("elements 5..6 of axis 1 of `x` are accessed, its size is 5")),
        ([1, 4, -1], Some("elements -8..0 of axis 2 of `x` are accessed, its size is 16")),
        ([-1, 9, 9], Some("elements -1..0 of axis 0 of `x` are accessed, its size is 2")),
    ] {
        for device in DEVICES.iter().chain([&Device::interp()]) {
            let x = Owned::from_vec(device, &[2, 5, 16], [1.0; 160]).unwrap();
            let mut y = Owned::<f32>::zeros(device, &[16]).unwrap();
            let [b, m, d] = place;
            match (cube::launch(device, &x, &mut y, b, m, d), words) {
                (Ok(()), None) => assert_eq!(y.to_vec().unwrap()[..8], [1.0; 8]),
                (Err(e), Some(words)) => {
                    let e = e.to_string();
                    assert!(e.ends_with(words) && e.contains("tests/bounds.rs:"), "{device}: {e}");
                    assert_eq!(y.to_vec().unwrap(), [0.0; 16]);
                }
                (r, _) => panic!("{device} at {place:?}: {r:?}"),
            }
        }
    }
}
