//! Devices: where kernels run. A handle owns everything a device keeps (threads, context, compiled kernels), and clones share it.
//!
//! Two handles of one GPU are two caches on one context, and know together who uses which memory; that is all that is global. GPUs do not know of
//! each other.

#[cfg_attr(not(feature = "compile"), path = "no_cpu.rs")]
mod cpu;
mod cuda;
mod graph;
mod mark;
mod meter;
mod name;
mod resources;
mod scrub;
mod stream;

pub use cuda::{CudaError, MapRefusal};
pub(crate) use cuda::{CudaMemory, CudaStream};
pub use graph::Graph;
pub use mark::Mark;
pub use meter::MemoryUse;
pub use name::DeviceName;
pub use resources::Resources;
pub use scrub::Scrubber;
pub use stream::Stream;

use crate::RuntimeError;
use crate::bundle::{Bundle, Plan, PlanDevice};
use crate::memory::HostMemory;
use crate::tensor::TensorError;
use cpu::CpuDevice;
use cuda::{CudaContext, CudaDevice, Event};
use mark::Point;
use scrub::Buffer;
use sla_codegen::{Options, ScheduleKind, Target};
use sla_dsl::interp::{DeviceError, Interpreter};
use sla_dsl::lang::{Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound, Launcher, Space, bind};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A place to run kernels on.
#[derive(Clone)]
pub struct Device(Kind);

#[derive(Clone)]
enum Kind {
    // Without a compiler there is no such device, and the type has no values.
    #[cfg_attr(not(feature = "compile"), allow(dead_code))]
    Cpu(Arc<CpuDevice>),
    Cuda(Arc<CudaDevice>),
    Interp,
    Plan(Arc<PlanDevice>),
}

impl Device {
    /// The host's cores. Its threads start with the first launch; see [`crate::env::threads`] for their number.
    #[cfg(feature = "compile")]
    pub fn cpu() -> Device {
        Device(Kind::Cpu(Arc::new(CpuDevice::new(crate::env::threads()))))
    }

    /// A GPU.
    ///
    /// # Errors
    /// No driver, no GPU with this ordinal, or one older than sm_80.
    pub fn cuda(ordinal: usize) -> Result<Device, RuntimeError> {
        Ok(Device(Kind::Cuda(Arc::new(CudaDevice::open(ordinal)?))))
    }

    /// The interpreter, which defines what a kernel means. Slow.
    pub fn interp() -> Device {
        Device(Kind::Interp)
    }

    pub(crate) fn plan(plan: Arc<PlanDevice>) -> Device {
        Device(Kind::Plan(plan))
    }

    /// The device of a name. `auto` is the first GPU where there is one that can be used, otherwise the host.
    ///
    /// # Errors
    /// As [`Device::cuda`]; for `auto` it is no error that there is no GPU, or none that can be used. In a build without a compiler there is no host to
    /// take instead, nor by its name.
    pub fn open(name: DeviceName) -> Result<Device, RuntimeError> {
        #[cfg(feature = "compile")]
        let host = || Ok(Device::cpu());
        #[cfg(not(feature = "compile"))]
        let host = || Err(RuntimeError::NoHost { device: DeviceName::Cpu });
        match name {
            DeviceName::Cpu => host(),
            DeviceName::Interp => Ok(Device::interp()),
            DeviceName::Plan(arch) => Ok(Plan::new(arch).device()),
            DeviceName::Cuda(ordinal) => Device::cuda(ordinal),
            DeviceName::Auto => match Device::cuda(0) {
                Err(RuntimeError::Cuda(e)) if e.is_absence() && cfg!(feature = "compile") => host(),
                outcome => outcome,
            },
        }
    }

    /// The same device, which takes kernels out of a bundle before it compiles any; without a compiler also such as are not made for just a launch, but as
    /// right: see [`crate::bundle`]. Bundles that it has already come first. Only GPUs have a use for it.
    pub fn with_bundle(&self, bundle: Arc<Bundle>) -> Device {
        match &self.0 {
            Kind::Cuda(d) => Device(Kind::Cuda(Arc::new(d.with_bundle(bundle)))),
            _ => self.clone(),
        }
    }

    /// The device's name; never `auto`.
    pub fn name(&self) -> DeviceName {
        match &self.0 {
            Kind::Cpu(_) => DeviceName::Cpu,
            Kind::Cuda(d) => DeviceName::Cuda(d.context().ordinal()),
            Kind::Interp => DeviceName::Interp,
            Kind::Plan(plan) => DeviceName::Plan(plan.arch()),
        }
    }

