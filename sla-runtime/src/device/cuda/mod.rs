//! NVIDIA GPUs: the only folder that knows the driver. libcuda is opened when the first GPU is asked for.
//!
//! Work goes to the context's default stream, which orders it with that of every other handle of the same GPU: memory and launches
//! of two handles need no synchronisation by the user. A handle may have another stream, see [`stream`]; memory is then watched, see [`ledger`].

mod code;
mod context;
mod error;
mod graph;
mod ledger;
mod maps;
mod memory;
mod module;
mod source;
mod stream;

pub(crate) use context::{CudaContext, Event};
pub use error::CudaError;
pub(crate) use graph::CudaGraph;
pub use maps::MapRefusal;
pub(crate) use memory::CudaMemory;
pub(crate) use stream::CudaStream;

use super::Resources;
use crate::RuntimeError;
use crate::bundle::Bundle;
use crate::cache::{Compiled, KernelCache, Plan, Plans};
use crate::slots::pack;
use graph::Recording;
use module::{CudaKernel, Layout};
use sla_codegen::{Arch, DeviceLog, Options};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound};
use source::Source;
use std::io::Write;
use std::sync::Arc;

/// A kernel with what launches of one form share.
struct Prepared {
    compiled: Arc<Compiled<CudaKernel>>,
    layout: Layout,
}

/// A GPU with its compiled kernels.
pub(super) struct CudaDevice {
    arch: Arch,
    source: Arc<Source>,
    cache: Arc<KernelCache<CudaKernel>>,
    /// How launches of this handle were prepared. Their counters are for its stream alone.
    plans: Arc<Plans<Prepared>>,
    /// Whether kernels check what they touch, and launches wait to hear of it.
    checks: bool,
    /// Where launches go.
    stream: Arc<CudaStream>,
    /// Where memory is allocated and freed: the same, but for a handle that records.
    memory: Arc<CudaStream>,
    /// What a handle that records has recorded.
    recording: Option<Arc<Recording>>,
}

impl CudaDevice {
    pub fn open(ordinal: usize) -> Result<CudaDevice, CudaError> {
        let context = Arc::new(CudaContext::open(ordinal)?);
        let (major, minor) = context.capability();
        let arch = arch(major, minor).ok_or_else(|| CudaError::TooOld {
            name: context.name().to_string(),
            major,
            minor,
        })?;
        let stream = CudaStream::default_of(&context);
        Ok(CudaDevice {
            arch,
            source: Arc::new(Source::from_env()),
            cache: Arc::new(KernelCache::new(crate::env::dumps())),
            plans: Arc::new(Plans::new()),
            checks: crate::env::checks(),
            memory: stream.clone(),
            stream,
            recording: None,
        })
    }

    /// Another handle of the same GPU and stream, with checks or without, and kernels of its own.
    pub fn with_checks(&self, checks: bool) -> CudaDevice {
        let cache = Arc::new(KernelCache::new(crate::env::dumps()));
        let (memory, recording) = (self.memory.clone(), self.recording.clone());
        CudaDevice { checks, cache, memory, recording, ..self.on(&self.stream) }
    }

    /// A handle with the same kernels whose work goes to another stream.
    pub fn on(&self, stream: &Arc<CudaStream>) -> CudaDevice {
        CudaDevice {
            arch: self.arch,
            source: self.source.clone(),
            cache: self.cache.clone(),
            // Counters of plans are for one order of launches.
            plans: Arc::new(Plans::new()),
            checks: self.checks,
            stream: stream.clone(),
            memory: stream.clone(),
            recording: None,
        }
    }

    /// Another handle of the same GPU and stream with the same kernels, which takes others out of one bundle more.
    pub fn with_bundle(&self, bundle: Arc<Bundle>) -> CudaDevice {
        CudaDevice {
            source: Arc::new(self.source.with(bundle)),
            // Launches of both are in one order.
            plans: self.plans.clone(),
            memory: self.memory.clone(),
            recording: self.recording.clone(),
            ..self.on(&self.stream)
        }
    }

    /// A handle with the same kernels and memory, whose launches are recorded.
    fn recording(&self, stream: Arc<CudaStream>, recording: Arc<Recording>) -> CudaDevice {
        CudaDevice { memory: self.memory.clone(), recording: Some(recording), ..self.on(&stream) }
    }

    /// Whether its launches are recorded.
    pub fn records(&self) -> bool {
        self.recording.is_some()
    }

    pub fn checks(&self) -> bool {
        self.checks
    }

