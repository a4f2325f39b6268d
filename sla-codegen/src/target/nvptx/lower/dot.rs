//! Matrix products by `mma.sync`: halves by m16n8k16, `f32` by three m16n8k8 products of tf32 parts.
//!
//! The accumulator is a canonical tile. The first operand is a canonical tile of registers (its pairs are the fragments) or a tile in
//! shared memory; the second is always in shared memory. An operand that is in registers and must not be is written to scratch first.
//!
//! A tf32 product contracts columns `t` and `t + 4` where canonical registers hold `2t` and `2t + 1`; the order of a contraction is free, so slot
//! `t` takes column `2t` and slot `t + 4` column `2t + 1`, in both operands. Its sums are kept apart from the accumulator and added
//! to it once a dot, because the tensor core truncates where addition rounds.

use super::fragment::Lanes;
use super::shared::SharedTile;
use super::{Lower, Val};
use crate::analysis::{DotOperand, dot_operand};
use crate::target::nvptx::text::{Ssa, Ty};
use sla_dsl::ir::{Elem, OpId, Value};

/// The most that one operand takes in scratch.
const PART_BYTES: usize = 16 * 1024;

/// The first operand.
enum Left {
    /// Canonical registers.
    Regs(Vec<Ssa>),
    /// In shared memory: `transposed` if stored `[K, M]`, `whole` if all of the contracted axis is there.
    Shared { tile: SharedTile, transposed: bool, whole: bool },
}

impl Left {
    /// Whether steps are counted from the start of the contracted axis.
    fn whole(&self) -> bool {
        match self {
            Left::Regs(_) => true,
            Left::Shared { whole, .. } => *whole,
        }
    }
}

/// The second operand; `whole` if all of the contracted axis is there.
#[derive(Clone, Copy)]
struct Right {
    tile: SharedTile,
    whole: bool,
}

/// A part of a tile in registers on its way to scratch.
struct Staged {
    tile: SharedTile,
    regs: Vec<Ssa>,
    shape: [usize; 2],
    first: [usize; 2],
}

/// Sizes of a dot in fragments.
#[derive(Clone, Copy)]
struct Size {
    /// Fragments of 16 rows in each warp.
    m: usize,
    /// Columns of 8.
    n: usize,
    /// Steps of 16 halves or 8 floats in this part of the contracted axis.
    k: usize,
    /// The first of them.
    first: usize,
    /// Steps of the whole axis.
    all: usize,
}

