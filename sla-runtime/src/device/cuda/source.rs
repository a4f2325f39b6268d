//! Where the code of a GPU's kernels comes from: a bundle, the disk, or the compiler and its assembler, in this order.
//!
//! What is loaded from where is decided here and told in one line a process, if it is not what the user would want: code that the driver's own compiler
//! assembles depends on the driver.

use super::code::Code;
use super::context::driver_release;
use super::module::CudaKernel;
use super::{CudaContext, CudaError};
use crate::RuntimeError;
use crate::bundle::{Bundle, Found, Wanted, find};
use crate::cache::Compiled;
use crate::compiler;
use crate::disk::{DiskCache, Entry, Key};
use sla_codegen::ptxas::Finding;
use sla_codegen::{Arch, Artifact, CodegenError, Options, Stage, Target, Tools};
use sla_dsl::ir::Kernel;
use sla_dsl::lang::{Consts, KernelDef};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a device takes its kernels from.
pub(super) struct Source {
    tools: Tools,
    bundles: Vec<Arc<Bundle>>,
    /// Kernels of earlier processes.
    disk: Option<Arc<DiskCache>>,
    /// Whether somebody was told of the driver's compiler.
    told: AtomicBool,
}

impl Source {
    /// What the environment names. Without a compiler nothing is kept on disk.
    pub fn from_env() -> Source {
        let disk = crate::env::disk_cache().filter(|_| cfg!(feature = "compile")).map(Arc::new);
        Source { tools: crate::env::tools(), bundles: Vec::new(), disk, told: AtomicBool::new(false) }
    }

    /// The same with one bundle more.
    pub fn with(&self, bundle: Arc<Bundle>) -> Source {
        let (tools, disk) = (self.tools.clone(), self.disk.clone());
        let bundles = self.bundles.iter().cloned().chain([bundle]).collect();
        let told = AtomicBool::new(self.told.load(Ordering::Relaxed));
        Source { tools, bundles, disk, told }
    }

    /// A kernel for a launch, loaded: the one given, or one that is as right.
    pub fn load(
        &self,
        context: &Arc<CudaContext>,
        def: &'static KernelDef,
        consts: &Consts,
        kernel: &Kernel,
        options: &Options,
    ) -> Result<Compiled<CudaKernel>, RuntimeError> {
        let name = def.name;
        let capability = context.capability();
        let load = |kernel: &Kernel, entry: Entry| {
            let params = kernel.params.iter().map(|p| p.name.clone()).collect();
            let code = Code { bytes: entry.code, report: entry.report, refused: None };
            let code = CudaKernel::load(context, name, params, &entry.image, code)?;
            let code = code.known_as(entry.fingerprint);
            Ok::<_, CudaError>(Compiled { abi: kernel.abi(), code })
        };
        // Kernels that check have a log, which is not kept.
        if !options.checks {
            let (shared_bytes, any) = (context.shared_bytes(), !cfg!(feature = "compile"));
            let wanted = Wanted { def, consts, kernel, options, shared_bytes, any };
            if let Some(Found { kernel, entry }) = find(&self.bundles, &wanted)? {
                if entry.report.is_none() {
                    self.tell(options, "the bundle of kernels has PTX for this GPU");
                }
                return Ok(load(&kernel, entry)?);
            }
        }
        let disk = self.disk.as_deref().filter(|_| !options.checks);
        let disk = disk.map(|disk| (disk, Key::new(kernel, options, &self.tools, capability)));
        if let Some(entry) = disk.as_ref().and_then(|(d, key)| d.get(key)) {
            // What does not load is compiled again.
            if let Ok(loaded) = load(kernel, entry) {
                return Ok(loaded);
            }
        }
        let none = || CodegenError::NoStage { target: options.target.to_string(), stage: Stage::Ptx };
        let (Artifact::Gpu(image), Target::Cuda(arch)) =
            (compiler::compile(kernel, consts, options)?, options.target)
        else {
            return Err(none().into());
        };
        let code = Code::best(&image.ptx, arch, capability, &self.tools);
        if let (None, why) = (&code.report, &code.refused) {
            self.tell(options, why.as_deref().unwrap_or(self.missing(arch)));
        }
        let (bytes, report, kept) = (code.bytes.clone(), code.report.clone(), code.refused.is_none());
        let params = kernel.params.iter().map(|p| p.name.clone()).collect();
        let loaded = CudaKernel::load(context, name, params, &image, code)?;
        // A ptxas that failed once, as with a full disk, may not do so again.
        if let Some((disk, key)) = disk.filter(|_| kept) {
            let by = if report.is_none() { ", assembled by the driver" } else { "" };
            let title = format!("{name} for {}{by}", arch.name());
            let fingerprint = image.fingerprint();
            let entry = Entry { title, image, code: bytes, report, fingerprint };
            if let Some(warning) = disk.put(&key, &entry) {
                warn(&warning);
            }
        }
        Ok(Compiled { abi: kernel.abi(), code: loaded })
    }

    /// Why there is no cubin, where ptxas was not even tried.
    fn missing(&self, arch: Arch) -> &'static str {
        match (&self.tools.ptxas, arch) {
            (None, _) => "no ptxas was found (`cargo xtask setup` installs one, SLA_PTXAS names one)",
            (Some(_), _) => "this GPU runs no machine code of an architecture that there is code for",
        }
    }

    /// Says, the first time, that the driver's compiler is used, why, and what is known against it.
    fn tell(&self, options: &Options, why: &str) {
        let Target::Cuda(arch) = options.target else { return };
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let release = driver_release();
        let (named, known) = match release {
            Some((major, minor)) => {
                let finding = Finding::of_release(major, minor, arch);
                (
                    format!(" (CUDA {major}.{minor})"),
                    finding.map_or(String::new(), |f| format!("; known of it: {f}")),
                )
            }
            None => Default::default(),
        };
        warn(&format!("kernels are assembled by the driver's compiler{named}: {why}{known}"));
    }
}

fn warn(text: &str) {
    // A closed stream is no reason to stop.
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}
