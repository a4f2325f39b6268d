//! Hopper's schedules: tile kernels become kernels of roles that verify, and kernels of another shape are refused with a reason.

use sla_codegen::target::hopper::verify::verify_protocol;
use sla_codegen::target::hopper::{Refusal, Scheduled, schedule};
use sla_codegen::{Options, optimise};
use sla_dsl::ir::{Kernel, OpCode, parse, verify};

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
    for (name, roles, rings, products) in
        [("flash_128", 4, 4, 4), ("flash_causal", 3, 4, 4), ("sparse", 4, 4, 4), ("matmul", 3, 3, 2)]
    {
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
