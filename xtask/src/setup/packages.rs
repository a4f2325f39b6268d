//! The Debian packages: which are needed, which are missing, and how they get here. A package counts as there when the
//! files of it that the build reads are there, so that LLVM from elsewhere serves as well, and looking takes no time.

use crate::command::{Failed, Outcome, on_path, show_and_run};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Need {
    package: &'static str,
    /// What of it the build reads; a path without a leading `/` is below LLVM's prefix.
    files: &'static [&'static str],
    /// For a person who has to provide it by other means.
    what: &'static str,
}

const LLVM: &str = "LLVM 22 with its headers and libLLVM.so, under the prefix";
const MLIR: &str = "MLIR 22 with its headers, libMLIR.so and libMLIRCAPI*.a, under the prefix";

const NEEDS: &[Need] = &[
    Need {
        package: "g++",
        files: &["/usr/bin/cc", "/usr/bin/c++"],
        what: "a C and a C++ compiler, as cc and c++",
    },
    Need {
        package: "llvm-22-dev",
        files: &[
            "bin/llvm-config",
            "bin/llvm-nm",
            "include/llvm-c/Core.h",
            "lib/libLLVM.so",
            "lib/libLLVMTableGen.a",
        ],
        what: LLVM,
    },
    Need {
        package: "libmlir-22-dev",
        files: &["include/mlir-c/IR.h", "lib/libMLIR.so", "lib/libMLIRCAPIIR.a"],
        what: MLIR,
    },
    Need {
        package: "libpolly-22-dev",
        files: &["lib/libPolly.a"],
        what: "LLVM's libPolly.a, under the prefix",
    },
    Need {
        package: "libclang1-22",
        files: &["lib/libclang-22.so.1"],
        what: "libclang 22; LIBCLANG_PATH names its folder",
    },
    Need {
        package: "libclang-common-22-dev",
        files: &["lib/clang/22/include/stdbool.h"],
        what: "clang 22's own headers, under the prefix",
    },
    Need { package: "zlib1g-dev", files: &["/usr/include/zlib.h"], what: "zlib with its header" },
    Need { package: "libzstd-dev", files: &["/usr/include/zstd.h"], what: "zstd with its header" },
];

/// Needed only to fetch tools that are missing.
const PIP: Need = Need { package: "python3-pip", files: &[], what: "python3 with pip" };

/// Where Debian puts LLVM 22.
const DEBIAN_PREFIX: &str = "/usr/lib/llvm-22";

/// Where LLVM and MLIR are expected: as the build script of mlir-sys sees it.
pub fn prefix() -> PathBuf {
    std::env::var_os("MLIR_SYS_220_PREFIX").map_or_else(|| DEBIAN_PREFIX.into(), PathBuf::from)
}

/// Installs the packages that are missing, pip among them if `with_pip`.
///
/// # Errors
/// If something is missing and this is not Debian 12 on x86-64, or there are no rights to install, or apt fails.
pub fn install(with_pip: bool) -> Outcome {
    let prefix = prefix();
    let mut missing: Vec<&Need> = NEEDS.iter().filter(|need| !need.is_there(&prefix)).collect();
    if with_pip {
        missing.push(&PIP);
    }
    if missing.is_empty() {
        return Ok(());
    }
    if let Err(why) = can_install(&prefix) {
        return Err(Failed(by_hand(&why, &missing, &prefix)));
    }
    let names: Vec<&str> = missing.iter().map(|need| need.package).collect();
    println!("setup: missing on this machine, to be installed by apt-get: {}", names.join(" "));
    let update = apt(&["update"]);
    let mut install = vec!["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    install.extend(&names);
    let install = apt(&install);
    let steps = [update, install];
    let Some(rights) = rights() else {
        let lines: Vec<String> = steps.iter().map(|words| words.join(" ")).collect();
        return Err(Failed(format!(
            "installing needs root, and there is no sudo. As root, type:\n  {}",
            lines.join(" && ")
        )));
    };
    for words in &steps {
        let words: Vec<&str> = rights.iter().chain(words).copied().collect();
        show_and_run(Command::new(words[0]).args(&words[1..]).stdin(Stdio::null())).map_err(
            |Failed(why)| {
                Failed(format!(
                    "{why}\nLLVM 22 is in Debian's bookworm-security: it must be among apt's sources."
                ))
            },
        )?;
    }
    match NEEDS.iter().find(|need| !need.is_there(&prefix)) {
        None => Ok(()),
        Some(need) => Err(Failed(format!(
            "{} is installed, but not all of {:?} is there ({} is the prefix)",
            need.package,
            need.files,
            prefix.display()
        ))),
    }
}

impl Need {
    fn is_there(&self, prefix: &Path) -> bool {
        // Joining an absolute path gives that path.
        self.files.iter().all(|file| prefix.join(file).exists() || self.is_on_path(file))
    }

    fn is_on_path(&self, file: &str) -> bool {
        file.strip_prefix("/usr/bin/").is_some_and(|program| on_path(program).is_some())
    }
}

fn apt(words: &[&'static str]) -> Vec<&'static str> {
    [&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], words].concat()
}

/// The words to put before a command that needs root: none as root, else sudo; `None` where there is neither.
fn rights() -> Option<&'static [&'static str]> {
    // The owner of a process's folder in /proc is its effective user.
    if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        Some(&[])
    } else {
        on_path("sudo").map(|_| &["sudo"] as &[_])
    }
}

