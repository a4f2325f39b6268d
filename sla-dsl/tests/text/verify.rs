//! One rule of the verifier a line: the ops that break it and what is said, at the op's line.

use sla_dsl::ir::parse;

/// Two tensors, a scalar and a few values; the ops under test come after, on one line.
fn report(ops: &str) -> String {
    let text = format!(
        "kernel k {{
          dims L
          grid m in L
          param %x = x : tensor<f32, [L, 8]>
          param %y = y : mut tensor<f32, [L]>
          param %s = s : f32
          param %h = h : mut tensor<bf16, [8]>
          %i = const {{value=1}} : i32
          %c = const {{value=true}} : bool
          %t = const {{value=1.0}} : tile<4x8xf32>
          %u = const {{value=1.0}} : tile<4x1xf32>
          %b = const {{value=1.0}} : tile<4x8xbf16>
          {ops}
        }}"
    );
    match parse(&text) {
        Ok(_) => "ok".to_string(),
        Err(e) => {
            let all = e.to_string();
            assert!(all.lines().all(|l| l.starts_with("13:")), "not at line 13: {all}");
            let messages = all.lines().map(|l| l.splitn(3, ':').nth(2).unwrap().trim().to_string());
            messages.collect::<Vec<_>>().join("; ")
        }
    }
}

macro_rules! cases {
    ($($name:ident { $($ops:literal => $want:literal),+ $(,)? })+) => {
        $(#[test]
        fn $name() {
            $(assert_eq!(report($ops), $want, "{}", $ops);)+
        })+
    };
}

