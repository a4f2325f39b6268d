//! Launches as they were prepared, so that one that repeats is neither checked nor looked up nor laid out again.
//!
//! What a launch is found to be depends on the kernel, its constants, the options and the [`Form`] of its arguments: where these are the same, so are
//! the checks' outcome, the grid, the compiled kernel and the layout of its parameters. Only where tensors lie, and the values of numbers, are
//! read from the arguments of each launch.

use super::lock;
use rustc_hash::{FxHashMap, FxHasher};
use sla_codegen::Options;
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound, Form};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

/// Plans kept; when there are more, all are made again as they are needed, from kernels that stay compiled.
const KEPT: usize = 512;

/// A launch that passed its checks, with what its device made of it.
pub(crate) struct Plan<P> {
    pub bound: Bound,
    pub ready: P,
}

struct Known<P> {
    def: usize,
    consts: Consts,
    options: Options,
    form: Form,
    plan: Arc<Plan<P>>,
}

/// Plans by the hash of what they are known by.
struct Kept<P> {
    plans: FxHashMap<u64, Vec<Known<P>>>,
    count: usize,
}

/// The plans of a device.
pub(crate) struct Plans<P>(Mutex<Kept<P>>);

impl<P> Plans<P> {
    pub fn new() -> Plans<P> {
        Plans(Mutex::new(Kept { plans: FxHashMap::default(), count: 0 }))
    }

    /// The plan of a launch, made by `make` unless it is known. A failure is not kept.
    pub fn get<E>(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        options: &Options,
        args: &[Arg<'_>],
        make: impl FnOnce() -> Result<Plan<P>, E>,
    ) -> Result<Arc<Plan<P>>, E> {
        // Definitions are statics, so that an address names one.
        let def = def as *const KernelDef as usize;
        let hash = hash(def, consts, args);
        let same = |k: &&Known<P>| {
            k.def == def && k.form.is_of(args) && k.options == *options && k.consts == *consts
        };
        let known =
            lock(&self.0).plans.get(&hash).and_then(|some| some.iter().find(same)).map(|k| k.plan.clone());
        let is_known = known.is_some();
        if let Some(plan) = known
            && plan.bound.places(args)
        {
            return Ok(plan);
        }
        // Making one may compile, which must not hold up other launches.
        let plan = Arc::new(make()?);
        if is_known {
            return Ok(plan);
        }
        let (consts, options, form) = (consts.clone(), options.clone(), Form::of(args));
        let known = Known { def, consts, options, form, plan: plan.clone() };
        let mut kept = lock(&self.0);
        // What goes is dropped when the lock is free again: it may be the last to hold a kernel, whose end waits for the device.
        let old = if kept.count >= KEPT {
            kept.count = 0;
            std::mem::take(&mut kept.plans)
        } else {
            FxHashMap::default()
        };
        kept.plans.entry(hash).or_default().push(known);
        kept.count += 1;
        drop(kept);
        drop(old);
        Ok(plan)
    }
}

/// Options are mostly the same, and names of constants follow from the kernel.
fn hash(def: usize, consts: &Consts, args: &[Arg<'_>]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_usize(def);
    consts.0.iter().for_each(|(_, value)| value.hash(&mut hasher));
    Form::hash(args, &mut hasher);
    hasher.finish()
}
