//! The folder under threads, limits, damage and without room.

use super::*;
use sla_codegen::{Arch, GridKind, Options, Target, Tools};
use sla_dsl::ir::Facts;
use sla_dsl::lang::{Const, Consts};
use sla_dsl::prelude::*;
use std::time::Duration;

#[kernel(dims(L), grid(p in L.div_ceil(N)))]
fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
    y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
}

fn key(n: i64) -> Key {
    let kernel = double.build(&Consts::new(&[("N", Const::Int(n))]), &Facts::default()).unwrap();
    Key::new(&kernel, &Options::new(Target::Cuda(Arch::Sm80)), &Tools::default(), (8, 0))
}

fn entry(title: &str) -> Entry {
    Entry { title: title.into(), ..example(GridKind::Programs, None) }
}

#[test]
fn kernels_are_kept_listed_and_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::new(folder.path().join("not/there/yet"), 1 << 20);
    assert_eq!((cache.get(&key(2)), cache.list().unwrap(), cache.clear().unwrap()), (None, vec![], (0, 0)));
    assert_eq!(cache.put(&key(2), &entry("two")), None);
    assert_eq!(cache.put(&key(4), &entry("four")), None);
    assert_eq!(cache.get(&key(2)), Some(entry("two")));
    assert_eq!(cache.get(&key(8)), None);
    std::fs::write(cache.folder().join("mine.txt"), "x").unwrap();
    let kept = cache.list().unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().any(|k| k.what.as_deref() == Some("four")));
    let bytes = kept.iter().map(|k| k.bytes).sum();
    assert_eq!(cache.clear().unwrap(), (2, bytes));
    assert_eq!(std::fs::read_dir(cache.folder()).unwrap().count(), 1, "the user's file stays");
}

#[test]
fn a_damaged_file_is_a_miss_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::new(folder.path(), 1 << 20);
    assert_eq!(cache.put(&key(2), &entry("two")), None);
    let path = cache.path(&key(2));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(cache.get(&key(2)), None);
    assert_eq!(cache.list().unwrap()[0].what, None);
    assert_eq!(cache.put(&key(2), &entry("two")), None);
    assert_eq!(cache.get(&key(2)), Some(entry("two")));
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let size = entry("0").encode().unwrap().len() as u64;
    let cache = DiskCache::new(folder.path(), 5 * size);
    let now = SystemTime::now();
    for n in 1..=5 {
        assert_eq!(cache.put(&key(n), &entry("0")), None);
        let file = File::options().write(true).open(cache.path(&key(n))).unwrap();
        file.set_modified(now - Duration::from_secs(100 - n as u64)).unwrap();
    }
    // The first is the oldest until it is read.
    assert!(cache.get(&key(1)).is_some());
    assert_eq!(cache.put(&key(6), &entry("0")), None);
    let there: Vec<i64> = (1..=6).filter(|&n| cache.path(&key(n)).exists()).collect();
    assert_eq!(there, [1, 4, 5, 6], "four fifths of the limit");
}

#[test]
fn a_kernel_larger_than_the_limit_drives_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let size = entry("0").encode().unwrap().len() as u64;
    assert_eq!(DiskCache::new(folder.path(), 2 * size).put(&key(1), &entry("0")), None);
    let small = DiskCache::new(folder.path(), size - 1);
    assert_eq!(small.put(&key(2), &entry("0")), None);
    assert_eq!((small.get(&key(1)), small.get(&key(2))), (Some(entry("0")), None));
}

#[test]
fn what_a_killed_process_left_is_removed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["a.slak-part", "b.slak-part"].map(|name| folder.path().join(name));
    for path in [&old, &new] {
        std::fs::write(path, "half a ker").unwrap();
    }
    let hours = SystemTime::now() - Duration::from_secs(2 * 3600);
    File::options().write(true).open(&old).unwrap().set_modified(hours).unwrap();
    assert_eq!(DiskCache::new(folder.path(), 1 << 20).list().unwrap(), []);
    assert_eq!((old.exists(), new.exists()), (false, true));
}

#[test]
fn a_folder_that_cannot_be_written_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let cache = DiskCache::new(file.join("below"), 1 << 20);
    let warning = cache.put(&key(2), &entry("two")).unwrap();
    assert!(
        warning.starts_with("compiled kernels are not kept: ") && warning.contains("a file"),
        "{warning}"
    );
    assert_eq!(cache.put(&key(2), &entry("two")), None);
    assert_eq!(cache.get(&key(2)), None);
    let other = DiskCache::new(file.join("below"), 1 << 20);
    assert_eq!(other.put(&key(2), &entry("two")), None, "another device's handle in the same process");
}

#[test]
fn many_writers_and_readers_never_see_half_a_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let size = entry("0").encode().unwrap().len() as u64;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let folder = folder.path();
            scope.spawn(move || {
                // A handle each, as processes have; room for three of the five kernels, so that files come and go.
                let cache = DiskCache::new(folder, 3 * size);
                for round in 0..50 {
                    let n = 1 + (thread + round) % 5;
                    assert_eq!(cache.put(&key(n), &entry(&n.to_string())), None);
                    let read = cache.get(&key(1 + round % 5));
                    assert!(read.is_none_or(|e| e == entry(&(1 + round % 5).to_string())));
                }
            });
        }
    });
    let cache = DiskCache::new(folder.path(), 3 * size);
    assert!(cache.list().unwrap().iter().all(|k| k.what.is_some()));
}
