//! Hopper's schedules: tile kernels become kernels of roles that verify, and kernels of another shape are refused with a reason.

use sla_codegen::explain::roles_and_rings;
use sla_codegen::target::hopper::verify::verify_protocol;
use sla_codegen::target::hopper::{Refusal, Scheduled, schedule};
use sla_codegen::{GridKind, Options, ProgramOrder, ScheduleKind, Watch, optimise};
use sla_dsl::ir::{Attr, BlockId, Kernel, OpCode, OpId, Type, parse, verify};

fn kernel(name: &str) -> Kernel {
    let path = format!("{}/tests/hopper/{name}.tile", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    optimise(&parse(&text).unwrap_or_else(|e| panic!("{path}: {e}")))
        .unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn scheduled(name: &str) -> Result<Scheduled, Refusal> {
    schedule(&kernel(name), &Options::new("sm_90a".parse().unwrap()))
}

fn count(kernel: &Kernel, code: OpCode) -> usize {
    let mut found = 0;
    kernel.walk(&mut |k, _, id| found += usize::from(k.op(id).code == code));
    found
}

#[test]
fn shipped_shapes_are_scheduled() {
    // Name, roles, rings, products: a flash step has two in the first step, two in the loop, one after it.
    for (name, roles, rings, products) in [
        ("flash_128", 4, 4, 4),
        ("flash_causal", 3, 4, 4),
        ("sparse", 4, 5, 4),
        ("matmul", 3, 3, 2),
        ("sla_128", 4, 6, 5),
        ("sla_64_d64", 3, 6, 5),
        // Without a loop: one producer, and the products one after the other.
        ("linear_128", 2, 5, 3),
        ("linear_64_d64", 2, 5, 3),
    ] {
        let out = scheduled(name).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
        verify(&out).unwrap_or_else(|e| panic!("{name}: {e}\n{out}"));
        verify_protocol(&out).unwrap_or_else(|e| panic!("{name}: {}\n{out}", e[0]));
        let found = (count(&out, OpCode::Role), count(&out, OpCode::Ring), count(&out, OpCode::Mma));
        assert_eq!(found, (roles, rings, products), "{name}:\n{out}");
        assert_eq!(count(&out, OpCode::ProgramId), 0, "{name}:\n{out}");
        assert_eq!(parse(&out.to_string()).unwrap().to_string(), out.to_string(), "{name}");
    }
}

#[test]
fn gradients_are_scheduled() {
    // Name, roles, products: those of one step where steps end before the next one starts, else of a first, an inner and a last one.
    for (name, roles, products) in [
        ("dq_128_d128", 4, 6),
        ("dq_64_d128", 3, 6),
        ("dkdv_64_d64", 4, 8),
        ("dkdv_64_d128", 4, 4),
        ("dkdv_128_d128", 4, 4),
        ("fused_128_d128", 4, 5),
        ("sparse_fused_128_d128", 4, 5),
        ("sparse_dq_128_d128", 4, 6),
        ("sparse_dkdv_64_d128", 4, 4),
        // One more after the loop; sums that the kernel adds to what it finds.
        ("sla_dq_128_d128", 4, 7),
        ("sla_dkdv_64_d128", 4, 4),
    ] {
        let out = scheduled(name).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
        verify(&out).unwrap_or_else(|e| panic!("{name}: {e}\n{out}"));
        verify_protocol(&out).unwrap_or_else(|e| panic!("{name}: {}\n{out}", e[0]));
        let found = (count(&out, OpCode::Role), count(&out, OpCode::Mma));
        assert_eq!(found, (roles, products), "{name}:\n{out}");
        assert_eq!(parse(&out.to_string()).unwrap().to_string(), out.to_string(), "{name}");
    }
}

#[test]
fn warpgroups_take_turns() {
    // Name, turns by default, if asked for. One warpgroup has nobody to take turns with, and a step at a time has no two steps' products to start.
    for (name, plain, asked) in [
        ("flash_128", 0, 1),
        ("sparse", 0, 1),
        ("dq_128_d128", 1, 1),
        ("dq_64_d128", 0, 0),
        ("sparse_64_d128", 0, 0),
        ("dkdv_128_d128", 0, 0),
    ] {
        for (ping_pong, turns) in [(None, plain), (Some(true), asked), (Some(false), 0)] {
            let options = Options { ping_pong, ..Options::new("sm_90a".parse().unwrap()) };
            let out = schedule(&kernel(name), &options).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
            let text = out.to_string();
            verify(&out).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
            verify_protocol(&out).unwrap_or_else(|e| panic!("{name}: {}\n{text}", e[0]));
            assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{name}: {e}")).to_string(), text, "{name}");
            let found = [OpCode::TakeTurn, OpCode::PassTurn].map(|code| count(&out, code));
            assert_eq!(found, [turns; 2], "{name}:\n{text}");
        }
    }
}

#[test]
fn a_softmax_watches_its_weights_where_a_thread_has_registers_for_the_scores_beside_them() {
    // Two groups of two warpgroups, with 64 columns, have 112 registers a thread.
    for (name, maxima) in
        [("flash_128", 0), ("sparse_64_d128", 0), ("sparse", 0), ("sla_128", 0), ("sparse_d64", 2)]
    {
        let out = scheduled(name).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
        assert_eq!(count(&out, OpCode::FoldMax), maxima, "{name}:\n{out}");
    }
    // Rounded weights would go where a product in flight reads: it is waited for first. The scores' form leaves it in flight.
    let waits_first = |name: &str, options: &Options| {
        let text =
            schedule(&kernel(name), options).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel.to_string();
        let step = &text[text.rfind("{left=1}").unwrap()..];
        step.find("{left=0}").unwrap() < step.find("exp2").unwrap()
    };
    let plain = Options::new("sm_90a".parse().unwrap());
    assert!(waits_first("flash_128", &plain) && !waits_first("sparse", &plain));
    assert!(!waits_first("flash_128", &Options { watch: Some(Watch::Scores), ..plain.clone() }));
    assert!(waits_first("sparse", &Options { settle_early: Some(true), ..plain }));
}

#[test]
fn a_product_of_a_step_is_added_and_nothing_else() {
    let path = format!("{}/tests/hopper/fused_128_d128.tile", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let add = text.lines().find(|line| line.contains("atomic_add")).unwrap();
    let twice = text.replace(add, &format!("{add}\n{add}"));
    let kernel = optimise(&parse(&twice).unwrap()).unwrap();
    let refusal = schedule(&kernel, &Options::new("sm_90a".parse().unwrap())).unwrap_err();
    assert!(refusal.reason.contains("not just added"), "{}", refusal.reason);
}

#[test]
fn what_only_the_end_of_a_program_reads_is_read_there() {
    // Features are made of queries after the loop. With one warpgroup those stay in shared memory, and their stage is given back once they are read.
    let text = scheduled("sla_64_d64").unwrap().kernel.to_string();
    let (read, last) = (text.rfind(" read %").unwrap(), text.rfind(" mma %").unwrap());
    let given_back = text[read..].find("release ").unwrap() + read;
    let before = text[..read].rfind("mma_wait").unwrap();
    assert!(before < read && given_back < last, "{text}");
}

#[test]
fn a_program_may_add_to_what_it_overwrites() {
    let sends = |text: &str| {
        let kernel = optimise(&parse(text).unwrap()).unwrap();
        // Alone on a multiprocessor, where there is room for what results are sent from.
        let options = Options { ctas_per_sm: Some(1), ..Options::new("sm_90a".parse().unwrap()) };
        count(&schedule(&kernel, &options).unwrap().kernel, OpCode::Send)
    };
    let path = format!("{}/tests/hopper/sla_dkdv_64_d128.tile", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(sends(&text), 2);
    // What lies elsewhere may be another program's: such a store stays one of threads.
    let moved = text.replacen("load %8[%13, %12,", "load %8[%12, %12,", 1);
    assert_ne!(moved, text);
    assert_eq!(sends(&moved), 1);
}

#[test]
fn programs_are_drawn_where_lists_say_how_long_they_are() {
    let plain = Options::new("sm_90a".parse().unwrap());
    // Name, and whether the order that is chosen draws; arrivals: the producers, and every warp that multiplies.
    for (name, drawn, arrivals) in
        [("sparse", true, 11), ("sparse_64_d128", true, 6), ("flash_128", false, 11), ("matmul", false, 10)]
    {
        for order in ProgramOrder::ALL {
            let options = Options { order, ..plain.clone() };
            let out = schedule(&kernel(name), &options).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
            verify(&out).unwrap_or_else(|e| panic!("{name}: {e}\n{out}"));
            verify_protocol(&out).unwrap_or_else(|e| panic!("{name}: {}\n{out}", e[0]));
            assert_eq!(parse(&out.to_string()).unwrap().to_string(), out.to_string(), "{name}");
            let queue = order == ProgramOrder::Queue || order == ProgramOrder::Auto && drawn;
            let roles = count(&out, OpCode::Role);
            let expected = if queue { [2, roles, 0] } else { [0, 0, roles] };
            let strides = count(&out, OpCode::Ctas).min(roles);
            let found = [count(&out, OpCode::Draw), count(&out, OpCode::Take), strides];
            assert_eq!(found, expected, "{name}:\n{out}");
            let text = format!("ring {{arrivals={arrivals}, name=\"programs\"}}");
            assert_eq!(out.to_string().contains(&text), queue, "{name}:\n{out}");
        }
    }
}

/// Roles and rings of a kernel in groups, after a look at whether it can run.
fn grouped(name: &str, groups: u32) -> Result<Scheduled, Refusal> {
    let options = Options { groups: Some(groups), ..Options::new("sm_90a".parse().unwrap()) };
    let scheduled = schedule(&kernel(name), &options)?;
    let out = &scheduled.kernel;
    verify(out).unwrap_or_else(|e| panic!("{name}: {e}\n{out}"));
    verify_protocol(out).unwrap_or_else(|e| panic!("{name}: {}\n{out}", e[0]));
    assert_eq!(parse(&out.to_string()).unwrap().to_string(), out.to_string(), "{name}");
    Ok(scheduled)
}

#[test]
fn a_block_of_threads_can_hold_several_groups() {
    // Name, groups; producers of a group, registers of a consumer, stages of its streams.
    for (name, groups, producers, registers, stages) in [
        ("sparse_d64", 2, 2, 112, 5),
        ("sparse_64_d64", 2, 2, 232, 6),
        ("sparse_64_d64", 4, 1, 112, 2),
        ("sparse_64_d128", 2, 2, 232, 2),
        ("sparse_dkdv_64_d128", 2, 2, 232, 2),
    ] {
        let scheduled = grouped(name, groups).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let out = &scheduled.kernel;
        assert_eq!(scheduled.ctas_per_sm, 1, "{name}:\n{out}");
        let (roles, rings) = roles_and_rings(out);
        assert!(roles.iter().all(|r| r.groups == groups), "{roles:?}");
        // Warps side by side: those that copy in the first warpgroup, then whole warpgroups.
        let mut next = 0;
        for role in &roles {
            assert_eq!(role.first, if role.warps == 1 { next } else { 4 }, "{roles:?}");
            next = role.first + role.warps * role.groups;
        }
        let (last, copying) = roles.split_last().expect("roles");
        assert_eq!((copying.len(), last.registers), (producers, registers), "{name}: {roles:?}");
        let streamed = rings.iter().filter(|r| r.arrivals > 0 && r.elem.is_half()).map(|r| r.stages);
        assert_eq!(streamed.max(), Some(stages), "{name}: {rings:?}");
        let bytes: usize = rings.iter().map(|r| r.bytes()).sum();
        assert!(groups as usize * bytes <= 226 * 1024, "{name}: {bytes} bytes a group");
    }
}

#[test]
fn groups_that_no_block_of_threads_can_hold_are_refused() {
    let refusal = grouped("sparse", 3).unwrap_err();
    assert!(refusal.reason.starts_with("3 groups of 128 rows take 6 warpgroups"), "{refusal:?}");
    let refusal = grouped("sparse", 2).unwrap_err();
    assert!(refusal.reason.contains("a group may have"), "{refusal:?}");
}

#[test]
fn gradients_of_few_rows_run_in_groups_or_blocks_of_threads() {
    // Name, blocks of threads, groups in each.
    for (name, blocks, groups) in [("sparse_dkdv_64_d128", 2, 1), ("dq_64_d128", 1, 2)] {
        let out = scheduled(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(out.ctas_per_sm, blocks, "{name}");
        let (roles, _) = roles_and_rings(&out.kernel);
        assert!(roles.iter().all(|r| r.groups == groups), "{name}: {roles:?}");
    }
}

fn self_loading() -> Options {
    Options { schedule: ScheduleKind::SelfLoading, ..Options::new("sm_90a".parse().unwrap()) }
}

/// The ops of one kind in a role's loop over steps: the innermost loop that has products.
fn in_steps(kernel: &Kernel, code: OpCode) -> usize {
    fn count(k: &Kernel, block: BlockId, code: OpCode) -> usize {
        let nested = |&id: &OpId| -> usize { k.op(id).regions.iter().map(|&r| count(k, r, code)).sum() };
        let ops = &k.block(block).ops;
        ops.iter().filter(|&&id| k.op(id).code == code).count() + ops.iter().map(nested).sum::<usize>()
    }
    let mut found = None;
    kernel.walk(&mut |k, _, id| {
        let op = k.op(id);
        if op.code == OpCode::For && count(k, op.regions[0], OpCode::Mma) > 0 {
            found = Some(op.regions[0]);
        }
    });
    count(kernel, found.expect("a loop with products"), code)
}

#[test]
fn a_warpgroup_can_copy_for_itself() {
    // Name, streams, blocks of threads on a multiprocessor, stages.
    for (name, streams, per_sm, stages) in [
        ("flash_64_d64", 2, 3, 3),
        ("flash_64_d128", 2, 1, 3),
        ("flash_causal", 2, 3, 3),
        ("sparse_64_d64", 2, 3, 3),
        ("sparse_64_d128", 2, 2, 2),
        ("matmul_64", 2, 3, 2),
    ] {
        let scheduled = schedule(&kernel(name), &self_loading()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let out = &scheduled.kernel;
        verify(out).unwrap_or_else(|e| panic!("{name}: {e}\n{out}"));
        verify_protocol(out).unwrap_or_else(|e| panic!("{name}: {}\n{out}", e[0]));
        assert_eq!((scheduled.ctas_per_sm, scheduled.grid()), (per_sm, GridKind::Programs), "{name}:\n{out}");
        assert_eq!(count(out, OpCode::Role), 1, "{name}:\n{out}");
        assert_eq!(count(out, OpCode::Acquire), count(out, OpCode::Fill), "{name}:\n{out}");
        // Every stage that a step gives back is filled again, one lap on.
        let found = [OpCode::Release, OpCode::Lap, OpCode::Acquire].map(|code| in_steps(out, code));
        assert_eq!(found, [streams; 3], "{name}:\n{out}");
        let rings = out.block(out.body).ops.iter().map(|&id| out.op(id)).filter(|o| o.code == OpCode::Ring);
        let streamed: Vec<&Type> = rings
            .map(|o| out.ty(o.results[0]))
            .filter(|t| matches!(t, Type::Ring(_, [s, ..]) if *s == stages))
            .collect();
        assert_eq!(streamed.len(), streams, "{name}:\n{out}");
        assert_eq!(parse(&out.to_string()).unwrap().to_string(), out.to_string(), "{name}");
    }
}

#[test]
fn a_warpgroup_that_copies_for_itself_needs_tiles_of_its_own_size() {
    let refusal = schedule(&kernel("flash_128"), &self_loading()).unwrap_err();
    assert!(refusal.reason.starts_with("a product of 128 rows"), "{refusal:?}");
    let tight = Options { shared: Some(40 * 1024), ..self_loading() };
    let refusal = schedule(&kernel("sparse_64_d128"), &tight).unwrap_err();
    assert!(refusal.reason.contains("a block of threads may have 40960"), "{refusal:?}");
}

#[test]
fn other_shapes_are_refused_with_a_reason() {
    let plain = "kernel k { dims L
        grid m in L.div_ceil(64)
        param %x = x : mut tensor<f32, [L]>
        %p = program_id {axis=0} : i32
        %t = const {value=0.0} : tile<64xf32>
        store %x[%p], %t {box=[64], check=[1]}
    }";
    let refusal = schedule(&parse(plain).unwrap(), &Options::new("sm_90a".parse().unwrap())).unwrap_err();
    assert_eq!(refusal.reason, "no matrix product in a loop");
    let unpacked = kernel("flash_128")
        .to_string()
        .replace("k : tensor<bf16, [B, H, LK, 128]>", "k : tensor<bf16, [B, H, LK, 128]> unpacked");
    let refusal = schedule(&parse(&unpacked).unwrap(), &Options::new("sm_90a".parse().unwrap())).unwrap_err();
    assert!(refusal.reason.contains("packed and aligned"), "{refusal:?}");
}

/// The sizes of the stages of a kernel's rings that somebody reads.
fn stages(kernel: &Kernel) -> Vec<[usize; 2]> {
    let rings = kernel.block(kernel.body).ops.iter().map(|&id| kernel.op(id));
    let rings = rings.filter(|o| o.code == OpCode::Ring && o.int("arrivals") != Some(0));
    let size = |ty: &Type| match ty {
        Type::Ring(e, [_, rows, columns]) if e.is_half() => Some([*rows, *columns]),
        _ => None,
    };
    rings.filter_map(|o| size(kernel.ty(o.results[0]))).collect()
}

fn with_pairs(pair: bool) -> Options {
    Options { pair: Some(pair), ..Options::new("sm_90a".parse().unwrap()) }
}

#[test]
fn two_blocks_of_a_list_make_a_step() {
    // Name, rows of a program, columns, keys of a step where pairs are asked for. Two stages of pairs leave no room for a second block of
    // threads beside one of 64 rows and 128 columns.
    for (name, rows, columns, asked) in [
        ("sparse", 128, 128, 128),
        ("sparse_d64", 128, 64, 128),
        ("sparse_64_d128", 64, 128, 64),
        ("sparse_64_d64", 64, 64, 128),
    ] {
        for (pair, keys) in [(Some(false), 64), (Some(true), asked), (None, 64)] {
            let options = Options { pair, ..with_pairs(true) };
            let out = schedule(&kernel(name), &options).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
            verify(&out).unwrap_or_else(|e| panic!("{name}: {e}\n{out}"));
            verify_protocol(&out).unwrap_or_else(|e| panic!("{name}: {}\n{out}", e[0]));
            assert_eq!(parse(&out.to_string()).unwrap().to_string(), out.to_string(), "{name}");
            assert_eq!(stages(&out), [[rows, columns], [keys, columns], [keys, columns]], "{name}:\n{out}");
            // One copy of the resident; each block of a stage has its own.
            let copies = [OpCode::Acquire, OpCode::Fill].map(|code| count(&out, code));
            assert_eq!(copies, [3, 1 + 2 * keys / 64], "{name}:\n{out}");
            assert_eq!(count(&out, OpCode::Concat), 0, "{name}:\n{out}");
        }
    }
}

#[test]
fn a_warpgroup_that_copies_for_itself_takes_pairs_when_asked_to() {
    for (pair, keys) in [(None, 64), (Some(true), 128)] {
        let options = Options { pair, ..self_loading() };
        let out = schedule(&kernel("sparse_64_d64"), &options).unwrap_or_else(|e| panic!("{e:?}")).kernel;
        verify(&out).unwrap_or_else(|e| panic!("{e}\n{out}"));
        verify_protocol(&out).unwrap_or_else(|e| panic!("{}\n{out}", e[0]));
        assert_eq!(stages(&out), [[64, 64], [keys, 64], [keys, 64]], "{out}");
    }
}

#[test]
fn what_cannot_be_paired_is_scheduled_block_by_block() {
    // Blocks that follow each other; a step of pairs that no two stages are left for.
    let dense = schedule(&kernel("flash_128"), &with_pairs(true)).unwrap_or_else(|e| panic!("{e:?}")).kernel;
    assert_eq!(dense.to_string(), scheduled("flash_128").unwrap().kernel.to_string());
    let tight = Options { shared: Some(190 * 1024), ..with_pairs(true) };
    let out = schedule(&kernel("sparse"), &tight).unwrap_or_else(|e| panic!("{e:?}")).kernel;
    assert_eq!(stages(&out), [[128, 128], [64, 128], [64, 128]], "{out}");
}

#[test]
fn tiles_joined_by_columns_are_refused() {
    // The loop's first product, doubled side by side and halved again by a maximum that looks at all of it.
    let text = kernel("flash_64_d64").to_string();
    let line = text.lines().find(|l| l.contains("reduce_max")).expect("a softmax");
    let scores = line.split_whitespace().nth(3).expect("an operand");
    let columns =
        text.lines().find(|l| l.trim_start().starts_with(&format!("{scores} ="))).expect("its maker");
    let ty = columns.rsplit("tile<").next().expect("a type").trim_end_matches('>');
    let width: usize = ty.split('x').nth(1).and_then(|n| n.parse().ok()).expect("columns");
    let joined = format!("    %90000 = concat {scores}, {scores} {{axis=1}} : tile<64x{}xf32>", 2 * width);
    let text = text.replace(line, &format!("{joined}\n{}", line.replace(scores, "%90000")));
    let refusal = schedule(&parse(&text).unwrap(), &Options::new("sm_90a".parse().unwrap())).unwrap_err();
    assert!(refusal.reason.starts_with("two tiles joined"), "{refusal:?}");
}

/// A schedule with one step of its protocol left out, or counting one more or less, hangs or races; the verifier says so for each.
#[test]
fn every_step_of_the_protocol_is_needed() {
    let mut unseen = Vec::new();
    let mut tried = 0;
    let with_producers = [
        "flash_128",
        "flash_causal",
        "sparse",
        "matmul",
        "sla_128",
        "sla_64_d64",
        "linear_128",
        "linear_64_d64",
        "sla_dq_128_d128",
    ]
    .map(|name| (name, scheduled(name)));
    let own = ["flash_64_d128", "sparse_64_d64", "matmul_64"];
    let own = own.map(|name| (name, schedule(&kernel(name), &self_loading())));
    let pairs = ["sparse", "sparse_64_d64"].map(|name| (name, schedule(&kernel(name), &with_pairs(true))));
    for (name, scheduled) in with_producers.into_iter().chain(own).chain(pairs) {
        let kernel = scheduled.unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
        let mut live = Vec::new();
        kernel.walk(&mut |_, block, id| live.push((block, id)));
        let mut check = |broken: Kernel, what: String| {
            verify(&broken).unwrap_or_else(|e| panic!("{name}, {what}: {e}"));
            tried += 1;
            if verify_protocol(&broken).is_ok() {
                unseen.push(format!("{name}: {what}"));
            }
        };
        for (block, id) in live {
            let op = kernel.op(id);
            match op.code {
                OpCode::Acquire | OpCode::Fill | OpCode::Release => {
                    let mut broken = kernel.clone();
                    broken.block_mut(block).ops.retain(|&other| other != id);
                    check(broken, format!("{} {id} left out", op.code.name()));
                }
                OpCode::Ring if op.flag("arrivals") => {
                    for by in [-1, 1] {
                        let arrivals = op.int("arrivals").unwrap_or(0) + by;
                        let mut broken = kernel.clone();
                        broken.op_mut(id).attrs.insert("arrivals", Attr::Int(arrivals));
                        check(broken, format!("{} of {arrivals} arrivals", op.str("name")));
                    }
                }
                OpCode::MmaWait if !op.operands.is_empty() => {
                    let left = op.int("left").unwrap_or(0) + 1;
                    let mut broken = kernel.clone();
                    broken.op_mut(id).attrs.insert("left", Attr::Int(left));
                    check(broken, format!("{id} leaves {left}"));
                }
                _ => {}
            }
        }
    }
    assert!(tried > 60, "only {tried} broken kernels");
    assert!(unseen.is_empty(), "of {tried}, nothing was said of\n{}", unseen.join("\n"));
}

#[test]
fn roles_and_rings_are_explained_from_the_kernel() {
    let out = scheduled("sparse").unwrap_or_else(|e| panic!("{e:?}")).kernel;
    let (roles, rings) = roles_and_rings(&out);
    assert_eq!((roles.len(), rings.len()), (count(&out, OpCode::Role), count(&out, OpCode::Ring)), "{out}");
    let products: usize = roles.iter().flat_map(|r| &r.steps).filter(|s| s.0 == "mma").map(|s| s.1).sum();
    assert_eq!(products, count(&out, OpCode::Mma), "{out}");
    for ring in &rings {
        assert!(ring.bytes() > 0 && ring.barriers() == if ring.arrivals > 0 { 2 * ring.stages } else { 0 });
        // Each has one who puts something in, and somebody who takes it out.
        let filled = (ring.filled_by.len(), ring.read_by.is_empty(), ring.sent_by.len());
        assert!(matches!(filled, (1, false, 0) | (0, true, 1)), "{ring:?}");
    }
}

#[test]
fn a_step_at_a_time_holds_residents_only_where_there_is_room() {
    // Accumulators of 128 by 128 leave 24 registers, and a resident would take 32. Beside blocks of 64 keys there is room for both.
    for (name, held) in [("dq_128x128_d128", 0), ("dq_128_d128", 2)] {
        let options = Options { held_in_registers: Some(true), ..Options::new("sm_90a".parse().unwrap()) };
        let out = schedule(&kernel(name), &options).unwrap_or_else(|e| panic!("{name}: {e:?}")).kernel;
        assert_eq!(count(&out, OpCode::Read), held, "{name}:\n{out}");
    }
}
