//! Products of f32 tiles: each as three m16n8k8 products of tf32 parts, fewer where an operand was widened from halves and is exact in one part.
//!
//! A tf32 product contracts columns `t` and `t + 4` where canonical registers hold `2t` and `2t + 1`; the order of a contraction is free, so slot
//! `t` takes column `2t` and slot `t + 4` column `2t + 1`, in both operands. Its sums are kept apart from the accumulator and added
//! to it once for each part of a dot, because the tensor core truncates where addition rounds.
//!
//! A short dot is written out. The contraction of a long one is a loop over shared memory; a large second operand that is there only for
//! such dots is brought in as the loop goes, one part ahead.

use super::Lower;
use super::dot::{Left, Product, Right};
use super::fragment::Lanes;
use super::shared::SharedTile;
use crate::target::nvptx::schedule::{Fill, STREAMED, Stream};
use crate::target::nvptx::text::{Ssa, Ty, list};
use sla_dsl::ir::{Elem, OpId};
use std::ops::Range;

/// Fragments of columns that are summed at a time, so that few sums are alive beside the accumulator.
const WIDTH: usize = 8;

/// Instructions in the body of a loop.
const BODY: usize = 32;

const MMA: &str = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};";

/// Where a thread finds its values of an operand.
enum Source {
    /// In canonical registers, so many a row.
    Regs(Vec<Ssa>, usize),
    /// In shared memory.
    Shared(Place),
}

/// A thread's place in an operand in shared memory.
struct Place {
    tile: SharedTile,
    /// Whether the contracted axis runs along rows.
    along: bool,
    lanes: Vec<Lanes>,
}

/// A value as tf32 parts: the second is absent where the first is exact.
type Parts = (Vec<Ssa>, Option<Vec<Ssa>>);

