//! What a kernel of a bundle is named by: its tile IR, which holds constants and facts, the target, and the settings that are not the target's defaults.
//!
//! The compiler's version and sources have no part in it, as they have in the cache on disk: who has a bundle has not that compiler, and what an older one made of
//! the same kernel is as right. Kernels that differ in facts only are a family, of which one may serve the launches of another.

use crate::disk::digest;
use sla_codegen::Options;
use sla_dsl::ir::{Kernel, MemFacts};
use sla_dsl::lang::Consts;

/// A name of a kernel for a target and settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleKey(pub(super) String);

impl BundleKey {
    /// The key of a kernel compiled with some options.
    pub fn new(kernel: &Kernel, options: &Options) -> BundleKey {
        BundleKey(digest(&["bundled kernel 1", &compiled_for(options), &kernel.to_string()]))
    }

    /// The key as text: 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of all kernels of a definition with some constants, compiled with some options.
pub(super) fn family(name: &str, consts: &Consts, options: &Options) -> String {
    digest(&["family 1", &compiled_for(options), name, &consts.to_string()])
}

fn compiled_for(options: &Options) -> String {
    let settings = options.chosen().into_iter().map(|(name, value)| format!(" {name}={value}"));
    options.target.to_string() + &settings.collect::<String>()
}

/// What a kernel assumes of its arguments: three letters each, `p`acked, `a`ligned and positive (`s`igned otherwise), with `-` for what it does not.
pub(super) fn assumed(kernel: &Kernel) -> String {
    let letter = |yes, letter| if yes { letter } else { '-' };
    let three = |m: &MemFacts| [letter(m.packed, 'p'), letter(m.aligned, 'a'), letter(m.positive, 's')];
    kernel.params.iter().flat_map(|p| three(&p.memory)).collect()
}

/// The facts of those letters, if arguments of which more is known have them too.
pub(super) fn weaker(assumed: &str, known: &[MemFacts]) -> Option<Vec<MemFacts>> {
    let letters: Vec<bool> = assumed.bytes().map(|b| b != b'-').collect();
    let facts = letters.chunks_exact(3).map(|l| MemFacts { packed: l[0], aligned: l[1], positive: l[2] });
    let facts: Vec<MemFacts> = facts.collect();
    let implied = |(weak, known): (&MemFacts, &MemFacts)| {
        weak.packed <= known.packed && weak.aligned <= known.aligned && weak.positive <= known.positive
    };
    (facts.len() == known.len() && facts.iter().zip(known).all(implied)).then_some(facts)
}

/// The questions about sizes that a kernel was built with the answer "yes" to.
pub(super) fn even(kernel: &Kernel) -> Vec<String> {
    let yes = kernel.even.iter().filter(|(_, answer)| **answer);
    yes.map(|((dim, block), _)| format!("{dim} by {block}")).collect()
}
