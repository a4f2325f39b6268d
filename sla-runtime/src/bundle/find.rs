//! Which kernel of some bundles runs a launch.
//!
//! Best is the one compiled for just that launch. A program that cannot compile takes others that are as right: one that assumes less, of sizes that blocks
//! divide and of how tensors lie in memory, and code for sm_80, which the driver assembles for any later GPU.

use super::key::{family, weaker};
use super::{Bundle, BundleError, BundleKey, Entry, Row};
use sla_codegen::{Arch, Options, Target};
use sla_dsl::ir::{Facts, Kernel, MemFacts};
use sla_dsl::lang::{Consts, KernelDef};
use std::sync::Arc;

/// A launch that needs a kernel.
pub(crate) struct Wanted<'a> {
    pub def: &'static KernelDef,
    pub consts: &'a Consts,
    /// The kernel compiled for just this launch.
    pub kernel: &'a Kernel,
    pub options: &'a Options,
    /// Shared memory that a program may have, in bytes.
    pub shared_bytes: usize,
    /// Whether there is nobody to compile it.
    pub any: bool,
}

/// What runs it.
pub(crate) struct Found {
    /// What was compiled: its arguments are those of the launch.
    pub kernel: Kernel,
    pub entry: Entry,
}

/// The best kernel for a launch; `None` where there is none.
///
/// # Errors
/// A kernel that is damaged.
pub(crate) fn find(bundles: &[Arc<Bundle>], wanted: &Wanted<'_>) -> Result<Option<Found>, BundleError> {
    if bundles.is_empty() {
        return Ok(None);
    }
    let options = [wanted.options.clone(), portable(wanted.options)];
    for options in if wanted.any { &options[..] } else { &options[..1] } {
        for bundle in bundles {
            let key = BundleKey::new(wanted.kernel, options);
            if let Some(entry) = fitting(bundle, &key, wanted)? {
                return Ok(Some(Found { kernel: wanted.kernel.clone(), entry }));
            }
        }
        if !wanted.any {
            continue;
        }
        let family = family(wanted.def.name, wanted.consts, options);
        let mut rows: Vec<(&Arc<Bundle>, &Row)> =
            bundles.iter().flat_map(|b| b.family(&family).map(move |row| (b, row))).collect();
        // Those that assume most are the fastest.
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.strength()));
        for (bundle, row) in rows {
            let Some(kernel) = as_right(wanted, row) else { continue };
            let key = BundleKey::new(&kernel, options);
            if key != row.key() {
                continue;
            }
            if let Some(entry) = fitting(bundle, &key, wanted)? {
                return Ok(Some(Found { kernel, entry }));
            }
        }
    }
    Ok(None)
}

fn fitting(bundle: &Bundle, key: &BundleKey, wanted: &Wanted<'_>) -> Result<Option<Entry>, BundleError> {
    Ok(bundle.get(key)?.filter(|e| e.image.shared_bytes as usize <= wanted.shared_bytes))
}

/// The kernel that assumes what a row says, if the launch has all of that.
fn as_right(wanted: &Wanted<'_>, row: &Row) -> Option<Kernel> {
    let known: Vec<MemFacts> = wanted.kernel.params.iter().map(|p| p.memory).collect();
    let even = wanted.kernel.even.iter().filter(|((dim, block), yes)| {
        // What the row's kernel was not sure of is not assumed.
        **yes && row.even.contains(&format!("{dim} by {block}"))
    });
    let even = even.map(|(asked, yes)| (asked.clone(), *yes)).collect();
    let facts = Facts { memory: weaker(&row.assumed, &known)?, even };
    // Constants of another kernel of this name may not fit.
    wanted.def.build(wanted.consts, &facts).ok()
}

/// The same options for the code that runs on every GPU.
pub(super) fn portable(options: &Options) -> Options {
    let target = Target::Cuda(Arch::Sm80);
    Options { target, shared: Some(Arch::Sm89.shared_bytes()), ..options.clone() }
}
