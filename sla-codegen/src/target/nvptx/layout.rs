//! Where the elements of a tile live: which thread holds which element in which register.
//!
//! A layout is additive: the position of a register on an axis is a constant of the register plus one constant for each
//! set bit of the thread's number. A bit whose constants are all zero makes threads that hold the same elements (replicas).
//! Every tile of one shape has one layout, the *canonical* layout of a kernel's [`Family`], so that layouts never conflict:
//! the rows of a `[M, N]` tile lie like those of `[M, 1]`, its columns like those of `[1, N]`.
//!
//! It knows nothing of ops, and makes no code.

use std::fmt;

/// A step in the construction of an axis: what counts along it next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comp {
    /// A bit of the thread's number (0 to 4: the lane; 5 and up: the warp).
    Bit(u32),
    /// So many registers.
    Reg(usize),
}

impl fmt::Display for Comp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Comp::Bit(b) if b < 5 => write!(f, "lane.{b}"),
            Comp::Bit(b) => write!(f, "warp.{}", b - 5),
            Comp::Reg(n) => write!(f, "registers({n})"),
        }
    }
}

/// How the tiles of one kernel are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Warps per program. Of those beyond a power of two only the first axis of rank-2 tiles makes use.
    pub warps: u32,
    /// Along the first axis of rank-2 tiles.
    pub row: Vec<Comp>,
    /// Along the second axis of rank-2 tiles.
    pub col: Vec<Comp>,
    /// Along tiles of rank 1.
    pub line: Vec<Comp>,
}

impl Family {
    /// The accumulator of `mma.sync.m16n8`, warps stacked along the rows: registers of a `[M, K]` tile of halves are
    /// the fragments of a dot's first operand, and its results are the registers of a `[M, N]` tile. With four warps to each 64 rows
    /// it is that of `wgmma.m64` too, register for register but for their order. For a number of warps that is no power of two, tiles have at most
    /// 16 rows a warp.
    pub fn mma(warps: u32) -> Family {
        let warp_bits = (0..warp_bits(warps)).map(|b| Comp::Bit(5 + b));
        let row = [Comp::Bit(2), Comp::Bit(3), Comp::Bit(4), Comp::Reg(2)];
        Family {
            warps,
            row: row.into_iter().chain(warp_bits).collect(),
            col: vec![Comp::Reg(2), Comp::Bit(0), Comp::Bit(1)],
            line: line(warps),
        }
    }

    /// The same with twice as many warps, a power of two, two of which have the same rows and take turns at 16 columns each: half of the registers a
    /// tile, and no thread has a whole row.
    pub fn mma_pairs(row_warps: u32) -> Family {
        let (rows, last) = (Family::mma(row_warps), 5 + warp_bits(row_warps));
        Family {
            warps: 2 * row_warps,
            col: rows.col.into_iter().chain([Comp::Reg(2), Comp::Bit(last)]).collect(),
            line: line(2 * row_warps),
            ..rows
        }
    }

    /// Warps that share the rows of a tile, each holding some of its columns.
    pub fn col_warps(&self) -> usize {
        1 << self.col.iter().filter(|c| matches!(c, Comp::Bit(5..))).count()
    }

    /// For kernels without dots: lanes along the columns, `row_warps` of the warps along the rows and the rest along the columns.
    pub fn rows(warps: u32, row_warps: u32) -> Family {
        let split = 5 + row_warps.ilog2();
        let end = 5 + warps.ilog2();
        let lanes = (0..5).map(Comp::Bit);
        Family {
            warps,
            row: (5..split).map(Comp::Bit).collect(),
            col: [Comp::Reg(4)].into_iter().chain(lanes).chain((split..end).map(Comp::Bit)).collect(),
            line: line(warps),
        }
    }

    /// Threads per program.
    pub fn threads(&self) -> u32 {
        self.warps * 32
    }

