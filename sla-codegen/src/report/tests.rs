//! What reports say of kernels whose passes are known.

use super::Report;
use crate::{Arch, Options, Stage, Target};
use sla_dsl::ir::{Facts, Kernel};
use sla_dsl::prelude::*;

/// `y = 2 x`
#[kernel(dims(L), grid(p in L.div_ceil(64)))]
fn double(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
    y.block::<64>(p).store(x.block::<64>(p).load() * 2.0);
}

fn kernel() -> Kernel {
    double::build(&Facts::default()).unwrap()
}

/// The part of a text report about a step.
fn part<'t>(report: &'t str, head: &str) -> &'t str {
    let from = report.find(&format!("\n== {head}: ")).unwrap_or_else(|| panic!("{head} is not in\n{report}"));
    let part = &report[from + 1..];
    part[3..].find("\n== ").map_or(part, |end| &part[..end + 3])
}

#[test]
fn a_rewrite_shows_the_lines_it_took_and_those_it_made_and_other_passes_say_nothing() {
    let report = Report::new(&kernel(), &Options::new(Target::Cuda(Arch::Sm80))).text(None);
    // Of two equal constants and products one is left, and what used the others uses these.
    let cse = part(&report, "2 tile cse");
    assert!(cse.starts_with("== 2 tile cse: 9 -> 7 ops, -3 +1 lines\n"), "{cse}");
    assert!(
        cse.contains("\n-  %5' = const {value=64} : i32\n-  %6' = mul %2, %5' : i32\n-  %5 = load %0[%6'] "),
        "{cse}"
    );
    assert!(cse.contains("\n+  %5 = load %0[%4] "), "{cse}");
    assert!(cse.contains("\n   %2 = program_id {axis=0} : i32\n"), "{cse}");
    assert_eq!(cse.matches("\n+").count(), 1, "numbers alone are no change: {cse}");
    assert_eq!(part(&report, "3 tile licm"), "== 3 tile licm: changed nothing\n");
    let row = report.lines().find(|l| l.starts_with("  3  tile   licm")).unwrap();
    assert!(row.contains(" nothing "), "{row}");
}

#[test]
fn every_level_is_there_in_order() {
    for target in [Target::Cpu, Target::Cuda(Arch::Sm80), Target::Cuda(Arch::Sm90a)] {
        let report = Report::new(&kernel(), &Options::new(target));
        let steps: Vec<_> = report.steps.iter().map(|e| (e.step.stage, e.step.name.as_str())).collect();
        let at =
            |stage, name| steps.iter().position(|s| *s == (stage, name)).unwrap_or_else(|| panic!("{name}"));
        let order = [
            at(Stage::Tile, "built"),
            at(Stage::Tile, "canonicalise"),
            at(Stage::Sched, "schedule"),
            at(Stage::Mlir, "lower"),
            at(Stage::Mlir, "convert-scf-to-cf"),
            at(Stage::Ll, "translate"),
            at(Stage::Ll, "default<O3>"),
            at(Stage::Ptx, "select and print"),
        ];
        assert!(order.is_sorted() && order[0] == 0 && order[7] == steps.len() - 1, "{steps:?}");
        assert!(report.failed.is_none());
    }
}

#[test]
fn what_a_target_tries_and_gives_up_says_why() {
    let report = Report::new(&kernel(), &Options::new(Target::Cuda(Arch::Sm90a))).text(None);
    let given_up = part(&report, "12 tile roles");
    assert!(given_up.starts_with("== 12 tile roles: given up: ") && given_up.len() > 40, "{given_up}");
    assert!(part(&report, "13 sched schedule").contains("\n+"), "{report}");
}

#[test]
fn one_pass_can_be_asked_for_and_the_table_has_all() {
    let report = Report::new(&kernel(), &Options::new(Target::Cpu));
    let text = report.text(Some("cse"));
    assert_eq!(text.matches("\n== ").count(), 2, "{text}");
    assert!(part(&text, "4 tile cse").contains("changed nothing") && text.contains("default<O3>"), "{text}");
    assert_eq!(report.text(Some("ptx")).matches("\n== ").count(), 1);
    let html = report.html(Some("cse"));
    assert_eq!(html.matches(" id=\"step-").count(), 2, "{html}");
    assert_eq!(html.matches(" href=\"#step-").count(), 2, "{html}");
}

#[test]
fn a_page_is_escaped_and_needs_nothing_else() {
    let html = Report::new(&kernel(), &Options::new(Target::Cuda(Arch::Sm80))).html(None);
    assert!(html.contains("tile&lt;64xf32&gt;") && html.contains("default&lt;O3&gt;"), "{html}");
    assert!(!html.contains("tile<64xf32>") && !html.contains("<O3>"), "{html}");
    for word in ["<script", "http:", "https:", "src=", "url(", "@import"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("<span class=\"gone\">-  %5' = const"), "{html}");
    assert!(html.contains("class=\"nothing\">3 tile licm: changed nothing</p>"), "{html}");
    let open = html.matches("<details").count();
    assert_eq!(open, html.matches("</details>").count());
    assert_eq!(html.matches("<pre>").count(), html.matches("</pre>").count());
}

#[test]
fn a_kernel_that_does_not_compile_has_a_report_of_what_came_before() {
    let options = Options { warps: Some(3), ..Options::new(Target::Cuda(Arch::Sm80)) };
    let report = Report::new(&kernel(), &options);
    let (text, html) = (report.text(None), report.html(None));
    assert!(text.starts_with("double for sm_80 warps=3: 6 steps in "), "{text}");
    assert!(
        text.contains("\n== it does not compile: sm_80 cannot run this kernel: double: 3 warps"),
        "{text}"
    );
    assert!(html.contains("<p class=\"failed\">It does not compile: sm_80 cannot run"), "{html}");
    assert!(report.failed().is_some());
}
