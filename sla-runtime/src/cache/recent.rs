//! The last launches of a device with what they were found to be, so that one that repeats is neither checked nor looked up again.
//!
//! What a launch is found to be depends on nothing but the kernel, its constants, the options and the description of the arguments: where
//! these are the same, so are the checks' outcome, the grid and the compiled kernel. Numbers are read from the arguments of each launch.

use super::{Compiled, lock};
use sla_codegen::Options;
use sla_dsl::ir::{Elem, Scalar};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound, Space};
use std::sync::{Arc, Mutex};

/// Launches kept.
const KEPT: usize = 32;

/// A launch that passed its checks, with its kernel.
pub(crate) struct Ready<C> {
    pub bound: Bound,
    pub compiled: Arc<Compiled<C>>,
}

/// An argument as it was described.
#[derive(PartialEq)]
enum Seen {
    Tensor { elem: Elem, shape: Vec<usize>, strides: Vec<i64>, address: usize, space: Space, mutable: bool },
    Scalar(Scalar),
}

impl Seen {
    fn of(arg: &Arg<'_>) -> Seen {
        match arg {
            Arg::Scalar(s) => Seen::Scalar(*s),
            Arg::Tensor(t) => Seen::Tensor {
                elem: t.elem(),
                shape: t.shape().to_vec(),
                strides: t.strides().to_vec(),
                address: t.address(),
                space: t.space(),
                mutable: t.mutable(),
            },
        }
    }

    /// As comparing with [`Seen::of`], without making it.
    fn is(&self, arg: &Arg<'_>) -> bool {
        match (self, arg) {
            (Seen::Scalar(seen), Arg::Scalar(s)) => seen == s,
            (Seen::Tensor { elem, shape, strides, address, space, mutable }, Arg::Tensor(t)) => {
                (*address, *elem, *space, *mutable) == (t.address(), t.elem(), t.space(), t.mutable())
                    && shape[..] == *t.shape()
                    && strides[..] == *t.strides()
            }
            _ => false,
        }
    }
}

struct Known<C> {
    def: usize,
    consts: Consts,
    options: Options,
    args: Vec<Seen>,
    ready: Arc<Ready<C>>,
}

/// The launches made last, latest first.
pub(crate) struct RecentLaunches<C>(Mutex<Vec<Known<C>>>);

impl<C> RecentLaunches<C> {
    pub fn new() -> RecentLaunches<C> {
        RecentLaunches(Mutex::new(Vec::new()))
    }

    /// The launch, made ready by `make` unless it is known. A failure is not kept.
    pub fn get<E>(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        options: &Options,
        args: &[Arg<'_>],
        make: impl FnOnce() -> Result<Ready<C>, E>,
    ) -> Result<Arc<Ready<C>>, E> {
        let address = def as *const KernelDef as usize;
        let same = |k: &Known<C>| {
            k.def == address
                && k.args.len() == args.len()
                && k.args.iter().zip(args).all(|(seen, arg)| seen.is(arg))
                && k.options == *options
                && k.consts == *consts
        };
        let mut kept = lock(&self.0);
        if let Some(at) = kept.iter().position(same) {
            kept[..=at].rotate_right(1);
            return Ok(kept[0].ready.clone());
        }
        // Making one ready may compile, which must not hold up other launches.
        drop(kept);
        let ready = Arc::new(make()?);
        let args = args.iter().map(Seen::of).collect();
        let known = Known {
            def: address,
            consts: consts.clone(),
            options: options.clone(),
            args,
            ready: ready.clone(),
        };
        let mut kept = lock(&self.0);
        // What goes last is dropped when the list is free again: it may be the last to hold a kernel, whose end waits for the device.
        let old = if kept.len() >= KEPT { kept.pop() } else { None };
        kept.insert(0, known);
        drop(kept);
        drop(old);
        Ok(ready)
    }
}
