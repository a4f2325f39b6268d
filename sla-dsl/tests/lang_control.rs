//! Loops, branches, structs and calls as their authors write them, run on the interpreter.

mod support;

use sla_dsl::interp::Interpreter;
use sla_dsl::ir::{Facts, OpCode};
use sla_dsl::prelude::*;
use support::Host;

mod library {
    //! Device functions of another module.
    use sla_dsl::prelude::*;

    /// A Rust constant that bodies name.
    pub const HALVES: usize = 2;

    /// Sum and count of what was seen.
    #[tiles]
    pub struct Mean<const N: usize> {
        pub sum: Tile<f32, { [N] }>,
        pub count: f32,
    }

    #[func]
    impl<const N: usize> Mean<N> {
        pub fn new() -> Self {
            Mean { sum: zeros::<f32>([N]), count: 0.0 }
        }

        pub fn add(&mut self, x: Tile<f32, { [N] }>) {
            self.sum += x;
            self.count += 1.0;
        }

        pub fn value(self) -> Tile<f32, { [N] }> {
            self.sum / self.count
        }
    }

    /// Adds to what it is lent, and says how much.
    #[func]
    pub fn bump(x: &mut Tile<f32, { [N] }>, by: f32) -> f32 {
        *x = *x + by;
        by * 2.0
    }

    /// The larger half of a row's sum.
    #[func]
    pub fn scaled<const N: usize>(x: Tile<f32, { [N] }>, unused: i32) -> Tile<f32, { [N] }> {
        let mut y = x;
        let by = bump(&mut y, 0.0 + unused.cast::<f32>());
        y * (by / HALVES)
    }

    /// A block of any tensor of numbers, in f32.
    #[func]
    pub fn read<T: Element, const N: usize>(x: &Tensor<T, { [L] }>, j: i32) -> Tile<f32, { [N] }> {
        assert!(j * N < L, "the block lies inside");
        x.block::<N>(j).load().cast::<f32>()
    }
}

/// The mean of the rows listed for each program.
#[kernel(dims(M, R, L), grid(i in M))]
fn mean_of_listed<const N: usize>(
    x: &Tensor<f32, { [R, N] }>,
    lists: &Tensor<i32, { [M, L] }>,
    counts: &Tensor<i32, { [M] }>,
    out: &mut Tensor<f32, { [M, N] }>,
) {
    let n = counts.at(i).load();
    let mut mean = library::Mean::<N>::new();
    for j in lists.at(i).gather(n) {
        mean.add(x.at(j).load());
    }
    if n > 0 {
        out.at(i).store(mean.value());
    } else {
        out.at(i).store(-1);
    }
}

#[test]
fn lists_drive_loops_of_different_lengths() {
    let x = Host::new(&[5, 4], |i| i as f32);
    let lists = Host { data: vec![4, 0, 99, 2, 99, 99, 99, 99, 99], shape: vec![3, 3] };
    let counts = Host { data: vec![2, 1, 0], shape: vec![3] };
    let mut out = Host::new(&[3, 4], |_| 0.0);
    mean_of_listed::<4>::launch(&Interpreter, &x, &lists, &counts, &mut out).unwrap();
    assert_eq!(out.data, [8.0, 9.0, 10.0, 11.0, 8.0, 9.0, 10.0, 11.0, -1.0, -1.0, -1.0, -1.0]);
}

/// Branches of every kind.
#[kernel(dims(N), grid(i in N))]
fn branches<const FLIP: bool, const K: usize>(x: &Tensor<f32, { [N] }>, out: &mut Tensor<f32, { [N, 4] }>) {
    let v = x.at(i).load();
    let o = out.at(i);

    let width = if FLIP { K } else { K * 2 };
    o.at(0).store(zeros::<f32>([width, 1]).sum(0).squeeze(0).sum(0).reshape([1]) + width);

    let mut sign = 0.0;
    let mut seen = 0;
    if v < 0.0 {
        sign = -1.0;
        seen += 1;
    } else if v > 0.0 {
        sign = 1;
    }
    o.at(1).store(sign + seen.cast::<f32>() * 10);

    let piece = if v > 2.0 {
        let w = v - 2.0;
        w * w
    } else if v > 1.0 {
        1.0
    } else {
        0.5
    };
    o.at(2).store(piece);

    let mut n = 1;
    if FLIP {
        n = 3;
    }
    let (mut a, mut b) = (0.0, n);
    for j in unroll(0..n) {
        a += v * j;
        if v > 0.0 && j == 1 {
            (a, b) = (a + 100, b + 1);
        }
    }
    o.at(3).store(a + b.cast::<f32>());
}

