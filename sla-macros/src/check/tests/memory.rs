//! Tensors: directions, views, blocks, loads and stores.

use super::expect_in;

#[test]
fn only_mutable_tensors_are_written() {
    expect_in(
        "q.at(b, h).block::<BM>(m).«store»(qt);",
        &["`q` is read-only: declare it as `q: &mut Tensor<..>` to write it"],
    );
    expect_in(
        "x.block::<BM>(m).«atomic_add»(acc);",
        &["`x` is read-only: declare it as `x: &mut Tensor<..>` to write it"],
    );
    expect_in("let o = out.at(b, h).block::<BM>(m).load(); out.at(b, h).block::<BM>(m).store(o);", &[]);
}

#[test]
fn stores_are_of_the_tensors_type_and_shape() {
    expect_in(
        "out.at(b, h).block::<BM>(m).store(«acc»);",
        &["`out` holds T, this stores f32: cast it with `.cast::<T>()`"],
    );
    expect_in(
        "lse.at(b, h).block::<BM>(m).store(«s»);",
        &["this stores a tile of shape [BM, BN] into a block of shape [BM] of `lse`"],
    );
    expect_in(
        "lse.at(b, h).block::<BM>(m).store(row); lse.at(b, h, m).store(scale); lse.at(b, h).block::<BM>(m).store(0.0);",
        &[],
    );
    expect_in(
        "lse.at(b, h, m).store(«row»);",
        &["this stores a tile of shape [BM, 1] into one element of `lse`"],
    );
    expect_in(
        "out.at(b, h).block::<BM>(m).«atomic_add»(qt);",
        &["`atomic_add` is defined on tensors of f32 and i32, `out` holds T"],
    );
}

#[test]
fn places_are_loaded_before_use() {
    expect_in(
        "let y = «x.block::<BM>(m)» * 2.0;",
        &["this is a block of `x`, not its values: load it first, with `.load()`"],
    );
    expect_in(
        "let y = x.block::<BM>(m).«sum»(1);",
        &["this is a block of `x`, not its values: load it first, with `.load()`"],
    );
    expect_in(
        "let y = «x» + 1.0;",
        &["this is the tensor `x`, not values of it: load a block of it, with `.block::<N>(i).load()`"],
    );
    expect_in("let y = dot(«ks», s);", &["this is a list of blocks of `k`: take one of them, as `list[j]`"]);
    expect_in(
        "let y = x«[0]»;",
        &[
            "the tensor `x` is not indexed: cut blocks with `block::<N>(i)`, or read one element with `.at(..).load()`",
        ],
    );
    expect_in(
        "let y = x.at(m, 0).load() * 2.0; let z = x.at(m).block::<D>(0).load() + bias.block::<D>(0).load();",
        &[],
    );
}

#[test]
fn views_are_cut_along_their_axes() {
    expect_in("let y = x.at(m, 0, «1»).load();", &["`x` has 2 free axes [L, D], this fixes 3"]);
    expect_in("let y = x.at(«scale»);", &["an index is an i32, this is an f32 scalar"]);
    expect_in("let y = x.«block»(m).load();", &["`block` needs the size of a block, as in `block::<N>(i)`"]);
    expect_in(
        "let y = x.«block»::<BM, D>(m).load();",
        &["`block` takes an index for each size: this gives 2 of size, 1 of index"],
    );
    expect_in(
        "let y = bias.«block»::<BM, D>(m, 0).load();",
        &["`block` cuts along 2 free axes, `bias` has [D]"],
    );
    expect_in(
        "let y = x.block::<«L»>(m).load();",
        &["`L` is known only at launch, the size of a tile must be a constant"],
    );
    expect_in(
        "let y = x.block::<BM, { D / 2 }>(m, 1).load() + zeros::<f32>([BM, D / 2]); let z = x.window::<BM>(m * BM + 1).load() + y.sum(1);",
        &[],
    );
    expect_in(
        "let y = x.block::<BM>(m).at(0).load() + x.block::<BM>(m).block::<16>(0).load().sum(1).squeeze(1) + bias.load().sum(0);",
        &[],
    );
    expect_in("let y = x.«blok»::<BM>(m);", &["a tensor has no method `blok`; did you mean `block`?"]);
    expect_in("let y = x.at(0).dim(«1»);", &["axis 1 is out of range for `x` with axes [D]"]);
}

#[test]
fn tiles_have_constant_extents_and_two_axes() {
    expect_in(
        "let y = lut.at(b).block::<BM>(m).«load»();",
        &[
            "the axis `TOPK` of `lut` is whole here, but its size is known only at launch: cut a block of it, or fix it with `.at(..)`",
        ],
    );
    expect_in(
        "lse.at(b).«store»(0.0);",
        &[
            "the axis `H` of `lse` is whole here, but its size is known only at launch: cut a block of it, or fix it with `.at(..)`",
        ],
    );
    expect_in(
        "let y = lut.at(b).«blocks»::<BM>();",
        &[
            "the axis `TOPK` of `lut` is whole here, but its size is known only at launch: cut a block of it, or fix it with `.at(..)`",
        ],
    );
    expect_in(
        "let y = q.at(b).block::<1, BM>(h, m).«load»();",
        &["a tile has one or two axes, [1, BM, D] has 3: fix leading axes with `.at(..)`"],
    );
}

#[test]
fn lists_of_blocks_are_counted_and_indexed() {
    expect_in(
        "let y = ks.«iter»();",
        &["a list of blocks has `len()` and `list[j]`, not `iter`: count with `for j in 0..list.len()`"],
    );
    expect_in("let y = ks[«scale»];", &["an index is an i32, this is an f32 scalar"]);
    expect_in(
        "for j in «ks» { }",
        &["this is a list of blocks of `k`; count its blocks: `for j in 0..list.len()`"],
    );
    expect_in("let y = s.mask_tail(ks, 0, -INF); let z = s.t().mask_rows(ks, 0, 0.0);", &[]);
    expect_in(
        "let y = acc.mask_tail(«ks», 0, -INF);",
        &[
            "`mask_tail` masks columns past the end of a list: [BM, D] has `D` columns, the blocks of `k` have `BN`",
        ],
    );
    expect_in(
        "let y = s.mask_tail(«x», 0, -INF);",
        &["`mask_tail` takes a list made by `.blocks::<N>()`, this is the tensor `x`, not values of it"],
    );
    expect_in(
        "let y = s.mask_tail(ks, 0, «idx»);",
        &["the tile holds f32, this fills with i32: cast it with `.cast::<f32>()`"],
    );
    expect_in("let y = s.mask_tail(ks, 0, row) + s;", &[]);
}
