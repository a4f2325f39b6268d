//! `cargo xtask chroot-check DIR`: proves in an empty Debian 12 that `cargo xtask demo` and `cargo xtask test` need nothing
//! but Rust. It makes the system in DIR with debootstrap, copies a Rust toolchain and the committed tree into it, and runs
//! the two there, as root, with nothing on standard input. It leaves DIR behind for a look.

use crate::command::{Failed, Outcome, on_path, output, show_and_run, step};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const USAGE: &str = "\
cargo xtask chroot-check DIR [--toolchain DIR] [--mirror URL] [TASK...]
  DIR          where the new system is made: absent, or an empty folder. Takes some 8 GB
  --toolchain  the Rust toolchain to copy; by default the one in use
  --mirror     of Debian; by default http://deb.debian.org/debian
  TASK         run these tasks of xtask; by default demo and test
Needs root and debootstrap. Only what is committed is copied.";

/// How this machine reaches the network: copied, so that the new system can as well. Absent files are passed over.
const NETWORK_FILES: &[&str] =
    &["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf"];

/// Environment variables of the same kind, by what their names begin with, in lower case.
const NETWORK_VARIABLES: &[&str] = &[
    "pip_",
    "cargo_http_",
    "cargo_net_",
    "cargo_registries_",
    "ssl_cert_",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// In the new system: the toolchain, the checkout, the user's home.
const TOOLCHAIN: &str = "/opt/rust";
const CHECKOUT: &str = "/srv/sla";
const HOME: &str = "/srv/user";

#[derive(Debug, PartialEq)]
struct Plan {
    dir: PathBuf,
    toolchain: Option<PathBuf>,
    mirror: String,
    tasks: Vec<String>,
}

pub fn run(root: &Path, args: &[String]) -> Outcome {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let plan = parse(args)?;
    let empty = std::fs::read_dir(&plan.dir).map_or(true, |mut entries| entries.next().is_none());
    if !empty {
        return Err(Failed(format!("{} is not empty: give a folder to make", plan.dir.display())));
    }
    for program in ["debootstrap", "unshare", "chroot", "git"] {
        if on_path(program).is_none() {
            return Err(Failed(format!("needs {program} on PATH, as root")));
        }
    }
    let toolchain = match &plan.toolchain {
        Some(dir) => dir.clone(),
        None => PathBuf::from(
            output(Command::new("rustc").current_dir(root).args(["--print", "sysroot"]))?.trim(),
        ),
    };
    if !toolchain.join("bin/cargo").is_file() {
        return Err(Failed(format!("{} is no Rust toolchain: it has no bin/cargo", toolchain.display())));
    }
    step("an empty Debian 12", || debootstrap(&plan))?;
    step("Rust, the tree, the way to the network", || furnish(root, &plan.dir, &toolchain))?;
    let before = packages(&plan.dir)?;
    let mut outcomes = Vec::new();
    for task in &plan.tasks {
        let what = format!("cargo xtask {task}");
        outcomes.push(step(&what, || inside(&plan.dir, &what)));
    }
    report(&before, &packages(&plan.dir)?);
    println!("The new system is in {}; remove it when you have seen it.", plan.dir.display());
    outcomes.into_iter().collect()
}

fn parse(args: &[String]) -> Outcome<Plan> {
    let mut dir = None;
    let mut toolchain = None;
    let mut mirror = "http://deb.debian.org/debian".to_string();
    let mut tasks = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value =
            || words.next().cloned().ok_or_else(|| Failed(format!("{word} needs a value\n{USAGE}")));
        match word.as_str() {
            "--toolchain" => toolchain = Some(PathBuf::from(value()?)),
            "--mirror" => mirror = value()?,
            flag if flag.starts_with('-') => return Err(Failed(format!("unknown flag {flag}\n{USAGE}"))),
            _ if dir.is_none() => dir = Some(PathBuf::from(word)),
            task => tasks.push(task.to_string()),
        }
    }
    let dir = dir.ok_or_else(|| Failed(format!("which folder?\n{USAGE}")))?;
    let dir = std::path::absolute(&dir).map_err(Failed::io(format!("cannot place {}", dir.display())))?;
    if tasks.is_empty() {
        tasks = vec!["demo".into(), "test".into()];
    }
    Ok(Plan { dir, toolchain, mirror, tasks })
}

