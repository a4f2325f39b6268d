//! Scheduled kernels: the text form of every op that only schedules have, and the verifier's rules for them, one a line.

use sla_dsl::ir::{Level, OpCode, parse, verify};

const SAMPLE: &str = r#"kernel sample {
  dims L
  grid m in L.div_ceil(128)
  param %0 = x : tensor<bf16, [L, 64]>
  param %1 = y : mut tensor<bf16, [L, 64]>
  param %2 = w : mut tensor<f32, [L, 64]>
  %3 = ring {arrivals=1, name="k"} : ring<2x64x64xbf16>
  %4 = ring {arrivals=0, name="o"} : ring<1x64x64xbf16>
  %5 = const {value=0} : i32
  %6 = cta : i32
  %7 = ctas : i32
  %8 = extent {axis=0} : i32
  role {first=0, name="load", registers=24, warps=1} {
    %9 = cursor : cursor
    %10 = for %11 in %6..%8 carry(%12 = %9) {step=1} : cursor {
      acquire %3, %12
      fill %0[%11, %5], %3, %12 {box=[32, 64], row=0}
      fill %0[%11, %5], %3, %12 {box=[32, 64], row=32}
      %13 = advance %3, %12 : cursor
      yield %13
    }
    yield
  }
  role {first=4, name="mma", registers=240, warps=4} {
    %14 = cursor : cursor
    %15 = for %16 in %6..%8 carry(%17 = %14) {step=1} : cursor {
      %18 = await %3, %17 : view<64x64xbf16>
      %19 = read %18 : tile<64x64xbf16>
      %20 = mma %18, %18 {ta=0, tb=1} : pending<64x64xf32>
      take_turn
      %21 = mma %19, %18, %20 {ta=0, tb=0} : pending<64x64xf32>
      pass_turn
      %22 = mma_wait %21 {left=0} : tile<64x64xf32>
      mma_wait {left=0}
      release %3, %17
      %23 = fold_max %22 : tile<64x8xf32>
      %24 = fold_sum %22 : tile<64x8xf32>
      %25 = cmp %23, %24 {pred=gt} : tile<64x8xbool>
      %26 = vote %25 : bool
      %27 = concat %23, %24 {axis=1} : tile<64x16xf32>
      %28 = cast %22 : tile<64x64xbf16>
      send %1[%16, %5], %28, %4 {box=[64, 64]}
      %29 = advance %3, %17 : cursor
      %30 = lap %3, %17 : cursor
      yield %29
    }
    yield
  }
  %31 = ring {arrivals=4, name="programs"} : ring<2x1x1xi32>
  role {first=8, name="draw", registers=0, warps=1} {
    %32 = cursor : cursor
    %33, %34 = for %35 in %5..%8 carry(%36 = %6, %37 = %32) {drawn=1, step=1} : i32, cursor {
      %38 = draw %31, %37, %8 : i32
      %39 = advance %31, %37 : cursor
      yield %38, %39
    }
    yield
  }
  role {first=12, name="take", registers=0, warps=4} {
    %40 = cursor : cursor
    %41, %42 = for %43 in %5..%8 carry(%44 = %6, %45 = %40) {drawn=1, step=1} : i32, cursor {
      %46 = take %31, %45 : i32
      %47 = advance %31, %45 : cursor
      yield %46, %47
    }
    yield
  }
  %48 = ring {arrivals=0, name="s"} : ring<2x64x64xbf16>
  %49 = ring {arrivals=0, name="w"} : ring<1x64x64xf32>
  role {first=16, name="add", registers=0, warps=8} {
    %50 = cursor : cursor
    %51 = const {value=1.0} : tile<64x64xbf16>
    %52 = share %51, %48, %50 : view<64x64xbf16>
    %53 = mma %52, %52 {parts=2, ta=1, tb=0} : pending<128x32xf32>
    %54 = mma_wait %53 {left=0} : tile<128x32xf32>
    send_add %2[%5, %5], %54, %49 {box=[64, 64], parts=2}
    yield
  }
}
"#;

