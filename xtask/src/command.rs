//! Running other programs so that a reader can follow: what is run, how long it took, and what it means when it fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a task did not do its work, in words for the person who asked for it.
#[derive(Debug, PartialEq)]
pub struct Failed(pub String);

pub type Outcome<T = ()> = Result<T, Failed>;

impl Failed {
    /// `what` names the thing that was tried, e.g. "cannot read FILE".
    pub fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// Does `work` as one step of a task: announces it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    println!("==> {what}");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    println!("==> {what}: {} after {seconds:.1} s", if outcome.is_ok() { "done" } else { "FAILED" });
    outcome
}

/// Runs `command`, shown first, with its output on ours.
pub fn show_and_run(command: &mut Command) -> Outcome {
    let line = in_words(command);
    println!("+ {line}");
    match command.status().map_err(Failed::io(format!("cannot run `{line}`")))? {
        status if status.success() => Ok(()),
        status => Err(Failed(format!("`{line}` ended with {status}"))),
    }
}

/// What `command` prints to stdout. Fails when it does not run or does not succeed.
pub fn output(command: &mut Command) -> Outcome<String> {
    let line = in_words(command);
    let out = command.stdin(Stdio::null()).output().map_err(Failed::io(format!("cannot run `{line}`")))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(Failed(format!("`{line}` ended with {}: {}", out.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The cargo that started us, run in the workspace.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The first `program` on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The command as one would type it; words that a shell would split stand in quotes.
fn in_words(command: &Command) -> String {
    let word = |word: &OsStr| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains([' ', '\'', '"', '$', '*', ';', '&', '|']) {
            format!("'{}'", word.replace('\'', r"'\''"))
        } else {
            word.into_owned()
        }
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_it_would_be_typed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo it's", "x"]);
        assert_eq!(in_words(&command), r"sh -c 'echo it'\''s' x");
    }

    #[test]
    fn a_failing_command_says_which_and_how() {
        let Err(Failed(why)) = output(Command::new("sh").args(["-c", "echo no disk >&2; exit 3"])) else {
            panic!("exit status 3 is a failure");
        };
        assert!(why.contains("exit 3") && why.contains("exit status: 3") && why.contains("no disk"), "{why}");
        let Err(Failed(why)) = show_and_run(&mut Command::new("no-such-program")) else {
            panic!("a missing program is a failure");
        };
        assert!(why.contains("no-such-program"), "{why}");
    }
}
