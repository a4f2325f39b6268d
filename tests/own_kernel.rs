//! A kernel of a user's own: tuned in the user's program, launched by the record, and its PTX as text. The steps of `docs/first-kernel.md`.

use std::time::Duration;

use sla::tune::own::{Fate, OwnError, Problem, Trial, tune};
use sla::tuned::Tuned;
use sla::tuned::record::Records;
use sla::{Device, Tensor};
use sla_dsl::prelude::*;
use sla_runtime::RuntimeError;

/// `y = 2 x`, and in blocks of 64 a mistake.
#[kernel(dims(N), grid(i in N.div_ceil(BLOCK)), tune(BLOCK in [64, 256], warps in [2], key(N)))]
fn doubled<const BLOCK: usize>(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>) {
    let mut twice = x.block::<BLOCK>(i).load() * 2.0;
    if BLOCK == 64 {
        twice = twice + 1.0;
    }
    y.block::<BLOCK>(i).store(twice);
}

/// `y = -x`, not tuned.
#[kernel(dims(N), grid(i in N.div_ceil(64)))]
fn negated(x: &Tensor<f32, { [N] }>, y: &mut Tensor<f32, { [N] }>) {
    y.block::<64>(i).store(-x.block::<64>(i).load());
}

struct Mine {
    device: Device,
    x: Tensor<f32>,
    y: Tensor<f32>,
    other: bool,
}

impl Mine {
    fn new(device: &Device) -> Mine {
        let x = Tensor::from_vec(device, &[1000], [3f32; 1000]).unwrap();
        let y = Tensor::zeros(device, &[1000]).unwrap();
        Mine { device: device.clone(), x, y, other: false }
    }

    fn answer(&self) -> Vec<f32> {
        self.y.to_vec().unwrap()
    }
}

impl Problem for Mine {
    fn clear(&mut self) -> Result<(), RuntimeError> {
        self.y = Tensor::zeros(&self.device, &[1000])?;
        Ok(())
    }

    fn launch(&mut self, on: &Trial<'_>) -> Result<(), RuntimeError> {
        if self.other {
            return negated::launch(on, &self.x, &mut self.y);
        }
        doubled::<128>::launch(on, &self.x, &mut self.y)
    }

    fn check(&mut self) -> Result<(), String> {
        let wrong = self.answer().into_iter().find(|&y| y != 6.0);
        wrong.map_or(Ok(()), |y| Err(format!("found {y}, needed 6")))
    }
}

#[test]
fn candidates_are_checked_and_the_best_is_launched_by_its_record() {
    let device = Device::cpu();
    let mut mine = Mine::new(&device);
    let report = tune(&device, &doubled, &mut mine, Duration::from_secs(20), &mut ()).unwrap();
    let fate = |set: &str| &report.rows.iter().find(|row| row.0 == set).unwrap().1;
    // Settings are GPUs'.
    assert_eq!(report.rows.len(), 3, "{:?}", report.rows);
    assert!(matches!(fate(""), Fate::Timed(_)) && matches!(fate("BLOCK=256"), Fate::Timed(_)));
    assert_eq!(*fate("BLOCK=64"), Fate::Wrong("found 7, needed 6".to_owned()));
    assert!(report.entry.exhausted && report.entry.candidates["wrong"] == 1, "{:?}", report.entry);

    // What is written is read again, and a launch goes by it: here by one that says what is seen to be wrong.
    let mut records = Records { arch: "cpu".to_owned(), entries: Vec::new() };
    let mut entry = report.entry.clone();
    entry.consts.insert("BLOCK".to_owned(), 64);
    records.insert(entry.clone());
    let folder = std::env::temp_dir().join(format!("sla-own-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    records.write(&Records::place(&folder, "cpu")).unwrap();
    let tuned = Tuned::read(&device, &folder).unwrap();
    doubled::<128>::launch(&tuned, &mine.x, &mut mine.y).unwrap();
    assert_eq!(mine.answer(), [7.0; 1000]);
    negated::launch(&tuned, &mine.x, &mut mine.y).unwrap();
    assert_eq!(mine.answer(), [-3.0; 1000]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(Tuned::read(&device, &folder).is_ok(), "no records are no error");

    // A record of another space is not used, and neither is one for another size.
    for (space, size) in [("other", 1024), (entry.made.space.as_str(), 64)] {
        let mut stale = entry.clone();
        stale.made.space = space.to_owned();
        stale.key.sizes.insert("N".to_owned(), size);
        let tuned = Tuned::new(&device, Records { arch: "cpu".to_owned(), entries: vec![stale] });
        doubled::<128>::launch(&tuned, &mine.x, &mut mine.y).unwrap();
        assert_eq!(mine.answer(), [6.0; 1000]);
    }
}

#[test]
fn what_cannot_be_tuned_is_said() {
    let device = Device::interp();
    let mut mine = Mine::new(&device);
    let seconds = Duration::from_secs(1);
    let e = tune(&device, &negated, &mut mine, seconds, &mut ()).unwrap_err();
    assert!(matches!(e, OwnError::NoSpace { kernel: "negated" }), "{e}");
    mine.other = true;
    let e = tune(&device, &doubled, &mut mine, seconds, &mut ()).unwrap_err();
    assert!(matches!(e, OwnError::NotLaunched { kernel: "doubled" }), "{e}");
    mine.other = false;
    mine.x = Tensor::zeros(&device, &[1000]).unwrap();
    let e = tune(&device, &doubled, &mut mine, seconds, &mut ()).unwrap_err().to_string();
    assert!(e.contains("default values: wrong: found 0, needed 6"), "{e}");
}

#[test]
fn records_keep_out_of_launches_that_they_are_not_for() {
    let device = Device::cpu();
    let mut mine = Mine::new(&device);
    let seconds = Duration::from_secs(20);
    let report = tune(&device, &doubled, &mut mine, seconds, &mut ()).unwrap();
    let entry = |block| {
        let mut entry = report.entry.clone();
        entry.consts.insert("BLOCK".to_owned(), block);
        Records { arch: "cpu".to_owned(), entries: vec![entry] }
    };
    let launched = |tuned: &Tuned<'_>, mine: &mut Mine| {
        doubled::<128>::launch(tuned, &mine.x, &mut mine.y).unwrap();
        mine.answer()[0]
    };
    // The record of 1000 numbers is for launches with tails.
    assert_eq!(launched(&Tuned::new(&device, entry(64)), &mut mine), 7.0);
    assert!(report.entry.key.ragged, "{}", report.entry.key);
    let whole = Tensor::from_vec(&device, &[1024], [3f32; 1024]).unwrap();
    let mut out = Tensor::zeros(&device, &[1024]).unwrap();
    doubled::<128>::launch(&Tuned::new(&device, entry(64)), &whole, &mut out).unwrap();
    assert_eq!(out.to_vec().unwrap()[0], 6.0);
    // A value that the space does not have is not tried.
    assert_eq!(launched(&Tuned::new(&device, entry(96)), &mut mine), 6.0);
}
