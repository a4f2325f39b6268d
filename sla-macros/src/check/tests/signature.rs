//! Headers of kernels, and device functions on their own.

use super::expect;

#[test]
fn names_have_one_meaning() {
    expect(
        "#[kernel(dims(N), grid(i in N))] fn f<const M: usize>(x: &Tensor<f32, { [N] }>, «N»: i32) {}",
        &["`N` is declared twice: as a dim and as a parameter"],
    );
    expect(
        "#[kernel(dims(N, «M»), grid(i in N, «i» in N))] fn f<const M: usize>(x: &Tensor<f32, { [N] }>) {}",
        &["`M` is declared twice: as a generic and as a dim", "`i` is declared twice"],
    );
}

#[test]
fn sizes_of_a_functions_tensors_are_scalars() {
    expect(
        "#[func] fn f<const D: usize>(x: &Tensor<f32, { [N, D] }>, j: i32) -> Tile<f32, { [D] }> {
            let last = x.at(N - 1).load();
            let y = zeros::<f32>([«N»]);
            let all = x.«load»();
            last + x.at(j).load()
        }",
        &[
            "`N` is known only at launch, the size of a tile must be a constant",
            "the axis `N` of `x` is whole here, but its size is known only at launch: cut a block of it, or fix it with `.at(..)`",
        ],
    );
}

#[test]
fn requirements_are_bools_and_may_tie_sizes() {
    expect(
        "#[kernel(dims(N), require(«N % 2»), grid(i in N))] fn f(x: &Tensor<f32, { [N] }>) {}",
        &["the condition of a requirement is a bool, this is an i32 scalar: compare it, as in `x != 0`"],
    );
    expect(
        "#[kernel(dims(N), require(A == C, A % 16 == 0), grid(i in N))] fn f<const A: usize, const C: usize>(x: &Tensor<f32, { [N] }>) {
            let y = zeros::<f32>([A]) + zeros::<f32>([C]);
        }",
        &[],
    );
}

#[test]
fn a_requirement_on_a_remainder_ties_nothing() {
    expect(
        "#[kernel(dims(N), require(A % 16 == 0, A == C), grid(i in N))]
        fn f<const A: usize, const C: usize, const E: usize>(x: &Tensor<f32, { [N] }>) {
            let y = zeros::<f32>([A]) «+» zeros::<f32>([E]);
        }",
        &["tiles of shape [A] and [E] do not broadcast: axis 0 is `A` on the left and `E` on the right"],
    );
}

#[test]
fn device_functions_return_what_they_say() {
    expect(
        "#[func] fn f<const M: usize, const N: usize>(s: Tile<f32, { [M, N] }>) -> Tile<f32, { [M, 1] }> { let y = s * 2.0; «y» }",
        &["this function returns [M, 1], the expression has shape [M, N]"],
    );
    expect(
        "#[func] fn f<const M: usize>(s: Tile<f32, { [M, 1] }>) -> (Tile<f32, { [M, 1] }>, f32) { «(s, s)» }",
        &["this function returns an f32 scalar, the expression is a tile of f32 and shape [M, 1]"],
    );
    expect(
        "#[func] fn f(a: i32) { «a + 1» }",
        &["this function returns nothing, its last expression is an i32 scalar"],
    );
    expect(
        "#[func] fn f<const M: usize>(n: usize) -> Tile<f32, { [M, 1] }> { other(full::<f32>([n, 1], 1.0)) }",
        &[],
    );
}

#[test]
fn impl_blocks_are_checked_function_by_function() {
    expect(
        "#[func] impl<const M: usize> S<M> {
            pub fn new(rows: usize) -> Self { S { m: full::<f32>([rows, 1], -INF), l: zeros::<f32>(«[rows, 1, 1]») } }
            pub fn step<const N: usize>(&mut self, s: Tile<f32, { [M, N] }>) -> Tile<f32, { [M, N] }> {
                let mx = self.m.maximum(s.max(1));
                let p = exp2(s - mx);
                self.l = self.l * 2.0 + p.sum(1);
                self.m = mx;
                s.max(«3»)
            }
        }",
        &["a tile has one or two axes, [rows, 1, 1] has 3", "axis 3 is out of range for a tile of shape [M, N]"],
    );
}

#[test]
fn mutable_parameters_belong_to_the_caller() {
    expect(
        "#[func] fn f<const M: usize, const N: usize>(m: &mut Tile<f32, { [M, 1] }>, s: Tile<f32, { [M, N] }>) { *m = *m + s.max(1); *m = «s»; }",
        &["`m` belongs to the caller with shape [M, 1], this assigns [M, N]"],
    );
}

#[test]
fn what_is_tuned_must_be_of_the_kernel() {
    let head = "fn f<T: Float, const A: usize, const C: bool>(x: &Tensor<T, { [N] }>) {}";
    let expect_tune = |tune: &str, messages: &[&str]| {
        expect(&format!("#[kernel(dims(N), grid(i in N), tune({tune}))] {head}"), messages);
    };
    expect_tune("A in [64, 128], stages in [2, 3], order in [static, queue], key(N)", &[]);
    expect_tune(
        "«D» in [64]",
        &["`D` is no constant of this kernel; settings of the compiler have small letters"],
    );
    expect_tune("«T» in [bf16]", &["`T` is an element type, which is the caller's choice"]);
    expect_tune(
        "A in [64, «0», «many»]",
        &[
            "`0` is no value of `A`, needed a positive whole number",
            "`many` is no value of `A`, needed a positive whole number",
        ],
    );
    expect_tune(
        "«C» in [true, false]",
        &["`C` is a switch, which is the caller's choice; sizes and settings of the compiler are tuned"],
    );
    expect_tune("A in [64], «A» in [128]", &["`A` is to be tuned twice"]);
    expect_tune("stages in [2, «2»]", &["`2` is a value of `stages` already"]);
    expect_tune("«stages» in []", &["`stages` has no values to try: `stages in [1, 2]`"]);
    expect_tune("stages in [«2.5»]", &["a value to try is a whole number, true, false or a name"]);
    expect_tune(
        "key(N, «A», «M»)",
        &[
            "`A` is a constant; those that are not tuned always belong to the key",
            "`M` is no dim of this kernel",
        ],
    );
}