impl Lower<'_> {
    pub(super) fn dot(&mut self, id: OpId) {
        let op = self.k.op(id);
        let result = op.results[0];
        let (a, b) = (dot_operand(self.k, &self.defs, id, 0), dot_operand(self.k, &self.defs, id, 1));
        let elem = self.elem(a.value);
        let mut acc = match op.operands.get(2) {
            Some(&c) => self.regs(c),
            None => {
                let zero = self.t.f32(0.0);
                vec![zero; self.registers(result).1]
            }
        };
        let out = self.layout_of(result);
        let k = self.k.ty(b.value).shape().map_or(0, |s| s[usize::from(b.transposed)]);
        let step = if elem.is_half() { 16 } else { 8 };
        let columns = out.regs.iter().take_while(|r| r[0] == out.regs[0][0]).count();
        let rows: Vec<u32> = out.regs.iter().step_by(columns).map(|r| r[0]).collect();
        let length = self.part_length(a, b, k);
        for first in (0..k).step_by(length) {
            let (left, right) = self.operands(a, b, first, length);
            let size = Size {
                m: out.regs.len() / columns / 2,
                n: columns / 2,
                k: length / step,
                first: first / step,
                all: k / step,
            };
            acc = if elem.is_half() {
                self.dot_half(elem, size, &rows, &left, right, b.transposed, acc)
            } else {
                self.dot_f32(size, &rows, &left, right, b.transposed, acc)
            };
        }
        self.set(result, acc);
    }

    /// Whether an operand must be written to scratch first.
    fn is_staged(&self, operand: DotOperand, first: bool) -> bool {
        !matches!(self.env.get(&operand.value), Some(Val::Shared(_))) && (operand.transposed || !first)
    }

    /// How much of the contracted axis is done at a time, so that operands in scratch do not take more than [`PART_BYTES`] each.
    fn part_length(&self, a: DotOperand, b: DotOperand, k: usize) -> usize {
        let bytes = |o: DotOperand| self.k.ty(o.value).count() * self.elem(o.value).bytes();
        let staged = [(a, true), (b, false)].into_iter().filter(|&(o, first)| self.is_staged(o, first));
        let most = staged.map(|(o, _)| bytes(o)).max().unwrap_or(0);
        let mut parts = 1;
        while most / parts > PART_BYTES && k.is_multiple_of(parts * 2 * 32) {
            parts *= 2;
        }
        k / parts
    }

    /// Brings the part of the operands from `first` on the contracted axis to where the instructions want them.
    fn operands(&mut self, a: DotOperand, b: DotOperand, first: usize, length: usize) -> (Left, Right) {
        let placed = |l: &Self, v| match l.env.get(&v) {
            Some(Val::Shared(s)) => Some(*s),
            _ => None,
        };
        let mut staged: Vec<Staged> = Vec::new();
        let right = match placed(self, b.value) {
            Some(tile) => Right { tile, whole: true },
            None => {
                Right { tile: self.stage(b.value, !b.transposed, first, length, &mut staged), whole: false }
            }
        };
        let left = match placed(self, a.value) {
            Some(tile) => Left::Shared { tile, transposed: a.transposed, whole: true },
            None if a.transposed => {
                // The same tile contracted along the same axis is there already.
                let same = a.value == b.value && !b.transposed;
                let tile =
                    if same { right.tile } else { self.stage(a.value, true, first, length, &mut staged) };
                Left::Shared { tile, transposed: true, whole: false }
            }
            None => Left::Regs(self.regs(a.value)),
        };
        if !staged.is_empty() {
            self.barrier();
            for s in staged {
                self.write_shared_part(s.tile, &s.regs, s.shape, s.first);
            }
            self.barrier();
        }
        (left, right)
    }

    /// Reserves scratch for a part of a tile in registers: rows from `first` if the contracted axis runs along them, else columns.
    fn stage(
        &mut self,
        v: Value,
        along_rows: bool,
        first: usize,
        length: usize,
        staged: &mut Vec<Staged>,
    ) -> SharedTile {
        let regs = self.regs(v);
        let shape = match self.k.ty(v).shape() {
            Some(&[rows, cols]) => [rows, cols],
            _ => [1, 1],
        };
        let elem = self.elem(v);
        let [rows, cols] = if along_rows { [length, shape[1]] } else { [shape[0], length] };
        let used: usize = staged.iter().map(|s| s.tile.rows * s.tile.pitch()).sum();
        let addr = self.scratch(used, rows * cols * elem.bytes());
        let tile = SharedTile { addr, rows, cols, elem };
        let first = if along_rows { [first, 0] } else { [0, first] };
        staged.push(Staged { tile, regs, shape, first });
        tile
    }

    /// The first row of a warp's fragments, in the head.
    pub(super) fn warp_row(&mut self, rows: usize) -> Ssa {
        let layout = self.layout(&[rows, 1]);
        let warps: Vec<(u32, u32, u32)> = layout.groups(0).into_iter().filter(|g| g.0 >= 5).collect();
        let mut sum = self.t.i32(0);
        for (first, count, base) in warps {
            let (bits, base) = (self.thread_bits(first, count), self.t.i32(base.into()));
            let part = self.t.head_bin("arith.muli", bits, base, Ty::I32);
            sum = self.t.head_bin("arith.addi", sum, part, Ty::I32);
        }
        sum
    }

    /// A lane's place for `ldmatrix`: matrices 0 to 3 are taken rows first if `rows_first` (8 rows down, then one chunk right), else columns first.
    fn matrix_lanes(
        &mut self,
        tile: SharedTile,
        rows_first: bool,
        row: Option<Ssa>,
        chunk: Option<Ssa>,
    ) -> Lanes {
        let (in_matrix, low, high) = (self.thread_bits(0, 3), self.thread_bits(3, 1), self.thread_bits(4, 1));
        let (down, right) = if rows_first { (low, high) } else { (high, low) };
        let eight = self.t.i32(8);
        let down = self.t.head_bin("arith.muli", down, eight, Ty::I32);
        let mut at = self.t.head_bin("arith.addi", in_matrix, down, Ty::I32);
        if let Some(row) = row {
            at = self.t.head_bin("arith.addi", at, row, Ty::I32);
        }
        let mut right = right;
        if let Some(chunk) = chunk {
            right = self.t.head_bin("arith.addi", right, chunk, Ty::I32);
        }
        let zero = self.t.i32(0);
        self.lanes(tile, at, right, zero)
    }

    #[allow(clippy::too_many_arguments)]
    fn dot_half(
        &mut self,
        elem: Elem,
        size: Size,
        rows: &[u32],
        left: &Left,
        right: Right,
        right_transposed: bool,
        mut acc: Vec<Ssa>,
    ) -> Vec<Ssa> {
        // Stored [N, K]: rows are n, chunks are k, and the fragment is read as it lies.
        let b = self.matrix_lanes(right.tile, !right_transposed, None, None);
        let a = match left {
            Left::Regs(_) => None,
            Left::Shared { tile, transposed, .. } => {
                let m = if *transposed { tile.cols } else { tile.rows };
                let warp = self.warp_row(m);
                Some(if *transposed {
                    let three = self.t.i32(3);
                    let chunk = self.t.head_bin("arith.shrui", warp, three, Ty::I32);
                    self.matrix_lanes(*tile, false, None, Some(chunk))
                } else {
                    self.matrix_lanes(*tile, true, Some(warp), None)
                })
            }
        };
        let code = format!(
            "mma.sync.aligned.m16n8k16.row.col.f32.{elem}.{elem}.f32 {{$0,$1,$2,$3}}, {{$4,$5,$6,$7}}, {{$8,$9}}, {{$10,$11,$12,$13}};"
        );
        for k in 0..size.k {
            let left_k = if left.whole() { size.first + k } else { k };
            let right_k = if right.whole { size.first + k } else { k };
            let mut fragments = Vec::new();
            for m in 0..size.m {
                fragments.push(match (left, &a) {
                    (Left::Shared { tile, transposed: true, .. }, Some(a)) => {
                        let (addr, past) = self.at(a, *tile, 16 * left_k as u32, rows[2 * m] as usize / 8);
                        self.ldmatrix(addr, past, 4, true)
                    }
                    (Left::Shared { tile, .. }, Some(a)) => {
                        let (addr, past) = self.at(a, *tile, rows[2 * m], 2 * left_k);
                        self.ldmatrix(addr, past, 4, false)
                    }
                    (Left::Regs(regs), _) => {
                        let pairs = size.all * 2;
                        let at = |i: usize, j: usize| regs[(2 * m + i) * pairs + 2 * left_k + j];
                        vec![at(0, 0), at(1, 0), at(0, 1), at(1, 1)]
                    }
                    _ => Vec::new(),
                });
            }
            for n in (0..size.n).step_by(2) {
                let count = if n + 1 < size.n { 4 } else { 2 };
                let (addr, past) = if right_transposed {
                    self.at(&b, right.tile, 8 * n as u32, 2 * right_k)
                } else {
                    self.at(&b, right.tile, 16 * right_k as u32, n)
                };
                let matrices = self.ldmatrix(addr, past, count, !right_transposed);
                for (m, fragment) in fragments.iter().enumerate() {
                    for (half, pair) in matrices.chunks(2).enumerate() {
                        self.mma(&code, size, m, n + half, fragment, pair, &mut acc);
                    }
                }
            }
        }
        acc
    }

    /// One instruction on the accumulators of a 16 by 8 place.
    #[allow(clippy::too_many_arguments)]
    fn mma(&mut self, code: &str, size: Size, m: usize, n: usize, a: &[Ssa], b: &[Ssa], acc: &mut [Ssa]) {
        let columns = size.n * 2;
        let at: Vec<usize> =
            [(0, 0), (0, 1), (1, 0), (1, 1)].iter().map(|(i, j)| (2 * m + i) * columns + 2 * n + j).collect();
        let mut args: Vec<(Ssa, Ty)> = a.iter().chain(b).map(|&r| (r, Ty::I32)).collect();
        args.extend(at.iter().map(|&i| (acc[i], Ty::F32)));
        let d = self.t.asm(code, &args, &[Ty::F32; 4], false);
        for (&i, d) in at.iter().zip(d) {
            acc[i] = d;
        }
    }

    fn dot_f32(
        &mut self,
        size: Size,
        rows: &[u32],
        left: &Left,
        right: Right,
        right_transposed: bool,
        acc: Vec<Ssa>,
    ) -> Vec<Ssa> {
        let (t, g) = (self.thread_bits(0, 2), self.thread_bits(2, 3));
        let b = self.f32_lanes(right.tile, right_transposed, g, t);
        let a = match left {
            Left::Regs(_) => Vec::new(),
            Left::Shared { tile, transposed, .. } => {
                let warp = self.warp_row(if *transposed { tile.cols } else { tile.rows });
                let row = self.t.head_bin("arith.addi", warp, g, Ty::I32);
                self.f32_lanes(*tile, !*transposed, row, t)
            }
        };
        let zero = self.t.f32(0.0);
        let mut sums = vec![zero; acc.len()];
        // Chunks of columns, so that few sums are alive beside the accumulator.
        let width = 8.min(size.n);
        for first in (0..size.n).step_by(width) {
            for k in 0..size.k {
                let left_k = if left.whole() { size.first + k } else { k };
                let right_k = if right.whole { size.first + k } else { k };
                let mut fragments = Vec::new();
                for m in 0..size.m {
                    let values = match left {
                        Left::Regs(regs) => {
                            let columns = size.all * 2;
                            let at = |i: usize, j: usize| regs[(2 * m + i) * columns + 2 * left_k + j];
                            vec![at(0, 0), at(1, 0), at(0, 1), at(1, 1)]
                        }
                        Left::Shared { tile, transposed, .. } => {
                            let top = self.f32_pair(&a, *tile, !*transposed, rows[2 * m], left_k);
                            let bottom = self.f32_pair(&a, *tile, !*transposed, rows[2 * m + 1], left_k);
                            vec![top[0], bottom[0], top[1], bottom[1]]
                        }
                    };
                    fragments.push(self.split(&values, size.n > width));
                }
                for n in first..(first + width).min(size.n) {
                    let pair = self.f32_pair(&b, right.tile, right_transposed, 8 * n as u32, right_k);
                    let (high, low) = self.split(&pair, false);
                    for (m, (a_high, a_low)) in fragments.iter().enumerate() {
                        let code = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 \
                                    {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};";
                        self.mma(code, size, m, n, a_low, &high, &mut sums);
                        self.mma(code, size, m, n, a_high, &low, &mut sums);
                        self.mma(code, size, m, n, a_high, &high, &mut sums);
                    }
                }
            }
        }
        acc.into_iter().zip(sums).map(|(c, s)| self.t.bin("arith.addf", c, s, Ty::F32)).collect()
    }

    /// A lane's place for the two values that it contributes to a tf32 fragment: neighbours of one row where the contracted axis runs along rows
    /// (`along`), else two rows of one column. `free` is its place on the other axis.
    fn f32_lanes(&mut self, tile: SharedTile, along: bool, free: Ssa, t: Ssa) -> Vec<Lanes> {
        let (one, two) = (self.t.i32(1), self.t.i32(2));
        let (three, four, eight) = (self.t.i32(3), self.t.i32(4), self.t.i32(8));
        if along {
            let chunk = self.t.head_bin("arith.shrui", t, one, Ty::I32);
            let odd = self.t.head_bin("arith.andi", t, one, Ty::I32);
            let byte = self.t.head_bin("arith.muli", odd, eight, Ty::I32);
            return vec![self.lanes(tile, free, chunk, byte)];
        }
        let chunk = self.t.head_bin("arith.shrui", free, two, Ty::I32);
        let inner = self.t.head_bin("arith.andi", free, three, Ty::I32);
        let byte = self.t.head_bin("arith.muli", inner, four, Ty::I32);
        let first = self.t.head_bin("arith.muli", t, two, Ty::I32);
        let second = self.t.head_bin("arith.addi", first, one, Ty::I32);
        vec![self.lanes(tile, first, chunk, byte), self.lanes(tile, second, chunk, byte)]
    }

    /// The two values at constant `free` on the free axis and step `k` of the contracted one.
    fn f32_pair(&mut self, lanes: &[Lanes], tile: SharedTile, along: bool, free: u32, k: usize) -> Vec<Ssa> {
        if along {
            let (addr, past) = self.at(&lanes[0], tile, free, 2 * k);
            return self.ld_shared(addr, past, Ty::F32, 2, None);
        }
        lanes
            .iter()
            .flat_map(|l| {
                let (addr, past) = self.at(l, tile, 8 * k as u32, free as usize / 4);
                self.ld_shared(addr, past, Ty::F32, 1, None)
            })
            .collect()
    }

    /// Each value as a tf32 and the tf32 of what that lost. `again` keeps LLVM from merging equal splits, whose results would stay in registers.
    fn split(&mut self, values: &[Ssa], again: bool) -> (Vec<Ssa>, Vec<Ssa>) {
        let mut parts = (Vec::new(), Vec::new());
        for &v in values {
            let high = self.t.asm("cvt.rna.tf32.f32 $0, $1;", &[(v, Ty::F32)], &[Ty::I32], again)[0];
            let back = self.t.cast("arith.bitcast", high, Ty::I32, Ty::F32);
            let rest = self.t.bin("arith.subf", v, back, Ty::F32);
            let low = self.t.asm("cvt.rna.tf32.f32 $0, $1;", &[(rest, Ty::F32)], &[Ty::I32], again)[0];
            parts.0.push(high);
            parts.1.push(low);
        }
        parts
    }
}
