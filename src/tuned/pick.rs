//! How a kernel is launched: by its record for the problem's key, where there is one that still holds, and by its default otherwise.
//!
//! A record holds for a space, for code and for an assembler. A kernel is compiled by its record as it would be anyway, and what came out is compared with
//! what was measured: if anything differs that matters, the record is refused with a message, and the default runs. Nothing is measured here.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sla_codegen::{Arch, Options, Target};
use sla_dsl::lang::{Const, Consts, KernelDef};
use sla_dsl::launch::{Arg, Bound, Form, Launcher, bind};
use sla_runtime::{Device, DeviceName, RuntimeError, env};
use thiserror::Error;

use super::key::Key;
use super::made::{Made, code};
use super::record::{Entry, RecordError, Records, fingerprint};

/// The records that this program brings, by architecture.
pub(crate) const OWN: &[(&str, &str)] = &[("sm_90a", include_str!("../../tuned/sm_90a.json"))];

/// Constants and options of a launch.
pub type Choice = (Consts, Options);

/// Why a record is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stale {
    /// The kernel declares another space.
    #[error("its space has changed since")]
    Space,
    /// A value that the kernel or the compiler no longer has.
    #[error("it does not run any more: {0}")]
    Gone(String),
    /// Other code.
    #[error(
        "the kernel or the compiler has changed since ({then} then, {now} now), or the sizes have tails that those measured had not"
    )]
    Code {
        /// The compiler that it was measured with.
        then: String,
        /// The compiler of this program.
        now: String,
    },
    /// Another assembler.
    #[error("it was measured with ptxas {then}, and assembled by {now} now")]
    Assembler {
        /// The version it was measured with.
        then: String,
        /// What assembles now.
        now: String,
    },
}

/// Records of one architecture, and what was made of them.
struct Known {
    records: HashMap<String, Vec<Entry>>,
    decided: Mutex<Decided>,
}

