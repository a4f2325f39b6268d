//! The verifier: whether a kernel keeps every rule that later stages rely on.
//!
//! The builder cannot make a kernel that fails here, so a report about a built or transformed kernel is a bug of ours; about a
//! parsed one it is the author's mistake. [`structure`] goes first and makes sure that every index is in range, that regions form
//! a tree and that values are defined before their use; only then do [`types`] look at each op by its class.
//!
//! It proves nothing about run time: offsets in range, divisors that are not zero, programs that do not write one place twice.

mod sched;
mod structure;
mod types;

pub(super) use structure::MAX_DEPTH;

use super::{DimExpr, Kernel, OpId, ParamKind};
use crate::diag::{Diagnostic, Diagnostics, Loc};

/// What is wrong, and at which op; `None` is the kernel's head.
pub(super) struct Finding {
    pub op: Option<OpId>,
    pub message: String,
}

/// Checks every rule of the IR and reports each violation with its place in the Rust source.
///
/// # Errors
/// Every violation found. Errors in the kernel's structure hide those of its types.
pub fn verify(kernel: &Kernel) -> Result<(), Diagnostics> {
    let found = findings(kernel);
    if found.is_empty() {
        return Ok(());
    }
    let at = |f: Finding| Diagnostic {
        kernel: kernel.name.clone(),
        loc: f.op.and_then(|o| kernel.ops.get(o.index())).map_or(Loc::UNKNOWN, |o| o.loc),
        message: f.message,
    };
    Err(Diagnostics(found.into_iter().map(at).collect()))
}

/// The violations of [`verify`], by op.
pub(super) fn findings(kernel: &Kernel) -> Vec<Finding> {
    let mut out = Vec::new();
    head(kernel, &mut |message| out.push(Finding { op: None, message }));
    structure::check(kernel, &mut out);
    if out.is_empty() {
        types::check(kernel, &mut out);
    }
    out
}

/// Names, dims, grid and parameters.
fn head(k: &Kernel, report: &mut dyn FnMut(String)) {
    if !is_name(&k.name) {
        report(format!("the kernel's name {:?} is not an identifier", k.name));
    }
    let lists: [Vec<&String>; 3] = [
        k.dims.iter().collect(),
        k.grid.iter().map(|a| &a.name).collect(),
        k.params.iter().map(|p| &p.name).collect(),
    ];
    for names in lists {
        for (i, name) in names.iter().enumerate() {
            if !is_name(name) {
                report(format!("the name {name:?} is not an identifier"));
            }
            if names[..i].contains(name) {
                report(format!("the name `{name}` is given twice"));
            }
        }
    }
    let known = |what: &str, e: &DimExpr, report: &mut dyn FnMut(String)| {
        for n in e.names() {
            if !k.dims.iter().any(|d| d == n) {
                report(format!("{what} uses `{n}`, which is not a dim of this kernel"));
            }
        }
    };
    if k.grid.len() > 3 {
        report(format!("a grid has at most 3 axes, this has {}", k.grid.len()));
    }
    for axis in &k.grid {
        known(&format!("grid axis `{}`", axis.name), &axis.extent, report);
    }
    for param in &k.params {
        if let ParamKind::Tensor(t) = &param.kind {
            for d in &t.dims {
                known(&format!("the shape of `{}`", param.name), d, report);
            }
        }
    }
    for (dim, block) in k.even.keys() {
        known("an `even` fact", dim, report);
        if *block < 1 {
            report(format!("an `even` fact has block size {block}"));
        }
    }
}

/// Whether a text is a name as the text form reads it: letters, digits and underscores, not starting with a digit.
pub(super) fn is_name(s: &str) -> bool {
    let mut chars = s.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}
