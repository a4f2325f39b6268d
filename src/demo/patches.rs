//! Patches of pixels around tokens: taken from a clip, and laid over each other to make one.

use super::clip::{COLOURS, Clip};
use super::tokens::Place;

/// A square of pixels: `side` to a side, beginning `before` pixels above and to the left of a token's cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Pixels of a side.
    pub side: usize,
    /// Pixels before the cell.
    pub before: usize,
}

impl Patch {
    /// Numbers in a patch.
    pub fn numbers(self) -> usize {
        self.side * self.side * COLOURS
    }

    /// The patches of all places, `[places, side, side, 3]`; pixels outside are mirrored in.
    pub fn take(self, clip: &Clip, places: &[Place]) -> Vec<f32> {
        let mut values = Vec::with_capacity(places.len() * self.numbers());
        for place in places {
            for (row, column) in self.pixels(place) {
                values.extend(clip.pixel(place.frame, row, column));
            }
        }
        values
    }

    /// The clip of the size of `like` whose pixels are the mean of all patches that cover them, cut to `[0, 1]`. A patch
    /// must cover its cell, so that there is no pixel without one.
    pub fn overlay(self, patches: &[f32], places: &[Place], like: &Clip) -> Clip {
        let (height, width) = (like.height() as isize, like.width() as isize);
        let mut sums = vec![[0f64; COLOURS]; like.frames() * like.height() * like.width()];
        let mut counts = vec![0u32; sums.len()];
        for (place, patch) in places.iter().zip(patches.chunks_exact(self.numbers())) {
            for ((row, column), colours) in self.pixels(place).zip(patch.as_chunks::<COLOURS>().0) {
                if (0..height).contains(&row) && (0..width).contains(&column) {
                    let at = (place.frame * like.height() + row as usize) * like.width() + column as usize;
                    sums[at].iter_mut().zip(colours).for_each(|(sum, colour)| *sum += f64::from(*colour));
                    counts[at] += 1;
                }
            }
        }
        let mut means = sums
            .iter()
            .zip(counts)
            .flat_map(|(sum, count)| sum.map(|sum| (sum / f64::from(count.max(1))).clamp(0.0, 1.0) as f32));
        like.map(|_| means.next().unwrap_or_default())
    }

    /// Rows and columns of the pixels of a place's patch.
    fn pixels(self, place: &Place) -> impl Iterator<Item = (isize, isize)> + use<> {
        let start = |cell: usize| cell as isize - self.before as isize;
        let (top, left, side) = (start(place.row), start(place.column), self.side as isize);
        (top..top + side).flat_map(move |row| (left..left + side).map(move |column| (row, column)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::places;
    use super::*;

    #[test]
    fn overlaid_patches_of_a_clip_are_the_clip() {
        let values = (0..2 * 7 * 9 * 3).map(|i| (i % 50) as f32 / 50.0).collect();
        let clip = Clip::new(2, 7, 9, values).unwrap();
        let places = places(&clip);
        for patch in [Patch { side: 4, before: 1 }, Patch { side: 2, before: 0 }] {
            let again = patch.overlay(&patch.take(&clip, &places), &places, &clip);
            let off = clip.values().iter().zip(again.values()).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f32::max) < 1e-6);
        }
    }

    #[test]
    fn a_patch_is_centred_on_its_pixels() {
        let clip = Clip::new(1, 4, 4, (0..48).map(|i| i as f32).collect()).unwrap();
        let place = Place { frame: 0, row: 2, column: 2 };
        let patch = Patch { side: 3, before: 1 }.take(&clip, &[place]);
        assert_eq!(patch[..3], clip.pixel(0, 1, 1));
        assert_eq!(patch[12..15], clip.pixel(0, 2, 2));
        assert_eq!(patch[24..], clip.pixel(0, 3, 3));
    }
}
