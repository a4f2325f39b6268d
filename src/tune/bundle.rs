//! Tuning in two places: candidates are pruned, compiled, judged and ranked where there is no GPU, and measured where there is no compiler.
//!
//! A folder holds both: `manifest.json` says what became of each candidate, `kernels.slab` has the code of those that are worth a launch, and of the kernels that
//! a problem needs besides.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sla_codegen::{Arch, Artifact, CodegenError, Options, Tools, ptxas};
use sla_dsl::ir::Kernel;
use sla_dsl::lang::Consts;
use sla_runtime::bundle::{BundleError, BundleWriter, Entry};
use thiserror::Error;

use super::job::Job;
use super::prune::prune;
use crate::bench::case::{Case, Pass};
use crate::bench::steps::steps_of;
use crate::files::{FileError, PendingFile};
use crate::progress::Progress;
use crate::tuned::Made;
use crate::tuned::made::code;

/// What is in a folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it was compiled for.
    pub arch: String,
    /// By which compiler.
    pub compiler: String,
    /// The problems.
    pub jobs: Vec<Offers>,
}

/// The candidates of a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offers {
    /// The kernel.
    pub kernel: String,
    /// The case, as `sla bench --case` takes it.
    pub case: String,
    /// Which of its kernels.
    pub index: usize,
    /// Its sizes, as arguments; none for those of the table.
    pub sizes: Vec<String>,
    /// The default first, then as the model ranks them.
    pub candidates: Vec<Offer>,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// As `sla bench --set` takes it; empty for the default.
    pub set: String,
    /// How fast it could be at most, in 10^12 operations per second, by the model.
    pub limit: f64,
    /// What became of it.
    pub fate: Offered,
}

/// What became of a candidate without a GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// Compiled.
    Made(Made),
    /// Compiled to the code of another.
    Same(String),
    /// Cannot be, or has no chance.
    Pruned(String),
    /// Cannot be compiled, or not as it should be.
    Refused(String),
}

