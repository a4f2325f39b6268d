//! Element-wise ops, products, reductions and shapes.

use super::expect_in;

#[test]
fn broadcasting_names_the_axis() {
    expect_in(
        "let y = s «+» zeros::<f32>([1, BM]);",
        &[
            "tiles of shape [BM, BN] and [1, BM] do not broadcast: axis 1 is `BN` on the left and `BM` on the right",
        ],
    );
    expect_in(
        "let y = «fma»(s, row, acc);",
        &[
            "tiles of shape [BM, BN] and [BM, D] do not broadcast: axis 1 is `BN` on the left and `D` on the right",
        ],
    );
    expect_in("let y = s - row; let z = s * zeros::<f32>([BN]); let w = y + z + 1.0 + scale;", &[]);
}

#[test]
fn sizes_are_compared_as_polynomials() {
    expect_in("let y = zeros::<f32>([2 * BM, D / 2]) + zeros::<f32>([BM + BM, D / 2]);", &[]);
    expect_in(
        "let y = zeros::<f32>([BM, D / 2]) «+» acc;",
        &[
            "tiles of shape [BM, (D/2)] and [BM, D] do not broadcast: axis 1 is `(D/2)` on the left and `D` on the right",
        ],
    );
    expect_in("let half = D / 2; let y = zeros::<f32>([BM, half * 2]) + acc;", &[]);
    expect_in("let y = zeros::<f32>([BM, D.min(64)]) + acc;", &[]);
}

#[test]
fn dot_contracts_and_hints() {
    expect_in(
        "let y = dot(qt, «ks[0]»);",
        &["dot contracts `D` of [BM, D] with `BN` of [BN, D]; did you mean `dot(qt, ks[0].t())`?"],
    );
    expect_in(
        "let y = dot(s, «acc»);",
        &["dot contracts `BN` of [BM, BN] with `BM` of [BM, D]; did you mean `dot(s.t(), acc)`?"],
    );
    expect_in(
        "let y = dot(s, «qt.t()»);",
        &["dot takes two tiles of one type, these are f32 and T: cast one of them"],
    );
    expect_in("let y = dot(s.t(), acc) + dot(ks[0], qt.t()).sum(1); let z = dot_acc(qt, ks[0].t(), s);", &[]);
    expect_in(
        "let y = dot_acc(qt, ks[0].t(), «acc»);",
        &["the accumulator of this product must be like it: [BM, BN] and [BM, D]"],
    );
    expect_in(
        "let y = dot(«zeros::<f32>([D])», acc);",
        &[
            "dot takes tiles with two axes, this has shape [D]; `.unsqueeze(0)` makes a row of it, `.unsqueeze(1)` a column",
        ],
    );
    expect_in(
        "let y = dot(«idx», idx.t());",
        &["dot is defined on f32, f16 and bf16, this is a tile of i32"],
    );
}

#[test]
fn storage_types_are_cast_before_arithmetic() {
    expect_in(
        "let y = «qt» * scale;",
        &["`*` is not defined on T, which may be f16 or bf16: cast it first, `qt.cast::<f32>()`"],
    );
    expect_in(
        "let y = exp2(«qt»); let z = «qt».sum(1); let w = -«qt»;",
        &[
            "`exp2` is not defined on T, which may be f16 or bf16: cast it first, `qt.cast::<f32>()`",
            "`sum` is not defined on T, which may be f16 or bf16: cast it first, `qt.cast::<f32>()`",
            "`-` is not defined on T, which may be f16 or bf16: cast it first, `qt.cast::<f32>()`",
        ],
    );
    expect_in(
        "let hb = acc.cast::<bf16>(); let y = «hb» + 1.0;",
        &["`+` is not defined on bf16: cast it first, `hb.cast::<f32>()`"],
    );
    expect_in("let y = select(row > 0.0, qt, 0.0);", &[]);
}

