//! `sla emit`: a shipped kernel at any stage of its compilation. What the stages hold is the code generator's business.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sla_codegen::{Arch, CodegenError, Options, Report, SettingError, Stage, Target};
use sla_dsl::diag::Diagnostics;
use sla_dsl::ir::{Elem, Kernel};
use sla_dsl::lang::{Const, Consts, GenericKind};
use sla_runtime::Dumps;
use thiserror::Error;

use super::error::CliError;
use super::nearest;
use crate::files::PendingFile;
use crate::kernels::{ALL, Entry, find};

/// Print a kernel at a stage of its compilation; without a kernel, list the kernels.
#[derive(Args)]
pub struct Emit {
    /// The kernel; see --list.
    kernel: Option<String>,
    /// Go on from a text that was changed by hand, as --dump wrote it: tile IR (.tile), or for a GPU MLIR (.mlir) or PTX (.ptx).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "list", "even", "dump"])]
    from: Option<PathBuf>,
    /// List the kernels with their constants and default values.
    #[arg(long)]
    list: bool,
    /// What to compile for: cpu, sm_80, sm_89, sm_90a, sm_100a or sm_120a.
    #[arg(long, default_value_t = Target::Cpu, value_parser = target)]
    target: Target,
    /// How far to compile: tile, sched, mlir, ll, ptx, cubin or sass.
    #[arg(long, default_value_t = Stage::Tile, value_parser = stage)]
    stage: Stage,
    /// Another value for one of the kernel's constants (in capitals) or one of the compiler's settings (in small letters); may be repeated.
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,
    /// For sizes that are multiples of their blocks, so that there are no tails.
    #[arg(long)]
    even: bool,
    /// Also write the kernel after every pass and at every stage into a folder of its own in this one.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Say what each pass changed, and how long it took: into a page where the name ends in .html, else as text; `-` is standard output. The
    /// kernel itself is then printed only with --out.
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    report: Option<PathBuf>,
    /// Changes of which steps: those whose name contains the text, or those of a stage. The table has all.
    #[arg(long, value_name = "TEXT", requires = "report")]
    passes: Option<String>,
    /// Write to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Why a kernel was not emitted.
#[derive(Debug, Error)]
pub enum EmitError {
    /// No such kernel.
    #[error("unknown kernel `{found}`; the kernels are {}{}", names(), nearest::hint(found, each_name()))]
    Kernel {
        /// The name given.
        found: String,
    },
    /// `--set` without a name or a value.
    #[error("found `--set {found}`, needed `--set NAME=VALUE`")]
    Set {
        /// What was given.
        found: String,
    },
    /// No such constant.
    #[error("{kernel} has no constant `{found}`; {needed}{hint}")]
    Constant {
        /// The kernel.
        kernel: &'static str,
        /// The name given.
        found: String,
        /// The constants there are.
        needed: String,
        /// The one that was probably meant.
        hint: String,
    },
    /// A value that the constant cannot have.
    #[error("constant {name} is `{found}`, needed {needed}")]
    Value {
        /// The constant.
        name: &'static str,
        /// The value given.
        found: String,
        /// What it may be.
        needed: String,
    },
    /// A setting that the compiler does not have.
    #[error("{source}{}", hint_of(.source))]
    Setting {
        /// What is wrong with it.
        source: SettingError,
    },
    /// Constants that do not go together.
    #[error("{}", .0.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Build(Diagnostics),
    /// The code generator refuses.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// A file that nothing starts from.
    #[error("found --from {found}, needed a file that ends in .tile, .mlir or .ptx")]
    From {
        /// What was given.
        found: String,
    },
    /// A report of what no pass goes over as a whole.
    #[error("found --report with --from {found}, needed a kernel or a file that ends in .tile")]
    Report {
        /// What was given.
        found: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Machine code on a terminal.
    #[error("stage {stage} is bytes and standard output is a terminal, needed --out FILE or a pipe")]
    Terminal {
        /// The stage.
        stage: Stage,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

impl EmitError {
    /// Whether the compiler failed at its own work.
    pub fn is_internal(&self) -> bool {
        matches!(self, EmitError::Codegen(CodegenError::Internal { .. } | CodegenError::Invalid(_)))
    }
}

impl Emit {
    /// Emits, or lists.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        if let Some(path) = &self.from {
            return self.go_on(path);
        }
        let Some(name) = self.kernel.as_deref().filter(|_| !self.list) else {
            return self.write(list().as_bytes());
        };
        let entry = entry(name)?;
        let mut options = Options::new(self.target);
        let consts = apply(entry, &self.set, &mut options)?;
        self.not_on_a_terminal()?;
        let kernel = entry.kernel(&consts, self.even).map_err(EmitError::Build)?;
        let tools = sla_runtime::env::tools();
        let dumps = self.dump.as_ref().map(|dir| Dumps::new(dir, None));
        if let Some(warning) = dumps.and_then(|dumps| dumps.write(&kernel, &options)) {
            // The kernel is printed whether or not anybody reads this.
            let _ = writeln!(std::io::stderr(), "warning: {warning}");
        }
        if self.reports(&kernel, &options)? {
            return Ok(());
        }
        let bytes = sla_codegen::emit(&kernel, &options, &tools, self.stage).map_err(EmitError::from)?;
        self.write(&bytes)
    }

    /// Writes the report, if one is wanted, of a kernel that does not compile as well. Whether that is all that is to be written.
    fn reports(&self, kernel: &Kernel, options: &Options) -> Result<bool, CliError> {
        let Some(path) = &self.report else { return Ok(false) };
        let (report, only) = (Report::new(kernel, options), self.passes.as_deref());
        let is_page = path.extension().is_some_and(|end| end == "html" || end == "htm");
        let text = if is_page { report.html(only) } else { report.text(only) };
        match path.as_os_str() == "-" {
            true => print(text.as_bytes())?,
            false => PendingFile::create(path)?.commit(text.as_bytes())?,
        }
        match report.failed() {
            Some(error) => Err(EmitError::from(error).into()),
            None => Ok(self.out.is_none()),
        }
    }

    /// Emits from a file.
    fn go_on(&self, path: &Path) -> Result<(), CliError> {
        let found = || path.display().to_string();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let starts = [Stage::Tile, Stage::Mlir, Stage::Ptx];
        let from = starts.into_iter().find(|s| s.name() == ending);
        let from = from.ok_or_else(|| EmitError::From { found: found() })?;
        let read = |source| EmitError::Read { path: found(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let mut options = Options::new(self.target);
        for text in &self.set {
            let (name, value) = text.split_once('=').ok_or_else(|| EmitError::Set { found: text.clone() })?;
            options.set(name, value).map_err(|source| EmitError::Setting { source })?;
        }
        self.not_on_a_terminal()?;
        if self.report.is_some() {
            let Stage::Tile = from else { return Err(EmitError::Report { found: found() }.into()) };
            let kernel = sla_dsl::ir::parse(&text).map_err(|e| EmitError::Codegen(e.into()))?;
            if self.reports(&kernel, &options)? {
                return Ok(());
            }
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let tools = sla_runtime::env::tools();
        let bytes = sla_codegen::emit_from(&name, &text, from, &options, &tools, self.stage);
        self.write(&bytes.map_err(EmitError::from)?)
    }

    fn not_on_a_terminal(&self) -> Result<(), EmitError> {
        if self.stage == Stage::Cubin && self.out.is_none() && std::io::stdout().is_terminal() {
            return Err(EmitError::Terminal { stage: self.stage });
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        if let Some(path) = &self.out {
            return Ok(PendingFile::create(path)?.commit(bytes)?);
        }
        Ok(print(bytes)?)
    }
}

/// To standard output.
pub(super) fn print(bytes: &[u8]) -> Result<(), EmitError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(EmitError::Output),
    }
}

/// The kernel of a name.
pub(super) fn entry(name: &str) -> Result<&'static Entry, EmitError> {
    find(name).ok_or_else(|| EmitError::Kernel { found: name.to_owned() })
}

/// The default constants with those of `--set`, whose settings of the compiler go to the options.
pub(super) fn apply(entry: &Entry, set: &[String], options: &mut Options) -> Result<Consts, EmitError> {
    let mut chosen = Vec::new();
    for text in set {
        let (found, value) = text.split_once('=').ok_or_else(|| EmitError::Set { found: text.clone() })?;
        if found.starts_with(|c: char| c.is_ascii_lowercase()) {
            options.set(found, value).map_err(|source| EmitError::Setting { source })?;
            continue;
        }
        let generics = entry.def.generics;
        let Some(generic) = generics.iter().find(|g| g.name == found) else {
            let names: Vec<_> = generics.iter().map(|g| g.name).collect();
            let needed = match names.is_empty() {
                true => "it has none".to_owned(),
                false => format!("its constants are {}", names.join(", ")),
            };
            let hint = nearest::hint(found, names);
            return Err(EmitError::Constant { kernel: entry.def.name, found: found.into(), needed, hint });
        };
        chosen.push((generic.name, constant(generic.name, generic.kind, value)?));
    }
    Ok(entry.consts_with(&chosen))
}

/// The setting that was probably meant.
fn hint_of(error: &SettingError) -> String {
    match error {
        SettingError::Name { found } => nearest::hint(found, Options::settings()),
        SettingError::Value { .. } => String::new(),
    }
}

fn constant(name: &'static str, kind: GenericKind, text: &str) -> Result<Const, EmitError> {
    let (value, needed) = match kind {
        GenericKind::Elem(allowed) => {
            let names: Vec<_> = allowed.iter().map(|e| e.name()).collect();
            let elem = Elem::from_name(text).filter(|e| allowed.contains(e));
            (elem.map(Const::Elem), format!("one of {}", names.join(", ")))
        }
        GenericKind::Int => {
            let size = text.parse().ok().filter(|&size: &i64| size > 0);
            (size.map(Const::Int), "a positive whole number".to_owned())
        }
        GenericKind::Bool => (text.parse().ok().map(Const::Bool), "true or false".to_owned()),
    };
    value.ok_or_else(|| EmitError::Value { name, found: text.to_owned(), needed })
}

fn stage(text: &str) -> Result<Stage, String> {
    text.parse().map_err(|e: String| e + &nearest::hint(text, Stage::ALL.map(Stage::name)))
}

/// A target's name.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let names = std::iter::once("cpu").chain(Arch::ALL.map(Arch::name));
    text.parse().map_err(|e: String| e + &nearest::hint(text, names))
}

fn each_name() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|entry| entry.def.name)
}

fn names() -> String {
    each_name().collect::<Vec<_>>().join(", ")
}

/// A line for each kernel and one for its constants.
fn list() -> String {
    let mut text = String::new();
    for entry in ALL {
        let about = entry.def.doc.trim().lines().next().unwrap_or_default().trim();
        let consts: Vec<_> = entry.defaults.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text += &format!("{:<16} {about}\n", entry.def.name);
        if !consts.is_empty() {
            text += &format!("{:<16} {}\n", "", consts.join(" "));
        }
    }
    text
}
