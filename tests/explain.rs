//! `sla explain` as a user meets it.

use std::process::Command;

/// Exit status, standard output, standard error.
fn explain(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sla")).arg("explain").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_kernel_has_roles_or_warps_that_are_alike() {
    // One without products and the two that attention is made of; `tests/emit.rs` has what every kernel shares.
    for name in ["vector_add", "flash_fwd", "sparse_fwd"] {
        let (status, stdout, stderr) = explain(&[name]);
        assert_eq!((status, stderr.as_str()), (0, ""), "{name}");
        for what in ["blocks of threads", "shared memory"] {
            assert!(stdout.contains(what), "{stdout}");
        }
        assert!(stdout.contains("\nwarps ") != stdout.contains("\nrole "), "{stdout}");
    }
}

#[test]
fn the_baseline_has_buffers_that_are_loaded_ahead() {
    let (status, stdout, _) = explain(&["flash_fwd", "--target", "sm_80", "--even"]);
    assert_eq!(status, 0);
    assert!(stdout.starts_with("flash_fwd on sm_80\n"), "{stdout}");
    for what in ["\nwarps ", "all alike\n", "\nbuffer k ", "filled by cp.async\n", "iterations ahead\n"] {
        assert!(stdout.contains(what), "`{what}` is not in {stdout}");
    }
}

#[test]
fn the_schedule_can_be_chosen() {
    let explained = |schedule: &str| explain(&["flash_fwd", "--even", "--set", "BQ=128", "--set", schedule]);
    for (schedule, has) in [("schedule=baseline", "\nwarps "), ("schedule=roles", "\nrole ")] {
        let (status, stdout, stderr) = explained(schedule);
        assert_eq!((status, stderr.as_str()), (0, ""), "{schedule}");
        assert!(stdout.contains(has), "{schedule}: {stdout}");
    }
}

#[test]
fn groups_are_shown_with_their_roles() {
    let arguments = ["sparse_fwd", "--even", "--set", "BQ=64", "--set", "BK=64", "--set", "groups=2"];
    let (status, stdout, stderr) = explain(&arguments);
    assert_eq!((status, stderr.as_str()), (0, ""));
    for what in ["384 threads, 1 on each", "warps 0 to 1 (2 groups)", "warps 4 to 11 (2 groups)"] {
        assert!(stdout.contains(what), "`{what}` is not in {stdout}");
    }
}

#[test]
fn what_cannot_be_explained_is_refused_in_one_line() {
    for (arguments, part) in [
        (&["flash_fw"][..], "unknown kernel `flash_fw`"),
        (&["flash_fwd", "--target", "cpu"], "needed a GPU"),
        (&["flash_fwd", "--target", "sm_9"], "unknown target `sm_9`"),
        (&["flash_fwd", "--set", "XX=3"], "has no constant `XX`"),
        (
            &["flash_fwd", "--set", "schedule=none"],
            "schedule is `none`, needed auto, baseline, roles or self",
        ),
    ] {
        let (status, stdout, stderr) = explain(arguments);
        assert_eq!((status, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_assembler_is_named_with_what_is_known_against_it() {
    let (_, stdout, _) = explain(&["vector_add"]);
    let Some(line) = stdout.lines().find(|l| l.starts_with("assembler ")) else {
        assert!(stdout.contains("there is no ptxas"), "{stdout}");
        return eprintln!("skipped: no ptxas; `cargo xtask setup` installs it");
    };
    let known = line.contains("ptxas 13.0.");
    assert_eq!(line.contains("; known of it: "), known, "{line}");
}