    /// The layout of tiles of a shape.
    pub fn canonical(&self, shape: &[usize]) -> Layout {
        let bit_count = (5 + warp_bits(self.warps)) as usize;
        let axes: Vec<Axis> = match shape {
            [n] => vec![Axis::new(*n, &self.line)],
            [m, n] => vec![Axis::new(*m, &self.row), Axis::new(*n, &self.col)],
            _ => Vec::new(),
        };
        let mut bits = vec![[0; 2]; bit_count];
        for (a, axis) in axes.iter().enumerate() {
            for &(bit, base) in &axis.bits {
                bits[bit as usize][a] = base;
            }
        }
        let mut regs = vec![[0; 2]];
        for (a, axis) in axes.iter().enumerate() {
            regs = regs
                .iter()
                .flat_map(|&r| {
                    axis.regs.iter().map(move |&p| {
                        let mut r = r;
                        r[a] = p;
                        r
                    })
                })
                .collect();
        }
        Layout { shape: shape.to_vec(), regs, bits, warps: self.warps }
    }
}

/// Bits of the numbers of so many warps.
pub fn warp_bits(warps: u32) -> u32 {
    warps.next_power_of_two().ilog2()
}

fn line(warps: u32) -> Vec<Comp> {
    [Comp::Reg(4)].into_iter().chain((0..5 + warps.ilog2()).map(Comp::Bit)).collect()
}

/// One axis of a layout under construction.
struct Axis {
    bits: Vec<(u32, u32)>,
    regs: Vec<u32>,
}

impl Axis {
    fn new(extent: usize, comps: &[Comp]) -> Axis {
        let (mut stride, mut bits, mut regs) = (1usize, Vec::new(), vec![0u32]);
        let grow = |regs: &mut Vec<u32>, stride: usize, count: usize| {
            let more: Vec<u32> =
                (0..count).flat_map(|k| regs.iter().map(move |r| r + (k * stride) as u32)).collect();
            *regs = more;
        };
        for comp in comps {
            if stride >= extent {
                break;
            }
            match *comp {
                Comp::Bit(bit) => {
                    bits.push((bit, stride as u32));
                    stride *= 2;
                }
                Comp::Reg(count) => {
                    let count = count.min(extent.div_ceil(stride));
                    grow(&mut regs, stride, count);
                    stride *= count;
                }
            }
        }
        grow(&mut regs, stride, extent.div_ceil(stride));
        Axis { bits, regs }
    }
}

/// The layout of one tile. Axis 1 of a rank-1 tile is always at 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The tile's shape; positions at or beyond it are padding, whose values mean nothing.
    pub shape: Vec<usize>,
    /// Position of each register, the last axis fastest.
    pub regs: Vec<[u32; 2]>,
    /// What each bit of the thread's number adds, from bit 0.
    pub bits: Vec<[u32; 2]>,
    /// Warps that there are; with fewer than the bits can count, some numbers do not occur.
    pub warps: u32,
}

impl Layout {
    /// Where a thread's register is.
    #[cfg(test)]
    pub fn position(&self, thread: u32, reg: usize) -> [u32; 2] {
        let mut p = self.regs[reg];
        for (b, base) in self.bits.iter().enumerate() {
            if thread >> b & 1 == 1 {
                p[0] += base[0];
                p[1] += base[1];
            }
        }
        p
    }

    /// The bits of the thread's number that change nothing.
    pub fn replica_mask(&self) -> u32 {
        self.bits.iter().enumerate().filter(|(_, b)| **b == [0, 0]).map(|(i, _)| 1 << i).sum()
    }

    /// Whether some position on `axis` may be padding.
    pub fn padded(&self, axis: usize) -> bool {
        axis < self.shape.len() && self.reach(axis) >= self.shape[axis] as u32
    }

    /// The largest position on `axis`.
    fn reach(&self, axis: usize) -> u32 {
        let (lanes, warps) = self.bits.split_at(self.bits.len().min(5));
        let of_warp =
            |w: u32| (0..).zip(warps).filter(|(b, _)| w >> b & 1 == 1).map(|(_, b)| b[axis]).sum::<u32>();
        self.regs.iter().map(|r| r[axis]).max().unwrap_or(0)
            + lanes.iter().map(|b| b[axis]).sum::<u32>()
            + (0..self.warps).map(of_warp).max().unwrap_or(0)
    }

    /// The axis along which registers follow each other first.
    pub fn last_axis(&self) -> usize {
        self.shape.len().saturating_sub(1)
    }

