//! The table of cases: sizes, lists, and the speed that each must reach on an H100.

use super::case::{Call, Case, Goal, Pass, RAGGED, Work};
use super::shape::{Kept, Lists, Shape};

const D128: Shape = Shape { batch: 1, heads: 12, length: 32768, dim: 128 };
const D64: Shape = Shape { heads: 24, dim: 64, ..D128 };
const RAGGED_D128: Shape = Shape { length: D128.length - RAGGED, ..D128 };
/// Wan2.1-14B at 720p.
const WIDE: Shape = Shape { heads: 40, length: 75600, ..D128 };

const fn lists(bq: usize, bk: usize, kept: Kept) -> Lists {
    Lists { bq, bk, kept }
}

/// Lists of gradients' cases: 26 blocks of 512 in each row, 5 %.
const fn gradient(bq: usize, bk: usize) -> Lists {
    lists(bq, bk, Kept::Equal(26))
}

const fn fwd(name: &'static str, work: Work, goal: Goal) -> Case {
    Case { name, pass: Pass::Fwd, work, fused: false, goal: Some(goal) }
}

const fn bwd(name: &'static str, work: Work, goal: Goal) -> Case {
    Case { name, pass: Pass::Bwd, work, fused: false, goal: Some(goal) }
}

/// Gradients of the same bits every time, where the faster way gives others.
const fn reproducible(name: &'static str, work: Work) -> Case {
    Case { name, pass: Pass::Bwd, work, fused: false, goal: None }
}

/// Gradients by one kernel.
const fn fused(name: &'static str, work: Work, goal: Goal) -> Case {
    Case { fused: true, ..bwd(name, work, goal) }
}

const fn within(of: &'static str, percent: f64) -> Goal {
    Goal::Within { of, percent }
}

/// Every case.
pub const ALL: &[Case] = &[
    fwd("dense", Work::Dense(D128), Goal::Tflops(700.0)),
    fwd("dense-ragged", Work::Dense(RAGGED_D128), within("dense", 3.0)),
    fwd("dense-d64", Work::Dense(D64), Goal::Tflops(550.0)),
    fused("dense-bwd", Work::Dense(D128), Goal::Tflops(570.0)),
    reproducible("dense-bwd-reproducible", Work::Dense(D128)),
    fwd("sparse", Work::Sparse(D128, lists(128, 64, Kept::Equal(25))), Goal::Tflops(600.0)),
    fwd("sparse-51", Work::Sparse(D128, lists(128, 64, Kept::Equal(51))), Goal::Tflops(630.0)),
    fwd("sparse-uneven", Work::Sparse(D128, lists(128, 64, Kept::Halves(5, 45))), within("sparse", 7.0)),
    fwd("sparse-ragged", Work::Sparse(RAGGED_D128, lists(128, 64, Kept::Equal(25))), within("sparse", 3.0)),
    fwd("sparse-64x64", Work::Sparse(D128, lists(64, 64, Kept::Equal(25))), Goal::Tflops(465.0)),
    fwd("sparse-d64", Work::Sparse(D64, lists(128, 64, Kept::Equal(25))), Goal::Tflops(465.0)),
    bwd("sparse-bwd", Work::Sparse(D128, gradient(128, 64)), Goal::Milliseconds(2.1)),
    fused("sparse-bwd-128x128", Work::Sparse(D128, gradient(128, 128)), Goal::Milliseconds(1.9)),
    reproducible("sparse-bwd-128x128-reproducible", Work::Sparse(D128, gradient(128, 128))),
    bwd("sparse-bwd-64x64", Work::Sparse(D128, gradient(64, 64)), Goal::Milliseconds(2.2)),
    bwd("sparse-bwd-d64", Work::Sparse(D64, gradient(128, 64)), Goal::Milliseconds(2.5)),
    fwd("router", Work::Module(D128, Call::Router), Goal::Milliseconds(0.12)),
    fwd("module-all", Work::Module(D128, Call::All), Goal::Milliseconds(0.90)),
    fwd("module-marginal", Work::Module(D128, Call::Marginal), Goal::Milliseconds(1.05)),
    fwd("module-wide", Work::Module(WIDE, Call::All), within("module-all", 10.0)),
    bwd("module-all-bwd", Work::Module(D128, Call::All), Goal::Milliseconds(2.6)),
    bwd("module-marginal-bwd", Work::Module(D128, Call::Marginal), Goal::Milliseconds(2.9)),
    bwd("module-wide-bwd", Work::Module(WIDE, Call::All), within("module-all-bwd", 10.0)),
    fwd("matmul", Work::Matmul([8192, 8192, 8192]), Goal::Tflops(600.0)),
];

#[cfg(test)]
mod tests {
    use super::super::case::Sizes;
    use super::*;

    #[test]
    fn sizes_scale_the_lists_and_drop_the_goals() {
        let sizes = Sizes { attention: Some([1, 2, 1024]), dim: Some(64), matmul: Some([8, 16, 32]) };
        let at = |name: &str| {
            let case = ALL.iter().find(|c| c.name == name).unwrap().at(&sizes);
            (case.work.to_string(), case.goal)
        };
        assert_eq!(at("dense"), ("1x2x1024x64".into(), None));
        assert_eq!(at("dense-ragged"), ("1x2x1016x64".into(), None));
        assert_eq!(at("sparse"), ("1x2x1024x64 blocks 128x64 1 of 16".into(), None));
        assert_eq!(at("module-marginal"), ("1x2x1024x64 blocks 128x64 1 and not 1 of 16".into(), None));
        assert_eq!(at("module-wide"), ("1x2x1024x64 blocks 128x64 1 of 16".into(), None));
        assert_eq!(at("matmul"), ("8x16x32".into(), None));
        for case in ALL {
            assert_eq!(case.at(&Sizes::default()), *case);
            let names = ALL.iter().filter(|c| c.name == case.name).count();
            assert_eq!(names, 1, "{}", case.name);
            if let Some(Goal::Within { of, .. }) = case.goal {
                assert!(ALL.iter().any(|c| c.name == of && c.pass == case.pass), "{of}");
            }
        }
    }

    #[test]
    fn sizes_are_shown_for_people() {
        let shown = |name: &str| ALL.iter().find(|c| c.name == name).unwrap().work.to_string();
        assert_eq!(shown("sparse-uneven"), "1x12x32768x128 blocks 128x64 5 or 45 of 512");
        assert_eq!(shown("sparse-bwd-128x128"), "1x12x32768x128 blocks 128x128 13 of 256");
        assert_eq!(shown("module-marginal"), "1x12x32768x128 blocks 128x64 25 and not 51 of 512");
    }
}
