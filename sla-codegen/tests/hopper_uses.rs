//! What authors may do with the tiles of a loop, and Hopper's schedules: each use is scheduled, and verifies, or is refused with a reason. The shipped
//! shapes are looked at in `hopper.rs`.

use sla_codegen::target::hopper::verify::verify_protocol;
use sla_codegen::target::hopper::{Refusal, Scheduled, schedule};
use sla_codegen::{Options, optimise};
use sla_dsl::ir::{parse, verify};

/// A loop over blocks of keys; `step` are more ops of it and what it adds to `%r`, `end` those after it, which give `%z`.
fn small(before: &str, step: &str, end: &str) -> Result<Scheduled, Refusal> {
    let text = format!(
        "kernel small {{
        dims M, N
        grid m in M.div_ceil(64)
        even N by 64 = true
        even M by 64 = true
        param %q = q : tensor<bf16, [M, 64]>
        param %k = k : tensor<bf16, [N, 64]>
        param %w = w : tensor<bf16, [64, 64]>
        param %o = o : mut tensor<f32, [M, 64]>
        %p = program_id {{axis=0}} : i32
        %64 = const {{value=64}} : i32
        %0 = const {{value=0}} : i32
        %zero = const {{value=0.0}} : tile<64x64xf32>
        %at = mul %p, %64 : i32
        %n = dim {{name=\"N\"}} : i32
        %hi = div %n, %64 : i32
        %qt = load %q[%at, %0] {{box=[64, 64], check=[0, 0]}} : tile<64x64xbf16>
        {before}
        %acc, %rest = for %j in %0..%hi carry(%a = %zero, %r = %zero) {{step=1}} : tile<64x64xf32>, tile<64x64xf32> {{
            %row = mul %j, %64 : i32
            %kt = load %k[%row, %0] {{box=[64, 64], check=[0, 0]}} : tile<64x64xbf16>
            %tt = transpose %kt : tile<64x64xbf16>
            %s = dot %qt, %tt {{ta=0, tb=0}} : tile<64x64xf32>
            %b = cast %s : tile<64x64xbf16>
            %d = dot %b, %kt, %a {{ta=0, tb=0}} : tile<64x64xf32>
            {step}
            %r1 = add %r, %x : tile<64x64xf32>
            yield %d, %r1
        }}
        %sum = add %acc, %rest : tile<64x64xf32>
        {end}
        store %o[%at, %0], %z {{box=[64, 64], check=[0, 0]}}
    }}"
    );
    let kernel = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let kernel = optimise(&kernel).unwrap_or_else(|e| panic!("{e}"));
    let out = schedule(&kernel, &Options::new("sm_90a".parse().unwrap()))?;
    verify(&out.kernel).unwrap_or_else(|e| panic!("{e}\n{}", out.kernel));
    verify_protocol(&out.kernel).unwrap_or_else(|e| panic!("{}\n{}", e[0], out.kernel));
    Ok(out)
}

#[test]
fn transposed_tiles_may_be_read_by_more_than_products() {
    let (ones, sum) = ("%x = cast %b : tile<64x64xf32>", "%z = add %sum, %sum : tile<64x64xf32>");
    small("", ones, sum).unwrap_or_else(|e| panic!("{e:?}"));
    // A stage holds keys as they lie in memory, so that nothing but products gets them the other way round.
    let refusal = small("", "%x = cast %tt : tile<64x64xf32>", sum).unwrap_err();
    assert!(refusal.reason.starts_with("a tile that the loop loads for a product and reads"), "{refusal:?}");
    // A tile loaded before the loop can be read too: before it, in it, and after it.
    let turned = "%y = transpose %qt : tile<64x64xbf16>";
    let cast = |name: &str| format!("%{name} = cast %y : tile<64x64xf32>");
    small(turned, &cast("x"), sum).unwrap_or_else(|e| panic!("{e:?}"));
    small("", &format!("{turned}\n{}", cast("x")), sum).unwrap_or_else(|e| panic!("{e:?}"));
    let after = format!("{}\n%z = add %sum, %v : tile<64x64xf32>", cast("v"));
    small(turned, ones, &after).unwrap_or_else(|e| panic!("{e:?}"));
    small("", ones, &format!("{turned}\n{after}")).unwrap_or_else(|e| panic!("{e:?}"));
}

