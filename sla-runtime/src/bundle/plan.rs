//! What a program would launch on a GPU, noted without running it, and compiled into a bundle.
//!
//! A plan's device has the target of a GPU and the memory of the host: tensors can be made, launches are checked and noted, and nothing runs, so that
//! what is read afterwards is zeros. No GPU is needed.

use super::{Bundle, BundleKey, find};
use crate::cache::{Compiled, KernelCache};
use crate::{Device, RuntimeError};
use sla_codegen::{Arch, Options, Target};
use sla_dsl::ir::Kernel;
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::Bound;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A kernel to be compiled; where there is no compiler, one to be asked for.
#[cfg_attr(not(feature = "compile"), allow(dead_code))]
struct Noted {
    title: String,
    consts: Consts,
    kernel: Kernel,
    options: Options,
}

type Kernels = BTreeMap<BundleKey, Noted>;

/// A note of everything that is launched on its [`device`](Plan::device). A launch stands for the kernel that is compiled for just it; that also serves launches of
/// which more is known. So a plan has a launch with sizes that no block divides, and with tensors that lie as they may, and others for what is to be fast.
#[derive(Clone)]
pub struct Plan(Arc<PlanDevice>);

/// The device that notes.
pub(crate) struct PlanDevice {
    arch: Arch,
    /// Which launches are alike.
    known: KernelCache<()>,
    kernels: Mutex<Kernels>,
}

impl Plan {
    /// An empty plan for an architecture. What is planned for sm_80 is compiled for every GPU: within the shared memory that all of them have, and as PTX, which the
    /// driver assembles.
    pub fn new(arch: Arch) -> Plan {
        Plan(Arc::new(PlanDevice { arch, known: KernelCache::new(None), kernels: Mutex::default() }))
    }

    /// The device whose launches are noted.
    pub fn device(&self) -> Device {
        Device::plan(self.0.clone())
    }

    /// How many kernels are noted.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kernels that are in none of the bundles as they are, for people.
    pub fn missing(&self, bundles: &[Arc<Bundle>]) -> Vec<String> {
        let kernels = self.0.lock();
        let there = |key: &BundleKey| bundles.iter().any(|b| b.contains(key));
        kernels.iter().filter(|(key, _)| !there(key)).map(|(_, noted)| noted.title.clone()).collect()
    }

    /// Compiles everything that is noted, on all cores. `progress` is told how many kernels of how many are done. The assembler of `tools` makes cubins; without
    /// one, and for sm_80, the bundle holds PTX.
    ///
    /// # Errors
    /// A kernel that cannot be compiled or assembled.
    #[cfg(feature = "compile")]
    pub fn compile(
        &self,
        tools: &sla_codegen::Tools,
        note: &str,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<super::BundleWriter, RuntimeError> {
        use rayon::prelude::*;
        use std::sync::atomic::{AtomicUsize, Ordering};
        let kernels = self.0.lock();
        let done = AtomicUsize::new(0);
        let made: Vec<_> = kernels
            .par_iter()
            .map(|(_, noted)| {
                let entry = noted.compile(tools)?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, kernels.len());
                Ok((noted, entry))
            })
            .collect::<Result<_, RuntimeError>>()?;
        let version = match &tools.ptxas {
            Some(_) => sla_codegen::ptxas::version(tools).map_err(sla_codegen::CodegenError::from)?,
            None => None,
        };
        let ptxas = version.map_or(String::new(), |v| format!(" ptxas {v}"));
        let mut writer = super::BundleWriter::new(sla_codegen::toolchain() + &ptxas, note);
        for (noted, entry) in made {
            writer.add(&noted.kernel, &noted.consts, &noted.options, "", &entry)?;
        }
        Ok(writer)
    }
}

#[cfg(feature = "compile")]
impl Noted {
    fn compile(&self, tools: &sla_codegen::Tools) -> Result<super::Entry, RuntimeError> {
        use sla_codegen::{Artifact, CodegenError, Stage};
        let no_ptx = || CodegenError::NoStage { target: self.options.target.to_string(), stage: Stage::Ptx };
        let (Artifact::Gpu(mut image), Target::Cuda(arch)) =
            (sla_codegen::compile(&self.kernel, &self.options)?, self.options.target)
        else {
            return Err(no_ptx().into());
        };
        let fingerprint = image.fingerprint();
        // One form of the code is enough.
        let ptx = std::mem::take(&mut image.ptx);
        let (code, report) = match tools.ptxas {
            Some(_) if arch != Arch::Sm80 => {
                let made = sla_codegen::ptxas::assemble(tools, &ptx, arch).map_err(CodegenError::from)?;
                (made.cubin, Some(made.report))
            }
            _ => (ptx.into_bytes(), None),
        };
        Ok(super::Entry { title: self.title.clone(), image, code, report, fingerprint })
    }
}

impl PlanDevice {
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// What launches are compiled with unless they say otherwise.
    pub fn options(&self) -> Options {
        let options = Options::new(Target::Cuda(self.arch));
        if self.arch == Arch::Sm80 { find::portable(&options) } else { options }
    }

    /// Notes the kernels of a launch.
    pub fn note(
        &self,
        def: &'static KernelDef,
        consts: &Consts,
        bound: &Bound,
        options: &Options,
    ) -> Result<(), RuntimeError> {
        self.known.get(def, consts, options, bound, |kernel| {
            let space = if consts.0.is_empty() { "" } else { " " };
            let title = format!("{}{space}{consts} for {}", def.name, options.target);
            let (key, consts) = (BundleKey::new(kernel, options), consts.clone());
            let noted = Noted { title, consts, kernel: kernel.clone(), options: options.clone() };
            self.lock().insert(key, noted);
            Ok(Compiled { abi: kernel.abi(), code: () })
        })?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Kernels> {
        // A panic elsewhere leaves the map whole.
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
