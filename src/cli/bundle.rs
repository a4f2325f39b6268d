//! `sla bundle`: the operator's kernels compiled into one file, for programs without a compiler. Which they are is [`crate::shipped`]'s business.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::Args;
use sla_codegen::Target;
use sla_runtime::RuntimeError;
use sla_runtime::bundle::{Bundle, BundleError};
use thiserror::Error;

use super::emit;
use super::error::CliError;
use super::progress::Bar;
use crate::attention::{Blocks, Scope};
use crate::progress::Progress;
use crate::shipped::{Settings, plan};

/// Compile the operator's kernels into one file, or show what is in such a file.
#[derive(Args)]
pub struct MakeBundle {
    /// Where the file goes; without it what would be compiled is listed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show what is in a file instead, and check all of it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "target", "scope", "blocks", "dim"])]
    show: Option<PathBuf>,
    /// The GPU: sm_80 (for every GPU, assembled by the driver), sm_89, sm_90a, sm_100a or sm_120a.
    #[arg(long, default_value = "sm_90a", value_parser = emit::target)]
    target: Target,
    /// What the linear branch sums over; may be repeated. Without it what is shipped.
    #[arg(long)]
    scope: Vec<Scope>,
    /// Query and key tokens of a block; may be repeated.
    #[arg(long, value_name = "Q,K")]
    blocks: Vec<Blocks>,
    /// Columns of a head; may be repeated.
    #[arg(long)]
    dim: Vec<usize>,
    /// A note for whoever reads the file.
    #[arg(long, default_value = "")]
    note: String,
}

/// Why there is no bundle.
#[derive(Debug, Error)]
pub enum BundleCliError {
    /// The host has none.
    #[error("found target cpu, needed a GPU: code for the host is compiled where it runs")]
    Host,
    /// The file.
    #[error(transparent)]
    File(#[from] BundleError),
    /// A kernel.
    #[error(transparent)]
    Compile(RuntimeError),
    /// Standard output.
    #[error("cannot write the list: {0}")]
    Output(std::io::Error),
}

impl MakeBundle {
    /// Compiles, or lists.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        Ok(self.make()?)
    }

    fn make(self) -> Result<(), BundleCliError> {
        if let Some(path) = &self.show {
            let bundle = Bundle::read(path)?;
            bundle.verify()?;
            return print(&shown(&bundle));
        }
        let Target::Cuda(arch) = self.target else { return Err(BundleCliError::Host) };
        let plan = plan(arch, &self.settings()).map_err(BundleCliError::Compile)?;
        let Some(out) = self.out else {
            let list: String = plan.missing(&[]).iter().map(|title| format!("{title}\n")).collect();
            return print(&format!("{list}{} kernels\n", plan.len()));
        };
        let mut bar = Bar::new();
        bar.begin(&format!("{} kernels for {}", plan.len(), arch.name()), plan.len());
        let bar = Mutex::new(bar);
        // Another thread that failed leaves the bar as good as any.
        let step = |_, _| bar.lock().unwrap_or_else(|e| e.into_inner()).step();
        let writer =
            plan.compile(&sla_runtime::env::tools(), &self.note, &step).map_err(BundleCliError::Compile)?;
        let kernels = writer.len();
        writer.write(&out)?;
        drop(bar);
        print(&format!("{kernels} kernels for {} in {}\n", arch.name(), out.display()))
    }

    fn settings(&self) -> Settings {
        let shipped = Settings::shipped();
        let or = |chosen: &[usize], all: Vec<usize>| if chosen.is_empty() { all } else { chosen.to_vec() };
        Settings {
            scopes: if self.scope.is_empty() { shipped.scopes } else { self.scope.clone() },
            blocks: if self.blocks.is_empty() { shipped.blocks } else { self.blocks.clone() },
            dims: or(&self.dim, shipped.dims),
        }
    }
}

/// A line for each kernel, and what made them.
fn shown(bundle: &Bundle) -> String {
    let mut text = String::new();
    for row in bundle.rows() {
        let short: String = row.key().as_str().chars().take(12).collect();
        text += &format!("{short}  {:>8} B  {}\n", row.bytes, row.title);
    }
    let bytes: usize = bundle.rows().iter().map(|r| r.bytes).sum();
    text += &format!("{} kernels, {bytes} B, made by {}\n", bundle.rows().len(), bundle.made_by());
    if !bundle.note().is_empty() {
        text += &format!("note: {}\n", bundle.note());
    }
    text
}

fn print(text: &str) -> Result<(), BundleCliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(BundleCliError::Output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_codegen::Arch;

    #[test]
    fn what_is_not_chosen_is_what_is_shipped() {
        let make = |dim: &[usize]| MakeBundle {
            out: None,
            show: None,
            target: Target::Cuda(Arch::Sm90a),
            scope: Vec::new(),
            blocks: vec![Blocks::EVERY[1]],
            dim: dim.to_vec(),
            note: String::new(),
        };
        let shipped = Settings::shipped();
        assert_eq!(make(&[]).settings(), Settings { blocks: vec![Blocks::EVERY[1]], ..shipped.clone() });
        let one = Settings { blocks: vec![Blocks::EVERY[1]], dims: vec![64], ..shipped };
        assert_eq!(make(&[64]).settings(), one);
    }
}