/// `Err` says why Debian's packages would not do here.
fn can_install(prefix: &Path) -> Result<(), String> {
    if prefix != Path::new(DEBIAN_PREFIX) {
        return Err(format!("LLVM is expected in {}, not where Debian puts it", prefix.display()));
    }
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |key: &str| {
        let line = os.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or("unknown").trim_matches('"').to_string()
    };
    let (id, version, arch) = (field("ID"), field("VERSION_ID"), std::env::consts::ARCH);
    if (id.as_str(), version.as_str(), arch) != ("debian", "12", "x86_64") {
        return Err(format!("this is {id} {version} on {arch}, not Debian 12 on x86_64"));
    }
    on_path("apt-get").map(drop).ok_or_else(|| "there is no apt-get".into())
}

fn by_hand(why: &str, missing: &[&Need], prefix: &Path) -> String {
    let list: String =
        missing.iter().map(|need| format!("  - {} (Debian's {})\n", need.what, need.package)).collect();
    format!(
        "{why}, so nothing is installed. Please provide:\n{list}\
         The prefix is {}. For LLVM elsewhere set MLIR_SYS_220_PREFIX, TABLEGEN_220_PREFIX and LLVM_SYS_221_PREFIX \
         to its prefix, and LIBCLANG_PATH and LD_LIBRARY_PATH to its lib folder. Then run this again.",
        prefix.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::output;

    #[test]
    fn a_package_is_there_when_all_of_its_files_are() {
        let prefix = std::env::temp_dir().join(format!("xtask-packages-{}", std::process::id()));
        std::fs::create_dir_all(prefix.join("lib")).unwrap();
        std::fs::write(prefix.join("lib/libMLIR.so"), "").unwrap();
        let need = |files| Need { package: "p", files, what: "w" };
        assert!(need(&["lib/libMLIR.so"]).is_there(&prefix));
        assert!(!need(&["lib/libMLIR.so", "lib/libLLVM.so"]).is_there(&prefix));
        assert!(!need(&["/nonexistent"]).is_there(&prefix));
        std::fs::remove_dir_all(&prefix).unwrap();
    }

    #[test]
    fn what_to_provide_by_hand_names_everything() {
        let missing: Vec<&Need> = NEEDS.iter().chain([&PIP]).collect();
        let text = by_hand("plan9 4 on pdp11", &missing, Path::new("/opt/llvm"));
        for part in ["plan9", "/opt/llvm", "libMLIRCAPI*.a", "pip", "MLIR_SYS_220_PREFIX", "LIBCLANG_PATH"] {
            assert!(text.contains(part), "{part} is missing from:\n{text}");
        }
    }

    #[test]
    fn the_owner_of_proc_self_is_the_effective_user() {
        let id = output(Command::new("id").arg("-u")).unwrap();
        assert_eq!(rights() == Some(&[]), id.trim() == "0");
    }
}
