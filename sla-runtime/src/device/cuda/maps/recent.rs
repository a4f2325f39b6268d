//! The tensor maps of a kernel's last launches, so that one that is repeated encodes nothing.

use super::describe::Description;
use super::encode::encode;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUtensorMap;
use std::sync::{Mutex, PoisonError};

/// Maps kept per kernel: some sets of arguments, with a few tensors each.
const KEPT: usize = 32;

/// The maps used last, latest first.
#[derive(Default)]
pub(in super::super) struct RecentMaps(Mutex<Vec<(Description, CUtensorMap)>>);

impl RecentMaps {
    /// The map of a description.
    pub fn get(&self, wanted: &Description) -> Result<CUtensorMap, DriverError> {
        self.get_or(wanted, encode)
    }

    fn get_or<E>(
        &self,
        wanted: &Description,
        make: impl FnOnce(&Description) -> Result<CUtensorMap, E>,
    ) -> Result<CUtensorMap, E> {
        // Every state of the list is a good one, so a poisoned lock is as good as any.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(known, _)| known == wanted);
        match found {
            Some(at) => kept[..=at].rotate_right(1),
            None => {
                let made = (*wanted, make(wanted)?);
                kept.truncate(KEPT - 1);
                kept.insert(0, made);
            }
        }
        Ok(kept[0].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_dsl::ir::Elem;
    use std::convert::Infallible;

    fn at(address: u64) -> Description {
        let (sizes, extents) = ([64, 0, 0, 0, 0], [64, 0, 0, 0, 0]);
        Description { elem: Elem::F16, rank: 1, address, sizes, strides: [0; 4], extents }
    }

    #[test]
    fn the_last_maps_are_kept_and_the_oldest_goes() {
        let (recent, mut made) = (RecentMaps::default(), 0);
        let mut get = |address: u64| {
            let before = made;
            let map = recent.get_or(&at(address), |d| {
                made += 1;
                Ok::<_, Infallible>(CUtensorMap { opaque: [d.address; 16] })
            });
            assert_eq!(map.unwrap().opaque[0], address);
            made > before
        };
        for address in 0..KEPT as u64 {
            assert!(get(address));
        }
        assert!(!get(0), "the first is still there");
        assert!(get(1000));
        assert!(!get(0), "it was used since");
        assert!(get(1), "the oldest has gone");
        assert!(!get(1000) && !get(1));
    }

    #[test]
    fn a_failure_is_not_kept() {
        let recent = RecentMaps::default();
        assert_eq!(recent.get_or(&at(0), |_| Err(7)).unwrap_err(), 7);
        assert!(recent.get_or(&at(0), |_| Ok::<_, i32>(CUtensorMap { opaque: [1; 16] })).is_ok());
    }
}