#[test]
fn branches_decide_now_or_later() {
    let x = Host { data: vec![-1.0, 0.0, 1.5, 4.0], shape: vec![4] };
    let mut out = Host::new(&[4, 4], |_| 0.0);
    branches::<true, 8>::launch(&Interpreter, &x, &mut out).unwrap();
    for (i, &v) in x.data.iter().enumerate() {
        let sign = if v < 0.0 {
            9.0
        } else if v > 0.0 {
            1.0
        } else {
            0.0
        };
        let piece = if v > 2.0 {
            (v - 2.0) * (v - 2.0)
        } else if v > 1.0 {
            1.0
        } else {
            0.5
        };
        let sum = 3.0 * v + 3.0 + if v > 0.0 { 101.0 } else { 0.0 };
        assert_eq!(out.data[i * 4..i * 4 + 4], [8.0, sign, piece, sum], "{v}");
    }
    branches::<false, 8>::launch(&Interpreter, &x, &mut out).unwrap();
    assert_eq!((out.data[0], out.data[3], out.data[15]), (16.0, 1.0, 1.0));
}

#[test]
fn a_dead_branch_is_not_built() {
    let count = |flip| {
        let kernel = if flip {
            branches::<true, 8>::build(&Facts::default())
        } else {
            branches::<false, 8>::build(&Facts::default())
        };
        let mut n = 0;
        kernel.unwrap().walk(&mut |k, _, id| n += usize::from(k.op(id).code == OpCode::If));
        n
    };
    // Two nests of two, and one per unrolled step.
    assert_eq!((count(true), count(false)), (4 + 3, 4 + 1));
}

/// Counting up, down and by steps; nested; with a bound that is computed.
#[kernel(dims(N), grid(i in N))]
fn counting(out: &mut Tensor<i32, { [N, 4] }>) {
    let mut order = 0;
    for j in 0..i + 1 {
        order = order * 10 + j;
    }
    out.at(i, 0).store(order);
    let mut down = 0;
    for j in (0..i + 1).rev() {
        down = down * 10 + j;
    }
    out.at(i, 1).store(down);
    let mut steps = 0;
    for j in (1..7).step_by(2) {
        for _ in 0..i {
            steps += j;
        }
        let steps = 0;
        let _ = steps;
    }
    out.at(i, 2).store(steps);
    let last = if i == 0 { 0 } else { i - 1 };
    out.at(i, 3).store(last);
}

#[test]
fn loops_count() {
    let mut out = Host::new(&[4, 4], |_| 0);
    counting::launch(&Interpreter, &mut out).unwrap();
    assert_eq!(out.data, [0, 0, 0, 0, 1, 10, 9, 0, 12, 210, 18, 1, 123, 3210, 27, 2]);
}

/// Functions of another module, generic over element types and shapes.
#[kernel(dims(L), grid(i in L.div_ceil(N)))]
fn calls<T: Element, const N: usize>(x: &Tensor<T, { [L] }>, out: &mut Tensor<f32, { [L] }>) {
    let v = library::read::<_, N>(x, i);
    let y = library::scaled(v, i + 1);
    out.block::<N>(i).store(y);
}

#[test]
fn calls_compose() {
    let x = Host::new(&[7], |i| i as i8);
    let mut out = Host::new(&[7], |_| 0.0);
    calls::<i8, 4>::launch(&Interpreter, &x, &mut out).unwrap();
    let want: Vec<f32> = (0..7)
        .map(|i| {
            let by = (i / 4 + 1) as f32;
            (i as f32 + by) * by
        })
        .collect();
    assert_eq!(out.data, want);
}

/// A struct that changes in loops and branches of its own methods, and constants of every origin.
#[tiles]
struct Walk<const N: usize> {
    place: Tile<f32, { [N] }>,
    mean: library::Mean<N>,
    steps: i32,
}

const STEP: f32 = 0.5;

#[func]
impl<const N: usize> Walk<N> {
    fn new(place: Tile<f32, { [N] }>) -> Self {
        Walk { place, mean: library::Mean::<N>::new(), steps: 0 }
    }

    fn go(&mut self, n: i32) {
        for j in 0..n {
            if j % 2 == 0 {
                self.place += STEP;
            } else {
                self.place = self.place * 2.0;
                self.mean.add(self.place);
            }
            self.steps += 1;
        }
    }
}