impl Lower<'_> {
    pub(super) fn dot_f32(&mut self, id: OpId, p: &Product, mut acc: Option<Vec<Ssa>>) -> Vec<Ssa> {
        let g = self.thread_bits(2, 3);
        let long = self.schedule.long.contains(&id);
        let length = self.part_length(p, long);
        let columns = 2 * p.n();
        if long {
            self.pin_tiles(id);
        }
        for first in (0..p.k).step_by(length) {
            let operands = self.operands(p, first, length);
            let left_first = if operands.left.whole() { first / 8 } else { 0 };
            let left = self.f32_left(p, operands.left);
            let zero = self.t.f32(0.0);
            let mut sums = vec![zero; 2 * p.m() * columns];
            for start in (0..p.n()).step_by(WIDTH) {
                let chunk = start..(start + WIDTH).min(p.n());
                let part = match (operands.right, self.schedule.stream_of(p.b.value)) {
                    (Some(Right { tile, whole }), _) => {
                        let warp = self.warp_start(p.width, 1);
                        let free = self.t.head_bin("arith.addi", warp, g, Ty::I32);
                        let right = self.f32_place(tile, p.b.transposed, free);
                        let right_first = if whole { first / 8 } else { 0 };
                        let steps = length / 8;
                        if long {
                            let from = [left_first, right_first].map(|s| self.t.i32(s as i64));
                            let sums = vec![zero; 4 * p.m() * chunk.len()];
                            self.f32_loop(p, &left, &right, from, steps, chunk.clone(), 0, sums)
                        } else {
                            let mut sums = vec![zero; 4 * p.m() * chunk.len()];
                            for k in 0..steps {
                                let at = [left_first + k, right_first + k];
                                self.f32_step(p, &left, &right, at, chunk.clone(), 0, &mut sums);
                            }
                            sums
                        }
                    }
                    (None, Some(stream)) => self.f32_stream(
                        p,
                        stream,
                        &left,
                        left_first,
                        first..first + length,
                        chunk.clone(),
                        operands.used,
                    ),
                    (None, None) => Vec::new(),
                };
                for (row, part) in part.chunks(2 * chunk.len()).enumerate() {
                    sums[row * columns + 2 * start..][..part.len()].copy_from_slice(part);
                }
            }
            acc = Some(match acc {
                None => sums,
                Some(acc) => {
                    acc.into_iter().zip(sums).map(|(c, s)| self.t.bin("arith.addf", c, s, Ty::F32)).collect()
                }
            });
        }
        acc.unwrap_or_default()
    }

    fn f32_left(&mut self, p: &Product, left: Left) -> Source {
        match left {
            Left::Regs(regs) => {
                let elem = self.elem(p.a.value);
                let regs = if elem.is_half() { self.half_to_f32(&regs, elem, true) } else { regs };
                Source::Regs(regs, p.k / 4)
            }
            Left::Shared { tile, transposed, .. } => {
                let warp = self.warp_start(if transposed { tile.cols } else { tile.rows }, 0);
                let g = self.thread_bits(2, 3);
                let row = self.t.head_bin("arith.addi", warp, g, Ty::I32);
                Source::Shared(self.f32_place(tile, !transposed, row))
            }
        }
    }

    /// Brings the second operand in while it is used: parts of [`STREAMED`] on the contracted axis, two copies of which are in scratch behind
    /// `used` bytes. Returns the sums of a chunk of columns.
    #[allow(clippy::too_many_arguments)]
    fn f32_stream(
        &mut self,
        p: &Product,
        stream: Stream,
        left: &Source,
        left_first: usize,
        contracted: Range<usize>,
        chunk: Range<usize>,
        used: usize,
    ) -> Vec<Ssa> {
        let across = WIDTH * 8 * self.schedule.family.col_warps();
        let column = p.cols[chunk.start];
        let across = across.min(p.width - column as usize);
        let [rows, cols] = if p.b.transposed { [across, STREAMED] } else { [STREAMED, across] };
        let bytes = rows * cols * Elem::F32.bytes();
        let slots = self.scratch(used, 2 * bytes);
        let slot = |l: &mut Self, which: Ssa| {
            let size = l.t.i32(bytes as i64);
            let skip = l.t.bin("arith.muli", which, size, Ty::I32);
            SharedTile { addr: l.t.bin("arith.addi", slots, skip, Ty::I32), rows, cols, elem: Elem::F32 }
        };
        let (zero, one) = (self.t.i32(0), self.t.i32(1));
        let start = self.t.i32(contracted.start as i64);
        let count = self.t.i32((contracted.len() / STREAMED) as i64);
        // Threads that are behind may still read this scratch, in the chunk of columns or the op before.
        self.barrier();
        let first = slot(self, zero);
        self.f32_bring(stream, p.b.transposed, start, column, first);

        let init = vec![self.t.f32(0.0); 4 * p.m() * chunk.len()];
        let (iv, name, names) = self.open_loop(count, one, &init);
        // What was brought in is there, for all threads: each waits for its own copies before they meet. And all are past the part before,
        // whose place the next one takes.
        self.wait_copies(0);
        self.barrier();
        let next = self.t.bin("arith.addi", iv, one, Ty::I32);
        let more = self.t.def(format_args!("arith.cmpi slt, {next}, {count} : i32"));
        self.t.open(format_args!("scf.if {more} {{"));
        let (length, which) = (self.t.i32(STREAMED as i64), self.t.bin("arith.andi", next, one, Ty::I32));
        let at = self.t.bin("arith.muli", next, length, Ty::I32);
        let at = self.t.bin("arith.addi", at, start, Ty::I32);
        let tile = slot(self, which);
        self.f32_bring(stream, p.b.transposed, at, column, tile);
        self.t.close("}");

        let which = self.t.bin("arith.andi", iv, one, Ty::I32);
        let tile = slot(self, which);
        let (warp, g) = (self.warp_start(p.width, 1), self.thread_bits(2, 3));
        let free = self.t.head_bin("arith.addi", warp, g, Ty::I32);
        let right = self.f32_place(tile, p.b.transposed, free);
        let steps = self.t.i32((STREAMED / 8) as i64);
        let from = self.t.bin("arith.muli", iv, steps, Ty::I32);
        let from = self.t.add_const(from, left_first as i64);
        let sums = self.f32_loop(p, left, &right, [from, zero], STREAMED / 8, chunk, column, names);
        self.close_loop(name, &sums)
    }

    /// Starts bringing in the part of a streamed tile that begins at `at` on the contracted axis and at `column` on the other.
    fn f32_bring(&mut self, stream: Stream, transposed: bool, at: Ssa, column: u32, tile: SharedTile) {
        let mut access = self.access(stream.load, stream.value);
        let column = self.t.i32(column.into());
        let start = if transposed { [column, at] } else { [at, column] };
        for axis in &mut access.axes {
            if let Some(a) = axis.tile {
                axis.offset = self.t.bin("arith.addi", axis.offset, start[a], Ty::I32);
            }
        }
        match stream.fill {
            Fill::Async => {
                self.copy_async(&access, tile);
                self.commit_copies();
            }
            Fill::Registers => {
                let layout = self.layout(&[tile.rows, tile.cols]);
                let regs = self.load_box(&access, &layout);
                self.write_shared_tile(tile, &regs);
            }
        }
    }

    /// Opens a loop from 0 that carries f32 registers: its counter, its name, and what it carries inside.
    fn open_loop(&mut self, count: Ssa, step: Ssa, init: &[Ssa]) -> (Ssa, Ssa, Vec<Ssa>) {
        let zero = self.t.i32(0);
        let (iv, name) = (self.t.fresh(), self.t.fresh());
        let names: Vec<Ssa> = init.iter().map(|_| self.t.fresh()).collect();
        let pairs = names.iter().zip(init).map(|(n, i)| format!("{n} = {i}"));
        let head = format!(
            "{name}:{} = scf.for {iv} = {zero} to {count} step {step} iter_args({}) -> ({}) : i32 {{",
            init.len(),
            list(pairs),
            list(vec![Ty::F32; init.len()])
        );
        self.t.open(head);
        (iv, name, names)
    }

    /// Closes it; what it carried last.
    fn close_loop(&mut self, name: Ssa, carried: &[Ssa]) -> Vec<Ssa> {
        self.t.line(format_args!("scf.yield {} : {}", list(carried), list(vec![Ty::F32; carried.len()])));
        self.t.close("}");
        (0..carried.len()).map(|i| name.part(i)).collect()
    }

    /// So many steps in a loop, from those of the two operands at which `from` says they start. The second operand's tile begins at `column`.
    #[allow(clippy::too_many_arguments)]
    fn f32_loop(
        &mut self,
        p: &Product,
        left: &Source,
        right: &Place,
        from: [Ssa; 2],
        steps: usize,
        chunk: Range<usize>,
        column: u32,
        sums: Vec<Ssa>,
    ) -> Vec<Ssa> {
        let Source::Shared(left) = left else {
            unreachable!("the first operand of a long dot is in shared memory")
        };
        let mut once = 1;
        while steps.is_multiple_of(once * 2) && once * 2 * p.m() * chunk.len() * 3 <= BODY {
            once *= 2;
        }
        let (count, step) = (self.t.i32(steps as i64), self.t.i32(once as i64));
        let (iv, name, mut sums) = self.open_loop(count, step, &sums);
        let at = from.map(|f| self.t.bin("arith.addi", f, iv, Ty::I32));
        let (left, right) = (self.f32_moved(left, at[0]), self.f32_moved(right, at[1]));
        let left = Source::Shared(left);
        for k in 0..once {
            self.f32_step(p, &left, &right, [k, k], chunk.clone(), column, &mut sums);
        }
        self.close_loop(name, &sums)
    }

    /// One step of 8 on the contracted axis, the `at`-th of each operand, for a chunk of columns.
    #[allow(clippy::too_many_arguments)]
    fn f32_step(
        &mut self,
        p: &Product,
        left: &Source,
        right: &Place,
        at: [usize; 2],
        chunk: Range<usize>,
        column: u32,
        sums: &mut [Ssa],
    ) {
        let left_exact = self.elem(p.a.value).is_half();
        let right_exact = right.tile.elem.is_half();
        let mut fragments = Vec::new();
        for m in 0..p.m() {
            let values = match left {
                Source::Regs(regs, columns) => {
                    let value = |i: usize, j: usize| regs[(2 * m + i) * columns + 2 * at[0] + j];
                    vec![value(0, 0), value(1, 0), value(0, 1), value(1, 1)]
                }
                Source::Shared(place) => {
                    let top = self.f32_pair(place, p.rows[2 * m], at[0]);
                    let bottom = self.f32_pair(place, p.rows[2 * m + 1], at[0]);
                    vec![top[0], bottom[0], top[1], bottom[1]]
                }
            };
            fragments.push(self.split(&values, left_exact, p.n() > WIDTH));
        }
        let columns = 2 * chunk.len();
        for (i, n) in chunk.enumerate() {
            let pair = self.f32_pair(right, p.cols[n] - column, at[1]);
            let (high, low) = self.split(&pair, right_exact, false);
            for (m, (a_high, a_low)) in fragments.iter().enumerate() {
                if let Some(a_low) = a_low {
                    self.mma(MMA, columns, m, i, a_low, &high, sums);
                }
                if let Some(low) = &low {
                    self.mma(MMA, columns, m, i, a_high, low, sums);
                }
                self.mma(MMA, columns, m, i, a_high, &high, sums);
            }
        }
    }

    /// A lane's place for the two values that it contributes to a tf32 fragment: neighbours of one row where the contracted axis runs along rows
    /// (`along`), else two rows of one column. `free` is its place on the other axis.
    fn f32_place(&mut self, tile: SharedTile, along: bool, free: Ssa) -> Place {
        let t = self.thread_bits(0, 2);
        let bytes = tile.elem.bytes();
        let (one, two) = (self.t.i32(1), self.t.i32(2));
        let size = self.t.i32(bytes as i64);
        let (four, fifteen) = (self.t.i32(4), self.t.i32(15));
        let pair = self.t.head_bin("arith.muli", t, two, Ty::I32);
        let at = self.t.head_bin("arith.muli", if along { pair } else { free }, size, Ty::I32);
        let chunk = self.t.head_bin("arith.shrui", at, four, Ty::I32);
        let byte = self.t.head_bin("arith.andi", at, fifteen, Ty::I32);
        let lanes = if along {
            vec![self.lanes(tile, free, chunk, byte)]
        } else {
            let second = self.t.head_bin("arith.addi", pair, one, Ty::I32);
            vec![self.lanes(tile, pair, chunk, byte), self.lanes(tile, second, chunk, byte)]
        };
        Place { tile, along, lanes }
    }

    /// The place so many steps further on the contracted axis.
    fn f32_moved(&mut self, place: &Place, steps: Ssa) -> Place {
        let (tile, along) = (place.tile, place.along);
        let unit = self.t.i32(if along { tile.elem.bytes() as i64 / 2 } else { 8 });
        let distance = self.t.bin("arith.muli", steps, unit, Ty::I32);
        let lanes = place
            .lanes
            .iter()
            .map(|l| match along {
                true => self.moved_right(l, tile, distance),
                false => self.moved_down(l, tile, distance),
            })
            .collect();
        Place { tile, along, lanes }
    }

    /// The two values at constant `free` on the free axis and step `k` of the contracted one.
    fn f32_pair(&mut self, place: &Place, free: u32, k: usize) -> Vec<Ssa> {
        let (tile, elem) = (place.tile, place.tile.elem);
        if place.along {
            let (addr, past) = self.at(&place.lanes[0], tile, free, k * elem.bytes() / 2);
            if elem.is_half() {
                let pair = self.ld_shared(addr, past, Ty::I32, 1, None);
                return self.half_to_f32(&pair, elem, true);
            }
            return self.ld_shared(addr, past, Ty::F32, 2, None);
        }
        let mut values = Vec::new();
        for lanes in &place.lanes {
            let (addr, past) = self.at(lanes, tile, 8 * k as u32, free as usize * elem.bytes() / 16);
            let ty = if elem.is_half() { Ty::I16 } else { Ty::F32 };
            values.extend(self.ld_shared(addr, past, ty, 1, None));
        }
        if elem.is_half() { self.half_to_f32(&values, elem, false) } else { values }
    }

    /// Each value as a tf32 and the tf32 of what that lost. `again` keeps LLVM from merging equal splits, whose results would stay in registers.
    fn split(&mut self, values: &[Ssa], exact: bool, again: bool) -> Parts {
        if exact {
            return (
                values.iter().map(|&v| self.t.cast("arith.bitcast", v, Ty::F32, Ty::I32)).collect(),
                None,
            );
        }
        let mut parts = (Vec::new(), Vec::new());
        for &v in values {
            let high = self.t.asm("cvt.rna.tf32.f32 $0, $1;", &[(v, Ty::F32)], &[Ty::I32], again)[0];
            let back = self.t.cast("arith.bitcast", high, Ty::I32, Ty::F32);
            let rest = self.t.bin("arith.subf", v, back, Ty::F32);
            // Tensor cores look at the upper 19 bits alone, so half of the last of these rounds as the conversion does, in one instruction instead of
            // four. What is infinite or NaN is so in the first part too.
            let rest = self.t.cast("arith.bitcast", rest, Ty::F32, Ty::I32);
            let half = self.t.i32(1 << 12);
            parts.0.push(high);
            parts.1.push(self.t.bin("arith.addi", rest, half, Ty::I32));
        }
        (parts.0, Some(parts.1))
    }
}