#[test]
fn every_op_prints_and_parses() {
    let kernel = parse(SAMPLE).unwrap_or_else(|e| panic!("{e}"));
    verify(&kernel).unwrap();
    assert_eq!(kernel.to_string(), SAMPLE);
    let mut missing: Vec<OpCode> =
        OpCode::ALL.iter().copied().filter(|o| o.level() == Level::Sched).collect();
    kernel.walk(&mut |k, _, id| missing.retain(|&o| o != k.op(id).code));
    assert_eq!(missing, []);
    let text = "kernel k { %0 = cursor : cursor @\"src/k.rs\":3:5\n}";
    assert!(parse(text).unwrap().to_text_with_locs().contains("%0 = cursor : cursor @\"src/k.rs\":3:5\n"));
}

/// What is said of some ops behind a few values, all at their line.
fn report(ops: &str) -> String {
    let text = format!(
        "kernel k {{
          dims L
          grid m in L
          param %x = x : tensor<bf16, [L, 64]>
          param %y = y : mut tensor<bf16, [L, 64]>
          param %w = w : mut tensor<f32, [L, 64]>
          %i = const {{value=1}} : i32
          %f = const {{value=1.0}} : tile<64x64xf32>
          %h = const {{value=1.0}} : tile<64x64xbf16>
          %k = ring {{arrivals=1, name=\"k\"}} : ring<2x64x64xbf16>
          %n = ring {{arrivals=1, name=\"n\"}} : ring<2x64x32xbf16>
          %g = ring {{arrivals=1, name=\"g\"}} : ring<2x64x64xf32>
          %c = cursor : cursor
          %v = await %k, %c : view<64x64xbf16>
          %u = await %n, %c : view<64x32xbf16>
          %z = await %g, %c : view<64x64xf32>
          %p = mma %v, %v {{ta=0, tb=1}} : pending<64x64xf32>
          {ops}
        }}"
    );
    match parse(&text) {
        Ok(_) => "ok".to_string(),
        Err(e) => {
            let all = e.to_string();
            assert!(all.lines().all(|l| l.starts_with("18:")), "not at line 18: {all}");
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
    folds_and_votes {
        "%0 = fold_max %f : tile<64x8xf32>" => "ok",
        "%0 = fold_max %h : tile<64x8xbf16>" => "`fold_max` takes an f32 tile with a multiple of 8 columns, not a tile<64x64xbf16>",
        "%0 = fold_sum %i : i32" => "`fold_sum` takes an f32 tile with a multiple of 8 columns, not a i32",
        "%0 = const {value=1.0} : tile<64x4xf32> %1 = fold_sum %0 : tile<64x8xf32>" => "`fold_sum` takes an f32 tile with a multiple of 8 columns, not a tile<64x4xf32>",
        "%0 = fold_sum %f : tile<64x1xf32>" => "`fold_sum` gives a tile<64x8xf32> here, not a tile<64x1xf32>",
        "%0 = fold_sum %f, %f : tile<64x8xf32>" => "`fold_sum` takes 1 operands and gives 1 results, this has 2 and 1",
        "%0 = concat %f, %f {axis=0} : tile<128x64xf32>" => "ok",
        "%0 = concat %f, %f {axis=0} : tile<64x128xf32>" => "`concat` gives a tile<128x64xf32> here, not a tile<64x128xf32>",
        "%0 = concat %f, %f {axis=2} : tile<64x128xf32>" => "`concat` lacks the attribute `axis` (an int: of a grid, an iota, a reduction or a `concat`)",
        "%0 = concat %f, %f : tile<64x128xf32>" => "`concat` lacks the attribute `axis` (an int: of a grid, an iota, a reduction or a `concat`)",
        "%0 = concat %f, %h {axis=1} : tile<64x128xf32>" => "`concat` cannot put a tile<64x64xbf16> behind a tile<64x64xf32> along axis 1",
        "%0 = concat %f, %p {axis=1} : tile<64x128xf32>" => "`concat` cannot put a pending<64x64xf32> behind a tile<64x64xf32> along axis 1",
        "%0 = const {value=1.0} : tile<32x64xf32> %1 = concat %f, %0 {axis=1} : tile<64x128xf32>" => "`concat` cannot put a tile<32x64xf32> behind a tile<64x64xf32> along axis 1",
        "%0 = vote %f : bool" => "`vote` takes a tile of bool, not a tile<64x64xf32>",
        "%0 = const {value=true} : bool %1 = vote %0 : bool" => "`vote` takes a tile of bool, not a bool",
        "%0 = const {value=true} : tile<4xbool> %1 = vote %0 : i32" => "`vote` gives a bool here, not a i32",
        "%0 = const {value=true} : tile<4xbool> %1 = vote %0 : bool" => "ok",
    }
    numbers {
        "%0 = cta : i32" => "ok",
        "%0 = ctas : f32" => "`ctas` gives a i32 here, not a f32",
        "%0 = extent {axis=1} : i32" => "grid axis 1 of a grid with 1 axes",
        "%0 = extent : i32" => "`extent` lacks the attribute `axis` (an int: of a grid, an iota, a reduction or a `concat`)",
    }
    rings {
        "%0 = ring {arrivals=1} : ring<2x64x64xbf16>" => "`ring` lacks the attribute `name` (a text: the dim of `dim`, the name of a ring or role)",
        "%0 = ring {name=\"r\"} : ring<2x64x64xbf16>" => "`ring` lacks the attribute `arrivals` (an int: arrivals that make a stage of a ring empty)",
        "%0 = ring {arrivals=-1, name=\"r\"} : ring<2x64x64xbf16>" => "a ring with -1 arrivals",
        "%0 = ring {arrivals=2000, name=\"r\"} : ring<2x64x64xbf16>" => "a ring with 2000 arrivals",
        "%0 = ring {arrivals=1, name=\"r\"} : ring<0x64x64xbf16>" => "`ring` gives a ring, not a ring<0x64x64xbf16>",
        "%0 = ring {arrivals=1, name=\"r\"} : cursor" => "`ring` gives a ring, not a cursor",
        "%0 = cursor %i : cursor" => "`cursor` takes 0 operands and gives 1 results, this has 1 and 1",
        "%0 = cursor : i32" => "`cursor` gives a cursor here, not a i32",
    }
    turns {
        "%0 = advance %k, %c : cursor" => "ok",
        "%0 = lap %k, %c : cursor" => "ok",
        "%0 = advance %k : cursor" => "`advance` takes 2 operands and gives 1 results, this has 1 and 1",
        "%0 = lap %k, %k : cursor" => "`lap` takes a cursor, not a ring<2x64x64xbf16>",
        "%0 = advance %c, %c : cursor" => "`advance` takes a ring, not a cursor",
        "%0 = advance %k, %i : cursor" => "`advance` takes a cursor, not a i32",
        "%0 = advance %k, %c : i32" => "`advance` gives a cursor here, not a i32",
        "acquire %k, %i" => "`acquire` takes a cursor, not a i32",
        "acquire %f, %c" => "`acquire` takes a ring, not a tile<64x64xf32>",
        "%0 = acquire %k, %c : cursor" => "`acquire` takes 2 operands and gives 0 results, this has 2 and 1",
        "release %k" => "`release` takes 2 operands and gives 0 results, this has 1 and 0",
        "release %k, %c" => "ok",
        "%0 = await %k, %c : view<64x32xbf16>" => "`await` gives a view<64x64xbf16> here, not a view<64x32xbf16>",
        "%0 = await %k, %c : tile<64x64xbf16>" => "`await` gives a view<64x64xbf16> here, not a tile<64x64xbf16>",
        "%0 = await %k, %k : view<64x64xbf16>" => "`await` takes a cursor, not a ring<2x64x64xbf16>",
        "%0 = read %v : tile<64x64xbf16>" => "ok",
        "%0 = read %v : tile<64x64xf32>" => "`read` gives a tile<64x64xbf16> here, not a tile<64x64xf32>",
        "%0 = read %k : tile<64x64xbf16>" => "`read` takes a view, not a ring<2x64x64xbf16>",
        "%0 = read %p : tile<64x64xf32>" => "`read` takes a view, not a pending<64x64xf32>",
    }
    queues {
        "%0 = ring {arrivals=1, name=\"r\"} : ring<2x1x1xi32> %1 = draw %0, %c, %i : i32" => "ok",
        "%0 = ring {arrivals=1, name=\"r\"} : ring<2x1x1xi32> %1 = take %0, %c : i32" => "ok",
        "%0 = draw %k, %c, %i : i32" => "`draw` takes a ring of one i32 a stage, not a ring<2x64x64xbf16>",
        "%0 = take %k, %c : i32" => "`take` takes a ring of one i32 a stage, not a ring<2x64x64xbf16>",
        "%0 = draw %k, %c : i32" => "`draw` takes 3 operands and gives 1 results, this has 2 and 1",
        "%0 = take %k, %i : i32" => "`take` takes a cursor, not a i32",
        "%0 = ring {arrivals=1, name=\"r\"} : ring<2x1x1xi32> %1 = draw %0, %c, %c : i32" => "`draw` takes a number of programs, not a cursor",
        "%0 = ring {arrivals=1, name=\"r\"} : ring<2x1x1xi32> %1 = take %0, %c : cursor" => "`take` gives a i32 here, not a cursor",
        "%0 = for %j in %i..%i carry(%a = %i) {drawn=1, step=1} : i32 { yield %a }" => "ok",
        "%0 = for %j in %i..%i carry(%a = %c) {drawn=1, step=1} : cursor { yield %a }" => "a drawn `for` carries no i32 first",
        "for %j in %i..%i carry() {drawn=1, step=1} { yield }" => "a drawn `for` carries no i32 first",
    }
    copies {
        "fill %x[%i, %i], %k, %c {box=[64, 64], row=0}" => "ok",
        "fill %x[%i, %i], %k, %c {box=[1, 64], row=63}" => "ok",
        "fill %x[%i, %i], %k, %c {box=[64, 64]}" => "`fill` lacks the attribute `row` (an int: the row of a stage that `fill` starts at)",
        "fill %x[%i, %i], %k, %c {box=[64, 64], row=-1}" => "`fill` lacks the attribute `row` (an int: the row of a stage that `fill` starts at)",
        "fill %x[%i, %i], %k, %c {box=[64, 64], row=1}" => "a box of [64, 64] from row 1 on does not fit a stage of a ring<2x64x64xbf16>",
        "fill %x[%i, %i], %k, %c {box=[64, 32], row=0}" => "a box of [64, 32] from row 0 on does not fit a stage of a ring<2x64x64xbf16>",
        "fill %w[%i, %i], %k, %c {box=[64, 64], row=0}" => "a mut tensor<f32, [L, 64]> cannot fill a ring<2x64x64xbf16>",
        "fill %x[%i], %k, %c {box=[64], row=0}" => "a tensor of rank 2 is accessed with 1 offsets, 1 extents and 0 checks",
        "fill %x[%i, %c], %k, %c {box=[64, 64], row=0}" => "an offset is a cursor, not an i32",
        "fill %h[%i, %i], %k, %c {box=[64, 64], row=0}" => "`fill` accesses a tile<64x64xbf16>, not a tensor",
        "send %y[%i, %i], %h, %k {box=[64, 64]}" => "ok",
        "send %x[%i, %i], %h, %k {box=[64, 64]}" => "`send` writes a read-only tensor",
        "send %y[%i, %i], %f, %k {box=[64, 64]}" => "a tile<64x64xf32> cannot be sent to a box of [64, 64] through a ring<2x64x64xbf16>",
        "send %y[%i, %i], %h, %k {box=[32, 64]}" => "a tile<64x64xbf16> cannot be sent to a box of [32, 64] through a ring<2x64x64xbf16>",
        "send %y[%i, %i], %h, %n {box=[64, 64]}" => "a tile<64x64xbf16> cannot be sent to a box of [64, 64] through a ring<2x64x32xbf16>",
        "send %y[%i, %i], %h, %c {box=[64, 64]}" => "`send` takes a ring, not a cursor",
        "send %w[%i, %i], %h, %k {box=[64, 64]}" => "a tile<64x64xbf16> cannot be sent to a box of [64, 64] through a ring<2x64x64xbf16>",
    }
    shared_tiles {
        "%0 = share %h, %k, %c : view<64x64xbf16>" => "ok",
        "%0 = share %f, %k, %c : view<64x64xbf16>" => "a tile<64x64xf32> is no stage of a ring<2x64x64xbf16>",
        "%0 = share %h, %n, %c : view<64x32xbf16>" => "a tile<64x64xbf16> is no stage of a ring<2x64x32xbf16>",
        "%0 = share %h, %k, %i : view<64x64xbf16>" => "`share` takes a cursor, not a i32",
        "%0 = share %h, %k : view<64x64xbf16>" => "`share` takes 3 operands and gives 1 results, this has 2 and 1",
        "%0 = share %h, %k, %c : tile<64x64xbf16>" => "`share` gives a view<64x64xbf16> here, not a tile<64x64xbf16>",
        "send_add %w[%i, %i], %f, %g {box=[64, 64]}" => "ok",
        "%0 = const {value=1.0} : tile<128x32xf32> send_add %w[%i, %i], %0, %g {box=[64, 64], parts=2}" => "ok",
        "send_add %w[%i, %i], %f, %g {box=[64, 64], parts=2}" => "a tile<64x64xf32> cannot be sent to a box of [64, 64] through a ring<2x64x64xf32>",
        "send_add %w[%i, %i], %f, %g {box=[64, 64], parts=3}" => "`send_add` splits 64 columns into 3 parts",
        "send_add %y[%i, %i], %h, %k {box=[64, 64]}" => "`send_add` adds to f32, not to bf16",
        "send %y[%i, %i], %h, %k {box=[64, 64], parts=2}" => "`send` has parts",
        "%0 = mma %v, %v {parts=2, ta=1, tb=0} : pending<128x32xf32>" => "ok",
        "%0 = mma %v, %v {parts=2, ta=1, tb=0} : pending<64x64xf32>" => "`mma` gives a pending<128x32xf32> here, not a pending<64x64xf32>",
        "%0 = mma %v, %v {parts=0, ta=1, tb=0} : pending<64x64xf32>" => "`mma` splits 64 columns into 0 parts",
    }
    products {
        "%0 = mma %v, %v {ta=0, tb=0} : pending<64x64xf32>" => "ok",
        "%0 = mma %u, %v {ta=1, tb=0} : pending<32x64xf32>" => "ok",
        "%0 = mma %h, %u {ta=0, tb=0} : pending<64x32xf32>" => "ok",
        "%0 = mma %h, %v, %f {ta=0, tb=0} : pending<64x64xf32>" => "ok",
        "%0 = mma %h, %v, %p {ta=0, tb=0} : pending<64x64xf32>" => "ok",
        "%0 = mma %v {ta=0, tb=0} : pending<64x64xf32>" => "`mma` takes 2 or 3 operands, this has 1",
        "%0 = mma %v, %h {ta=0, tb=0} : pending<64x64xf32>" => "`mma` takes a tile or a view and a view, not a tile<64x64xbf16>",
        "%0 = mma %f, %v {ta=0, tb=0} : pending<64x64xf32>" => "`mma` multiplies halves of one type, not f32 by bf16",
        "%0 = mma %z, %z {ta=0, tb=0} : pending<64x64xf32>" => "`mma` multiplies halves of one type, not f32 by f32",
        "%0 = mma %v, %v {ta=0} : pending<64x64xf32>" => "`mma` lacks the attribute `tb` (1 if the second operand of `dot` is transposed)",
        "%0 = mma %v, %v {ta=2, tb=0} : pending<64x64xf32>" => "`mma` lacks the attribute `ta` (1 if the first operand of `dot` is transposed)",
        "%0 = mma %u, %v {ta=0, tb=0} : pending<64x64xf32>" => "`mma` contracts 32 with 64",
        "%0 = mma %v, %v {ta=0, tb=0} : tile<64x64xf32>" => "`mma` gives a pending<64x64xf32> here, not a tile<64x64xf32>",
        "%0 = mma %v, %v, %h {ta=0, tb=0} : pending<64x64xf32>" => "the accumulator of `mma` is a tile<64x64xbf16>, not a pending<64x64xf32>",
        "%0 = mma %h, %u, %p {ta=0, tb=0} : pending<64x32xf32>" => "the accumulator of `mma` is a pending<64x64xf32>, not a pending<64x32xf32>",
        "%0 = mma_wait %p {left=0} : tile<64x64xf32>" => "ok",
        "%0 = mma_wait %p : tile<64x64xf32>" => "`mma_wait` lacks the attribute `left` (an int: groups of products that may still be in flight)",
        "%0 = mma_wait %p {left=-1} : tile<64x64xf32>" => "`mma_wait` leaves -1 groups",
        "%0 = mma_wait %p {left=8} : tile<64x64xf32>" => "`mma_wait` leaves 8 groups",
        "%0 = mma_wait %p {left=0} : tile<64x32xf32>" => "`mma_wait` makes tiles of products, not a tile<64x32xf32> of a pending<64x64xf32>",
        "%0 = mma_wait %f {left=0} : tile<64x64xf32>" => "`mma_wait` makes tiles of products, not a tile<64x64xf32> of a tile<64x64xf32>",
        "mma_wait %p {left=0}" => "`mma_wait` takes 1 operands and gives 1 results, this has 1 and 0",
        "%0 = add %p, %p : pending<64x64xf32>" => "`add` takes scalars and tiles, not a pending<64x64xf32>",
        "%0 = mma %p, %v {ta=0, tb=0} : pending<64x64xf32>" => "`mma` takes a tile or a view and a view, not a pending<64x64xf32>",
        "store %w[%i, %i], %p {box=[64, 64], check=[0, 0]}" => "a pending<64x64xf32> cannot be written to a box of [64, 64] of a mut tensor<f32, [L, 64]>",
    }
    roles {
        "role {first=0, name=\"r\", registers=0, warps=4} { yield }" => "ok",
        "role {first=0, groups=2, name=\"r\", registers=0, warps=4} { yield }" => "ok",
        "role {first=0, groups=5, name=\"r\", registers=0, warps=4} { yield }" => "`groups` of a role is 5",
        "role {first=0, registers=0, warps=4} { yield }" => "`role` lacks the attribute `name` (a text: the dim of `dim`, the name of a ring or role)",
        "role {name=\"r\", registers=0, warps=4} { yield }" => "`role` lacks the attribute `first` (an int: the first warp of a role)",
        "role {first=32, name=\"r\", registers=0, warps=4} { yield }" => "`first` of a role is 32",
        "role {first=0, name=\"r\", registers=0, warps=0} { yield }" => "`warps` of a role is 0",
        "role {first=0, name=\"r\", registers=256, warps=4} { yield }" => "`registers` of a role is 256",
        "role %i {first=0, name=\"r\", registers=0, warps=4} { yield }" => "`role` takes 0 operands and gives 0 results, this has 1 and 0",
        "role {first=0, name=\"r\", registers=0, warps=4} { yield %i }" => "a region of `role` yields 1 values for 0 results",
        "role {first=0, name=\"r\", registers=0, warps=4} { %0 = cursor : cursor }" => "a region ends in `cursor` instead of `yield`",
    }
    carried {
        "%0 = for %j in %i..%i carry(%a = %p) {step=1} : pending<64x64xf32> { yield %a }" => "ok",
        "%0 = for %j in %i..%i carry(%a = %c) {step=1} : cursor { yield %a }" => "ok",
        "%0 = for %j in %i..%i carry(%a = %v) {step=1} : view<64x64xbf16> { yield %a }" => "`for` takes scalars and tiles, not a view<64x64xbf16>",
        "%0 = for %j in %i..%i carry(%a = %k) {step=1} : ring<2x64x64xbf16> { yield %a }" => "`for` takes scalars and tiles, not a ring<2x64x64xbf16>",
    }
}
