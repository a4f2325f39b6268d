//! The router's selection and lists, against a sort.

use sla::Device;
use sla::attention::Config;
use sla::attention::module::{Lists, Sla};
use sla::kernels::router::select_blocks;
use sla_dsl::ir::{Elem, Scalar};
use sla_dsl::lang::{Const, Consts};
use sla_dsl::launch::{Arg, Launcher};
use sla_runtime::{DynTensor, Tensor};

/// Scores of rows with ties, both zeros, infinities and NaN.
fn scores(rows: usize, n: usize) -> Vec<f32> {
    let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, 1e-40, -1e-40];
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    (0..rows * n)
        .map(|at| match (at / n) % 4 {
            0 => (next() % 7) as f32 - 3.0,
            1 => special[next() % special.len()],
            2 => 2.5,
            _ => (next() % 100_000) as f32 * 1e-3 - 50.0,
        })
        .collect()
}

/// Classes by a stable sort, NaN as the least.
fn sorted(row: &[f32], critical: usize, negligible: usize) -> Vec<i8> {
    let number = |j: &usize| if row[*j].is_nan() { f32::NEG_INFINITY } else { row[*j] };
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|a, b| number(b).partial_cmp(&number(a)).unwrap());
    let mut classes = vec![0; row.len()];
    order[..critical].iter().for_each(|&j| classes[j] = 1);
    order[row.len() - negligible..].iter().for_each(|&j| classes[j] = -1);
    classes
}

fn width(n: usize) -> [(&'static str, Const); 2] {
    let width = n.next_power_of_two().max(64);
    [("R", Const::Int((4096 / width).clamp(1, 8) as i64)), ("W", Const::Int(width as i64))]
}

/// Classes, and the list of each row.
fn select(
    device: &Device,
    scores: &[f32],
    rows: usize,
    n: usize,
    critical: usize,
    negligible: usize,
) -> (Vec<i8>, Vec<Vec<i32>>) {
    let shape = [1, 1, rows, n];
    let scores: DynTensor = Tensor::<f32>::from_vec(device, &shape, scores).unwrap().into();
    let forced = DynTensor::zeros(device, Elem::I8, &shape).unwrap();
    let mut mask = DynTensor::zeros(device, Elem::I8, &shape).unwrap();
    let mut index = DynTensor::zeros(device, Elem::I32, &shape).unwrap();
    let mut count = DynTensor::zeros(device, Elem::I32, &shape[..3]).unwrap();
    let [r, w] = width(n);
    let consts = Consts::new(&[r, w, ("LOW", Const::Bool(negligible > 0)), ("FORCED", Const::Bool(false))]);
    let bits = scores.bits(Elem::I32).unwrap();
    let args = [
        Arg::Tensor(bits.lend()),
        Arg::Tensor(forced.lend()),
        Arg::Tensor(mask.lend_mut()),
        Arg::Tensor(index.lend_mut()),
        Arg::Tensor(count.lend_mut()),
        Arg::Scalar(Scalar::Int(critical as i64)),
        Arg::Scalar(Scalar::Int(negligible as i64)),
    ];
    device.launch(&select_blocks, &consts, &args).unwrap();
    drop(args);
    let index = index.typed::<i32>().unwrap().to_vec().unwrap();
    let count = count.typed::<i32>().unwrap().to_vec().unwrap();
    let lists = index.chunks(n).zip(count).map(|(row, count)| row[..count as usize].to_vec());
    (mask.to_bytes().unwrap().into_iter().map(|b| b as i8).collect(), lists.collect())
}

#[test]
fn the_selection_is_that_of_a_stable_sort() {
    for device in [Device::interp(), Device::cpu()] {
        for (rows, n) in [(4, 1), (9, 5), (8, 64), (5, 100), (4, 513), (4, 1000), (2, 1500), (1, 5000)] {
            let scores = scores(rows, n);
            for (critical, negligible) in [(1, 0), (n / 3, n / 2), (n, 0), (0, n), (n / 2, n - n / 2)] {
                let (mask, lists) = select(&device, &scores, rows, n, critical, negligible);
                for ((row, found), list) in scores.chunks(n).zip(mask.chunks(n)).zip(lists) {
                    let needed = sorted(row, critical, negligible);
                    assert_eq!(found, needed, "{device} {n} {critical} {negligible}");
                    let listed: Vec<i32> = (0..n as i32).filter(|&j| needed[j as usize] == 1).collect();
                    assert_eq!(list, listed, "{device} {n} {critical} {negligible}");
                }
            }
        }
    }
}

#[test]
fn lists_hold_the_critical_columns_of_any_view_in_order() {
    let class = |i: usize, j: usize| match i {
        0 => 0,
        1 => 1,
        _ => [1, 0, -1, 0, 1][(i * 7 + j * j) % 5],
    };
    for device in [Device::interp(), Device::cpu()] {
        // Rows of one view, or both, can be read four at a time.
        for (m, n) in [(11, 70), (11, 72), (12, 68), (8, 1500)] {
            let classes: Vec<i8> = (0..m * n).map(|at| class(at / n, at % n)).collect();
            let mask: DynTensor = Tensor::<i8>::from_vec(&device, &[1, 1, m, n], &classes).unwrap().into();
            let sla = Sla::new(&device, Config::default());
            for (turned, mask) in [(false, mask.clone()), (true, mask.transpose(2, 3).unwrap())] {
                let (rows, columns) = (mask.shape()[2], mask.shape()[3]);
                let Lists { index, count } = sla.lists(&mask).unwrap();
                assert_eq!(index.shape(), mask.shape());
                let index = index.typed::<i32>().unwrap().to_vec().unwrap();
                let count = count.typed::<i32>().unwrap().to_vec().unwrap();
                for i in 0..rows {
                    let of = |j: usize| if turned { class(j, i) } else { class(i, j) };
                    let needed: Vec<i32> = (0..columns).filter(|&j| of(j) == 1).map(|j| j as i32).collect();
                    assert_eq!(count[i] as usize, needed.len(), "{device} row {i} of {rows}");
                    assert_eq!(index[i * columns..][..needed.len()], needed, "{device} row {i} of {rows}");
                }
            }
        }
    }
}
