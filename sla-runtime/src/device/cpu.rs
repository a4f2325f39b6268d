//! The host as a device: programs of the grid on a pool of threads.
//!
//! Programs differ in length (causal and list-driven loops), so threads draw small ranges of them until none is left.

use crate::cache::{Compiled, KernelCache, Plan, Plans};
use crate::memory::HostMemory;
use crate::slots::pack;
use crate::tensor::TensorError;
use crate::{DeviceName, RuntimeError};
use rayon::{ThreadPool, ThreadPoolBuilder};
use sla_codegen::target::cpu::HostFunction;
use sla_codegen::{Artifact, CodegenError, Options};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Ranges of programs per thread: enough to even out their lengths.
const RANGES: u64 = 32;

/// Threads, scratch memory and compiled kernels of the host.
pub(super) struct CpuDevice {
    threads: usize,
    pool: OnceLock<Result<ThreadPool, String>>,
    cache: KernelCache<HostFunction>,
    plans: Plans<Arc<Compiled<HostFunction>>>,
    /// Scratch memory that no running thread uses.
    scratch: Mutex<Vec<HostMemory>>,
}

impl CpuDevice {
    pub fn new(threads: usize) -> CpuDevice {
        let (pool, cache) = (OnceLock::new(), KernelCache::new(crate::env::dumps()));
        CpuDevice { threads, pool, cache, plans: Plans::new(), scratch: Mutex::new(Vec::new()) }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Compiles if needed and runs to the end. `bind` checks the arguments, unless a launch of their form has passed before.
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
            let ready = self.compiled(def, consts, options, &bound)?;
            Ok::<_, RuntimeError>(Plan { bound, ready })
        })?;
        let Plan { bound, ready: compiled } = &*plan;
        let slots = pack(&compiled.abi, args, &bound.dims);
        // SAFETY: the function was compiled for this signature and these facts, and `bind` has checked the arguments, which stay
        // lent until this call returns.
        unsafe { self.run(&compiled.code, &slots, bound.programs()) }
    }

    fn compiled(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        options: &Options,
        bound: &Bound,
    ) -> Result<Arc<Compiled<HostFunction>>, RuntimeError> {
        self.cache.get(def, consts, options, bound, |kernel| {
            match crate::compiler::compile(kernel, consts, options)? {
                Artifact::Host(code) => Ok(Compiled { abi: kernel.abi(), code }),
                Artifact::Gpu(_) => Err(CodegenError::NoStage {
                    target: DeviceName::Cpu.to_string(),
                    stage: sla_codegen::Stage::Ptx,
                }
                .into()),
            }
        })
    }

    /// Runs every program of a linear grid, or stops soon after one has failed.
    ///
    /// # Safety
    /// `slots` must be right for the function: enough of them, with addresses it may access as its kernel does.
    unsafe fn run(&self, function: &HostFunction, slots: &[u64], programs: u64) -> Result<(), RuntimeError> {
        let threads = self.threads as u64;
        let range = (programs / (threads * RANGES)).max(1);
        let workers = programs.div_ceil(range).min(threads);
        let next = AtomicU64::new(0);
        let failure = OnceLock::new();
        let work = |scratch: &HostMemory| {
            while failure.get().is_none() {
                let first = next.fetch_add(range, Ordering::Relaxed);
                if first >= programs {
                    break;
                }
                let mine = first..(first + range).min(programs);
                // SAFETY: by this function's contract; the scratch memory is this worker's alone and large enough.
                if let Err(e) = unsafe { function.run(slots, mine, scratch.as_ptr()) } {
                    // Of several that fail at once, one is told.
                    let _ = failure.set(e);
                }
            }
        };
        let mut scratch = SmallVec::<[HostMemory; 4]>::new();
        for _ in 0..workers {
            scratch.push(self.take_scratch(function.scratch_bytes())?);
        }
        match &scratch[..] {
            [] => {}
            [one] => work(one),
            many => self.pool()?.scope(|s| {
                for mine in many {
                    s.spawn(|_| work(mine));
                }
            }),
        }
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).extend(scratch);
        failure.into_inner().map_or(Ok(()), |e| Err(RuntimeError::Program(e)))
    }

    fn pool(&self) -> Result<&ThreadPool, RuntimeError> {
        let start = || {
            let name = |i| format!("sla-cpu-{i}");
            let pool = ThreadPoolBuilder::new().num_threads(self.threads).thread_name(name).build();
            pool.map_err(|e| e.to_string())
        };
        self.pool.get_or_init(start).as_ref().map_err(|e| RuntimeError::Threads(e.clone()))
    }

    /// Scratch memory of at least this size; smaller pieces that come to hand are given up.
    fn take_scratch(&self, bytes: usize) -> Result<HostMemory, RuntimeError> {
        let kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(memory) if memory.len() >= bytes => Ok(memory),
            _ => HostMemory::zeroed(bytes)
                .ok_or_else(|| TensorError::OutOfMemory { bytes, place: "the host".to_string() }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts each program in an array, and uses its scratch as a kernel would.
    unsafe extern "C" fn count(args: *const u64, first: u64, last: u64, scratch: *mut u8) {
        // SAFETY: the test passes one slot, the address of an array with a place for each program, and 8 bytes of scratch.
        unsafe {
            let counts = *args as *const AtomicU64;
            for p in first..last {
                *scratch.cast::<u64>() = p;
                std::hint::black_box(scratch);
                (*counts.add(*scratch.cast::<u64>() as usize)).fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn every_program_runs_once() {
        // SAFETY: `count` follows the contract and is not unmapped.
        let function = unsafe { HostFunction::new(count, 8, Box::new(())) };
        for threads in [1, 2, 5] {
            let device = CpuDevice::new(threads);
            for programs in [0, 1, 2, 7, 64, 1000] {
                let counts: Vec<AtomicU64> = (0..programs).map(|_| AtomicU64::new(0)).collect();
                // SAFETY: the one slot that `count` reads, and a place for each program.
                unsafe { device.run(&function, &[counts.as_ptr() as u64], programs) }.unwrap();
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{threads} {programs}");
            }
            let kept = device.scratch.lock().unwrap().len();
            assert!(kept <= threads, "{kept} pieces of scratch are kept for {threads} threads");
        }
    }

    #[test]
    fn scratch_grows_on_demand() {
        let device = CpuDevice::new(1);
        device.scratch.lock().unwrap().push(HostMemory::zeroed(16).unwrap());
        assert_eq!(device.take_scratch(8).unwrap().len(), 16);
        device.scratch.lock().unwrap().push(HostMemory::zeroed(16).unwrap());
        assert!(device.take_scratch(100).unwrap().len() >= 100);
    }
}
