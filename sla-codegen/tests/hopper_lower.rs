//! Kernels of roles, written by hand and by the schedules, through the lowering and ptxas. What the schedules make is looked at in `hopper.rs`.

mod tools;

use sla_codegen::ptxas::{assemble, hopper_gate};
use sla_codegen::target::nvptx::compile_roles;
use sla_codegen::{
    Arch, Artifact, GpuImage, Options, ProgramOrder, ScheduleKind, Target, TensorMap, Watch, compile,
};
use sla_dsl::ir::{Kernel, parse, verify};
use std::path::Path;

fn kernel(name: &str) -> Kernel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/hopper_lower/{name}.tile"));
    let text = std::fs::read_to_string(path).expect("the kernel's text");
    let kernel = parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    verify(&kernel).unwrap_or_else(|e| panic!("{name}: {e}"));
    kernel
}

/// Assembles an image and has the gate judge it, where there are tools for that.
fn passes(name: &str, image: &GpuImage) {
    let Some(tools) = tools::ptxas() else { return };
    let assembled = assemble(&tools, &image.ptx, Arch::Sm90a).unwrap_or_else(|e| panic!("{name}: {e}"));
    let counts = hopper_gate(&tools, &assembled).unwrap_or_else(|e| panic!("{name}: {e}"));
    if let Some(counts) = counts {
        assert!(counts.products > 0 && counts.waits > 0, "{name}: {counts:?}");
    }
}

#[test]
fn matmul() {
    let image = compile_roles(&kernel("matmul"), 1).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(image.threads, 384);
    assert_eq!(image.shared_bytes, 1024 + 3 * 2 * 16384 + 32768);
    let map = |param: usize, extents: &[u32]| TensorMap { param, extents: extents.to_vec() };
    assert_eq!(image.maps, [map(0, &[128, 64]), map(1, &[64, 64]), map(2, &[64, 64])]);
    assert!(!image.ptx.contains("st.local"), "the maps are copied");
    passes("matmul", &image);
}

/// Three warpgroups, a first operand of each kind, a second of each, half precision, what threads do with their own columns.
#[test]
fn pieces() {
    let image = compile_roles(&kernel("pieces"), 1).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(image.threads, 512);
    let ptx = &image.ptx;
    for (count, what) in [
        (16, "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16"),
        (4, "ldmatrix.sync"),
        (4, "stmatrix.sync"),
        (1, "setmaxnreg.dec.sync.aligned.u32 32"),
        (1, "setmaxnreg.inc.sync.aligned.u32 160"),
        // A panel of `w`, two halves of one of `x`, three of `y`.
        (6, "cp.async.bulk.tensor.2d.shared::cluster"),
        // The block's, the one before a stage that was read is given back, one before the column is stored (192 is no power of two, so that boxes
        // are not known to be apart), two of the send.
        (5, "bar.sync"),
        (1, "vote.sync.any"),
    ] {
        assert_eq!(ptx.matches(what).count(), count, "{what} in {ptx}");
    }
    passes("pieces", &image);
}

/// In each of four groups a role takes a barrier of every warpgroup for its turns, one of all for a sum over rows, and two for what the warpgroups send.
#[test]
fn more_named_barriers_than_there_are_is_an_error_with_the_op_and_its_place() {
    let compiled = |more: &str| {
        let text = format!(
            "kernel crowd {{
  dims L, M
  grid m in M
  param %y = y : mut tensor<bf16, [L, 64]>
  param %n = n : tensor<i32, [M]>
  %o = ring {{arrivals=0, name=\"o\"}} : ring<1x128x64xbf16>
  %zero = const {{value=0}} : i32
  role {{name=\"a\", first=0, warps=8, groups=4, registers=0}} {{
    take_turn
    pass_turn
    %u = const {{value=1.0}} : tile<128x64xf32>
    %s = reduce_sum %u {{axis=0}} : tile<1x64xf32>
    {more}
    yield
  }}
}}
"
        );
        compile_roles(&parse(&text).unwrap_or_else(|e| panic!("{e}")), 1)
    };
    compiled("").unwrap_or_else(|e| panic!("twelve are no more than there are: {e}"));
    let send = "%t = const {value=1.0} : tile<128x64xbf16>
    send %y[%zero, %zero], %t, %o {box=[128, 64]} @\"k.rs\":7:2";
    let e = compiled(send).unwrap_err().to_string();
    assert!(e.contains("crowd") && e.contains("k.rs:7:2"), "{e}");
    assert!(e.contains("`send`: its roles take 20 named barriers, and a block of threads has 15"), "{e}");
}

fn forced(schedule: ScheduleKind) -> Options {
    Options { schedule, ..Options::new(Target::Cuda(Arch::Sm90a)) }
}

/// What a schedule makes of a tile kernel, all the way to machine code that copies no maps and passes the gate. Gives the image.
fn machine_code(name: &str, options: &Options) -> GpuImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/hopper/{name}.tile"));
    let text = std::fs::read_to_string(path).expect("the kernel's text");
    let tile = parse(&text).expect("parses");
    let Artifact::Gpu(image) = compile(&tile, options).unwrap_or_else(|e| panic!("{name}: {e}")) else {
        panic!("a GPU target yields a GPU image")
    };
    assert!(!image.ptx.contains("st.local"), "{name}: the maps are copied");
    passes(name, &image);
    image
}

