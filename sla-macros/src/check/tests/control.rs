//! Loops, branches, assignments, and Rust that no device can run.

use super::expect_in;

#[test]
fn loops_carry_values_of_one_type() {
    expect_in(
        "let mut mx = row; for j in 0..4 { mx = «s.t().max(0)»; }",
        &["`mx` is loop-carried with shape [BM, 1], this assigns [1, BM]"],
    );
    expect_in(
        "let mut mx = row; for j in 0..ks.len() { mx += «s»; }",
        &["`mx` is loop-carried with shape [BM, 1], this assigns [BM, BN]"],
    );
    expect_in(
        "let mut i = idx; for j in 0..4 { i = «row»; }",
        &["`i` is loop-carried with element type i32, this assigns f32; cast it with `.cast::<i32>()`"],
    );
    expect_in(
        "let mut y = 0.0; for j in 0..4 { y = «row»; }",
        &["`y` is loop-carried as an f32 scalar, this assigns a tile of f32 and shape [BM, 1]"],
    );
    expect_in(
        "let mut y = 0; for j in 0..4 { y = y + j; let t = zeros::<f32>([BM, «y»]); }",
        &["`y` is known only when the kernel runs, the size of a tile must be a constant"],
    );
    expect_in("let mut y = 0.0; for j in 0..4 { let z = row.max(0); y = y + scale; } let w = y * row;", &[]);
    expect_in(
        "let mut y = row; y = s; for j in 0..4 { let mut y = acc; y = row; y = s; } let z = y + s;",
        &[],
    );
    expect_in(
        "let (mut a, mut c) = (row, s); for j in 0..n { (a, c) = (a, «row»); }",
        &["`c` is loop-carried with shape [BM, BN], this assigns [BM, 1]"],
    );
}

#[test]
fn heads_of_loops() {
    expect_in("for j in 0..«scale» { }", &["a loop counts with i32, this is an f32 scalar"]);
    expect_in(
        "for j in 0«..=»4 { }",
        &["loops run over `lo..hi`, which leaves out `hi`: write `lo..hi + 1`"],
    );
    expect_in(
        "for j in (0..4).rev() { let z = x.at(j, 0).load(); } for j in (0..L).rev().step_by(2) { }",
        &[],
    );
    expect_in(
        "for j in (0..L).step_by(«n») { }",
        &["a loop counts by an integer constant, this is an i32 scalar"],
    );
    expect_in(
        "for j in unroll(0..«n») { }",
        &[
            "an unrolled loop runs between constants, this is known only when the kernel runs: leave `unroll` out to count when the kernel runs",
        ],
    );
    expect_in(
        "for j in unroll(0..D / 16) { let t = s.sum(1); } for j in (m..L).step_by(BM) { } for j in lut.at(b, h).gather(TOPK) { let kk = ks[j]; }",
        &[],
    );
    expect_in(
        "for j in lut.at(b).«gather»(n) { }",
        &["`gather` runs along one free axis, `lut` has [H, TOPK]: fix the others with `.at(..)`"],
    );
    expect_in("for j in bias.«gather»(n) { }", &["`gather` reads indices of type i32, `bias` holds f32"]);
}

#[test]
fn conditions_are_bools() {
    expect_in(
        "if «n» { }",
        &["the condition of `if` is a bool, this is an i32 scalar: compare it, as in `x != 0`"],
    );
    expect_in(
        "let y = if «idx > 0» { 1 } else { 2 };",
        &[
            "the condition of `if` is a bool tile of shape [BM, 1], not one bool: choose per element with `select(c, a, b)`",
        ],
    );
    expect_in(
        "assert!(«row», \"text\"); assert!(row == row, \"text\"); print!(\"text\", row);",
        &["`assert!` takes a bool, this is a tile of f32 and shape [BM, 1]"],
    );
}

#[test]
fn branches_agree() {
    expect_in(
        "let y = if n > 0 { row } else { «s» };",
        &["both branches of this `if` must be alike, they are [BM, 1] and [BM, BN]"],
    );
    expect_in(
        "let y = if n > 0 { row } else { «idx» };",
        &["both branches of this `if` must be alike, they are f32 and i32; cast one of them"],
    );
    expect_in(
        "let mut y = row; if n > 0 { y = «s»; }",
        &["`y` comes into this branch with shape [BM, 1], this assigns [BM, BN]"],
    );
    expect_in(
        "let mut y = row; if n > 0 { y = s.max(1); } else if n < 3 { y = row * 2.0; } let z = if n > 0 { 1.0 } else { scale }; let w = y * z;",
        &[],
    );
}