#[test]
fn element_types_do_not_mix() {
    expect_in(
        "let y = row «+» idx;",
        &["operands have types f32 and i32: cast one of them, as in `x.cast::<f32>()`"],
    );
    expect_in(
        "let y = idx + «0.5»;",
        &["a float constant does not fit i32: write a whole number, or cast the i32 with `.cast::<f32>()`"],
    );
    expect_in("let y = exp2(«idx»);", &["`exp2` is not defined on i32: cast it first, `idx.cast::<f32>()`"]);
    expect_in(
        "let y = s «*» n;",
        &["operands have types f32 and i32: cast one of them, as in `x.cast::<f32>()`"],
    );
    expect_in("let y = idx % 2 == 0; let z = idx + n * BM + L; let w = row * 2 + BM;", &[]);
    expect_in("let y = «row» % 2;", &["`%` is not defined on f32: cast it first, `row.cast::<i32>()`"]);
    expect_in(
        "let y = «(row > 0.0)» + 1;",
        &["`+` is not defined on bool: choose by it, with `select(c, a, b)`"],
    );
    expect_in(
        "let y = acc.cast::<«f64»>();",
        &["`f64` is not an element type; there are f32, f16, bf16, i32, i8 and bool"],
    );
}

#[test]
fn truth_of_tiles_is_per_element() {
    expect_in("let y = idx > 0 && idx < n; let z = select(y || !y, row, 0.0);", &[]);
    expect_in("let y = «idx» && idx < n;", &["`&&` is not defined on i32: compare it with something"]);
    expect_in("let y = (idx > 0) & (idx < n); let z = select(y, row, 0.0);", &[]);
    expect_in(
        "let y = select(«row», s, 0.0);",
        &["the condition of `select` is a bool, this is a tile of f32 and shape [BM, 1]"],
    );
    expect_in(
        "let y = «select»(zeros::<f32>([1, D]) > 0.0, s, 0.0);",
        &[
            "a condition of shape [1, D] and values of shape [BM, BN] do not broadcast: axis 1 is `D` on the left and `BN` on the right",
        ],
    );
}

#[test]
fn axes_are_in_range() {
    expect_in("let y = s.max(«2»);", &["axis 2 is out of range for a tile of shape [BM, BN]"]);
    expect_in("let y = s.sum(«-1»);", &["axis -1 is out of range for a tile of shape [BM, BN]"]);
    expect_in("let y = iota([BM], «1»);", &["axis 1 is out of range for a tile of shape [BM]"]);
    expect_in("let y = s.«max»();", &["`max` needs an axis: `x.max(axis)` keeps it with size 1"]);
    expect_in(
        "let y = row.max(«row»);",
        &[
            "`max` reduces along an axis, this is a tile of f32 and shape [BM, 1]; element by element it is `maximum(a, b)`",
        ],
    );
    expect_in("let y = s.sum(«n»);", &["`sum` reduces along an axis, this is an i32 scalar"]);
    expect_in("let y: Tile<f32, { [BM, 1] }> = s.max(1) + s.min(1); let z = n.max(0).min(L);", &[]);
}

#[test]
fn reshape_keeps_the_count() {
    expect_in(
        "let y = s.reshape(«[BM, BN / 2]»);",
        &["reshape keeps the element count: [BM, BN] has BM*BN, [BM, (BN/2)] has (BM*BN/2)"],
    );
    expect_in("let y = s.reshape([BM * 2, BN / 2]) + s.reshape([BN * BM]).reshape([2 * BM, BN / 2]);", &[]);
    expect_in(
        "let y = row.squeeze(«0»);",
        &["`squeeze` leaves out an axis of size 1, axis 0 of [BM, 1] is `BM`"],
    );
    expect_in("let y = row.«unsqueeze»(0);", &["a tile has one or two axes, [BM, 1] cannot get another"]);
    expect_in("let y = row.squeeze(1).unsqueeze(0) + s.t(); let z = row.broadcast([BM, BN]) + s;", &[]);
    expect_in(
        "let y = s.broadcast(«[BN, BM]»);",
        &["a tile of shape [BM, BN] does not broadcast to [BN, BM]: sizes stay, or grow from 1"],
    );
    expect_in(
        "let y = row.squeeze(1).«t»();",
        &["`t` exchanges the two axes of a tile, this has shape [BM]"],
    );
}