/// The smallest Debian, and the certificates without which cargo reaches no registry. Debian's installer sets up the
/// same three suites.
fn debootstrap(plan: &Plan) -> Outcome {
    let mut command = Command::new("debootstrap");
    command
        .args(["--variant=minbase", "--include=ca-certificates", "bookworm"])
        .arg(&plan.dir)
        .arg(&plan.mirror);
    show_and_run(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let mirror = &plan.mirror;
    let sources = format!(
        "deb {mirror} bookworm main\ndeb {mirror} bookworm-updates main\ndeb {mirror}-security bookworm-security main\n"
    );
    let list = plan.dir.join("etc/apt/sources.list");
    std::fs::write(&list, sources).map_err(Failed::io(format!("cannot write {}", list.display())))
}

fn furnish(root: &Path, dir: &Path, toolchain: &Path) -> Outcome {
    let below = |path: &str| dir.join(path.trim_start_matches('/'));
    for folder in [TOOLCHAIN, CHECKOUT, HOME] {
        let folder = below(folder);
        std::fs::create_dir_all(&folder).map_err(Failed::io(format!("cannot make {}", folder.display())))?;
    }
    // Not share/: the documentation is the larger half.
    for part in ["bin", "lib"] {
        show_and_run(Command::new("cp").arg("-a").arg(toolchain.join(part)).arg(below(TOOLCHAIN)))?;
    }
    let tar = dir.join("srv/sla.tar");
    show_and_run(Command::new("git").current_dir(root).args(["archive", "--output"]).arg(&tar).arg("HEAD"))?;
    show_and_run(Command::new("tar").arg("xf").arg(&tar).arg("-C").arg(below(CHECKOUT)))?;

    for file in NETWORK_FILES {
        copy_if_there(Path::new(file), &below(file))?;
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    copy_if_there(&cargo_home.join("config.toml"), &below(HOME).join(".cargo/config.toml"))?;
    copy_if_there(&home.join(".config/pip/pip.conf"), &below(HOME).join(".config/pip/pip.conf"))?;
    copy_apt_settings(&below("/etc/apt/apt.conf.d"))
}

fn copy_if_there(from: &Path, to: &Path) -> Outcome {
    if !from.is_file() {
        return Ok(());
    }
    let copied = to.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::copy(from, to));
    copied.map(drop).map_err(Failed::io(format!("cannot copy {} to {}", from.display(), to.display())))
}

/// Those files of apt's settings that say how to reach a mirror.
fn copy_apt_settings(to: &Path) -> Outcome {
    let Ok(entries) = std::fs::read_dir("/etc/apt/apt.conf.d") else { return Ok(()) };
    for entry in entries.flatten() {
        if std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("Acquire::")) {
            copy_if_there(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Runs a command line of the shell in the new system, in the checkout. Its mounts and processes end with it.
fn inside(dir: &Path, line: &str) -> Outcome {
    let script = format!(
        "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" sh -c 'cd {CHECKOUT} && {line}'"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &script]).arg(dir);
    command.env_clear().env("HOME", HOME);
    command
        .env("PATH", format!("{TOOLCHAIN}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    for (name, value) in std::env::vars_os() {
        let lower = name.to_string_lossy().to_lowercase();
        if NETWORK_VARIABLES.iter().any(|start| lower.starts_with(start)) {
            command.env(name, value);
        }
    }
    show_and_run(command.stdin(Stdio::null()))
}

/// Each package of the new system with its size in KB.
fn packages(dir: &Path) -> Outcome<Vec<(String, u64)>> {
    let format = "--showformat=${Package} ${Version}\t${Installed-Size}\n";
    let list = output(Command::new("chroot").arg(dir).args(["dpkg-query", "--show", format]))?;
    Ok(list
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, size)| (name.to_string(), size.trim().parse().unwrap_or(0)))
        .collect())
}

fn report(before: &[(String, u64)], after: &[(String, u64)]) {
    let new: Vec<_> = after.iter().filter(|package| !before.contains(package)).collect();
    let size: u64 = new.iter().map(|(_, size)| size).sum();
    println!("{} packages came to {} ({:.2} GB installed):", new.len(), before.len(), size as f64 / 1e6);
    for (name, size) in new {
        println!("  {:>8.1} MB  {name}", *size as f64 / 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn the_command_line() {
        let plan = parse(&words("/x --mirror http://m test --toolchain /t")).unwrap();
        assert_eq!(plan.dir, Path::new("/x"));
        assert_eq!(plan.toolchain.as_deref(), Some(Path::new("/t")));
        assert_eq!((plan.mirror.as_str(), plan.tasks), ("http://m", words("test")));
        assert_eq!(parse(&words("/x")).unwrap().tasks, words("demo test"));
        for bad in ["", "--mirror", "/x --toolchain", "/x --fast"] {
            assert!(parse(&words(bad)).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let dir = std::env::temp_dir().join(format!("xtask-chroot-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("mine")).unwrap();
        let Err(Failed(why)) = run(Path::new("."), &[dir.display().to_string()]) else {
            panic!("a folder in use must be refused");
        };
        assert!(why.contains("not empty"), "{why}");
        assert!(dir.join("mine").is_dir());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
