//! `sla emit` as a user meets it.

use std::path::Path;
use std::process::Command;

/// Exit status, standard output, standard error.
fn emit(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    let output = command.arg("emit").args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs in an empty folder and asserts status 2, one line that has all `parts`, and no file.
fn refuses(arguments: &[&str], parts: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = emit(dir.path(), arguments);
    assert_eq!((status, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{arguments:?}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{arguments:?}: `{part}` is not in {stderr}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?} left a file");
}

#[test]
fn every_kernel_is_listed_with_its_constants() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = emit(dir.path(), &[]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    for entry in sla::kernels::ALL {
        assert!(stdout.lines().any(|line| line.split(' ').next() == Some(entry.def.name)), "{stdout}");
    }
    assert!(stdout.contains("T=bf16 BM=128 BN=128 BK=32"), "{stdout}");
    assert_eq!(emit(dir.path(), &["matmul", "--list"]).1, stdout);
}

#[test]
fn a_kernel_is_printed_with_the_constants_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = emit(dir.path(), &["matmul", "--set", "BM=64", "--set", "T=f16"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.contains("64x128xf32") && stdout.contains("f16"), "{stdout}");
    let parsed = sla_dsl::ir::parse(&stdout).unwrap();
    assert_eq!((parsed.name.as_str(), parsed.to_string()), ("matmul", stdout.clone()));

    let (_, even, _) = emit(dir.path(), &["matmul", "--set", "BM=64", "--set", "T=f16", "--even"]);
    assert_ne!(even, stdout, "without tails the kernel is another");

    let arguments = ["matmul", "--set", "BM=64", "--set", "T=f16", "--out", "matmul.tile"];
    assert_eq!(emit(dir.path(), &arguments), (0, String::new(), String::new()));
    assert_eq!(std::fs::read_to_string(dir.path().join("matmul.tile")).unwrap(), stdout);
}

#[test]
fn settings_of_the_compiler_are_set_in_small_letters() {
    let dir = tempfile::tempdir().unwrap();
    let sched = |more: &[&str]| {
        let arguments = [&["matmul", "--stage", "sched", "--target", "sm_80", "--even"], more].concat();
        let (status, stdout, stderr) = emit(dir.path(), &arguments);
        assert_eq!((status, stderr.as_str()), (0, ""), "{more:?}");
        stdout
    };
    let two = sched(&["--set", "stages=2", "--set", "BM=64"]);
    let three = sched(&["--set", "BM=64", "--set", "stages=3"]);
    assert_ne!(two, three, "it has other rings");
}

#[test]
fn a_kernel_is_dumped_after_every_pass_and_at_every_stage() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["matmul", "--stage", "ptx", "--target", "sm_80", "--dump", "steps"];
    let (status, stdout, stderr) = emit(dir.path(), &arguments);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let folders: Vec<_> = std::fs::read_dir(dir.path().join("steps")).unwrap().map(|f| f.unwrap()).collect();
    assert_eq!(folders.len(), 1);
    assert!(folders[0].file_name().to_string_lossy().starts_with("matmul-"));
    let text = |name: &str| std::fs::read_to_string(folders[0].path().join(name)).unwrap();
    assert_eq!(text("matmul.ptx"), stdout);
    assert_ne!(text("00-built.tile"), text("01-canonicalise.tile"));
    for end in ["sched", "mlir", "ll"] {
        assert!(text(&format!("matmul.{end}")).contains("matmul"), "{end}");
    }
    // A folder that cannot be made is a warning, and the kernel is printed all the same.
    std::fs::write(dir.path().join("file"), "").unwrap();
    let (status, again, stderr) =
        emit(dir.path(), &["matmul", "--stage", "ptx", "--target", "sm_80", "--dump", "file"]);
    assert_eq!((status, stderr.lines().count(), again == stdout), (0, 1, true));
    assert!(stderr.starts_with("warning: nothing more is dumped: file/matmul-"), "{stderr}");
}

#[test]
fn a_text_changed_by_hand_goes_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let target = ["--target", "sm_80"];
    let go_on = |from: &str, stage: &str| {
        let (status, stdout, stderr) =
            emit(dir.path(), &[&["--from", from, "--stage", stage], &target[..]].concat());
        assert_eq!((status, stderr.as_str()), (0, ""), "{from} {stage}");
        stdout
    };
    for stage in ["tile", "mlir", "ptx"] {
        let file = format!("vector_add.{stage}");
        let arguments = [&["vector_add", "--stage", stage, "--out", &file], &target[..]].concat();
        assert_eq!(emit(dir.path(), &arguments).0, 0);
    }
    let ptx = go_on("vector_add.ptx", "ptx");
    for from in ["vector_add.tile", "vector_add.mlir"] {
        assert_eq!(go_on(from, "ptx"), ptx, "{from}");
    }
    let place = dir.path().join("vector_add.tile");
    let text = std::fs::read_to_string(&place).unwrap();
    std::fs::write(&place, text.replace("= add ", "= sub ")).unwrap();
    assert!(
        go_on("vector_add.tile", "ptx").contains("sub.f32")
            || go_on("vector_add.tile", "ptx").contains("sub.rn.f32")
    );
    refuses(&["--from", "x.txt"], &["--from x.txt", ".tile, .mlir or .ptx"]);
    refuses(&["--from", "absent.ptx"], &["cannot read absent.ptx"]);
}