    pub fn context(&self) -> &Arc<CudaContext> {
        self.stream.context()
    }

    /// Where launches go.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Where memory is allocated and freed.
    pub fn memory(&self) -> &Arc<CudaStream> {
        &self.memory
    }

    pub fn arch(&self) -> Arch {
        self.arch
    }

    pub fn describe(&self) -> String {
        let (major, minor) = self.context().capability();
        format!("cuda:{} ({}, sm_{major}{minor})", self.context().ordinal(), self.context().name())
    }

    /// Compiles and loads if needed, and enqueues the kernel; one that checks is waited for. `bind` checks the arguments, unless a launch
    /// of their form has passed before.
    pub fn launch(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
        options: &Options,
        bind: impl FnOnce() -> Result<Bound, RuntimeError>,
    ) -> Result<(), RuntimeError> {
        let plan = self.plans.get(def, consts, options, args, || {
            let bound = bind()?;
            let compiled = self.compiled(def, consts, &bound, options)?;
            // Below 2^31 by `bind`.
            let layout = compiled.code.layout(&self.memory, bound.programs() as u32, args)?;
            Ok::<_, RuntimeError>(Plan { bound, ready: Prepared { compiled, layout } })
        })?;
        let Plan { bound, ready: Prepared { compiled, layout } } = &*plan;
        if bound.programs() == 0 {
            return Ok(());
        }
        let mut slots = pack(&compiled.abi, args, &bound.dims);
        let log = compiled.code.log();
        let memory = log.map(|log| CudaMemory::zeroed(&self.memory, log.bytes())).transpose()?;
        slots.extend(memory.as_ref().map(|memory| memory.address() as u64));
        let touched = || {
            args.iter().filter_map(|arg| match arg {
                Arg::Tensor(t) => Some((t.address() as u64, t.mutable())),
                Arg::Scalar(_) => None,
            })
        };
        // SAFETY: the stream is there, and not one whose recording is over; the layout is of this handle, whose launches it
        // has in order. The kernel was compiled for this signature and these facts, and `bind` has checked the arguments; a log has the size
        // that the kernel asks for. Memory is freed in stream order behind whatever uses it, so it stays valid until the kernel has run even
        // if its owner is dropped before.
        let mut enqueue = || unsafe { compiled.code.launch(&self.stream, layout, &mut slots, args) };
        match &self.recording {
            None => {
                self.stream.before(touched())?;
                enqueue()?;
                self.stream.after(touched());
            }
            Some(recording) => recording.within(&plan, touched(), enqueue).ok_or_else(|| {
                let why = "the recording that this handle is of has ended";
                RuntimeError::NoGraph { device: format!("cuda:{}", self.context().ordinal()), why }
            })??,
        }
        self.context().meter().launched();
        match (log, memory) {
            (Some(log), Some(memory)) => tell(log, &memory, &bound.grid),
            _ => Ok(()),
        }
    }

    /// What the kernel of a launch takes of the GPU; compiles and loads it if needed.
    pub fn resources(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        bound: &Bound,
        options: &Options,
    ) -> Result<Resources, RuntimeError> {
        Ok(self.compiled(def, consts, bound, options)?.code.resources()?)
    }

    fn compiled(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        bound: &Bound,
        options: &Options,
    ) -> Result<Arc<Compiled<CudaKernel>>, RuntimeError> {
        let load = |kernel: &_| self.source.load(self.context(), def, consts, kernel, options);
        self.cache.get(def, consts, options, bound, load)
    }
}

/// Waits for a launch, prints what it printed, and returns its failure.
fn tell(log: &DeviceLog, memory: &CudaMemory, grid: &[u64]) -> Result<(), RuntimeError> {
    let mut bytes = vec![0; log.bytes()];
    memory.read(0, &mut bytes)?;
    let report = log.report(&bytes, grid);
    for text in report.printed {
        // A closed stream is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    report.failure.map_or(Ok(()), |failure| Err(RuntimeError::Program(failure)))
}

/// What to compile for. Code for sm_80 runs on everything later; that of the `a` architectures on exactly that one.
fn arch(major: u32, minor: u32) -> Option<Arch> {
    match (major, minor) {
        (0..8, _) => None,
        (8, 9) => Some(Arch::Sm89),
        (9, 0) => Some(Arch::Sm90a),
        (10, 0) => Some(Arch::Sm100a),
        (12, 0) => Some(Arch::Sm120a),
        _ => Some(Arch::Sm80),
    }
}

#[cfg(test)]
mod tests;
