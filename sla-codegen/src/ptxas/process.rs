//! Running an external program on files in a private directory, within a time limit.
//!
//! The directory is removed whatever happens; a program that runs too long is ended.

use super::policy::{Finding, Version};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// An external program did not do its work.
#[derive(Debug, Error)]
pub enum ToolError {
    /// Nobody said where the program is.
    #[error("{tool} is needed and not found; `cargo xtask setup` installs it, or set SLA_{} to its path", tool.to_uppercase())]
    Unknown {
        /// The program's name.
        tool: &'static str,
    },
    /// A version that is known to make wrong code.
    #[error("{} is version {version}, which is not used for {}: {finding}", program.display(), arch.name())]
    Refused {
        /// Where it is.
        program: PathBuf,
        /// Its version.
        version: Version,
        /// The architecture asked for.
        arch: crate::Arch,
        /// What is known against it.
        finding: &'static Finding,
    },
    /// The program is not there or is not a program.
    #[error("`{command}` could not be started: {source}")]
    Start {
        /// The whole command.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program reported an error.
    #[error("`{command}` failed ({status}): {}", one_line(stderr))]
    Failed {
        /// The whole command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The program did not end.
    #[error("`{command}` did not end within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The whole command.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// Temporary files could not be made or read.
    #[error("temporary files: {what}")]
    Files {
        /// Which file, and the system's reason.
        what: String,
    },
}

impl From<ToolError> for crate::CodegenError {
    fn from(e: ToolError) -> Self {
        crate::CodegenError::Tool(e.to_string())
    }
}

/// How often a program is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(1);

/// A private directory, removed when dropped.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Result<Scratch, ToolError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("sla-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch { path }),
                // Left behind by an earlier process with this number.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(files(&path, e)),
            }
        }
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ToolError> {
        let path = self.path.join(name);
        fs::write(&path, bytes).map_err(|e| files(&path, e))
    }

    pub fn read(&self, name: &str) -> Result<Vec<u8>, ToolError> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|e| files(&path, e))
    }

    fn create(&self, name: &str) -> Result<File, ToolError> {
        let path = self.path.join(name);
        File::create(&path).map_err(|e| files(&path, e))
    }

    fn text(&self, name: &str) -> Result<String, ToolError> {
        Ok(String::from_utf8_lossy(&self.read(name)?).into_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed is no reason to fail the work.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn files(path: &Path, e: std::io::Error) -> ToolError {
    ToolError::Files { what: format!("{}: {e}", path.display()) }
}

/// Lines of a program as one line.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// What a program said.
#[derive(Debug)]
pub(super) struct Output {
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command in `scratch` until it succeeds, fails or takes longer than `limit`.
pub(super) fn run(mut command: Command, scratch: &Scratch, limit: Duration) -> Result<Output, ToolError> {
    let shown = show(&command);
    // Into files, so that a full pipe cannot block the program.
    command.stdin(Stdio::null()).stdout(scratch.create("stdout")?).stderr(scratch.create("stderr")?);
    let start = Instant::now();
    let mut child = command
        .current_dir(&scratch.path)
        .spawn()
        .map_err(|source| ToolError::Start { command: shown.clone(), source })?;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => thread::sleep(PAUSE),
            outcome => {
                // It may have ended by itself just now; either way it is gone after the wait.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(source) => ToolError::Start { command: shown, source },
                    Ok(_) => ToolError::TimedOut { command: shown, limit },
                });
            }
        }
    };
    let (stdout, stderr) = (scratch.text("stdout")?, scratch.text("stderr")?);
    if status.success() {
        return Ok(Output { stdout, stderr });
    }
    // Some tools complain on standard output.
    let stderr = if stderr.trim().is_empty() { stdout } else { stderr };
    Err(ToolError::Failed { command: shown, status, stderr: stderr.trim_end().to_string() })
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut c = Command::new("sh");
        c.args(["-c", script]);
        c
    }

    #[test]
    fn output_is_kept_and_the_directory_goes() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path.clone();
        let out = run(sh("echo out; echo err >&2; pwd > here"), &scratch, LONG).unwrap();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", "err\n"));
        assert!(path.join("here").exists());
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn much_output_does_not_block() {
        let scratch = Scratch::new().unwrap();
        let out = run(sh("head -c 1000000 /dev/zero"), &scratch, LONG).unwrap();
        assert_eq!(out.stdout.len(), 1_000_000);
    }

    #[test]
    fn failure_and_time_limit() {
        let scratch = Scratch::new().unwrap();
        let e =
            run(sh("echo this >&2; echo; echo ' why' >&2; exit 3"), &scratch, LONG).unwrap_err().to_string();
        assert!(e.contains("sh -c") && e.ends_with("(exit status: 3): this; why"), "{e}");
        let start = Instant::now();
        let e = run(sh("exec sleep 60"), &scratch, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(e, ToolError::TimedOut { .. }), "{e}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    const LONG: Duration = Duration::from_secs(60);
}
