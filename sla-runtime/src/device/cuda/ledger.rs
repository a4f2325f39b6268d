//! Who uses which memory: for each allocation the stream that wrote it last and those that read it since, with how far each had come.
//!
//! It says what a stream must wait for before it may touch memory, and knows nothing of the driver. What it was not told of, such as memory of
//! another library, it leaves to its owner.

use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A stream `S` up to some number of things that were enqueued there.
pub(super) type Upto<S> = (S, u64);

/// What has to be waited for.
pub(super) type Waits<S> = SmallVec<[Upto<S>; 2]>;

/// The uses of one allocation.
struct Uses<S> {
    end: u64,
    writer: Option<Upto<S>>,
    readers: Waits<S>,
}

/// Every allocation by its first address.
pub(super) struct Ledger<S>(Mutex<BTreeMap<u64, Uses<S>>>);

impl<S: Clone + PartialEq> Ledger<S> {
    pub fn new() -> Ledger<S> {
        Ledger(Mutex::new(BTreeMap::new()))
    }

    /// Memory was allocated, by `writer` if that is not the one stream that there is.
    pub fn add(&self, start: u64, bytes: usize, writer: Option<Upto<S>>) {
        let uses = Uses { end: start + bytes as u64, writer, readers: Waits::new() };
        self.lock().insert(start, uses);
    }

    /// Memory is about to be freed: what has to be waited for.
    pub fn remove(&self, start: u64) -> Waits<S> {
        let Some(uses) = self.lock().remove(&start) else { return Waits::new() };
        uses.readers.into_iter().chain(uses.writer).collect()
    }

    /// What `by` waits for before it reads, or also writes, memory at an address.
    pub fn before(&self, address: u64, written: bool, by: &S) -> Waits<S> {
        let mut all = self.lock();
        let Some(uses) = at(&mut all, address) else { return Waits::new() };
        let readers = uses.readers.iter().filter(|_| written);
        uses.writer.iter().chain(readers).filter(|(s, _)| s != by).cloned().collect()
    }

    /// `by` uses memory at an address, up to its own number `upto`.
    pub fn after(&self, address: u64, written: bool, by: &S, upto: u64) {
        let mut all = self.lock();
        let Some(uses) = at(&mut all, address) else { return };
        if written {
            uses.readers.clear();
            uses.writer = Some((by.clone(), upto));
            return;
        }
        match uses.readers.iter_mut().find(|(s, _)| s == by) {
            Some((_, known)) => *known = upto,
            None => uses.readers.push((by.clone(), upto)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Uses<S>>> {
        // Every state of the map is a good one, so a poisoned lock is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The allocation that an address is in.
fn at<S>(all: &mut BTreeMap<u64, Uses<S>>, address: u64) -> Option<&mut Uses<S>> {
    all.range_mut(..=address).next_back().map(|(_, uses)| uses).filter(|uses| address < uses.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_wait_for_writes_and_writes_for_everything() {
        let ledger = Ledger::new();
        ledger.add(100, 50, None);
        let waits = |address, written, by| ledger.before(address, written, &by).to_vec();
        assert_eq!(waits(100, true, "a"), []);
        ledger.after(100, true, &"a", 1);
        assert_eq!(waits(149, false, "b"), [("a", 1)]);
        assert_eq!(waits(149, true, "a"), [], "its own work is before it");
        ledger.after(120, false, &"b", 7);
        ledger.after(120, false, &"c", 3);
        ledger.after(120, false, &"b", 8);
        assert_eq!(waits(100, false, "d"), [("a", 1)], "reads do not wait for reads");
        assert_eq!(waits(100, true, "c"), [("a", 1), ("b", 8)]);
        ledger.after(100, true, &"c", 4);
        assert_eq!(waits(100, true, "a"), [("c", 4)]);
        ledger.after(100, false, &"a", 2);
        assert_eq!(ledger.remove(100).to_vec(), [("a", 2), ("c", 4)]);
        assert_eq!(ledger.remove(100).to_vec(), []);
    }

    #[test]
    fn other_memory_is_not_known() {
        let ledger = Ledger::new();
        ledger.add(100, 50, Some(("a", 1)));
        ledger.add(200, 50, None);
        for address in [99, 150, 199, 250] {
            assert!(ledger.before(address, true, &"b").is_empty(), "{address}");
            ledger.after(address, true, &"c", 1);
        }
        assert_eq!(ledger.before(149, false, &"b").to_vec(), [("a", 1)]);
        assert!(ledger.before(249, true, &"b").is_empty());
    }
}
