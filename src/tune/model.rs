//! A small model of a GPU: how fast a kernel of tiles could be at most, from its tile IR alone. It orders candidates that nobody can run, and rules out
//! those that have no chance; who has a GPU measures.
//!
//! Two limits: the matrix instructions, and the bytes that tiles bring from the L2 for each operation. Both are then scaled by how evenly programs fill the
//! multiprocessors.

use sla_codegen::{Arch, ScheduleKind};
use sla_dsl::ir::{Kernel, OpCode, Type};

/// What a model knows of an architecture; round figures, for comparisons.
struct Machine {
    /// 10^12 operations per second in bf16.
    peak: f64,
    /// 10^12 bytes per second from the L2.
    l2: f64,
    multiprocessors: f64,
}

const fn machine(arch: Arch) -> Machine {
    let (peak, l2, multiprocessors) = match arch {
        Arch::Sm80 => (312.0, 4.0, 108.0),
        Arch::Sm89 => (330.0, 4.0, 128.0),
        Arch::Sm90a => (990.0, 5.5, 132.0),
        Arch::Sm100a => (2250.0, 10.0, 148.0),
        Arch::Sm120a => (420.0, 7.0, 170.0),
    };
    Machine { peak, l2, multiprocessors }
}

/// The tiles of a kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tiles {
    /// Rows, columns and contracted length of each product in a loop; of all of them where there is none.
    pub products: Vec<[usize; 3]>,
    /// Bytes of tiles that a step of a loop loads.
    pub streamed: usize,
    /// Elements in f32 that a loop carries from step to step.
    pub carried: usize,
}

impl Tiles {
    /// Those of a kernel.
    pub fn of(kernel: &Kernel) -> Tiles {
        let mut tiles = Tiles::default();
        let (mut inner, mut outside) = (Vec::new(), Vec::new());
        kernel.walk(&mut |k, block, id| {
            let op = k.op(id);
            match op.code {
                OpCode::For => {
                    inner.extend(&op.regions);
                    let elements = |&v: &_| match k.ty(v) {
                        Type::Tile(_, shape) if shape.len() == 2 && shape[1] > 1 => shape.iter().product(),
                        _ => 0,
                    };
                    tiles.carried = tiles.carried.max(op.results.iter().map(elements).sum());
                }
                OpCode::Dot => {
                    let shape = |v| k.ty(v).shape().unwrap_or(&[]).to_vec();
                    let (result, a) = (shape(op.results[0]), shape(op.operands[0]));
                    if let (&[m, n], &[x, y]) = (&result[..], &a[..]) {
                        let size = [m, n, if op.flag("ta") { x } else { y }];
                        if inner.contains(&block) { tiles.products.push(size) } else { outside.push(size) }
                    }
                }
                OpCode::Load if inner.contains(&block) => {
                    if let Type::Tile(elem, shape) = k.ty(op.results[0]) {
                        tiles.streamed += elem.bytes() * shape.iter().product::<usize>();
                    }
                }
                _ => {}
            }
        });
        if tiles.products.is_empty() {
            tiles.products = outside;
        }
        tiles
    }

    /// Operations of a step.
    fn operations(&self) -> f64 {
        self.products.iter().map(|size| 2.0 * size.iter().map(|&n| n as f64).product::<f64>()).sum()
    }

    /// Registers that a thread needs at least under a schedule of roles, and those that it may have: the carried tiles and the largest product are spread over the
    /// warpgroups that multiply, 64 rows each.
    pub fn registers(&self, groups: u32, ctas_per_sm: u32) -> Option<(usize, usize)> {
        let rows = self.products.iter().map(|[m, ..]| *m).max()?;
        let warpgroups = rows.div_ceil(64);
        let largest = self.products.iter().map(|[m, n, _]| m * n).max()?;
        // Of a product that is carried only the sum is there.
        let needed = self.carried.max(largest) / (128 * warpgroups);
        let all = warpgroups * groups as usize * ctas_per_sm as usize;
        Some((needed, (REGISTERS / (128 * all)).min(MOST)))
    }

    /// 10^12 operations per second that a kernel of so many programs reaches at most.
    pub fn rate(&self, arch: Arch, programs: f64, schedule: ScheduleKind) -> f64 {
        let machine = machine(arch);
        let by_bytes = match self.streamed {
            0 => f64::INFINITY,
            bytes => self.operations() / bytes as f64 * machine.l2,
        };
        // Hopper's warps reach little more than half of what its warpgroups do.
        let share = if arch == Arch::Sm90a && schedule == ScheduleKind::Baseline { 0.6 } else { 1.0 };
        let waves = programs / machine.multiprocessors;
        let filled = if waves > 0.0 { waves / waves.ceil() } else { 1.0 };
        (machine.peak * share).min(by_bytes) * filled
    }
}

/// Registers of a multiprocessor, and most of a thread.
const REGISTERS: usize = 65_536;
const MOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::ALL;
    use crate::tune::job::Job;
    use sla_codegen::Target;

    fn tiles(case: &str, set: &str) -> (Tiles, f64) {
        let case = ALL.iter().find(|c| c.name == case).unwrap();
        let job = Job::of(*case, Some(Target::Cuda(Arch::Sm90a)))[0];
        let (consts, _) = job.prepared(set, &job.plain()).unwrap();
        let tiles = Tiles::of(&job.kernel(&consts).unwrap());
        (tiles, job.programs(&consts).unwrap())
    }

    #[test]
    fn tiles_are_those_of_the_loop() {
        let (dense, programs) = tiles("dense", "");
        assert_eq!(dense.products, [[128, 128, 128], [128, 128, 128]]);
        assert_eq!((dense.streamed, dense.carried), (2 * 128 * 128 * 2, 128 * 128));
        assert_eq!(programs, 12.0 * 256.0);
        assert_eq!(dense.registers(1, 1), Some((64, 255)));
        let (sparse, _) = tiles("sparse", "");
        assert_eq!(sparse.streamed, 2 * 64 * 128 * 2);
    }

    #[test]
    fn larger_tiles_are_faster_until_they_do_not_fit() {
        let rate = |set| {
            let (tiles, programs) = tiles("matmul", set);
            tiles.rate(Arch::Sm90a, programs, ScheduleKind::Auto)
        };
        let (small, chosen) = (rate("BM=64,BN=64"), rate(""));
        assert!(2.0 * small < chosen, "{small} {chosen}");
        let (huge, _) = tiles("matmul", "BM=64,BN=256");
        assert_eq!(huge.registers(2, 2), Some((128, 128)));
        assert_eq!(huge.registers(3, 2), Some((128, 85)));
    }
}