/// What was decided for launches, so that each is asked about once, and the records that were told of.
#[derive(Default)]
pub(super) struct Decided {
    decisions: Vec<Decision>,
    told: Vec<(&'static str, Key)>,
}

/// Forms of launches that are remembered. More begin anew: each costs a comparison a launch.
const MOST: usize = 512;

struct Decision {
    def: usize,
    device: DeviceName,
    consts: Consts,
    form: Form,
    choice: Option<Arc<Choice>>,
}

/// Launches a kernel by its record or its default.
///
/// # Errors
/// As [`Device::launch_with`].
pub fn launch(
    device: &Device,
    kernel: &'static KernelDef,
    consts: &Consts,
    args: &[Arg<'_>],
) -> Result<(), RuntimeError> {
    match pick(device, kernel, consts, args) {
        Some(choice) => device.launch_with(kernel, &choice.0, args, &choice.1),
        None => device.launch(kernel, consts, args),
    }
}

/// Whether a launch may have constants that others of its kernel do not: where nothing is compiled there is only what was planned, and plans are of
/// kernels that serve every size.
pub fn specialises(device: &Device) -> bool {
    cfg!(feature = "compile") && !matches!(device.name(), DeviceName::Plan(_))
}

/// Constants and options of a kernel's record for a launch, if there is one that holds; what does not hold is told on standard error, once.
pub fn pick(
    device: &Device,
    kernel: &'static KernelDef,
    consts: &Consts,
    args: &[Arg<'_>],
) -> Option<Arc<Choice>> {
    let Some(Target::Cuda(arch)) = device.target() else { return None };
    if !specialises(device) {
        return None;
    }
    let known = known(arch.name())?;
    let entries = known.records.get(kernel.name)?;
    asked(&known.decided, device, kernel, consts, args, entries.iter())
}

/// What was decided for a launch like this, or is now. Kernels are compiled while nobody is kept from looking.
pub(super) fn asked<'e>(
    decided: &Mutex<Decided>,
    device: &Device,
    kernel: &'static KernelDef,
    consts: &Consts,
    args: &[Arg<'_>],
    entries: impl Iterator<Item = &'e Entry>,
) -> Option<Arc<Choice>> {
    // Kernels that check are not those that were measured.
    if device.options().checks {
        return None;
    }
    let def = kernel as *const KernelDef as usize;
    let name = device.name();
    let lock = || decided.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |d: &&Decision| d.def == def && d.device == name && d.consts == *consts && d.form.is_of(args);
    if let Some(decision) = lock().decisions.iter().find(same) {
        return decision.choice.clone();
    }
    // Arguments that do not fit are told by the launch itself.
    let bound = bind(kernel, consts, args).ok()?;
    let (choice, stale) = match decide(device, kernel, consts, args, &bound, entries) {
        Ok(choice) => (choice.map(Arc::new), None),
        Err(stale) => (None, Some(stale)),
    };
    let mut decided = lock();
    if let Some((key, stale)) = stale
        && !decided.told.contains(&(kernel.name, key.clone()))
    {
        let text = format!(
            "warning: {}'s record for {key} is not used: {stale}; its default runs until it is tuned again",
            kernel.name
        );
        // A closed stream is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{text}");
        decided.told.push((kernel.name, key));
    }
    if decided.decisions.len() >= MOST {
        decided.decisions.clear();
    }
    let (consts, form) = (consts.clone(), Form::of(args));
    decided.decisions.push(Decision { def, device: name, consts, form, choice: choice.clone() });
    choice
}

/// Constants and options of the entry for a launch, if there is one.
///
/// # Errors
/// Why the entry does not hold.
fn decide<'e>(
    device: &Device,
    kernel: &'static KernelDef,
    consts: &Consts,
    args: &[Arg<'_>],
    bound: &Bound,
    mut entries: impl Iterator<Item = &'e Entry>,
) -> Result<Option<Choice>, (Key, Stale)> {
    let key = Key::of(kernel, consts, bound);
    let Some(entry) = entries.find(|entry| entry.key == key) else { return Ok(None) };
    let chosen = chosen(entry, kernel, consts, &device.options()).and_then(|choice| {
        let gone = |e: RuntimeError| Stale::Gone(e.to_string());
        let made = device.resources(kernel, &choice.0, args, &choice.1).map_err(gone)?;
        holds(entry, &made.map_or_else(Made::default, Made::from)).map(|()| choice)
    });
    chosen.map(Some).map_err(|stale| (key, stale))
}

/// Constants and options by a record.
fn chosen(entry: &Entry, kernel: &KernelDef, consts: &Consts, options: &Options) -> Result<Choice, Stale> {
    if fingerprint(&kernel.tune) != entry.made.space {
        return Err(Stale::Space);
    }
    let declared = |name: &str, value: &str| {
        let mut axes = kernel.tune.axes.iter();
        axes.any(|axis| axis.name == name && axis.values.contains(&value))
    };
    let unknown =
        |name: &str, value: &str| Stale::Gone(format!("{name}={value} is not in the kernel's space"));
    let (mut consts, mut options) = (consts.clone(), options.clone());
    for (name, value) in &mut consts.0 {
        if let Some(tuned) = entry.consts.get(name.as_ref()) {
            let text = tuned.to_string();
            if *value != Const::Int(*tuned) && !declared(name, &text) {
                return Err(unknown(name, &text));
            }
            *value = Const::Int(*tuned);
        }
    }
    for (name, value) in &entry.settings {
        if !declared(name, value) {
            return Err(unknown(name, value));
        }
        options.set(name, value).map_err(|e| Stale::Gone(e.to_string()))?;
    }
    Ok((consts, options))
}

/// Whether a record is of this code.
pub(crate) fn holds(entry: &Entry, made: &Made) -> Result<(), Stale> {
    if made.ptxas != entry.made.ptxas {
        let name = |ptxas: &Option<String>| ptxas.clone().unwrap_or_else(|| "the driver".to_owned());
        return Err(Stale::Assembler { then: name(&entry.made.ptxas), now: name(&made.ptxas) });
    }
    if made.code != entry.made.code {
        return Err(Stale::Code { then: entry.made.compiler.clone(), now: compiler() });
    }
    Ok(())
}

/// This program's compiler.
#[cfg(feature = "compile")]
fn compiler() -> String {
    sla_codegen::toolchain()
}

/// There is none.
#[cfg(not(feature = "compile"))]
fn compiler() -> String {
    "no compiler".to_owned()
}

/// Whether what a record would run is, compiled for its architecture, what was measured. No GPU is asked, and no assembler.
///
/// # Errors
/// [`Stale`].
pub fn check(
    entry: &Entry,
    kernel: &'static KernelDef,
    image: impl FnOnce(&Choice) -> Result<u64, String>,
    consts: &Consts,
    options: &Options,
) -> Result<(), Stale> {
    let choice = chosen(entry, kernel, consts, options)?;
    let made = Made {
        code: code(image(&choice).map_err(Stale::Gone)?),
        ptxas: entry.made.ptxas.clone(),
        ..Made::default()
    };
    holds(entry, &made)
}

/// The records of an architecture: the program's own, or those of the user's folder. A file that cannot be read is told of, once.
fn known(arch: &str) -> Option<&'static Known> {
    static KNOWN: OnceLock<HashMap<&str, Known>> = OnceLock::new();
    let all = KNOWN
        .get_or_init(|| Arch::ALL.into_iter().filter_map(|a| Some((a.name(), read(a.name())?))).collect());
    all.get(arch)
}

fn read(arch: &str) -> Option<Known> {
    let records = match env::tuned() {
        env::Tuned::Off => return None,
        env::Tuned::Own => own(arch)?,
        env::Tuned::Folder(folder) => Records::read(&Records::place(&folder, arch), arch),
    };
    let records = records.map_err(|e| writeln!(std::io::stderr(), "warning: {e}")).ok()?;
    let mut by_name: HashMap<String, Vec<Entry>> = HashMap::new();
    for entry in records.entries {
        by_name.entry(entry.kernel.clone()).or_default().push(entry);
    }
    Some(Known { records: by_name, decided: Mutex::default() })
}

/// The records that this program brings for an architecture.
pub fn own(arch: &str) -> Option<Result<Records, RecordError>> {
    let (name, text) = OWN.iter().find(|(name, _)| *name == arch)?;
    let parsed = serde_json::from_str(text);
    Some(parsed.map_err(|source| RecordError::Parse { path: format!("tuned/{name}.json").into(), source }))
}