    /// The longest run of registers that are neighbours on the last axis: a power of two at most `limit`, the same everywhere, and
    /// aligned to its own length.
    pub fn run(&self, limit: usize) -> usize {
        let axis = self.last_axis();
        let mut run = 1;
        while run * 2 <= limit && self.regs.len().is_multiple_of(run * 2) {
            let next = run * 2;
            let whole = self.regs.chunks(next).all(|c| {
                c.iter()
                    .enumerate()
                    .all(|(i, r)| r[axis] == c[0][axis] + i as u32 && r[1 - axis] == c[0][1 - axis])
                    && c[0][axis].is_multiple_of(next as u32)
            });
            if !whole || self.bits.iter().any(|b| !b[axis].is_multiple_of(next as u32)) {
                break;
            }
            run = next;
        }
        run
    }

    /// Whether values of 16 bits are kept two to a register.
    pub fn paired(&self) -> bool {
        self.run(2) == 2
    }

    /// Groups of `(first bit, count, base of the first)` on an axis, each doubling from bit to bit.
    pub fn groups(&self, axis: usize) -> Vec<(u32, u32, u32)> {
        let mut groups: Vec<(u32, u32, u32)> = Vec::new();
        for (b, base) in self.bits.iter().enumerate() {
            let base = base[axis];
            if base == 0 {
                continue;
            }
            match groups.last_mut() {
                Some((first, count, start)) if *first + *count == b as u32 && *start << *count == base => {
                    *count += 1;
                }
                _ => groups.push((b as u32, 1, base)),
            }
        }
        groups
    }
}

/// For each accumulator of `wgmma`, in its order (columns in eights, in each rows `r` and `r + 8`), the register of a tile with as many.
pub fn wgmma_order(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| i / 2 % 2 * (count / 2) + i / 4 * 2 + i % 2)
}