#[test]
fn schedules_become_machine_code() {
    for name in ["flash_128", "flash_causal", "sparse", "matmul"] {
        machine_code(name, &forced(ScheduleKind::Roles));
    }
}

/// The exponentials of a step, and the largest score only where something rose.
#[test]
fn weights_that_are_watched_become_machine_code() {
    for (name, early) in [("flash_128", true), ("flash_causal", true), ("sparse", true), ("sparse", false)] {
        let options =
            Options { watch: Some(Watch::Weights), settle_early: Some(early), ..forced(ScheduleKind::Roles) };
        machine_code(name, &options);
    }
}

#[test]
fn products_after_loops_and_without_them_become_machine_code() {
    for name in
        ["sla_128", "sla_64_d64", "sla_dq_128_d128", "sla_dkdv_64_d128", "linear_128", "linear_64_d64"]
    {
        machine_code(name, &forced(ScheduleKind::Roles));
    }
}

#[test]
fn programs_that_are_drawn_become_machine_code() {
    let options = Options { order: ProgramOrder::Queue, ..forced(ScheduleKind::Roles) };
    for name in ["flash_128", "flash_causal", "sparse", "sparse_64_d64", "matmul"] {
        let image = machine_code(name, &options);
        assert!(image.queue, "{name} takes no counter");
        assert!(image.ptx.contains("atom.global.inc.u32"), "{name} draws nothing");
    }
}

#[test]
fn warpgroups_that_copy_for_themselves_become_machine_code() {
    for name in
        ["flash_64_d64", "flash_64_d128", "flash_causal", "sparse_64_d64", "sparse_64_d128", "matmul_64"]
    {
        machine_code(name, &forced(ScheduleKind::SelfLoading));
    }
}

#[test]
fn gradients_become_machine_code() {
    for name in [
        "dq_128_d128",
        "dq_128x128_d128",
        "dq_64_d128",
        "dq_128_d64",
        "dkdv_64_d64",
        "dkdv_128_d128",
        "sparse_dq_128_d128",
        "sparse_dkdv_64_d128",
    ] {
        machine_code(name, &forced(ScheduleKind::Roles));
    }
}

#[test]
fn products_that_are_added_become_machine_code() {
    let image = machine_code("fused_128_d128", &forced(ScheduleKind::Roles));
    let ptx = &image.ptx;
    for (count, what) in [
        // The tile that is shared, of 64 columns, and two results of 128.
        (4 + 2 * 8, "stmatrix.sync"),
        (16, "st.shared.v2.f32"),
        // Two panels of 32 columns a warpgroup, and its columns of the second operand.
        (2, "cp.reduce.async.bulk.tensor.4d.global.shared::cta.add.tile.bulk_group"),
        (16 + 8, "wgmma.mma_async.sync.aligned.m64n64k16"),
    ] {
        assert_eq!(ptx.matches(what).count(), count, "{what} in {ptx}");
    }
    assert_eq!(image.maps.iter().filter(|m| m.extents == [1, 1, 64, 32]).count(), 1, "{:?}", image.maps);
    machine_code("sparse_fused_128_d128", &forced(ScheduleKind::Roles));
}

#[test]
fn blocks_in_pairs_become_machine_code() {
    let plain = Options::new("sm_90a".parse().expect("an architecture"));
    let options = Options { pair: Some(true), ..plain };
    for name in ["sparse", "sparse_d64", "sparse_64_d64"] {
        machine_code(name, &options);
    }
}

#[test]
fn groups_become_machine_code() {
    for (name, groups) in
        [("sparse_d64", 2), ("sparse_64_d64", 4), ("sparse_64_d128", 2), ("sparse_dkdv_64_d128", 2)]
    {
        let options = Options { groups: Some(groups), ..forced(ScheduleKind::Roles) };
        let image = machine_code(name, &options);
        assert!(image.shared_bytes as usize <= 227 * 1024, "{name}: {} bytes", image.shared_bytes);
        assert!(
            image.queue && image.threads == 128 * (1 + groups * if name == "sparse_d64" { 2 } else { 1 })
        );
    }
}

#[test]
fn turns_become_named_barriers() {
    // Name, groups, and where turns are passed on: when the role starts, and in the loop.
    for (name, groups) in [("flash_128", 1), ("sparse", 1), ("dq_128_d128", 1), ("sparse_d64", 2)] {
        let options = Options { ping_pong: Some(true), groups: Some(groups), ..forced(ScheduleKind::Roles) };
        let image = machine_code(name, &options);
        assert_eq!(image.ptx.matches("bar.arrive").count(), 2, "{name}");
    }
}

#[test]
fn residents_are_held_only_as_far_as_registers_go() {
    for name in ["dq_128x128_d128", "dq_128_d64"] {
        let options = Options { held_in_registers: Some(true), ..forced(ScheduleKind::Roles) };
        machine_code(name, &options);
    }
}