    /// The memory its tensors are in.
    pub fn space(&self) -> Space {
        match &self.0 {
            Kind::Cpu(_) | Kind::Interp | Kind::Plan(_) => Space::Host,
            Kind::Cuda(d) => d.context().space(),
        }
    }

    /// What kernels are compiled for; `None` for the interpreter, which compiles nothing.
    pub fn target(&self) -> Option<Target> {
        match &self.0 {
            Kind::Cpu(_) => Some(Target::Cpu),
            Kind::Cuda(d) => Some(Target::Cuda(d.arch())),
            Kind::Interp => None,
            Kind::Plan(plan) => Some(Target::Cuda(plan.arch())),
        }
    }

    /// The compiler options that [`Launcher::launch`] takes: the target's defaults, within what this device has.
    pub fn options(&self) -> Options {
        let options = Options::new(self.target().unwrap_or(Target::Cpu));
        match &self.0 {
            Kind::Cuda(d) => Options {
                shared: u32::try_from(d.context().shared_bytes()).ok(),
                checks: d.checks(),
                schedule: if d.checks() { ScheduleKind::Baseline } else { options.schedule },
                ..options
            },
            Kind::Plan(plan) => plan.options(),
            _ => options,
        }
    }

    /// The same device, with kernels that check on a GPU what the host and the interpreter always check, or without. Then a box outside
    /// its tensor, a failed `assert!` and an integer division by zero end the program that meets them and fail its launch, as
    /// they do on the host, and `print!` writes to standard error. Every launch waits for its kernel. The default is that of [`crate::env::checks`].
    pub fn with_checks(&self, checks: bool) -> Device {
        match &self.0 {
            Kind::Cuda(d) => Device(Kind::Cuda(Arc::new(d.with_checks(checks)))),
            _ => self.clone(),
        }
    }

    /// One line for people: the name and the hardware behind it.
    pub fn describe(&self) -> String {
        match &self.0 {
            Kind::Cpu(d) => format!("cpu ({} threads)", d.threads()),
            Kind::Cuda(d) => d.describe(),
            Kind::Interp => "interp (the reference interpreter)".to_string(),
            Kind::Plan(plan) => format!("a plan for {}, which runs nothing", plan.arch().name()),
        }
    }

    /// Waits until everything launched in this handle's stream has run.
    ///
    /// # Errors
    /// A launch that failed on the device.
    pub fn synchronize(&self) -> Result<(), RuntimeError> {
        match &self.0 {
            Kind::Cpu(_) | Kind::Interp | Kind::Plan(_) => Ok(()),
            Kind::Cuda(d) => Ok(d.stream().synchronize()?),
        }
    }

    /// Runs `work` and measures it: on a GPU between two events around what it enqueued, elsewhere by the clock.
    ///
    /// # Errors
    /// Whatever `work` returns, or a launch that failed on the device.
    pub fn time<R, E: From<RuntimeError>>(
        &self,
        work: impl FnOnce() -> Result<R, E>,
    ) -> Result<(R, Duration), E> {
        match &self.0 {
            Kind::Cpu(_) | Kind::Interp | Kind::Plan(_) => {
                let start = Instant::now();
                let result = work()?;
                Ok((result, start.elapsed()))
            }
            Kind::Cuda(d) => {
                let start = Event::new(d.stream()).map_err(RuntimeError::from)?;
                let result = work()?;
                let time = start.elapsed().map_err(RuntimeError::from)?;
                Ok((result, time))
            }
        }
    }

    /// A point in the order of its work, after everything launched so far.
    ///
    /// # Errors
    /// A GPU that fails.
    pub fn mark(&self) -> Result<Mark, RuntimeError> {
        Ok(Mark(match &self.0 {
            Kind::Cpu(_) | Kind::Interp | Kind::Plan(_) => Point::Clock(Instant::now()),
            Kind::Cuda(d) => Point::Event(Event::new(d.stream())?),
        }))
    }

    /// Memory to drive everything else from its caches with: on a GPU at least four times its L2, on the host 64 MiB.
    ///
    /// # Errors
    /// No memory left.
    pub fn scrubber(&self) -> Result<Scrubber, RuntimeError> {
        Ok(Scrubber(match &self.0 {
            Kind::Cpu(_) | Kind::Interp | Kind::Plan(_) => {
                let bytes = 64 << 20;
                let full = || TensorError::OutOfMemory { bytes, place: "the host".to_string() };
                Buffer::Host(HostMemory::zeroed(bytes).ok_or_else(full)?)
            }
            Kind::Cuda(d) => {
                let bytes = (4 * d.context().cache_bytes()).max(64 << 20);
                Buffer::Cuda(CudaMemory::zeroed(d.memory(), bytes)?)
            }
        }))
    }