cases! {
    constants_and_indices {
        "%0 = const {value=300} : i8" => "the constant Int(300) is not a value of type i8",
        "%0 = const {value=true} : tile<4xi32>" => "the constant Bool(true) is not a value of type i32",
        "%0 = const {value=1} : tile<4x0xi32>" => "a tile dimension is 0 in [4, 0]",
        "%0 = const {value=1} : tile<2x2x2xi32>" => "tiles have rank 1 or 2, this has shape [2, 2, 2]",
        "%0 = const {value=1} : tile<4096x4096xi32>" => "a tile of shape [4096, 4096] has more than 1048576 elements",
        "%0 = const : i32" => "`const` lacks the attribute `value` (a scalar: the constant of `const`)",
        "%0 = dim {name=\"M\"} : i32" => "`M` is not a dim of this kernel",
        "%0 = dim {name=\"L\"} : f32" => "`dim` gives a i32 here, not a f32",
        "%0 = program_id {axis=1} : i32" => "grid axis 1 of a grid with 1 axes",
        "%0 = iota {axis=2} : tile<4x8xi32>" => "axis 2 is out of range for a tile<4x8xi32>",
        "%0 = iota {axis=0} : tile<4xf32>" => "`iota` gives a tile of i32, not a tile<4xf32>",
        "%0 = iota {axis=1} : tile<4x8xi32>" => "ok",
    }
    element_wise {
        "%0 = exp2 %i : i32" => "`exp2` is not defined on i32",
        "%0 = neg %b : tile<4x8xbf16>" => "`neg` is not defined on tile<4x8xbf16>",
        "%0 = not %t : tile<4x8xf32>" => "`not` is not defined on tile<4x8xf32>",
        "%0 = add %t, %u : tile<4x8xf32>" => "the operands of `add` are a tile<4x8xf32> and a tile<4x1xf32>",
        "%0 = add %t : tile<4x8xf32>" => "`add` takes 2 operands and gives 1 results, this has 1 and 1",
        "%0 = add %x, %x : f32" => "`add` takes scalars and tiles, not a tensor<f32, [L, 8]>",
        "%0 = add %t, %t : tile<8x4xf32>" => "`add` gives a tile<4x8xf32> here, not a tile<8x4xf32>",
        "%0 = rem %t, %t : tile<4x8xf32>" => "`rem` is not defined on tile<4x8xf32>",
        "%0 = xor %c, %c : bool" => "ok",
        "%0 = fma %i, %i, %i : i32" => "`fma` is not defined on i32",
        "%0 = cmp %t, %t : tile<4x8xbool>" => "`cmp` lacks the attribute `pred` (a comparison)",
        "%0 = cmp %c, %c {pred=lt} : bool" => "`cmp` lt is not defined on bool",
        "%0 = cmp %c, %c {pred=ne} : bool" => "ok",
        "%0 = cmp %t, %t {pred=lt} : tile<4x8xf32>" => "`cmp` gives a tile<4x8xbool> here, not a tile<4x8xf32>",
        "%0 = select %c, %t, %t : tile<4x8xf32>" => "the condition of `select` is a bool, not a tile<4x8xbool>",
        "%0 = select %c, %s, %s : f32" => "ok",
        "%0 = cast %t : tile<4x8xf32>" => "`cast` changes the element type and nothing else, this makes a tile<4x8xf32> a tile<4x8xf32>",
        "%0 = cast %t : tile<8x4xbf16>" => "`cast` changes the element type and nothing else, this makes a tile<4x8xf32> a tile<8x4xbf16>",
        "%0 = cast %t : tile<4x8xf16>" => "ok",
    }
    shapes {
        "%0 = splat %t : tile<4x8xf32>" => "`splat` copies a scalar to a tile, this makes a tile<4x8xf32> a tile<4x8xf32>",
        "%0 = splat %i : tile<4x8xf32>" => "`splat` copies a scalar to a tile, this makes a i32 a tile<4x8xf32>",
        "%0 = broadcast %t : tile<8x8xf32>" => "`broadcast` repeats axes of size 1, this makes a tile<4x8xf32> a tile<8x8xf32>",
        "%0 = broadcast %u : tile<4x8xf32>" => "ok",
        "%0 = reduce_sum %t {axis=2} : tile<4x1xf32>" => "axis 2 is out of range for a tile<4x8xf32>",
        "%0 = reduce_sum %t {axis=1} : tile<4xf32>" => "`reduce_sum` gives a tile<4x1xf32> here, not a tile<4xf32>",
        "%0 = reduce_max %b {axis=1} : tile<4x1xbf16>" => "`reduce_max` is not defined on tile<4x8xbf16>",
        "%0 = reshape %t : tile<31xf32>" => "`reshape` keeps elements and their count, this makes a tile<4x8xf32> a tile<31xf32>",
        "%0 = reshape %t : tile<2x16xf32>" => "ok",
        "%0 = transpose %t : tile<4x8xf32>" => "`transpose` gives a tile<8x4xf32> here, not a tile<4x8xf32>",
        "%0 = transpose %s : f32" => "`transpose` takes a tile of rank 2, this is a f32",
    }
    dots {
        "%0 = dot %t, %t {ta=0, tb=0} : tile<4x4xf32>" => "`dot` contracts 8 with 4",
        "%0 = dot %t, %t {ta=0, tb=1} : tile<4x4xf32>" => "ok",
        "%0 = dot %t, %t {ta=0, tb=2} : tile<4x4xf32>" => "`dot` lacks the attribute `tb` (1 if the second operand of `dot` is transposed)",
        "%0 = dot %t, %b {ta=0, tb=1} : tile<4x4xf32>" => "`dot` takes tiles of one float type, these are tile<4x8xf32> and tile<4x8xbf16>",
        "%0 = dot %b, %b {ta=0, tb=1} : tile<4x4xbf16>" => "`dot` gives a tile<4x4xf32> here, not a tile<4x4xbf16>",
        "%0 = dot %t, %t, %t {ta=0, tb=1} : tile<4x4xf32>" => "the accumulator of `dot` is a tile<4x8xf32>, not a tile<4x4xf32>",
        "%0 = dot %s, %s {ta=0, tb=0} : tile<4x4xf32>" => "`dot` takes tiles of rank 2, these are f32 and f32",
    }
    memory {
        "%0 = load %x[%i] {box=[4, 8], check=[0, 0]} : tile<4x8xf32>" => "a tensor of rank 2 is accessed with 1 offsets, 2 extents and 2 checks",
        "%0 = load %x[%i, %s] {box=[4, 8], check=[0, 0]} : tile<4x8xf32>" => "an offset is a f32, not an i32",
        "%0 = load %x[%i, %i] {box=[4, 8], check=[0, 2]} : tile<4x8xf32>" => "`check` holds 0 and 1, this is [0, 2]",
        "%0 = load %x[%i, %i] {box=[4, -8], check=[0, 0]} : tile<4x8xf32>" => "`box` has a negative extent: [4, -8]",
        "%0 = load %x[%i, %i] {box=[4, 8], check=[0, 0]} : tile<32xf32>" => "a box of [4, 8] of a tensor<f32, [L, 8]> cannot be read as a tile<32xf32>",
        "%0 = load %x[%i, %i] {box=[4, 8], check=[0, 0]} : tile<4x8xf16>" => "a box of [4, 8] of a tensor<f32, [L, 8]> cannot be read as a tile<4x8xf16>",
        "%0 = load %x[%i, %i] {box=[1, 8], check=[0, 0]} : tile<8x1xf32>" => "ok",
        "%0 = load %x[%i, %i] {box=[1, 1], check=[0, 0]} : f32" => "ok",
        "%0 = load %t[%i, %i] {box=[4, 8], check=[0, 0]} : tile<4x8xf32>" => "`load` accesses a tile<4x8xf32>, not a tensor",
        "store %x[%i, %i], %t {box=[4, 8], check=[0, 0]}" => "`store` writes a read-only tensor",
        "store %y[%i], %t {box=[4], check=[0]}" => "a tile<4x8xf32> cannot be written to a box of [4] of a mut tensor<f32, [L]>",
        "store %y[%i], %u {box=[4], check=[1]}" => "ok",
        "%0 = const {value=1.0} : tile<8xbf16> atomic_add %h[%i], %0 {box=[8], check=[0]}" => "`atomic_add` is not defined on tensors of bf16",
    }
    regions {
        "%0 = for %j in %i..%i carry(%a = %t) {step=1} : tile<4x1xf32> { yield %u }" => "a carried value starts as a tile<4x8xf32>, enters as a tile<4x1xf32> and leaves as a tile<4x1xf32>",
        "%0 = for %j in %i..%i carry(%a = %t) {step=1} : tile<4x8xf32> { yield %u }" => "a region of `for` yields a tile<4x1xf32> for a tile<4x8xf32>",
        "for %j in %i..%i {step=1} { yield %u }" => "a region of `for` yields 1 values for 0 results",
        "for %j in %i..%i {step=0} { yield }" => "the step of `for` is 0",
        "for %j in %i..%s {step=1} { yield }" => "a bound of `for` is a f32, not an i32",
        "for %j in %i..%i { yield }" => "`for` lacks the attribute `step` (an int: what `for` counts by)",
        "for %j in %i..%i {step=1} { }" => "a region has no `yield`",
        "for %j in %i..%i {step=1} { print {msg=\"\"} }" => "a region ends in `print` instead of `yield`",
        "for %j in %i..%i {step=1} { yield yield }" => "`yield` is not the last op of its region",
        "for %j in %i..%i {step=1} { yield } print %j {msg=\"\"}" => "`print` uses a value outside the region that defines it",
        "yield" => "`yield` outside a region",
        "if %s { yield } else { yield }" => "the condition of `if` is a f32, not a bool",
        "%0 = if %c : f32 { yield %s } else { yield }" => "a region of `if` yields 0 values for 1 results",
        "%0 = if %c : f32 { yield %s } else { yield %s }" => "ok",
        "%0 = if %c : tensor<f32, [L, 8]> { yield %x } else { yield %x }" => "only parameters can be tensors",
    }
    for_people {
        "assert %t {msg=\"\"}" => "`assert` takes one bool",
        "assert %c" => "`assert` lacks the attribute `msg` (a text: of `assert` and `print`)",
        "print %x {msg=\"\"}" => "`print` takes scalars and tiles, not a tensor<f32, [L, 8]>",
        "print %t, %c {msg=\"\"}" => "ok",
        "%0 = print %t {msg=\"\"} : f32" => "`print` takes 1 operands and gives 0 results, this has 1 and 1",
    }
}

#[test]
fn heads() {
    let say = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(say("kernel k { dims L, L }"), "1:1: the name `L` is given twice");
    assert_eq!(
        say("kernel k { grid m in L }"),
        "1:1: grid axis `m` uses `L`, which is not a dim of this kernel"
    );
    assert_eq!(
        say("kernel k { param %0 = x : tensor<f32, [N]> }"),
        "1:1: the shape of `x` uses `N`, which is not a dim of this kernel"
    );
    assert_eq!(
        say("kernel k { grid a in 1, b in 1, c in 1, d in 1 }"),
        "1:1: a grid has at most 3 axes, this has 4"
    );
    // Every mistake is reported.
    assert_eq!(parse("kernel k { yield yield }").unwrap_err().0.len(), 2);
}
