//! Whether records still hold, asked without a GPU: what each would run is compiled, and compared with what was measured.

use sla_codegen::{Arch, Artifact, Target};

use super::job::Job;
use crate::bench::case::{Case, Sizes};
use crate::bench::cases::ALL;
use crate::tuned::pick::{self, Stale};
use crate::tuned::record::Entry;

/// Whether a record for an architecture holds.
///
/// # Errors
/// [`Stale`]; a kernel or case that there is no more, too.
pub fn check(entry: &Entry, arch: Arch) -> Result<(), Stale> {
    let gone = |what: &str| Stale::Gone(format!("there is no {what}"));
    let job = job(entry, arch).ok_or_else(|| gone(&format!("kernel or case for `{}`", entry.measured)))?;
    let (consts, options) = job.prepared("", &job.plain()).map_err(|e| Stale::Gone(e.to_string()))?;
    let image = |choice: &pick::Choice| {
        let kernel = job.kernel(&choice.0).map_err(|e| e.to_string())?;
        match sla_codegen::compile(&kernel, &choice.1).map_err(|e| e.to_string())? {
            Artifact::Gpu(image) => Ok(image.fingerprint()),
            Artifact::Host(_) => Err("it is code of the host".to_owned()),
        }
    };
    pick::check(entry, job.def(), image, &consts, &options)
}

/// Sizes are below this wherever people type them.
const MOST: usize = 1 << 31;