#[test]
fn machine_code_has_the_lines_of_the_source_and_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // Of roles, with loops over lists and programs that are drawn, and one of the baseline.
    let wide = ["D=128", "BQ=128", "schedule=roles"];
    let halves = ["D=128", "BQ=128", "S=bf16", "schedule=roles"];
    let kernels: [(&str, &str, &[&str]); 6] = [
        ("vector_add", "vector_add", &[]),
        ("flash_fwd", "flash", &wide),
        ("sparse_fwd", "block_sparse", &wide),
        ("sla_fwd", "sla_forward", &halves),
        ("sla_bwd_dq", "sla_backward", &halves),
        ("sla_bwd_dkdv", "sla_backward", &wide),
    ];
    for (kernel, file, set) in kernels {
        let ptx = |lines: &'static str| {
            let mut arguments =
                vec![kernel, "--target", "sm_90a", "--stage", "ptx", "--even", "--set", lines];
            set.iter().for_each(|&s| arguments.extend(["--set", s]));
            let (status, stdout, stderr) = emit(dir.path(), &arguments);
            assert_eq!((status, stderr.as_str()), (0, ""), "{kernel}");
            stdout
        };
        let (plain, with) = (ptx("lines=false"), ptx("lines=true"));
        assert!(with.contains("\t.loc\t") && !plain.contains("\t.loc\t"), "{kernel}");
        assert!(with.contains(&format!("src/kernels/{file}.rs")), "{kernel}: {with}");
        let says = [".loc", ".file", ".section", "//", "$L__tmp", "$L__func_"];
        let code = |ptx: &str| {
            let lines = ptx.lines().map(|line| line.split("//").next().unwrap_or_default().trim().to_owned());
            lines.filter(|l| !l.is_empty() && !says.iter().any(|s| l.starts_with(s))).collect::<Vec<_>>()
        };
        assert!(code(&plain) == code(&with), "{kernel} has other instructions");
    }
}

#[test]
fn kernels_that_are_launched_are_dumped_where_the_environment_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sla"));
    command.args(["check", "--device", "cpu", "--cases", "1"]).current_dir(dir.path());
    let output = command.env("SLA_DUMP", "steps,pool_blocks").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let folders: Vec<_> = std::fs::read_dir(dir.path().join("steps")).unwrap().map(|f| f.unwrap()).collect();
    assert!(!folders.is_empty());
    for folder in folders {
        assert!(folder.file_name().to_string_lossy().starts_with("pool_blocks-"), "{folder:?}");
        assert!(folder.path().join("pool_blocks.ll").exists(), "{folder:?}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    refuses(&["matmull"], &["unknown kernel `matmull`", "vector_add, row_softmax", "did you mean `matmul`?"]);
    refuses(&["matmul", "--stage", "ptxx"], &["unknown stage `ptxx`", "tile, sched", "did you mean `ptx`?"]);
    refuses(&["matmul", "--target", "sm_90"], &["unknown target `sm_90`", "did you mean `sm_90a`?"]);
    refuses(&["matmul", "--set", "BX=1"], &["matmul has no constant `BX`", "T, BM, BN, BK", "did you mean"]);
    refuses(
        &["mask_lists", "--set", "B=1"],
        &["mask_lists has no constant `B`; its constants are T, S, R, W"],
    );
}

#[test]
fn constants_that_cannot_be_are_refused() {
    refuses(&["matmul", "--set", "BM"], &["`--set BM`", "NAME=VALUE"]);
    refuses(&["matmul", "--set", "BM=-4"], &["BM is `-4`, needed a positive whole number"]);
    refuses(&["matmul", "--set", "stages=0"], &["stages is `0`, needed 1 to 16"]);
    refuses(&["matmul", "--set", "stagess=2"], &["unknown setting `stagess`", "did you mean `stages`?"]);
    refuses(&["matmul", "--target", "sm_80", "--stage", "sched", "--set", "schedule=roles"], &["Hopper's"]);
    refuses(&["matmul", "--set", "T=f64"], &["T is `f64`, needed one of", "bf16"]);
    refuses(&["flash_fwd", "--set", "CAUSAL=1"], &["CAUSAL is `1`, needed true or false"]);
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    refuses(&["matmul", "--out", "no/such/folder/file"], &["no/such/folder/file"]);
}

#[test]
fn a_report_says_what_each_pass_changed() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let kernel = ["vector_add", "--target", "sm_80"];
    let run = |more: &[&str]| emit(dir.path(), &[&kernel, more].concat());
    assert_eq!(run(&["--report", "steps.html"]), (0, String::new(), String::new()));
    let page = read("steps.html");
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("tile&lt;1024x") && !page.contains("tile<1024x"),
        "{page}"
    );

    let (status, text, stderr) = run(&["--report", "-", "--passes", "cse"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(text.starts_with("vector_add for sm_80: ") && text.contains("\n== 2 tile cse: "), "{text}");
    assert!(text.contains("\n== 4 tile cse: changed nothing\n") && !text.contains("licm: "), "{text}");

    // With --out the kernel is written as well, the same as without.
    let ptx = run(&["--stage", "ptx"]).1;
    let written = run(&["--stage", "ptx", "--out", "k.ptx", "--report", "steps.txt"]);
    assert_eq!(written, (0, String::new(), String::new()));
    assert_eq!((read("k.ptx"), read("steps.txt").lines().next().map(|l| &l[..21])), (ptx, text.get(..21)));

    // What does not compile has a report too.
    let (status, _, stderr) = run(&["--set", "warps=3", "--report", "wrong.txt"]);
    assert!(status == 2 && stderr.contains("3 warps"), "{stderr}");
    assert!(read("wrong.txt").contains("\n== it does not compile: sm_80 cannot run this kernel: "));
    let (status, _, stderr) = emit(dir.path(), &["--from", "k.ptx", "--target", "sm_80", "--report", "-"]);
    assert!(status == 2 && stderr.contains("found --report with --from k.ptx"), "{stderr}");
    refuses(&["vector_add", "--passes", "cse"], &["--report"]);
}
