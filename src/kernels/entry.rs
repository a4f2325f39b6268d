//! A row of the table of kernels: the definition, default constants, and the way from both to tile IR.

use sla_dsl::diag::Diagnostics;
use sla_dsl::ir::{Facts, Kernel};
use sla_dsl::lang::{Const, Consts, KernelDef, whole_blocks};

/// A shipped kernel with constants that make a sensible default for `sla emit` and for snapshots.
pub struct Entry {
    /// Its definition.
    pub def: &'static KernelDef,
    /// Default constants, by name, in the order of its generics.
    pub defaults: &'static [(&'static str, Const)],
}

impl Entry {
    /// The default constants.
    pub fn consts(&self) -> Consts {
        Consts::named(self.defaults.iter().copied())
    }

    /// The default constants with some replaced; what names no generic is left out.
    pub fn consts_with(&self, chosen: &[(&str, Const)]) -> Consts {
        let mut consts = self.consts();
        for (name, value) in &mut consts.0 {
            if let Some((_, new)) = chosen.iter().find(|(n, _)| n == name) {
                *value = *new;
            }
        }
        consts
    }

    /// Tile IR for contiguous, aligned tensors. With `even`, block sizes divide the sizes they are asked about, so that no
    /// block has a tail; without, none does.
    ///
    /// # Errors
    /// As [`KernelDef::build`].
    pub fn kernel(&self, consts: &Consts, even: bool) -> Result<Kernel, Diagnostics> {
        let build = |facts: &Facts| self.def.build(consts, facts);
        match even {
            true => whole_blocks(build)(&Facts::default()),
            false => build(&Facts::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::ALL;

    #[test]
    fn every_kernel_has_a_default_for_every_constant_and_builds_with_them() {
        for entry in ALL {
            let names: Vec<_> = entry.def.generics.iter().map(|g| g.name).collect();
            let given: Vec<_> = entry.defaults.iter().map(|(name, _)| *name).collect();
            assert_eq!(given, names, "{}", entry.def.name);
            for even in [false, true] {
                let kernel = entry.kernel(&entry.consts(), even).unwrap();
                assert!(kernel.even.values().all(|&answer| answer == even), "{}", entry.def.name);
            }
        }
    }
}