/// The job that a record came of; nothing for one that nobody can have measured.
fn job(entry: &Entry, arch: Arch) -> Option<Job> {
    let (name, sizes) = entry.measured.split_once(' ')?;
    let case: &Case = ALL.iter().find(|case| case.name == name)?;
    let number = |text: &str| text.parse().ok().filter(|n| (1..MOST).contains(n));
    let numbers: Option<Vec<usize>> = sizes.split(' ').next()?.split('x').map(number).collect();
    let sizes = match numbers?[..] {
        [batch, heads, length, dim] => {
            Sizes { attention: Some([batch, heads, length]), dim: Some(dim), matmul: None }
        }
        [m, n, k] => Sizes { matmul: Some([m, n, k]), ..Sizes::default() },
        _ => return None,
    };
    // The length of a ragged case is that of its kind already.
    let mut at = case.at(&sizes);
    if let (Some(shape), Some([_, _, length])) = (at.work.shape(), sizes.attention)
        && shape.length != length
    {
        at = case
            .at(&Sizes { attention: Some([shape.batch, shape.heads, 2 * length - shape.length]), ..sizes });
    }
    Job::of(at, Some(Target::Cuda(arch))).into_iter().find(|job| job.def().name == entry.kernel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuned::made::{Made, code};
    use crate::tuned::record::{Provenance, fingerprint};
    use pick::Choice;
    use std::collections::BTreeMap;

    /// A job, and a record for it that holds for code number 7.
    fn recorded() -> (Job, Entry) {
        let case = *ALL.iter().find(|case| case.name == "sparse-bwd").unwrap();
        let job = Job::of(case, Some(Target::Cuda(Arch::Sm90a)))[0];
        let entry = Entry {
            kernel: job.def().name.to_owned(),
            key: job.key(),
            consts: BTreeMap::from([("SUB".to_owned(), 32)]),
            settings: BTreeMap::from([("stages".to_owned(), "3".to_owned())]),
            made: Provenance {
                code: code(7),
                ptxas: Some("13.0.88".to_owned()),
                compiler: "sla then".to_owned(),
                space: fingerprint(&job.def().tune),
                ..Provenance::default()
            },
            ..Entry::default()
        };
        (job, entry)
    }

    fn checked(job: &Job, entry: &Entry, made: Result<u64, String>) -> Result<Choice, Stale> {
        let (consts, _) = job.prepared("", &job.plain()).unwrap();
        let mut seen = None;
        let look = |choice: &Choice| {
            seen = Some(choice.clone());
            made
        };
        pick::check(entry, job.def(), look, &consts, &job.plain()).map(|()| seen.unwrap())
    }

    #[test]
    fn a_record_that_holds_is_used() {
        let (job, entry) = recorded();
        let (consts, options) = checked(&job, &entry, Ok(7)).unwrap();
        assert_eq!((consts.int("SUB"), consts.int("BQ"), options.stages), (32, 128, Some(3)));
    }

    #[test]
    fn a_stale_record_is_refused_with_what_has_changed() {
        let (job, entry) = recorded();
        let stale = |entry: &Entry, made| checked(&job, entry, made).unwrap_err().to_string();
        let other = stale(&entry, Ok(8));
        assert!(
            other.starts_with("the kernel or the compiler has changed since (sla then then, sla "),
            "{other}"
        );
        let mut space = entry.clone();
        space.made.space = "0".to_owned();
        assert_eq!(stale(&space, Ok(7)), "its space has changed since");
        let mut gone = entry.clone();
        gone.settings.insert("stages".to_owned(), "many".to_owned());
        assert!(stale(&gone, Ok(7)).contains("stages=many is not in the kernel's space"));
        assert!(stale(&entry, Err("no registers".to_owned())).ends_with("no registers"));
        let other = Made { code: code(7), ptxas: None, ..Made::default() };
        let assembler = pick::holds(&entry, &other).unwrap_err().to_string();
        assert_eq!(assembler, "it was measured with ptxas 13.0.88, and assembled by the driver now");
    }

    #[test]
    fn the_program_brings_records_that_are_some() {
        for (arch, _) in pick::OWN {
            let records = pick::own(arch).unwrap().unwrap();
            assert_eq!(records.arch, *arch);
            for entry in records.entries {
                assert!(super::job(&entry, Arch::Sm90a).is_some(), "{} {}", entry.kernel, entry.measured);
            }
        }
        assert!(pick::own("sm_80").is_none());
    }

    #[test]
    fn a_record_is_checked_by_compiling_what_it_would_run() {
        let (job, mut entry) = recorded();
        entry.measured = format!("{} {}", job.case.name, job.case.work);
        let (consts, options) = job.prepared("dq.SUB=32,dq.stages=3", &job.plain()).unwrap();
        let Artifact::Gpu(image) = sla_codegen::compile(&job.kernel(&consts).unwrap(), &options).unwrap()
        else {
            panic!("code for a GPU");
        };
        assert!(matches!(check(&entry, Arch::Sm90a), Err(Stale::Code { .. })));
        entry.made.code = code(image.fingerprint());
        assert_eq!(check(&entry, Arch::Sm90a), Ok(()));
        entry.measured = "no-case 1x1x1x1".to_owned();
        assert!(matches!(check(&entry, Arch::Sm90a), Err(Stale::Gone(_))));
    }

    #[test]
    fn sizes_that_nobody_measured_are_no_job() {
        let edited =
            ["1x1x18446744073709551615x128", "1x0x1024x128", "1x1x-5x128", "1x1", "", "2147483648x1x1x1"];
        for sizes in edited {
            let measured = format!("sparse-ragged {sizes}");
            let entry = Entry { kernel: "sparse_fwd".to_owned(), measured, ..Entry::default() };
            assert!(matches!(check(&entry, Arch::Sm90a), Err(Stale::Gone(_))), "{sizes}");
        }
        // Lists of these would fill no machine's memory.
        let measured = "sparse-bwd 4096x4096x2147483647x128".to_owned();
        let entry = Entry { kernel: "sla_bwd_dkdv".to_owned(), measured, ..Entry::default() };
        assert!(check(&entry, Arch::Sm90a).is_err());
        assert_eq!(super::job(&entry, Arch::Sm90a).unwrap().key().sizes["LQ"], 1 << 31);
    }

    #[test]
    fn jobs_of_records_are_those_that_were_measured() {
        for name in ["sparse", "sparse-ragged", "matmul", "dense-bwd"] {
            let case = ALL.iter().find(|case| case.name == name).unwrap();
            let job = Job::of(*case, Some(Target::Cuda(Arch::Sm90a)))[0];
            let (kernel, measured) = (job.def().name.to_owned(), format!("{name} {}", case.work));
            let found = super::job(&Entry { kernel, measured, ..Entry::default() }, Arch::Sm90a).unwrap();
            assert_eq!(found.case.work, case.work);
        }
    }
}
