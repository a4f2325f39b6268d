//! NVIDIA GPUs: the only folder that knows the driver. libcuda is opened when the first GPU is asked for.
//!
//! Work goes to the context's default stream, which orders it with that of every other handle of the same GPU: memory and launches
//! of two handles need no synchronisation by the user.

mod context;
mod error;
mod memory;
mod module;

pub(crate) use context::CudaContext;
pub use error::CudaError;
pub(crate) use memory::CudaMemory;

use crate::RuntimeError;
use crate::cache::KernelCache;
use crate::slots::pack;
use module::CudaKernel;
use sla_codegen::{Arch, Artifact, CodegenError, Options, Stage};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound};
use std::sync::Arc;

/// A GPU with its compiled kernels.
pub(super) struct CudaDevice {
    context: Arc<CudaContext>,
    arch: Arch,
    cache: KernelCache<CudaKernel>,
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
        Ok(CudaDevice { context, arch, cache: KernelCache::new() })
    }

    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    pub fn arch(&self) -> Arch {
        self.arch
    }

    pub fn describe(&self) -> String {
        let (major, minor) = self.context.capability();
        format!("cuda:{} ({}, sm_{major}{minor})", self.context.ordinal(), self.context.name())
    }

    /// Compiles and loads if needed, and enqueues the kernel.
    pub fn launch(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
        bound: &Bound,
        options: &Options,
    ) -> Result<(), RuntimeError> {
        let compiled = self.cache.get(def, consts, options, bound, |kernel| {
            match sla_codegen::compile(kernel, options)? {
                Artifact::Gpu(image) => Ok(CudaKernel::load(&self.context, def.name, &image)?),
                Artifact::Host(_) => {
                    let target = options.target.to_string();
                    Err(CodegenError::NoStage { target, stage: Stage::Ptx }.into())
                }
            }
        })?;
        let mut slots = pack(&compiled.abi, args, &bound.dims);
        // Below 2^31 by `bind`.
        let programs = bound.programs() as u32;
        if programs > 0 {
            // SAFETY: the kernel was compiled for this signature and these facts, and `bind` has checked the arguments. Tensors free
            // their memory in stream order, so it stays valid until the kernel has run even if they are dropped before.
            unsafe { compiled.code.launch(programs, &mut slots)? };
        }
        Ok(())
    }
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
