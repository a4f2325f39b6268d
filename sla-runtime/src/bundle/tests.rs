//! Bundles under damage, and which kernel runs a launch.

use super::*;
use crate::disk::example;
use crate::{Device, Tensor};
use sla_codegen::{Arch, GridKind, Options, ScheduleKind, Target};
use sla_dsl::ir::{Facts, Kernel, MemFacts};
use sla_dsl::lang::{Consts, KernelDef, whole_blocks};
use sla_dsl::prelude::*;
use std::sync::Arc;

/// `y = 2 x`
#[kernel(dims(L), grid(p in L.div_ceil(N)))]
fn double<const N: usize>(x: &Tensor<f32, { [L] }>, y: &mut Tensor<f32, { [L] }>) {
    y.block::<N>(p).store(x.block::<N>(p).load() * 2.0);
}

fn hopper() -> Options {
    Options::new(Target::Cuda(Arch::Sm90a))
}

fn any() -> Kernel {
    double::<128>::build(&Facts::default()).unwrap()
}

fn whole() -> Kernel {
    whole_blocks(double::<128>::build)(&Facts::default()).unwrap()
}

fn entry(title: &str) -> Entry {
    Entry { title: title.into(), ..example(GridKind::Programs, None) }
}

/// A bundle of kernels with titles.
fn bundle(kernels: &[(&Kernel, &Options, &str)]) -> Vec<u8> {
    let mut writer = BundleWriter::new("a compiler", "a note");
    for (kernel, options, title) in kernels {
        writer.add(kernel, &double::<128>::consts(), options, "for tests", &entry(title)).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_put_in_is_taken_out() {
    let bytes = bundle(&[(&any(), &hopper(), "any"), (&whole(), &hopper(), "whole")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels.slab");
    std::fs::write(&path, &bytes).unwrap();
    for bundle in [Bundle::open(bytes).unwrap(), Bundle::read(&path).unwrap()] {
        assert_eq!((bundle.made_by(), bundle.note()), ("a compiler", "a note"));
        let titles: Vec<_> =
            bundle.rows().iter().map(|r| (&r.title[..], &r.target[..], &r.note[..])).collect();
        assert_eq!(titles, [("any", "sm_90a", "for tests"), ("whole", "sm_90a", "for tests")]);
        assert_eq!(bundle.get(&BundleKey::new(&whole(), &hopper())).unwrap(), Some(entry("whole")));
        let other = Options { warps: Some(2), ..hopper() };
        assert_eq!(bundle.get(&BundleKey::new(&whole(), &other)).unwrap(), None);
        bundle.verify().unwrap();
    }
    let missing = Bundle::read(folder.path().join("absent")).unwrap_err();
    assert!(matches!(missing, BundleError::Io { .. }), "{missing}");
}

#[test]
fn a_key_is_of_what_changes_code_and_of_nothing_else() {
    let key = |kernel: &Kernel, options: &Options| BundleKey::new(kernel, options);
    let plain = key(&any(), &hopper());
    let all = Options { shared: Some(Arch::Sm90a.shared_bytes()), ..hopper() };
    assert_eq!(plain, key(&any(), &all), "as much shared memory as there is");
    let others = [
        key(&whole(), &hopper()),
        key(&any(), &Options { shared: Some(65536), ..hopper() }),
        key(&any(), &Options { schedule: ScheduleKind::Baseline, ..hopper() }),
        key(&any(), &Options::new(Target::Cuda(Arch::Sm80))),
        key(&double::<64>::build(&Facts::default()).unwrap(), &hopper()),
    ];
    assert!(others.iter().all(|k| *k != plain && k.as_str().len() == 64));
}

#[test]
fn damage_is_found_wherever_it_is() {
    let good = bundle(&[(&any(), &hopper(), "any")]);
    for end in 0..good.len() {
        let cut = Bundle::open(good[..end].to_vec()).and_then(|b| b.verify());
        assert!(cut.is_err(), "the first {end} bytes");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 4;
        let found = Bundle::open(bad).and_then(|b| b.get(&BundleKey::new(&any(), &hopper())));
        // A deflated stream has bits that nothing depends on; what comes out is then what went in.
        assert!(found.as_ref().map_or(true, |e| *e == Some(entry("any"))), "another byte {at}: {found:?}");
    }
    let newer = [b"sla bundle 2\n", &good[13..]].concat();
    let e = Bundle::open(newer).unwrap_err().to_string();
    assert_eq!(e, "the bundle has format 2, needed 1; make it again with this version");
    assert!(matches!(Bundle::open(b"\x7fELF".as_slice()), Err(BundleError::Other)));
}

/// The title of the kernel that runs a launch with some memory, in whole blocks.
fn found(bundles: &[Arc<Bundle>], memory: MemFacts, any: bool) -> Option<String> {
    let facts = Facts { memory: vec![memory; 2], ..Facts::default() };
    let kernel = whole_blocks(double::<128>::build)(&facts).unwrap();
    let def: &'static KernelDef = &double;
    let (consts, options): (Consts, _) = (double::<128>::consts(), hopper());
    let shared_bytes = Arch::Sm90a.shared_bytes() as usize;
    let wanted = Wanted { def, consts: &consts, kernel: &kernel, options: &options, shared_bytes, any };
    find(bundles, &wanted).unwrap().map(|f| {
        assert!(f.kernel.name == "double");
        f.entry.title
    })
}

#[test]
fn a_launch_runs_the_best_kernel_that_is_right_for_it() {
    let (plain, nothing) = (MemFacts::default(), MemFacts { packed: false, aligned: false, positive: false });
    let unaligned = MemFacts { aligned: false, ..plain };
    let facts = Facts { memory: vec![nothing; 2], ..Facts::default() };
    let strided = double::<128>::build(&facts).unwrap();
    let portable = find::portable(&hopper());
    let open = |kernels: &[(&Kernel, &Options, &str)]| vec![Arc::new(Bundle::open(bundle(kernels)).unwrap())];
    let everything = open(&[
        (&strided, &portable, "portable and strided"),
        (&any(), &portable, "portable"),
        (&strided, &hopper(), "strided"),
        (&any(), &hopper(), "with tails"),
        (&whole(), &hopper(), "exact"),
    ]);
    assert_eq!(found(&everything, plain, true).as_deref(), Some("exact"));
    assert_eq!(found(&everything, unaligned, true).as_deref(), Some("strided"));
    let some = open(&[(&any(), &portable, "portable"), (&any(), &hopper(), "with tails")]);
    assert_eq!(found(&some, plain, true).as_deref(), Some("with tails"));
    assert_eq!(found(&some, plain, false), None, "whoever can compile does");
    assert_eq!(found(&some, unaligned, true), None, "a kernel for aligned tensors is not right for others");
    let unaligned_too =
        double::<128>::build(&Facts { memory: vec![unaligned; 2], ..Facts::default() }).unwrap();
    let between = open(&[(&strided, &hopper(), "strided"), (&unaligned_too, &hopper(), "unaligned")]);
    assert_eq!(found(&between, plain, true).as_deref(), Some("unaligned"), "what assumes most");
    assert_eq!(found(&open(&[(&any(), &portable, "portable")]), plain, true).as_deref(), Some("portable"));
    // Of two bundles the first.
    let two = [everything, open(&[(&whole(), &hopper(), "second")])].concat();
    assert_eq!(found(&two, plain, true).as_deref(), Some("exact"));
}

fn launch(device: &Device, l: usize) {
    let x = Tensor::<f32>::zeros(device, &[l]).unwrap();
    let mut y = Tensor::<f32>::zeros(device, &[l]).unwrap();
    double::<128>::launch(device, &x, &mut y).unwrap();
}

#[test]
fn a_plan_notes_what_is_launched_and_runs_nothing() {
    let plan = Plan::new(Arch::Sm90a);
    let device = plan.device();
    assert_eq!((device.target(), device.to_string()), (Some(hopper().target), "plan:sm_90a".to_string()));
    launch(&device, 1000);
    assert_eq!(plan.len(), 1);
    launch(&device, 1024);
    launch(&device, 2048);
    assert_eq!(plan.len(), 2);
    let there = Arc::new(Bundle::open(bundle(&[(&any(), &hopper(), "any")])).unwrap());
    assert_eq!(plan.missing(&[there]), ["double N=128 for sm_90a"]);
    let e = device.record(|_| Ok::<_, crate::RuntimeError>(())).err().unwrap();
    assert_eq!(e.to_string(), "plan:sm_90a cannot record launches: only GPUs have graphs");
}

#[test]
#[cfg(feature = "compile")]
fn a_plan_is_compiled_into_a_bundle_that_has_its_kernels() {
    for (arch, title) in [(Arch::Sm90a, "double N=128 for sm_90a"), (Arch::Sm80, "double N=128 for sm_80")] {
        let plan = Plan::new(arch);
        launch(&plan.device(), 1024);
        launch(&plan.device(), 1000);
        let told = std::sync::atomic::AtomicUsize::new(0);
        let tools = crate::env::tools();
        let count = |_, of| {
            told.fetch_add(of, std::sync::atomic::Ordering::Relaxed);
        };
        let bytes = plan.compile(&tools, "", &count).unwrap().finish().unwrap();
        assert_eq!(told.into_inner(), 4, "two kernels of two");
        let bundle = Arc::new(Bundle::open(bytes).unwrap());
        assert!(plan.missing(std::slice::from_ref(&bundle)).is_empty());
        assert!(bundle.made_by().contains(" llvm "), "{}", bundle.made_by());
        for row in bundle.rows() {
            assert_eq!(row.title, title);
            let entry = bundle.get(&row.key()).unwrap().unwrap();
            let cubin = entry.code.starts_with(b"\x7fELF");
            assert_eq!(cubin, tools.ptxas.is_some() && arch != Arch::Sm80);
            assert_eq!((cubin, entry.image.ptx.len()), (entry.report.is_some(), 0));
            assert_ne!(entry.fingerprint, entry.image.fingerprint(), "that of the code is kept");
            assert!(cubin || String::from_utf8_lossy(&entry.code).contains(".target sm_"));
        }
    }
}