/// The registers of a tile of halves, `count` pairs in 16 rows a warp, that are the first operand of step `k`, in the order of `mma` and `wgmma`.
pub fn operand_pairs(count: usize, k: usize) -> [usize; 4] {
    [0, count / 2, 1, count / 2 + 1].map(|i| i + 2 * k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn families() -> Vec<Family> {
        let mut all = Vec::new();
        for w in [1, 2, 4, 8] {
            all.push(Family::mma(w));
            all.push(Family::mma_pairs(w));
            all.extend([1, 2, 4, 8].into_iter().filter(|r| *r <= w).map(|r| Family::rows(w, r)));
        }
        all
    }

    /// Every element is held, by as many threads as the replica mask says, and by one register of each.
    #[test]
    fn every_element_has_its_holders() {
        let shapes: &[&[usize]] = &[
            &[1],
            &[2],
            &[3],
            &[64],
            &[100],
            &[1024],
            &[1, 1],
            &[16, 8],
            &[64, 64],
            &[128, 1],
            &[1, 128],
            &[8, 4],
            &[48, 20],
            &[3, 5],
            &[256, 16],
            &[1, 3000],
        ];
        for family in families() {
            for shape in shapes {
                let layout = family.canonical(shape);
                let mut holders: HashMap<[u32; 2], Vec<u32>> = HashMap::new();
                for t in 0..family.threads() {
                    for r in 0..layout.regs.len() {
                        holders.entry(layout.position(t, r)).or_default().push(t);
                    }
                }
                let replicas = 1usize << layout.replica_mask().count_ones();
                for i in 0..shape[0] as u32 {
                    for j in 0..*shape.get(1).unwrap_or(&1) as u32 {
                        let held = holders.get(&[i, j]).map_or(0, Vec::len);
                        assert_eq!(held, replicas, "{shape:?} at {i},{j} with {family:?}");
                    }
                }
                let inside = |p: &&[u32; 2]| (0..shape.len()).all(|a| p[a] < shape[a] as u32);
                let padding = holders.keys().any(|p| !inside(&p));
                assert_eq!(padding, (0..shape.len()).any(|a| layout.padded(a)), "{shape:?}");
            }
        }
    }

    /// Rows of `[M, N]` lie like those of `[M, 1]`, columns like those of `[1, N]`.
    #[test]
    fn slices_agree() {
        for family in families() {
            for (m, n) in [(64, 128), (128, 64), (16, 8), (8, 2), (48, 24)] {
                let (full, col, row) =
                    (family.canonical(&[m, n]), family.canonical(&[m, 1]), family.canonical(&[1, n]));
                for t in 0..family.threads() {
                    for r in 0..full.regs.len() {
                        let [i, j] = full.position(t, r);
                        let (ri, rj) = (r / row.regs.len(), r % row.regs.len());
                        assert_eq!(col.position(t, ri), [i, 0]);
                        assert_eq!(row.position(t, rj), [0, j]);
                    }
                }
            }
        }
    }

    /// The accumulator of m16n8 and the first operand of m16n8k16, as PTX defines them.
    #[test]
    fn mma_registers_are_fragments() {
        let layout = Family::mma(4).canonical(&[64, 32]);
        for t in 0..128u32 {
            let (lane, warp) = (t % 32, t / 32);
            for k in 0..2 {
                let fragment = [(0, 0), (0, 1), (8, 0), (8, 1), (0, 8), (0, 9), (8, 8), (8, 9)];
                for (i, (dr, dc)) in fragment.into_iter().enumerate() {
                    // The order of PTX is rows 0 and 8 first, then columns 8 and 9.
                    let (ri, cj) = ((i / 2) % 2, 2 * k + i / 4);
                    let reg = ri * 8 + cj * 2 + i % 2;
                    let want = [16 * warp + lane / 4 + dr, (lane % 4) * 2 + dc + 16 * k as u32];
                    assert_eq!(layout.position(t, reg), want);
                }
            }
        }
    }

    /// Accumulators and first operands of `wgmma`, as PTX defines them, of one to four warpgroups with 64 rows each.
    #[test]
    fn wgmma_registers_are_tiles() {
        for groups in 1..=4u32 {
            for columns in [8u32, 64, 80, 256] {
                let layout = Family::mma(4 * groups).canonical(&[64 * groups as usize, columns as usize]);
                assert!(
                    !layout.padded(0) && !layout.padded(1) && layout.paired() && layout.replica_mask() == 0
                );
                let mut seen = std::collections::HashSet::new();
                for t in 0..128 * groups {
                    let (lane, warp) = (t % 32, t / 32);
                    let order: Vec<usize> = wgmma_order(layout.regs.len()).collect();
                    assert_eq!(order.len() as u32, columns / 2);
                    for (i, &reg) in (0..).zip(&order) {
                        let want = [16 * warp + lane / 4 + i / 2 % 2 * 8, i / 4 * 8 + lane % 4 * 2 + i % 2];
                        assert_eq!(layout.position(t, reg), want, "{groups} {columns} {t} {i}");
                        seen.insert(want);
                    }
                    for k in 0..columns / 16 {
                        let pairs = operand_pairs(layout.regs.len() / 2, k as usize);
                        for (j, pair) in (0..).zip(pairs) {
                            for half in 0..2 {
                                let want = [
                                    16 * warp + lane / 4 + j % 2 * 8,
                                    16 * k + j / 2 * 8 + lane % 4 * 2 + half,
                                ];
                                assert_eq!(layout.position(t, 2 * pair + half as usize), want);
                            }
                        }
                    }
                }
                assert_eq!(seen.len() as u32, 64 * groups * columns);
            }
        }
    }

    /// With a number of warps that is no power of two, each element still has one holder among the first replicas.
    #[test]
    fn twelve_warps_hold_every_element_once() {
        let family = Family::mma(12);
        for shape in
            [&[192usize, 16][..], &[192, 1], &[128, 8], &[64, 64], &[16, 8], &[1, 64], &[192], &[2048]]
        {
            let layout = family.canonical(shape);
            let mut held: HashMap<[u32; 2], u32> = HashMap::new();
            for t in (0..family.threads()).filter(|t| t & layout.replica_mask() == 0) {
                for r in 0..layout.regs.len() {
                    *held.entry(layout.position(t, r)).or_default() += 1;
                }
            }
            for i in 0..shape[0] as u32 {
                for j in 0..*shape.get(1).unwrap_or(&1) as u32 {
                    assert_eq!(held.get(&[i, j]), Some(&1), "{shape:?} at {i},{j}");
                }
            }
        }
    }

    #[test]
    fn runs_and_groups() {
        let f = Family::mma(8);
        assert_eq!(f.canonical(&[128, 64]).run(8), 2);
        assert!(!f.canonical(&[128, 1]).paired());
        assert_eq!(f.canonical(&[128, 64]).groups(0), vec![(2, 3, 1), (5, 3, 16)]);
        assert_eq!(Family::rows(4, 1).canonical(&[4096]).run(8), 4);
        assert_eq!(f.canonical(&[16, 8]).replica_mask(), 0b111_00000);
    }
}