#[test]
fn branches_on_constants_are_independent() {
    expect_in("let y = if CAUSAL { row } else { s }; let z = y + acc;", &[]);
    expect_in("let mut y = row; if CAUSAL { y = s; } let z = dot(y, acc);", &[]);
    expect_in(
        "if BN == D { let z = s + acc; } let w = s «+» acc;",
        &[
            "tiles of shape [BM, BN] and [BM, D] do not broadcast: axis 1 is `BN` on the left and `D` on the right",
        ],
    );
    expect_in(
        "if CAUSAL { let z = s «+» acc; }",
        &[
            "tiles of shape [BM, BN] and [BM, D] do not broadcast: axis 1 is `BN` on the left and `D` on the right",
        ],
    );
}

#[test]
fn a_compared_type_is_not_held_against_its_bound() {
    expect_in("let y = if T == f32 { qt.sum(1) } else { qt.cast::<f32>().sum(1) }; let z = y + s;", &[]);
    expect_in(
        "if T == f32 { lse.at(b, h).block::<BM>(m).store(«qt.reshape([BM * D]).reshape([BM, D])»); }",
        &["this stores a tile of shape [BM, D] into a block of shape [BM] of `lse`"],
    );
}

#[test]
fn rust_that_no_device_runs() {
    expect_in(
        "if n > 3 { «return»; }",
        &[
            "a device function cannot `return` early: make the value its last expression, and put work that may be skipped under `if`",
        ],
    );
    expect_in(
        "«while» n > 0 { let y = s.sum(«5»); }",
        &[
            "`while` cannot be compiled for a device: count with `for i in lo..hi`",
            "axis 5 is out of range for a tile of shape [BM, BN]",
        ],
    );
    expect_in(
        "«loop» { «break»; }",
        &[
            "`loop` cannot be compiled for a device: count with `for i in lo..hi`",
            "a loop cannot `break`: bound it by `for i in lo..hi`",
        ],
    );
    expect_in(
        "for j in 0..4 { «continue»; }",
        &["a loop cannot `continue`: put the rest of its body under `if`"],
    );
    expect_in(
        "let y = «match» n { _ => 1 };",
        &["`match` cannot be compiled for a device: use `if` and `else if`"],
    );
    expect_in(
        "let f = «|a| a + 1»;",
        &["closures cannot be compiled for a device: write a function with `#[func]`"],
    );
    expect_in("let y = n «as» f32;", &["`as` does not convert tiles or scalars: write `.cast::<f32>()`"]);
    expect_in("let y = «&»s;", &["tiles and scalars are values: leave out the `&`"]);
    expect_in(
        "helper(&mut row, n); helper(&q, &x.at(0)); helper(«&»s, n);",
        &["tiles and scalars are values: leave out the `&`"],
    );
    expect_in("let y = «'c'»;", &["constants are integers, floats and bools"]);
    expect_in("let y = row + «\"text\"»;", &["this is a text: texts stand only in `assert!` and `print!`"]);
    expect_in("let y = «[0; 4]»;", &["there are no arrays: a constant tile is `full::<f32>([M, N], x)`"]);
    expect_in(
        "let y = «vec»![1];",
        &["`vec!` cannot be compiled for a device; there are `assert!` and `print!`"],
    );
    expect_in("«fn g() {}»", &["a device function holds no items: move this out of it"]);
}

#[test]
fn several_mistakes_come_together() {
    expect_in(
        "let a = s.max(«4»);\n    let c = dot(qt, «ks[0]»);\n    out.at(b, h).block::<BM>(m).store(«acc»);",
        &[
            "axis 4 is out of range for a tile of shape [BM, BN]",
            "dot contracts `D` of [BM, D] with `BN` of [BN, D]; did you mean `dot(qt, ks[0].t())`?",
            "`out` holds T, this stores f32: cast it with `.cast::<T>()`",
        ],
    );
}

#[test]
fn tuples_have_as_many_names() {
    expect_in("let «(a, c, d)» = (row, s);", &["this names 3 values, the expression is a tuple of 2"]);
    expect_in(
        "let «(a, c)» = s;",
        &["this names 2 values, the expression is a tile of f32 and shape [BM, BN]"],
    );
    expect_in("let (a, c) = st.step(s); let z = a + c;", &[]);
}