#[test]
fn products_after_the_loop_take_a_tile_once() {
    let ones = "%x = cast %b : tile<64x64xf32>";
    let load = "%l = load %w[%0, %0] {box=[64, 64], check=[0, 0]} : tile<64x64xbf16>";
    let product = |left: &str| {
        let end = format!(
            "{load}\n%h = cast %sum : tile<64x64xbf16>\n%u = transpose %l : tile<64x64xbf16>
            %y = dot {left}, %l {{ta=0, tb=0}} : tile<64x64xf32>\n%z = add %y, %sum : tile<64x64xf32>"
        );
        small("", ones, &end)
    };
    product("%h").unwrap_or_else(|e| panic!("{e:?}"));
    let refusal = product("%l").unwrap_err();
    assert!(refusal.reason.contains("a first operand and a second one"), "{refusal:?}");
    let refusal = product("%u").unwrap_err();
    assert!(refusal.reason.contains("transposed"), "{refusal:?}");
}

/// What authors may do with the tiles of a loop, in every pair of step and end: it is scheduled, and verifies, or is refused with a reason.
#[test]
fn every_use_of_a_loops_tiles_is_scheduled_or_refused() {
    let steps = [
        "%x = cast %b : tile<64x64xf32>",
        "%x = cast %kt : tile<64x64xf32>",
        "%x = cast %qt : tile<64x64xf32>",
        "%x = mul %s, %s : tile<64x64xf32>",
        "%x = mul %a, %s : tile<64x64xf32>",
        "%x = add %d, %s : tile<64x64xf32>",
        "%x = dot %b, %tt, %r {ta=0, tb=0} : tile<64x64xf32>",
        "%x = dot %qt, %kt {ta=0, tb=0} : tile<64x64xf32>",
        "%y = transpose %s : tile<64x64xf32>\n%x = mul %y, %s : tile<64x64xf32>",
        "%y = transpose %b : tile<64x64xbf16>\n%x = dot %y, %kt {ta=0, tb=0} : tile<64x64xf32>",
        "%y = transpose %qt : tile<64x64xbf16>\n%x = dot %y, %kt {ta=0, tb=0} : tile<64x64xf32>",
        "%y = load %k[%0, %0] {box=[64, 64], check=[0, 0]} : tile<64x64xbf16>\n%x = dot %qt, %y {ta=0, tb=0} : tile<64x64xf32>",
        "%y = load %w[%0, %0] {box=[64, 64], check=[0, 0]} : tile<64x64xbf16>\n%x = dot %b, %y {ta=0, tb=0} : tile<64x64xf32>",
    ];
    let load = "%l = load %w[%0, %0] {box=[64, 64], check=[0, 0]} : tile<64x64xbf16>\n%h = cast %sum : tile<64x64xbf16>";
    let ends = [
        "%z = add %acc, %rest : tile<64x64xf32>".to_string(),
        "%y1 = cast %qt : tile<64x64xf32>\n%z = add %y1, %sum : tile<64x64xf32>".to_string(),
        format!("{load}\n%z = dot %h, %l, %sum {{ta=0, tb=0}} : tile<64x64xf32>"),
        format!("{load}\n%z = dot %qt, %l, %sum {{ta=0, tb=0}} : tile<64x64xf32>"),
        format!("{load}\n%z = dot %qt, %l, %sum {{ta=0, tb=1}} : tile<64x64xf32>"),
        format!(
            "{load}\n%z1 = dot %h, %l {{ta=0, tb=0}} : tile<64x64xf32>\n%h1 = cast %z1 : tile<64x64xbf16>\n%z = dot %h1, %l, %rest {{ta=0, tb=1}} : tile<64x64xf32>"
        ),
        format!(
            "{load}\n%z1 = cast %l : tile<64x64xf32>\n%z = dot %h, %l, %z1 {{ta=0, tb=0}} : tile<64x64xf32>"
        ),
        format!("{load}\n%z = dot %h, %qt, %sum {{ta=0, tb=0}} : tile<64x64xf32>"),
    ];
    let mut scheduled = 0;
    for step in steps {
        for end in &ends {
            match small("", step, end) {
                Ok(_) => scheduled += 1,
                Err(refusal) => {
                    assert!(!refusal.reason.contains("not made it yet"), "{step}\n{end}: {refusal:?}")
                }
            }
        }
    }
    assert!(scheduled > 30, "{scheduled} of {}", steps.len() * ends.len());
}
