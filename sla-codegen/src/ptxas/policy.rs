//! Which versions of ptxas are used: one table of those that are known to be wrong, with the reason and where it is from.
//!
//! Wrong code is silent, so that a version under suspicion is refused rather than tried. The driver has a compiler of the same kind, of which only the release is
//! known; it is judged by the same table. Nothing is started here.

use crate::Arch;
use std::fmt;

/// A version of ptxas, `13.0.88`: the release of CUDA and a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads what `ptxas --version` prints.
    pub fn parse(text: &str) -> Option<Version> {
        let numbers = text.split_whitespace().find_map(|word| word.strip_prefix('V'))?;
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        Some(Version(parts.next()??, parts.next()??, parts.next()??))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What is done about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not used.
    Refused,
    /// It is used, and `sla explain` and `sla cache` say what is known against it.
    Suspected,
}

/// What is known against some versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The first version.
    pub from: Version,
    /// The first that is not meant any more.
    pub before: Version,
    /// The architecture whose code is wrong; all when absent.
    pub arch: Option<Arch>,
    /// What is done about it.
    pub verdict: Verdict,
    /// What goes wrong.
    pub reason: &'static str,
    /// Where that is from.
    pub source: &'static str,
}

/// Everything that is known, the first that fits counts.
pub const FINDINGS: &[Finding] = &[
    Finding {
        from: Version(12, 8, 0),
        before: Version(12, 9, 86),
        arch: Some(Arch::Sm90a),
        verdict: Verdict::Refused,
        reason: "it miscompiles kernels of warpgroups: attention and gradients come out wrong without a word",
        source: "flash-linear-attention pull request 1262 (12.8.93); JAX's Mosaic GPU attention refuses CUDA 12.8.0 to 12.9.0",
    },
    Finding {
        from: Version(0, 0, 0),
        before: Version(12, 9, 0),
        arch: None,
        verdict: Verdict::Refused,
        reason: "it does not read PTX 8.8, which is what this compiler writes",
        source: "the release notes of NVIDIA's PTX ISA: 8.8 came with CUDA 12.9",
    },
    Finding {
        from: Version(13, 0, 0),
        before: Version(13, 1, 80),
        arch: Some(Arch::Sm90a),
        verdict: Verdict::Suspected,
        reason: "it got a gradient kernel of another project partly wrong, which 13.1.80 gets right; the kernels here are checked with 13.0.88 against float64",
        source: "flash-linear-attention pull request 1262",
    },
];

impl Finding {
    /// What is known against a version for an architecture.
    pub fn of(version: Version, arch: Arch) -> Option<&'static Finding> {
        let fits =
            |f: &&Finding| (f.from..f.before).contains(&version) && f.arch.is_none_or(|only| only == arch);
        FINDINGS.iter().find(fits)
    }

    /// What is known against the compiler of a driver for a release of CUDA, of which the build is unknown: what is known against any of that release.
    pub fn of_release(major: u32, minor: u32, arch: Arch) -> Option<&'static Finding> {
        let (first, next) = (Version(major, minor, 0), Version(major, minor + 1, 0));
        let fits = |f: &&Finding| f.from < next && first < f.before && f.arch.is_none_or(|only| only == arch);
        FINDINGS.iter().find(fits)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: (u32, u32, u32), arch: Arch) -> Option<Verdict> {
        Finding::of(Version(version.0, version.1, version.2), arch).map(|f| f.verdict)
    }

    #[test]
    fn versions_are_read() {
        let text = "ptxas: NVIDIA (R) Ptx optimizing assembler\nCopyright (c) 2005-2025 NVIDIA Corporation\n\
            Cuda compilation tools, release 13.0, V13.0.88\nBuild cuda_13.0.r13.0/compiler.36424714_0\n";
        assert_eq!(Version::parse(text), Some(Version(13, 0, 88)));
        for strange in ["", "V", "Version 3", "V13.0", "V13.0.x"] {
            assert_eq!(Version::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn what_is_known_to_be_wrong_is_refused_where_it_is_wrong() {
        use Verdict::*;
        assert_eq!(verdict((12, 8, 93), Arch::Sm90a), Some(Refused));
        assert_eq!(verdict((12, 9, 41), Arch::Sm90a), Some(Refused));
        assert_eq!(verdict((12, 9, 41), Arch::Sm80), None);
        assert_eq!(verdict((12, 9, 86), Arch::Sm90a), None);
        assert_eq!(verdict((12, 4, 131), Arch::Sm80), Some(Refused));
        assert_eq!(verdict((13, 0, 88), Arch::Sm90a), Some(Suspected));
        assert_eq!(verdict((13, 0, 88), Arch::Sm80), None);
        assert_eq!(verdict((13, 1, 80), Arch::Sm90a), None);
    }

    #[test]
    fn a_driver_is_judged_by_its_release() {
        let verdict = |major, minor, arch| Finding::of_release(major, minor, arch).map(|f| f.verdict);
        assert_eq!(verdict(12, 9, Arch::Sm90a), Some(Verdict::Refused));
        assert_eq!(verdict(12, 9, Arch::Sm80), None);
        assert_eq!(verdict(13, 0, Arch::Sm90a), Some(Verdict::Suspected));
        assert_eq!(verdict(13, 2, Arch::Sm90a), None);
    }

    #[test]
    fn every_finding_has_versions_a_reason_and_a_source() {
        for f in FINDINGS {
            assert!(f.from < f.before && !f.reason.is_empty() && !f.source.is_empty(), "{f}");
        }
    }
}
