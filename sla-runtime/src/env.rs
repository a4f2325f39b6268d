//! The environment: the only file of the workspace's libraries that reads it.
//!
//! Tools are looked for in three places: a variable (`SLA_PTXAS`, `SLA_NVDISASM`), `.tools/bin` of the working directory or one
//! above it (where `cargo xtask setup` puts them), and `PATH`.

use crate::{DiskCache, Dumps};
use sla_codegen::Tools;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where the external tools are. A path given by a variable is taken as it is: what it names is only started when it is needed.
pub fn tools() -> Tools {
    Tools { ptxas: tool("SLA_PTXAS", "ptxas"), nvdisasm: tool("SLA_NVDISASM", "nvdisasm") }
}

/// Whether kernels on GPUs check what they touch, from `SLA_CHECKS`: on for anything but nothing and `0`.
pub fn checks() -> bool {
    env::var_os("SLA_CHECKS").is_some_and(|v| !v.is_empty() && v != "0")
}

/// Where kernels are dumped as they are compiled, from `SLA_DUMP`: a folder, or `FOLDER,TEXT` for kernels whose names contain the text. Nowhere where
/// nothing is compiled.
pub fn dumps() -> Option<Dumps> {
    if !cfg!(feature = "compile") {
        return None;
    }
    Dumps::parse(env::var_os("SLA_DUMP")?.to_str()?)
}

/// Where compiled kernels are kept, from `SLA_CACHE`: a folder, or nothing for `0` and `off`; without it `sla` in the user's folder of
/// caches (`XDG_CACHE_HOME`, or `.cache` at home). It holds at most `SLA_CACHE_MB` MiB, or 1024.
pub fn disk_cache() -> Option<DiskCache> {
    let limit = env::var("SLA_CACHE_MB").ok().and_then(|v| v.trim().parse().ok()).unwrap_or(1024u64);
    let folder = cache_folder(env::var_os("SLA_CACHE").as_deref(), dirs::cache_dir())?;
    Some(DiskCache::new(folder, limit.saturating_mul(1 << 20)))
}

fn cache_folder(chosen: Option<&OsStr>, user: Option<PathBuf>) -> Option<PathBuf> {
    match chosen {
        Some(off) if off == "0" || off == "off" => None,
        Some(folder) if !folder.is_empty() => Some(folder.into()),
        _ => user.map(|folder| folder.join("sla")),
    }
}

/// Where records of tuning come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tuned {
    /// Those that the program brings.
    Own,
    /// Nowhere: kernels run by their defaults.
    Off,
    /// A folder with a file for each architecture.
    Folder(PathBuf),
}

/// Where records of tuning come from, by `SLA_TUNED`: a folder, or nowhere for `0` and `off`; without it they are the program's own.
pub fn tuned() -> Tuned {
    tuned_from(env::var_os("SLA_TUNED").as_deref())
}

fn tuned_from(chosen: Option<&OsStr>) -> Tuned {
    match chosen {
        Some(off) if off == "0" || off == "off" => Tuned::Off,
        Some(folder) if !folder.is_empty() => Tuned::Folder(folder.into()),
        _ => Tuned::Own,
    }
}

/// Threads for programs of the host, from `SLA_THREADS` or `RAYON_NUM_THREADS`; one per core when neither holds a positive number.
pub fn threads() -> usize {
    let number = |name| env::var(name).ok()?.trim().parse().ok().filter(|&n: &usize| n > 0);
    number("SLA_THREADS")
        .or_else(|| number("RAYON_NUM_THREADS"))
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

fn tool(variable: &str, name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    if let Some(path) = env::var_os(variable).filter(|v| !v.is_empty()) {
        return Some(named(path.into(), env::split_paths(&folders)));
    }
    let here = env::current_dir().unwrap_or_default();
    find(name, &here, env::split_paths(&folders))
}

/// What a variable names: a path as it is, and a bare name where it lies in one of the folders, so that whoever asks which file it is can look.
fn named(path: PathBuf, mut folders: impl Iterator<Item = PathBuf>) -> PathBuf {
    let bare = path.components().count() == 1;
    let found = folders.find_map(|d| Some(d.join(&path)).filter(|p| p.is_file()));
    found.filter(|_| bare).unwrap_or(path)
}

/// `.tools/bin/NAME` at `here` or above, else `NAME` in one of the folders.
fn find(name: &str, here: &Path, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let project = here.ancestors().map(|d| d.join(".tools/bin"));
    project.chain(folders).map(|d| d.join(name)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_tools_come_before_path() {
        let root = env::temp_dir().join(format!("sla-env-test-{}", std::process::id()));
        let (own, other) = (root.join("a/.tools/bin"), root.join("path"));
        let deep = root.join("a/b/c");
        for d in [&own, &other, &deep] {
            std::fs::create_dir_all(d).unwrap();
        }
        std::fs::write(other.join("ptxas"), "").unwrap();
        let search = || find("ptxas", &deep, [other.clone()].into_iter());
        assert_eq!(search(), Some(other.join("ptxas")));
        std::fs::write(own.join("ptxas"), "").unwrap();
        assert_eq!(search(), Some(own.join("ptxas")));
        assert_eq!(find("absent", &deep, [other.clone()].into_iter()), None);
        assert_eq!(named("ptxas".into(), [other.clone()].into_iter()), other.join("ptxas"));
        assert_eq!(named("./x/ptxas".into(), [other.clone()].into_iter()), Path::new("./x/ptxas"));
        assert_eq!(named("absent".into(), [other.clone()].into_iter()), Path::new("absent"));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn kernels_are_kept_where_the_user_says_or_not_at_all() {
        let user = || Some(PathBuf::from("/u"));
        let folder = |chosen: &str| cache_folder(Some(OsStr::new(chosen)), user());
        assert_eq!(cache_folder(None, user()), Some("/u/sla".into()));
        assert_eq!(cache_folder(None, None), None);
        assert_eq!(folder(""), Some("/u/sla".into()));
        assert_eq!(folder("/mine"), Some("/mine".into()));
        assert_eq!((folder("0"), folder("off")), (None, None));
    }

    #[test]
    fn records_are_the_program_s_own_unless_the_user_says_otherwise() {
        let from = |text: &str| tuned_from(Some(OsStr::new(text)));
        assert_eq!((tuned_from(None), from("")), (Tuned::Own, Tuned::Own));
        assert_eq!((from("0"), from("off")), (Tuned::Off, Tuned::Off));
        assert_eq!(from("mine"), Tuned::Folder("mine".into()));
    }

    #[test]
    fn there_is_a_thread() {
        assert!(threads() >= 1);
    }
}