#[test]
fn sizes_of_tiles_are_constants() {
    expect_in(
        "let y = zeros::<f32>([«L», D]);",
        &["`L` is known only at launch, the size of a tile must be a constant"],
    );
    expect_in(
        "let y = zeros::<f32>([BM, «n + 1»]);",
        &["this is known only when the kernel runs, the size of a tile must be a constant"],
    );
    expect_in("let y = full::<f32>(«[BM, BN, D]», 0.0);", &["a tile has one or two axes, [BM, BN, D] has 3"]);
    expect_in(
        "let y = zeros::<f32>(«BM»);",
        &["a shape is a list of sizes such as `[M, N]`, this is an integer constant"],
    );
    expect_in("let y = «zeros»([BM, D]);", &["`zeros` needs its element type, as in `zeros::<f32>([M, N])`"]);
    expect_in(
        "let y = full::<i32>([BM], «0.5»);",
        &["a float constant does not fit i32: write a whole number, or cast the i32 with `.cast::<f32>()`"],
    );
}

#[test]
fn calls_have_their_arguments_and_methods_exist() {
    expect_in("let y = «dot»(qt);", &["`dot` takes 2 arguments, this gives 1: `dot(a, b)`"]);
    expect_in("let y = s.«exp2»(1);", &["`exp2` takes 0 arguments, this gives 1: `x.exp2()`"]);
    expect_in("let y = s.«transpose»();", &["a tile has no method `transpose`; write `x.t()`"]);
    expect_in("let y = s.«sqr»();", &["a tile has no method `sqr`; did you mean `sqrt`?"]);
    expect_in("let y = s.«cast»();", &["`cast` needs a type, as in `.cast::<f32>()`"]);
    expect_in(
        "let (a, c) = s.max(«7»); let y = a + c;",
        &["axis 7 is out of range for a tile of shape [BM, BN]"],
    );
}

#[test]
fn a_failed_expression_is_reported_once() {
    expect_in(
        "let y = dot(qt, «ks[0]»); let z = y + s; let w = dot(y, z).sum(1); lse.at(b, h).block::<BM>(m).store(w);",
        &["dot contracts `D` of [BM, D] with `BN` of [BN, D]; did you mean `dot(qt, ks[0].t())`?"],
    );
}

#[test]
fn what_is_known_beside_the_unknown_is_held() {
    expect_in(
        "let (p, alpha) = st.step(s); let y = acc * alpha + dot(p, acc); out.at(b, h).block::<BM>(m).store(«y»);",
        &["`out` holds T, this stores f32: cast it with `.cast::<T>()`"],
    );
    expect_in(
        "let y = row * other(s); lse.at(b, h).block::<BM>(m).store(y); let z = y + s; let w = other(1) * idx.squeeze(1);",
        &[],
    );
    expect_in(
        "let y = select(other(s), acc, 0.0) «+» s;",
        &[
            "tiles of shape [BM, D] and [BM, BN] do not broadcast: axis 1 is `D` on the left and `BN` on the right",
        ],
    );
}

#[test]
fn annotations_agree() {
    expect_in("let y: Tile<f32, { [BM, 1] }> = 0.0; let z = y + row; let w: f32 = 1; let v = w * row;", &[]);
    expect_in(
        "let y: i32 = «0.5»;",
        &["a float constant does not fit i32: write a whole number, or cast the i32 with `.cast::<f32>()`"],
    );
    expect_in("let y: «Tile<f32, { [BM] }>» = row;", &["this says [BM], the expression has shape [BM, 1]"]);
    expect_in(
        "let y: «Tile<i32, { [BM, 1] }>» = row;",
        &["this says i32, the expression has element type f32; cast it with `.cast::<i32>()`"],
    );
    expect_in(
        "let y: «f32» = row;",
        &["this says an f32 scalar, the expression is a tile of f32 and shape [BM, 1]"],
    );
    expect_in(
        "let y: Tile<f32, { [BM, D / 1] }> = acc; let z: Tile<T, { [BM, D] }> = qt; let i: i32 = 4;",
        &[],
    );
    expect_in(
        "let y: Tile<f32, { [BM, «L»] }> = acc;",
        &["`L` is known only at launch, the size of a tile must be a constant"],
    );
    expect_in(
        "let y: Tile<f32, { [BN] }> = unknown_function(1); let z = y «+» acc;",
        &[
            "tiles of shape [BN] and [BM, D] do not broadcast: axis 1 is `BN` on the left and `D` on the right",
        ],
    );
}