#[kernel(dims(N), grid(i in N))]
fn walks<T: Float, const W: usize>(x: &Tensor<T, { [W] }>, out: &mut Tensor<f32, { [N, W] }>) {
    let start: Tile<f32, { [W / 2 * 2] }> = x.load().cast::<f32>();
    let bonus = if T == f32 { 0.0 } else { 1.0 };
    let mut w = Walk::new(start);
    w.go(i);
    if w.steps > 3 {
        w.go(2);
        w = if i == 5 { Walk::new(start) } else { w };
    }
    let total: f32 = bonus;
    let result = w.place + w.mean.count + total;
    out.at(i).store(result);
}

#[test]
fn structs_change_in_loops_and_branches() {
    let run = |i: i32, v: f32, bonus: f32| {
        let (mut place, mut count) = (v, 0.0);
        let mut go = |n: i32| {
            for j in 0..n {
                if j % 2 == 0 {
                    place += STEP;
                } else {
                    place *= 2.0;
                    count += 1.0;
                }
            }
        };
        go(i);
        if i > 3 {
            go(2);
        }
        if i == 5 { v + bonus } else { place + count + bonus }
    };
    let x = Host::new(&[2], |c| c as f32);
    let mut out = Host::new(&[7, 2], |_| 0.0);
    walks::<f32, 2>::launch(&Interpreter, &x, &mut out).unwrap();
    assert_eq!(out, Host::new(&[7, 2], |e| run(e as i32 / 2, (e % 2) as f32, 0.0)));
    let x = Host::new(&[2], |c| f16::from_f32(c as f32));
    walks::<f16, 2>::launch(&Interpreter, &x, &mut out).unwrap();
    assert_eq!(out, Host::new(&[7, 2], |e| run(e as i32 / 2, (e % 2) as f32, 1.0)));
}

mod wrong {
    //! What only numbers show: reported when the kernel is built.
    use sla_dsl::prelude::*;

    #[func]
    pub fn square<const N: usize>(x: Tile<f32, { [N, N] }>) -> Tile<f32, { [N, N] }> {
        dot(x, x)
    }

    #[func]
    pub fn half<const N: usize>(x: Tile<f32, { [N * 2] }>) -> Tile<f32, { [N] }> {
        x.reshape([N, 2]).sum(1).squeeze(1)
    }

    #[func]
    pub fn ping(x: f32) -> f32 {
        pong(x)
    }

    #[func]
    pub fn pong(x: f32) -> f32 {
        ping(x) + ping(x)
    }

    #[kernel(dims(N), grid(i in N))]
    pub fn uneven<const A: usize, const B: usize, const CASE: usize>(out: &mut Tensor<f32, { [A, B] }>) {
        let x = full::<f32>([A, B], i.cast::<f32>());
        if CASE == 1 {
            out.store(square(x));
        }
        if CASE == 2 {
            out.at(0).store(half(full::<f32>([B], 1.0)));
        }
        if CASE == 3 {
            out.at(0, 0).store(half::<B>(full::<f32>([2 * B], 1.0)).sum(0).reshape([1]) + 0.5);
        }
        if CASE == 4 {
            out.at(0, 0).store(ping(1.0));
        }
        if CASE == 5 {
            out.at(0, 0).store(half::<A>(full::<f32>([2 * B], 1.0)).sum(0).reshape([1]));
        }
    }
}

#[test]
fn numbers_that_do_not_fit_are_told_in_the_users_words() {
    let message = |c: sla_dsl::lang::Consts| {
        wrong::uneven.build(&c, &Facts::default()).map(|_| ()).map_err(|e| e.to_string())
    };
    let e = message(wrong::uneven::<4, 8, 1>::consts()).unwrap_err();
    assert!(e.contains("`N` of `square` is 4, but `x` makes it 8"), "{e}");
    let e = message(wrong::uneven::<4, 8, 2>::consts()).unwrap_err();
    assert!(e.contains("does not determine the generics of `half`; give them"), "{e}");
    message(wrong::uneven::<4, 8, 3>::consts()).unwrap();
    let e = message(wrong::uneven::<4, 8, 4>::consts()).unwrap_err();
    assert!(e.contains("recursion is not possible"), "{e}");
    let e = message(wrong::uneven::<4, 8, 5>::consts()).unwrap_err();
    assert!(e.contains("`x` of `half` has a size 16 where (N * 2) = 8 is declared"), "{e}");
}
