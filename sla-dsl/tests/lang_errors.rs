//! What only numbers show, reported when a kernel is built: each in the user's words, on the user's token.

use sla_dsl::diag::Diagnostics;
use sla_dsl::ir::Facts;
use sla_dsl::lang::{Const, Consts, KernelDef};
use sla_dsl::prelude::*;

/// The one mistake of a kernel, as `token: message`.
fn mistake(kernel: &KernelDef, consts: &Consts) -> String {
    let Err(Diagnostics(all)) = kernel.build(consts, &Facts::default()) else {
        panic!("{} builds", kernel.name)
    };
    assert_eq!(all.len(), 1, "{all:?}");
    let at = all[0].loc;
    let line = include_str!("lang_errors.rs").lines().nth(at.line as usize - 1).unwrap();
    let token: String = line[at.col as usize - 1..].chars().take_while(|c| !"(,;".contains(*c)).collect();
    format!("{token}: {}", all[0].message)
}

fn sizes(m: i64, n: i64) -> Consts {
    Consts::new(&[("M", Const::Int(m)), ("N", Const::Int(n))])
}

/// A kernel of two sizes whose shapes the macro cannot compare, because a function hides them.
macro_rules! kernel_of_sizes {
    ($name:ident, [$m:ident, $n:ident], |$x:ident, $out:ident, $i:ident| $body:block) => {
        #[kernel(dims(L), grid($i in L))]
        fn $name<const $m: usize, const $n: usize>(
            $x: &Tensor<f32, { [L, $m] }>,
            $out: &mut Tensor<f32, { [L, $n] }>,
        ) $body
    };
}

#[func]
fn anything<const A: usize, const B: usize>() -> Tile<f32, { [A, B] }> {
    zeros::<f32>([A, B])
}

kernel_of_sizes!(adds, [M, N], |x, out, i| {
    out.at(i).store(x.at(i).load() + hidden::<N>());
});

#[func]
fn hidden<const A: usize>() -> Tile<f32, { [A] }> {
    full::<f32>([A], 2.0)
}

kernel_of_sizes!(contracts, [M, N], |x, out, i| {
    let c = dot(anything::<4, M>(), anything::<N, 4>());
    out.at(i).store(hidden::<N>() + x.at(i).load().sum(0) + c.sum(0).sum(1).reshape([1]));
});

kernel_of_sizes!(masks, [M, N], |x, out, i| {
    let list = x.at(i).blocks::<N>();
    out.at(i).store(hidden::<N>() + hidden::<M>().mask_tail(list, 0, 1.0).sum(0));
});

kernel_of_sizes!(too_large, [M, N], |x, out, i| {
    out.at(i).store(
        hidden::<N>() + x.at(i).load().sum(0) + zeros::<f32>([M * 1024, 1024]).sum(0).sum(1).reshape([1]),
    );
});

kernel_of_sizes!(no_value, [M, N], |x, out, i| {
    let nothing = M / (N - 4);
    out.at(i).store(hidden::<N>() + x.at(i).load().sum(0) * nothing);
});

#[test]
fn numbers_that_do_not_fit() {
    assert_eq!(mistake(&adds, &sizes(4, 8)), "+ hidden::<N>: tiles of shape [4] and [8] do not broadcast");
    assert!(adds.build(&sizes(4, 4), &Facts::default()).is_ok());
    let e = mistake(&contracts, &sizes(4, 8));
    assert!(e.starts_with("dot: dot contracts 4 of [4, 4] with 8 of [8, 4]"), "{e}");
    let e = mistake(&masks, &sizes(4, 8));
    assert_eq!(e, "mask_tail: a tile of shape [4] has 4 columns, the list's blocks have 8");
    let e = mistake(&too_large, &sizes(4, 4));
    assert_eq!(e, "zeros::<f32>: a tile of shape [4096, 1024] has more than 1048576 elements");
    let e = mistake(&no_value, &sizes(4, 4));
    assert_eq!(e, "/ : `4 / 0` has no value");
}

#[test]
fn generics_are_held_against_their_declaration() {
    let told = |c: &Consts| adds.build(c, &Facts::default()).unwrap_err().to_string();
    assert!(told(&sizes(0, 4)).contains("`M` is 0, it must be a positive size"));
    assert!(told(&Consts::new(&[("M", Const::Int(4))])).contains("no value is given for the generic `N`"));
    assert!(told(&Consts::new(&[("M", Const::Bool(true)), ("N", Const::Int(4))])).contains("`M` is true"));
}