    /// What its tensors and kernels' own buffers take, for a GPU: counted by this handle and its clones.
    pub fn memory(&self) -> Option<MemoryUse> {
        self.cuda_context().map(|context| context.meter().read())
    }

    /// How many kernels were launched on a GPU, by this handle and its clones; recorded launches count when they are recorded.
    pub fn launches(&self) -> Option<u64> {
        self.cuda_context().map(|context| context.meter().launches())
    }

    /// Lets [`MemoryUse::peak`] start again from what is allocated now.
    pub fn reset_peak(&self) {
        if let Some(context) = self.cuda_context() {
            context.meter().reset_peak();
        }
    }

    /// A GPU's place on the PCI bus, as `nvidia-smi -i` takes it; `None` for the others.
    pub fn bus_id(&self) -> Option<String> {
        match &self.0 {
            Kind::Cuda(d) => d.context().bus_id().ok(),
            _ => None,
        }
    }

    /// What the kernel of a launch takes of a GPU; `None` on the others. Compiles the kernel unless it is cached, and launches nothing.
    ///
    /// # Errors
    /// As [`Device::launch_with`].
    pub fn resources(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
        options: &Options,
    ) -> Result<Option<Resources>, RuntimeError> {
        self.prepare(kernel, consts, &bind(kernel, consts, args)?, options)
    }

    /// As [`Device::resources`], for a launch that has been checked already: several threads can prepare several kernels at a time.
    ///
    /// # Errors
    /// As [`Device::launch_with`].
    pub fn prepare(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        bound: &Bound,
        options: &Options,
    ) -> Result<Option<Resources>, RuntimeError> {
        match &self.0 {
            Kind::Cuda(d) => d.resources(kernel, consts, bound, options).map(Some),
            _ => Ok(None),
        }
    }

    /// As [`Launcher::launch`], with compiler options of the caller's choice instead of the target's defaults.
    ///
    /// # Errors
    /// As [`Launcher::launch`]; options for another target are refused by the compiler or the driver.
    pub fn launch_with(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
        options: &Options,
    ) -> Result<(), RuntimeError> {
        let bound = || {
            let bound = bind(kernel, consts, args)?;
            self.check_space(kernel, &bound)?;
            Ok(bound)
        };
        match &self.0 {
            Kind::Cpu(d) => d.launch(kernel, consts, args, options, bound),
            Kind::Cuda(d) => d.launch(kernel, consts, args, options, bound),
            Kind::Plan(plan) => plan.note(kernel, consts, &bound()?, options),
            Kind::Interp => bound().and_then(|_| {
                Interpreter.launch(kernel, consts, args).map_err(|e| match e {
                    DeviceError::Launch(e) => e.into(),
                    DeviceError::Build(e) => e.into(),
                    DeviceError::Run(e) => RuntimeError::Interp(e),
                })
            }),
        }
    }

    fn check_space(&self, kernel: &KernelDef, bound: &Bound) -> Result<(), RuntimeError> {
        match bound.space {
            Some(found) if found != self.space() => Err(RuntimeError::Elsewhere {
                kernel: kernel.name,
                found,
                device: self.to_string(),
                needed: self.space(),
            }),
            _ => Ok(()),
        }
    }

    fn cuda_context(&self) -> Option<&Arc<CudaContext>> {
        self.cuda_memory().map(|stream| stream.context())
    }

    /// The stream that tensors on this device are allocated and freed in, for a GPU.
    pub(crate) fn cuda_memory(&self) -> Option<&Arc<CudaStream>> {
        match &self.0 {
            Kind::Cuda(d) => Some(d.memory()),
            _ => None,
        }
    }
}

impl Launcher for Device {
    type Error = RuntimeError;

    /// Checks the arguments, compiles the kernel unless it is cached, and runs it. On a GPU the call returns when the work is
    /// enqueued; reading a tensor or [`Device::synchronize`] waits for it.
    fn launch(
        &self,
        kernel: &'static KernelDef,
        consts: &Consts,
        args: &[Arg<'_>],
    ) -> Result<(), RuntimeError> {
        self.launch_with(kernel, consts, args, &self.options())
    }
}

impl FromStr for Device {
    type Err = RuntimeError;

    /// Opens the device of a name.
    fn from_str(s: &str) -> Result<Device, RuntimeError> {
        Device::open(s.parse()?)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
