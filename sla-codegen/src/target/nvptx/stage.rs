//! How a stage of a ring lies in shared memory, and how `wgmma` walks over it.
//!
//! A stage is a row of *panels* of 64 columns of halves (128 bytes), each with all rows; chunk `c` of 16 bytes of row `r` of a panel is stored at
//! `c ^ (r % 8)`. TMA writes this, and descriptors read it, as the 128-byte swizzle.

/// Bytes of a panel's row.
pub const PITCH: usize = 128;
/// Columns of a panel.
pub const PANEL_COLUMNS: usize = 64;
/// Bytes of eight rows, after which the swizzle repeats.
const EIGHT_ROWS: usize = 8 * PITCH;
/// What the fields of a descriptor count.
const UNIT: usize = 16;

/// An operand of a product in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Whether the contracted axis runs along the stage's rows: the other one is then contiguous.
    pub along_rows: bool,
    /// Rows of the stage.
    pub rows: usize,
}

impl Walk {
    /// Bytes of a panel.
    pub fn panel(self) -> usize {
        self.rows * PITCH
    }

    /// Bytes from the start to that of the next warpgroup, in a first operand: its 64 rows of every panel, or its panel.
    pub fn warpgroup(self) -> usize {
        if self.along_rows { self.panel() } else { 64 * PITCH }
    }

    /// Bytes from the start to the 16 elements of the contracted axis that step `k` takes.
    pub fn step(self, k: usize) -> usize {
        if self.along_rows { 16 * PITCH * k } else { k / 4 * self.panel() + k % 4 * 32 }
    }

    /// The same in what descriptors count.
    pub fn step_units(self, k: usize) -> usize {
        self.step(k) / UNIT
    }

    /// Bytes of a stage in what descriptors count.
    pub fn units(bytes: usize) -> usize {
        bytes / UNIT
    }

    /// Bytes from 64 columns to the next, where those are not contracted; otherwise the field has no meaning.
    fn across(self) -> usize {
        if self.along_rows { self.panel() } else { UNIT }
    }

    /// A descriptor without its address: the swizzle, eight rows to the next eight, panel to panel.
    pub fn descriptor(self) -> i64 {
        1 << 62 | ((self.across() / UNIT) as i64) << 16 | ((EIGHT_ROWS / UNIT) as i64) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where TMA puts an element of a stage, in bytes.
    fn place(rows: usize, row: usize, col: usize) -> usize {
        let (panel, byte) = (col / 64, col % 64 * 2);
        panel * rows * 128 + row * 128 + ((byte / 16) ^ (row % 8)) * 16 + byte % 16
    }

    /// Where a descriptor finds an element: `outer` and `k` count along the free and the contracted axis, from its address on. As PTX has it: the
    /// atom is eight rows of 128 bytes, and bits 4 to 6 of the address are exclusive-ored with bits 7 to 9.
    fn found(walk: Walk, address: usize, outer: usize, k: usize) -> usize {
        let fields = walk.descriptor() as usize;
        let (across, down) = ((fields >> 16 & 0x3fff) * 16, (fields >> 32 & 0x3fff) * 16);
        let at = if walk.along_rows {
            address + outer / 64 * across + k / 8 * down + k % 8 * 128 + outer % 64 * 2
        } else {
            address + outer / 8 * down + outer % 8 * 128 + k * 2
        };
        at ^ (at >> 7 & 7) << 4
    }

    #[test]
    fn descriptors_find_what_tma_has_put() {
        for rows in [16, 64, 128, 176, 192, 256] {
            for cols in [64, 128, 256] {
                for along_rows in [false, true] {
                    let walk = Walk { along_rows, rows };
                    let (outer, depth) = if along_rows { (cols, rows) } else { (rows, cols) };
                    for k in 0..depth {
                        let start = walk.step(k / 16);
                        for o in 0..outer {
                            let (row, col) = if along_rows { (k, o) } else { (o, k) };
                            assert_eq!(
                                found(walk, start, o, k % 16),
                                place(rows, row, col),
                                "{walk:?} {o} {k}"
                            );
                        }
                    }
                    // The first operand: a warpgroup finds its 64 rows, or columns, from its own start on.
                    for o in 0..outer / 64 * 64 {
                        let start = o / 64 * walk.warpgroup() + walk.step(1);
                        let (row, col) = if along_rows { (16, o) } else { (o, 16) };
                        assert_eq!(found(walk, start, o % 64, 0), place(rows, row, col), "{walk:?} {o}");
                    }
                }
            }
        }
    }
}
