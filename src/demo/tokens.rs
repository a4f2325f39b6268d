//! Tokens: places of a clip in an order that makes blocks of the operator out of neighbours.
//!
//! A token stands for a cell of 2x2 pixels of one frame. Tokens are ordered in cubes of 4 frames x 4 rows x 4 columns, so
//! that a block of 64 tokens is one cube of space-time. Where a side is no multiple of 4 the cubes at its end are smaller; they
//! come after all whole cubes, so that whole cubes stay whole blocks.

use super::clip::Clip;

/// Pixels of a token's cell, along both axes.
pub const CELL: usize = 2;
/// Tokens of a cube, along all three axes.
pub const CUBE: usize = 4;

/// A token's place: the frame, and the upper left pixel of its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Frame.
    pub frame: usize,
    /// Row of pixels.
    pub row: usize,
    /// Column of pixels.
    pub column: usize,
}

/// Places of all tokens of a clip, in the order of the tokens.
pub fn places(clip: &Clip) -> Vec<Place> {
    let (rows, columns) = (clip.height().div_ceil(CELL), clip.width().div_ceil(CELL));
    let (mut whole, mut rest) = (Vec::new(), Vec::new());
    for frame in (0..clip.frames()).step_by(CUBE) {
        for row in (0..rows).step_by(CUBE) {
            for column in (0..columns).step_by(CUBE) {
                let cube = cube([frame, row, column], [clip.frames(), rows, columns]);
                if cube.len() == CUBE.pow(3) { &mut whole } else { &mut rest }.extend(cube);
            }
        }
    }
    whole.append(&mut rest);
    whole
}

/// Places of the cube at `start` in a grid of `size` tokens.
fn cube(start: [usize; 3], size: [usize; 3]) -> Vec<Place> {
    let along = |axis: usize| start[axis]..(start[axis] + CUBE).min(size[axis]);
    let mut places = Vec::with_capacity(CUBE.pow(3));
    for frame in along(0) {
        for row in along(1) {
            places.extend(along(2).map(|column| Place { frame, row: row * CELL, column: column * CELL }));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn of(frames: usize, height: usize, width: usize) -> Vec<Place> {
        places(&Clip::new(frames, height, width, vec![0.0; frames * height * width * 3]).unwrap())
    }

    #[test]
    fn every_cell_has_one_token_also_where_cubes_do_not_fit() {
        for (frames, height, width) in [(4, 8, 16), (4, 108, 192), (5, 11, 9), (1, 1, 1)] {
            let places = of(frames, height, width);
            assert_eq!(places.len(), frames * height.div_ceil(2) * width.div_ceil(2));
            assert_eq!(places.iter().collect::<HashSet<_>>().len(), places.len());
            assert!(places.iter().all(|p| p.frame < frames && p.row < height && p.column < width));
        }
    }

    #[test]
    fn blocks_of_64_tokens_are_cubes() {
        let places = of(5, 20, 24);
        let whole = 2 * 3;
        for block in places.chunks(64).take(whole) {
            let first = block[0];
            let near =
                |p: &Place| p.frame - first.frame < 4 && p.row - first.row < 8 && p.column - first.column < 8;
            assert!(block.iter().all(near), "{first:?}");
        }
        assert_eq!(places[64], Place { frame: 0, row: 0, column: 8 });
    }
}
