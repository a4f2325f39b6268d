//! The tensor maps of a kernel's last launches, so that one that is repeated encodes nothing.

use super::describe::Description;
use super::encode::encode;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUtensorMap;
use rustc_hash::FxHashMap;
use std::sync::{Mutex, PoisonError};

/// Maps kept per kernel: the layers of a large model, with a few tensors each. When there are more, all are encoded again as they are needed.
const KEPT: usize = 512;

/// Maps by their descriptions.
#[derive(Default)]
pub(in super::super) struct RecentMaps(Mutex<FxHashMap<Description, CUtensorMap>>);

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
        // Every state of the map is a good one, so a poisoned lock is as good as any.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = kept.get(wanted) {
            return Ok(*map);
        }
        let map = make(wanted)?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(*wanted, map);
        Ok(map)
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
    fn maps_are_encoded_once_until_there_are_too_many() {
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
        assert!(!get(0) && !get(KEPT as u64 - 1));
        assert!(get(10_000));
        assert!(get(0) && !get(10_000));
    }

    #[test]
    fn a_failure_is_not_kept() {
        let recent = RecentMaps::default();
        assert_eq!(recent.get_or(&at(0), |_| Err(7)).unwrap_err(), 7);
        assert!(recent.get_or(&at(0), |_| Ok::<_, i32>(CUtensorMap { opaque: [1; 16] })).is_ok());
    }
}
