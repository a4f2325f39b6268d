//! The problem that a record is for: what the caller decided of a launch, and roughly how large it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::Bound;

/// What blocks of shipped kernels divide.
const WHOLE: i64 = 128;

/// The problem that a choice is for: constants as they are, runtime sizes rounded to powers of two.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Constants that are not tuned.
    pub consts: BTreeMap<String, String>,
    /// Runtime dims of the kernel's `key(...)`, each as the nearest power of two.
    pub sizes: BTreeMap<String, u64>,
    /// Whether one of them is no multiple of 128, so that kernels have code for tails.
    #[serde(default)]
    pub ragged: bool,
}

impl Key {
    /// The key of a launch of a kernel with some constants and the arguments bound to it.
    pub fn of(def: &KernelDef, consts: &Consts, bound: &Bound) -> Key {
        let dim = |name: &str| def.dims.iter().position(|dim| *dim == name).map(|at| bound.dims[at]);
        Key::new(def, consts, dim)
    }

    /// The key of a launch of a kernel with some constants, whose runtime dims are known by name.
    pub fn new(def: &KernelDef, consts: &Consts, dim: impl Fn(&str) -> Option<i64>) -> Key {
        let tuned = |name: &str| def.tune.axes.iter().any(|axis| axis.name == name);
        let fixed = consts.0.iter().filter(|(name, _)| !tuned(name));
        let size = |name: &&'static str| Some(((*name).to_owned(), rounded(dim(name)?)));
        let tail = |name: &&'static str| dim(name).is_some_and(|size| size % WHOLE != 0);
        Key {
            consts: fixed.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            sizes: def.tune.key.iter().filter_map(size).collect(),
            ragged: def.tune.key.iter().any(tail),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let consts = self.consts.iter().map(|(name, value)| format!("{name}={value}"));
        let sizes = self.sizes.iter().map(|(name, size)| format!("{name}~{size}"));
        let ragged = self.ragged.then(|| "with tails".to_owned());
        f.write_str(&consts.chain(sizes).chain(ragged).collect::<Vec<_>>().join(" "))
    }
}

/// The nearest power of two, by ratio.
fn rounded(size: i64) -> u64 {
    let size = size.max(1) as f64;
    1 << (size.log2().round() as u32).min(62)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_by_ratio() {
        let pairs = [(1, 1), (46_340, 32_768), (46_341, 65_536), (75_600, 65_536), (32_760, 32_768)];
        for (size, near) in pairs {
            assert_eq!(rounded(size), near, "{size}");
        }
    }
}
