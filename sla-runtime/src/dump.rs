//! Dumps of kernels on disk: one folder a kernel, one file a step. Compilation never fails because of them: what cannot be written is a warning.
//!
//! Which steps there are is the code generator's business.

use crate::compiler::dump;
use sla_codegen::Options;
use sla_dsl::ir::Kernel;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where kernels are dumped, and which.
#[derive(Debug)]
pub struct Dumps {
    dir: PathBuf,
    filter: Option<String>,
    /// Set by the first file that cannot be written: a full disk is reported once.
    failed: AtomicBool,
}

impl Dumps {
    /// Dumps into `dir`, which is made when needed; with a filter only kernels whose names contain it.
    pub fn new(dir: impl Into<PathBuf>, filter: Option<&str>) -> Dumps {
        let filter = filter.filter(|f| !f.is_empty()).map(str::to_string);
        Dumps { dir: dir.into(), filter, failed: AtomicBool::new(false) }
    }

    /// From `DIR` or `DIR,FILTER`; nothing for an empty text.
    pub(crate) fn parse(text: &str) -> Option<Dumps> {
        let (dir, filter) = text.split_once(',').unwrap_or((text, ""));
        (!dir.is_empty()).then(|| Dumps::new(dir, Some(filter)))
    }

    /// The folder of a kernel compiled with some options: its name and a number that follows from both.
    pub fn folder(&self, kernel: &Kernel, options: &Options) -> PathBuf {
        let name = if kernel.name.is_ascii() { &kernel.name } else { "kernel" };
        self.dir.join(format!("{name}-{:016x}", hash(&format!("{kernel}{options:?}"))))
    }

    /// Writes every step of a kernel's compilation, as far as it gets, each file beside its place and then renamed. Returns a warning
    /// when a file cannot be written; after the first nothing more is tried. A kernel that does not compile is no matter of this.
    #[must_use]
    pub fn write(&self, kernel: &Kernel, options: &Options) -> Option<String> {
        let wanted = self.filter.as_ref().is_none_or(|f| kernel.name.contains(f.as_str()));
        if !wanted || self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let folder = self.folder(kernel, options);
        let mut written = fs::create_dir_all(&folder);
        // Whoever compiles the kernel reports why it does not compile.
        let _ = dump(kernel, options, &mut |name, text| {
            if written.is_ok() {
                written = write(&folder.join(name), text);
            }
        });
        let error = written.err()?;
        self.failed.store(true, Ordering::Relaxed);
        Some(format!("nothing more is dumped: {} cannot be written: {error}", folder.display()))
    }
}

/// Writes a file beside its place and renames it, so that whoever reads never finds half of one.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_file_name(format!(".{name}.{}.{number}", std::process::id()));
    let done = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&beside);
    }
    done
}

/// FNV-1a: names of folders must not change from one run to the next.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sla_codegen::Target;
    use sla_dsl::ir::Facts;
    use sla_dsl::prelude::*;

    /// `y = 2 x`
    #[kernel(dims(L), grid(p in L.div_ceil(64)))]
    fn double(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
        y.block::<64>(p).store(x.block::<64>(p).load() * 2.0);
    }

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let place = Place(std::env::temp_dir().join(format!("sla-dump-{name}-{}", std::process::id())));
            let _ = fs::remove_dir_all(&place.0);
            place
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
            let _ = fs::remove_file(&self.0);
        }
    }

    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<_> = entries
            .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&p).unwrap()))
            .collect();
        // A report has times in it.
        all.retain(|(name, _)| name != "report.html");
        all.sort();
        all
    }

    #[test]
    fn a_kernel_is_dumped_step_by_step_and_again_the_same() {
        let (place, options) = (Place::new("steps"), Options::new(Target::Cpu));
        let kernel = double::build(&Facts::default()).unwrap();
        let dumps = Dumps::new(&place.0, None);
        assert_eq!(dumps.write(&kernel, &options), None);
        let folder = dumps.folder(&kernel, &options);
        let first = files(&folder);
        let built = &first.iter().find(|(name, _)| name == "00-built.tile").unwrap().1;
        assert_eq!(*built, kernel.to_string().as_bytes());
        for end in [".sched", ".mlir", ".ll", ".ptx"] {
            assert!(first.iter().any(|(name, text)| name.ends_with(end) && !text.is_empty()), "{end}");
        }
        assert!(first.iter().all(|(name, _)| !name.starts_with('.')), "a file was left beside its place");
        assert_eq!(dumps.write(&kernel, &options), None);
        assert_eq!(files(&folder), first);
        let report = fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(report.contains("cse: changed nothing") && report.ends_with("</html>\n"), "{report}");
        assert_ne!(folder, dumps.folder(&kernel, &Options { warps: Some(2), ..options }));
    }

    #[test]
    fn only_kernels_of_the_filter_are_dumped() {
        let place = Place::new("filter");
        let (kernel, options) = (double::build(&Facts::default()).unwrap(), Options::new(Target::Cpu));
        let text = format!("{},triple", place.0.display());
        assert_eq!(Dumps::parse(&text).unwrap().write(&kernel, &options), None);
        assert!(!place.0.exists());
        let text = format!("{},oub", place.0.display());
        assert_eq!(Dumps::parse(&text).unwrap().write(&kernel, &options), None);
        assert!(place.0.exists());
        assert!(Dumps::parse("").is_none() && Dumps::parse(",x").is_none());
    }

    #[test]
    fn what_cannot_be_written_is_one_warning() {
        let place = Place::new("full");
        fs::write(&place.0, "a file where the folder should be").unwrap();
        let (kernel, options) = (double::build(&Facts::default()).unwrap(), Options::new(Target::Cpu));
        let dumps = Dumps::new(&place.0, None);
        let warning = dumps.write(&kernel, &options).unwrap();
        assert!(warning.starts_with("nothing more is dumped: ") && warning.contains("double-"), "{warning}");
        assert_eq!(dumps.write(&kernel, &options), None);
    }
}