/// A bundle that cannot be made or read.
#[derive(Debug, Error)]
pub enum BundlesError {
    /// A folder or file that the system does not give.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A manifest that is none.
    #[error("{} is no manifest: {source}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No assembler.
    #[error(
        "a bundle holds machine code, and there is no ptxas (`cargo xtask setup` installs one, SLA_PTXAS names one)"
    )]
    NoAssembler,
    /// A kernel that a problem needs besides the one that is tuned, or the default of that one.
    #[error("{kernel} cannot be compiled as it is without tuning: {reason}")]
    Needed {
        /// The kernel.
        kernel: &'static str,
        /// Why.
        reason: String,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// Code that does not go into a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// The manifest of a folder.
pub fn manifest_of(folder: &Path) -> PathBuf {
    folder.join("manifest.json")
}

/// The code of a folder.
pub fn kernels_of(folder: &Path) -> PathBuf {
    folder.join("kernels.slab")
}

impl Manifest {
    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// A file that cannot be read, or is something else.
    pub fn read(folder: &Path) -> Result<Manifest, BundlesError> {
        let path = manifest_of(folder);
        let bytes = fs::read(&path).map_err(|source| BundlesError::Io { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| BundlesError::Parse { path, source })
    }
}

/// Code of a candidate, on its way into the bundle.
struct Compiled {
    kernel: Kernel,
    consts: Consts,
    options: Options,
    entry: Entry,
    made: Made,
}

/// Makes a folder for jobs with their sizes as arguments: at most `most` candidates of each are compiled.
///
/// # Errors
/// [`BundlesError`]; a candidate that is not compiled is a row of the manifest.
pub fn make(
    folder: &Path,
    arch: Arch,
    jobs: &[(Job, Vec<String>)],
    tools: &Tools,
    most: usize,
    progress: &mut dyn Progress,
) -> Result<Manifest, BundlesError> {
    let version = match tools.ptxas {
        Some(_) => ptxas::version(tools).ok().flatten().map(|version| version.to_string()),
        None => return Err(BundlesError::NoAssembler),
    };
    fs::create_dir_all(folder).map_err(|source| BundlesError::Io { path: folder.to_owned(), source })?;
    let (manifest, kernels) =
        (PendingFile::create(&manifest_of(folder))?, PendingFile::create(&kernels_of(folder))?);
    let mut writer = BundleWriter::new(sla_codegen::toolchain(), "candidates of tuning");
    let mut helped = HashSet::new();
    let mut offers = Vec::new();
    for (job, sizes) in jobs {
        for helper in helpers(job) {
            let (name, needed) =
                (helper.def().name, |reason| BundlesError::Needed { kernel: helper.def().name, reason });
            let compiled = compile(&helper, arch, "", tools, &version).map_err(needed)?;
            if helped.insert(format!("{name} {} {}", compiled.consts, compiled.kernel)) {
                add(&mut writer, &compiled)?;
            }
        }
        let space = job.space();
        let mut candidates = Vec::new();
        let mut worth: Vec<(f64, usize, String)> = Vec::new();
        for candidate in space.nearest(20 * most) {
            let set = space.name(&candidate);
            match prune(job, &space, &candidate) {
                Ok(limit) => worth.push((limit, candidate.changes(), set)),
                Err(_) if set.is_empty() => worth.push((job.limit(&space), 0, set)),
                Err(why) => candidates.push(Offer { set, limit: 0.0, fate: Offered::Pruned(why) }),
            }
            if worth.len() >= most {
                break;
            }
        }
        worth.sort_by(|a, b| {
            (a.1.min(1), b.0).partial_cmp(&(b.1.min(1), a.0)).unwrap_or(std::cmp::Ordering::Equal)
        });
        progress.begin(job.def().name, worth.len());
        let (mut codes, mut made) = (BTreeMap::new(), Vec::new());
        for some in worth.chunks(rayon::current_num_threads() * 2) {
            let compiled: Vec<_> =
                some.par_iter().map(|(.., set)| compile(job, arch, set, tools, &version)).collect();
            for ((limit, _, set), compiled) in some.iter().zip(compiled) {
                let fate = match compiled {
                    Err(reason) if set.is_empty() => {
                        return Err(BundlesError::Needed { kernel: job.def().name, reason });
                    }
                    Err(reason) => Offered::Refused(reason),
                    Ok(compiled) => match codes.get(&compiled.made.code) {
                        Some(first) => Offered::Same(String::clone(first)),
                        None => {
                            codes.insert(compiled.made.code.clone(), set.clone());
                            add(&mut writer, &compiled)?;
                            Offered::Made(compiled.made)
                        }
                    },
                };
                made.push(Offer { set: set.clone(), limit: *limit, fate });
                progress.step();
            }
        }
        made.extend(candidates);
        offers.push(Offers {
            kernel: job.def().name.to_owned(),
            case: job.case.name.to_owned(),
            index: job.index,
            sizes: sizes.clone(),
            candidates: made,
        });
    }
    let what = Manifest { arch: arch.name().to_owned(), compiler: sla_codegen::toolchain(), jobs: offers };
    let path = manifest_of(folder);
    let bytes = serde_json::to_vec_pretty(&what).map_err(|source| BundlesError::Parse { path, source })?;
    kernels.commit(&writer.finish()?)?;
    manifest.commit(&bytes)?;
    Ok(what)
}

/// The other kernels of a case as they are without tuning, those of the forward that gradients start from among them.
fn helpers(job: &Job) -> Vec<Job> {
    let mut all: Vec<Job> = (0..steps_of(&job.case).len()).map(|index| Job { index, ..*job }).collect();
    all.retain(|other| other.index != job.index);
    if job.case.pass == Pass::Bwd {
        let case = Case { pass: Pass::Fwd, fused: false, ..job.case };
        all.extend((0..steps_of(&case).len()).map(|index| Job { case, index, ..*job }));
    }
    all
}

fn add(writer: &mut BundleWriter, compiled: &Compiled) -> Result<(), BundleError> {
    let Compiled { kernel, consts, options, entry, .. } = compiled;
    writer.add(kernel, consts, options, "", entry)
}

/// Compiles, assembles and judges a candidate; why not, for people. The default is taken as it is.
fn compile(
    job: &Job,
    arch: Arch,
    set: &str,
    tools: &Tools,
    version: &Option<String>,
) -> Result<Compiled, String> {
    let (consts, options) = job.prepared(set, &job.plain()).map_err(|e| e.to_string())?;
    let kernel = job.kernel(&consts).map_err(|e| e.to_string())?;
    let Artifact::Gpu(image) = sla_codegen::compile(&kernel, &options).map_err(|e| e.to_string())? else {
        return Err("it is code of the host".to_owned());
    };
    let assembled =
        ptxas::assemble(tools, &image.ptx, arch).map_err(|e| CodegenError::from(e).to_string())?;
    let report = &assembled.report;
    let made = Made {
        registers: report.registers,
        shared: image.shared_bytes,
        local: report.stack.max(report.spill_stores).max(report.spill_loads),
        notes: report.notes.clone(),
        code: code(image.fingerprint()),
        ptxas: version.clone(),
    };
    if !set.is_empty() {
        made.refusal().map_or(Ok(()), Err)?;
        if arch == Arch::Sm90a {
            ptxas::hopper_gate(tools, &assembled).map_err(|e| e.to_string())?;
        }
    }
    let comma = if consts.0.is_empty() { "" } else { " " };
    let title = format!("{}{comma}{consts} {set}", job.def().name).trim_end().to_owned();
    let fingerprint = image.fingerprint();
    let entry = Entry { title, image, code: assembled.cubin, report: Some(assembled.report), fingerprint };
    Ok(Compiled { kernel, consts, options, entry, made })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::Sizes;
    use crate::bench::cases::ALL;
    use crate::bench::problem::{Operands, Problem};
    use crate::bench::variant::Variant;
    use sla_codegen::Target;
    use sla_runtime::bundle::{Bundle, Plan};

    fn job(name: &str, sizes: &Sizes) -> Job {
        let case = ALL.iter().find(|case| case.name == name).unwrap().at(sizes);
        Job::of(case, Some(Target::Cuda(Arch::Sm90a)))[0]
    }

    #[test]
    fn a_bundle_has_every_kernel_that_its_problem_launches() {
        let tools = sla_runtime::env::tools();
        if tools.ptxas.is_none() {
            eprintln!("skipped: no ptxas; `cargo xtask setup` installs it");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // Sizes that no block divides: a launch is then noted once, as it is.
        let sizes = Sizes { attention: Some([1, 2, 1000]), dim: Some(64), matmul: None };
        let job = job("sparse-bwd", &sizes);
        let jobs = [(job, Vec::new())];
        let manifest = make(folder.path(), Arch::Sm90a, &jobs, &tools, 2, &mut ()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest);
        let candidates = &manifest.jobs[0].candidates;
        assert!(candidates[0].set.is_empty() && candidates[0].limit > 0.0, "{candidates:?}");
        assert!(
            matches!(&candidates[0].fate, Offered::Made(made) if made.code.len() == 16),
            "{candidates:?}"
        );
        let bundle = Bundle::read(kernels_of(folder.path())).unwrap();
        bundle.verify().unwrap();

        let plan = Plan::new(Arch::Sm90a);
        let device = plan.device();
        let mut problem = Problem::new(job.case, &mut Operands::new(&device, 1)).unwrap();
        problem.start().unwrap();
        for set in candidates.iter().filter(|c| matches!(c.fate, Offered::Made(_))).map(|c| &c.set) {
            let variant: Variant = set.parse().unwrap();
            problem.launch(&variant.apply(&job.case, &device.options()).unwrap()).unwrap();
        }
        assert!(plan.len() >= 5, "{}", plan.len());
        assert_eq!(plan.missing(&[bundle.into()]), Vec::<String>::new());
    }

    #[test]
    fn without_an_assembler_or_a_place_there_is_no_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = [(job("sparse", &Sizes::default()), Vec::new())];
        let none = make(folder.path(), Arch::Sm90a, &jobs, &Tools::default(), 2, &mut ()).unwrap_err();
        assert!(none.to_string().contains("there is no ptxas"), "{none}");
        assert!(Manifest::read(folder.path()).unwrap_err().to_string().contains("manifest.json"));
        fs::write(manifest_of(folder.path()), "[]").unwrap();
        assert!(Manifest::read(folder.path()).unwrap_err().to_string().contains("is no manifest"));
    }
}
