//! `sla cache`: what compiled kernels are kept on disk, and their removal. Where they are kept is the environment's business, how the runtime's.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use sla_codegen::Arch;
use sla_codegen::ptxas::{self, Finding, Verdict};
use sla_runtime::{DiskCache, Kept, env};
use thiserror::Error;

use super::error::CliError;

/// Show or clear the compiled kernels that are kept on disk. SLA_CACHE names another folder, or `off`; SLA_CACHE_MB limits its size.
#[derive(Args)]
pub struct Cache {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Clone, Copy, Subcommand)]
enum What {
    /// List what is kept, the kernel used last first.
    List,
    /// Remove everything that is kept.
    Clear,
    /// Print the folder.
    Path,
}

/// Why the cache was not shown or cleared.
#[derive(Debug, Error)]
pub enum CacheError {
    /// Switched off, or no folder to keep anything in.
    #[error("nothing is kept: SLA_CACHE is off, or there is neither XDG_CACHE_HOME nor a home")]
    Off,
    /// A folder or file that the system does not give.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output.
    #[error("cannot write the list: {0}")]
    Output(io::Error),
}

impl Cache {
    /// Shows or clears.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        let cache = env::disk_cache().ok_or(CacheError::Off)?;
        let failed = |source| CacheError::Io { path: cache.folder().to_owned(), source };
        let text = match self.what.unwrap_or(What::List) {
            What::List => list(&cache, &cache.list().map_err(failed)?, SystemTime::now()) + &assembler(),
            What::Path => format!("{}\n", cache.folder().display()),
            What::Clear => {
                let (files, bytes) = cache.clear().map_err(failed)?;
                format!("removed {files} kernels, {}, from {}\n", size(bytes), cache.folder().display())
            }
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads has seen enough.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            done => Ok(done.map_err(CacheError::Output)?),
        }
    }
}

fn list(cache: &DiskCache, kept: &[Kept], now: SystemTime) -> String {
    let mut text = String::new();
    for file in kept {
        let name = file.path.file_stem().unwrap_or_default().to_string_lossy();
        let short: String = name.chars().take(12).collect();
        let what = file.what.as_deref().unwrap_or("damaged; compiled again when it is asked for");
        let ago = ago(now.duration_since(file.used).unwrap_or_default().as_secs());
        text += &format!("{short}  {:>10}  {ago:>8} ago  {what}\n", size(file.bytes));
    }
    let (total, limit) = (kept.iter().map(|f| f.bytes).sum(), size(cache.limit()));
    text + &format!("{} kernels, {} of {limit}, in {}\n", kept.len(), size(total), cache.folder().display())
}

/// What assembles kernels that are not kept yet, and what is known against it.
fn assembler() -> String {
    let tools = env::tools();
    let Some(path) = &tools.ptxas else {
        return "no ptxas was found: kernels are assembled by the driver's compiler\n".to_owned();
    };
    let version = match ptxas::version(&tools) {
        Ok(Some(version)) => version,
        Ok(None) => return format!("assembled by {}, whose version is unknown\n", path.display()),
        Err(e) => return format!("kernels are assembled by the driver's compiler: {e}\n"),
    };
    let mut text = format!("assembled by ptxas {version}, {}\n", path.display());
    let mut told = Vec::new();
    for finding in Arch::ALL.into_iter().filter_map(|arch| Finding::of(version, arch)) {
        if !told.contains(&finding) {
            told.push(finding);
            let what = match finding.verdict {
                Verdict::Refused => "refused",
                Verdict::Suspected => "suspected",
            };
            let whose = finding.arch.map_or("every architecture", Arch::name);
            text += &format!("{what} for {whose}: {finding}\n");
        }
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=999 => format!("{bytes} B"),
        1_000..=1_048_575 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn kernels_are_listed_with_size_and_age() {
        let cache = DiskCache::new("/c", 1 << 30);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let kept = |name: &str, what: Option<&str>, bytes, seconds| Kept {
            path: PathBuf::from(format!("/c/{name}.slak")),
            what: what.map(str::to_owned),
            bytes,
            used: now - Duration::from_secs(seconds),
        };
        let kept = [
            kept("0123456789abcdef", Some("flash_fwd for sm_90a"), 300 << 10, 5),
            kept("fedcba9876543210", None, 2 << 20, 3 * 86400),
        ];
        let found = list(&cache, &kept, now);
        let needed = "0123456789ab   300.0 KiB       5 s ago  flash_fwd for sm_90a\n\
                      fedcba987654     2.0 MiB    3 days ago  damaged; compiled again when it is asked for\n\
                      2 kernels, 2.3 MiB of 1024.0 MiB, in /c\n";
        assert_eq!(found, needed);
    }
}
