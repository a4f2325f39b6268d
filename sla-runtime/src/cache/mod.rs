//! Compiled kernels in memory: one cache per device, one compilation per kernel however many threads ask.
//!
//! A kernel is specialised on whether block sizes divide the sizes of a launch, and only its body knows which questions it asks.
//! So a kernel definition with its constants is a family, and a member fits a launch when the launch answers all the member's
//! questions as the member was built with: no kernel is built again just to learn its questions.

mod plans;

pub(crate) use plans::{Plan, Plans};

use crate::{Dumps, RuntimeError};
use sla_codegen::Options;
use sla_dsl::ir::{AbiArg, DimExpr, Kernel, MemFacts};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::Bound;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything but the answers about sizes. Definitions are statics, so that an address names one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Family {
    def: usize,
    consts: Consts,
    memory: Vec<MemFacts>,
    options: Options,
}

type Answers = BTreeMap<(DimExpr, i64), bool>;

/// A kernel ready to run.
pub(crate) struct Compiled<C> {
    pub abi: Vec<AbiArg>,
    pub code: C,
}

/// Empty until its first compilation succeeds; locked while one runs.
type Slot<C> = Arc<Mutex<Option<Arc<Compiled<C>>>>>;

struct Member<C> {
    even: Answers,
    slot: Slot<C>,
}

/// Compiled kernels of one device.
pub(crate) struct KernelCache<C> {
    families: Mutex<HashMap<Family, Vec<Member<C>>>>,
    /// Where kernels that are compiled leave every step.
    dumps: Option<Dumps>,
}

impl<C> KernelCache<C> {
    pub fn new(dumps: Option<Dumps>) -> KernelCache<C> {
        KernelCache { families: Mutex::new(HashMap::new()), dumps }
    }

    /// The kernel for a launch, made by `make` unless it is there, which may make another that is as right. A failure is not kept: the next caller tries again.
    pub fn get(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        options: &Options,
        bound: &Bound,
        make: impl FnOnce(&Kernel) -> Result<Compiled<C>, RuntimeError>,
    ) -> Result<Arc<Compiled<C>>, RuntimeError> {
        let family = Family {
            def: def as *const KernelDef as usize,
            consts: consts.clone(),
            memory: bound.facts.memory.clone(),
            options: options.clone(),
        };
        let mut kernel = None;
        let known = lock(&self.families).get(&family).and_then(|members| find(members, bound));
        let slot = match known {
            Some(slot) => slot,
            None => {
                let built = bound.specialise(def, consts)?;
                let mut families = lock(&self.families);
                let members = families.entry(family).or_default();
                // Another thread may have added it meanwhile.
                let slot = find(members, bound).unwrap_or_else(|| {
                    let slot = Slot::default();
                    members.push(Member { even: built.even.clone(), slot: slot.clone() });
                    slot
                });
                kernel = Some(built);
                slot
            }
        };
        let mut place = lock(&slot);
        if let Some(compiled) = &*place {
            return Ok(compiled.clone());
        }
        let kernel = match kernel {
            Some(k) => k,
            None => bound.specialise(def, consts)?,
        };
        if let Some(warning) = self.dumps.as_ref().and_then(|d| d.write(&kernel, options)) {
            // A closed stream is no reason to stop.
            let _ = writeln!(std::io::stderr(), "warning: SLA_DUMP: {warning}");
        }
        let compiled = Arc::new(make(&kernel)?);
        *place = Some(compiled.clone());
        Ok(compiled)
    }
}

fn find<C>(members: &[Member<C>], bound: &Bound) -> Option<Slot<C>> {
    members.iter().find(|m| bound.even(m.even.keys()) == m.even).map(|m| m.slot.clone())
}

/// A panic elsewhere leaves these maps whole, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
