//! The pictures of a run: frames side by side, the block mask, the loss of the fits.

use super::canvas::{Canvas, Colour, LETTER};
use super::clip::Clip;
use super::methods::Method;
use super::report::Fit;
use crate::attention::BlockMask;
use crate::attention::mask::{CRITICAL, NEGLIGIBLE};

const PAPER: Colour = [255, 255, 255];
const INK: Colour = [30, 30, 30];
/// Pixels that a pixel of the clip is enlarged to.
const ZOOM: usize = 3;
/// Height of a line of text with its margins.
const LINE: usize = 3 * LETTER;

/// One frame of some clips, three to a row, each under its title.
pub fn side_by_side(titled: &[(String, &Clip)], frame: usize) -> Canvas {
    let tiles: Vec<(&String, Canvas)> =
        titled.iter().map(|(title, clip)| (title, Canvas::of(clip, frame, ZOOM))).collect();
    let (width, height) = tiles.first().map_or((1, 1), |(_, tile)| (tile.width(), tile.height()));
    let (columns, gap) = (tiles.len().clamp(1, 3), LETTER);
    let rows = tiles.len().div_ceil(columns);
    let (step_x, step_y) = (width + gap, height + LINE);
    let mut canvas = Canvas::new(columns * step_x - gap, rows * step_y, PAPER);
    for (at, (title, tile)) in tiles.iter().enumerate() {
        let (x, y) = (at % columns * step_x, at / columns * step_y);
        canvas.write(title, x + LETTER / 2, y + LETTER / 2, 2, INK);
        canvas.paste(tile, x, y + LINE);
    }
    canvas
}

/// The block mask of the first head, a row for each block of queries: critical blocks bright, marginal ones dim, negligible ones dark.
/// Under it, how many blocks of queries attend to each block of keys.
pub fn mask(mask: &BlockMask) -> Canvas {
    let (rows, columns) = (mask.grid().rows, mask.grid().cols);
    let zoom = (720 / columns.max(1)).clamp(1, 16);
    let (width, below) = (columns * zoom, 12 * LETTER);
    let mut canvas = Canvas::new(width, LINE + rows * zoom + LINE + below, PAPER);
    canvas.write("blocks of queries x blocks of keys", LETTER / 2, LETTER, 1, INK);
    let mut popularity = vec![0usize; columns];
    for row in 0..rows {
        for (column, &class) in mask.row(0, row).iter().enumerate() {
            popularity[column] += usize::from(class == CRITICAL);
            let heat = if class == CRITICAL {
                1.0
            } else if class == NEGLIGIBLE {
                0.0
            } else {
                0.25
            };
            canvas.fill(column * zoom, LINE + row * zoom, zoom, zoom, colour(heat));
        }
    }
    let most = popularity.iter().copied().max().unwrap_or(0).max(1);
    let top = LINE + rows * zoom;
    let title = format!("how often each is critical, at most {most} times");
    canvas.write(&title, LETTER / 2, top + LETTER, 1, INK);
    for (column, &times) in popularity.iter().enumerate() {
        let share = times as f64 / most as f64;
        let high = (share * below as f64).round() as usize;
        canvas.fill(column * zoom, top + LINE + below - high, zoom, high, colour(share));
    }
    canvas
}

/// The losses of the fits over their steps, on a logarithmic scale.
pub fn losses(fits: &[Fit]) -> Canvas {
    let (width, height) = (640, 320);
    let mut canvas = Canvas::new(width, height + LINE * (fits.len() + 1), PAPER);
    let positive = || fits.iter().flat_map(|fit| &fit.losses).copied().filter(|&loss| loss > 0.0);
    let (low, high) = (positive().fold(f64::MAX, f64::min), positive().fold(f64::MIN_POSITIVE, f64::max));
    let title = "squared distance to dense attention, by step (log)";
    canvas.write(title, LETTER / 2, LETTER, 1, INK);
    for (at, fit) in fits.iter().enumerate() {
        let colour = colour([0.75, 0.25, 0.5][at % 3]);
        for (step, &loss) in fit.losses.iter().enumerate() {
            let x = step * (width - 3) / fit.losses.len();
            let place = (loss / low).ln() / (high / low).ln().max(f64::MIN_POSITIVE);
            let y = ((1.0 - place.clamp(0.0, 1.0)) * (height - 3) as f64) as usize;
            canvas.fill(x, LINE + y, 3, 3, colour);
        }
        let ends = fit.losses.first().zip(fit.losses.last());
        let text = ends.map(|(first, last)| format!("{}: {first:.5} to {last:.5}", fit.method.name()));
        let y = LINE + height + at * LINE + LETTER;
        canvas.fill(LETTER / 2, y, LETTER, LETTER, colour);
        canvas.write(&text.unwrap_or_default(), 2 * LETTER, y, 1, INK);
    }
    canvas
}

/// The file of a method's frames.
pub fn file_name(method: Method) -> &'static str {
    match method {
        Method::Dense => "dense.png",
        Method::Sla => "sla.png",
        Method::Sparse => "sparse.png",
        Method::Linear => "linear.png",
    }
}

/// Black through violet and orange to pale yellow, for 0 to 1.
fn colour(heat: f64) -> Colour {
    const STOPS: [[f64; 3]; 5] = [
        [8.0, 8.0, 24.0],
        [70.0, 30.0, 120.0],
        [190.0, 50.0, 90.0],
        [245.0, 140.0, 40.0],
        [252.0, 250.0, 180.0],
    ];
    let place = heat.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let stop = (place as usize).min(STOPS.len() - 2);
    let along = place - stop as f64;
    [0, 1, 2].map(|c| (STOPS[stop][c] * (1.0 - along) + STOPS[stop + 1][c] * along) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Grid;

    #[test]
    fn the_mask_shows_its_classes() {
        let grid = Grid { batch: 1, heads: 1, rows: 2, cols: 3 };
        let canvas = mask(&BlockMask::new(grid, vec![1, 0, -1, 1, 1, 0]).unwrap());
        let at = |row: usize, column: usize| canvas.pixel(column * 16 + 8, LINE + row * 16 + 8);
        assert_eq!((at(0, 0), at(1, 1)), (colour(1.0), colour(1.0)));
        assert_eq!((at(0, 1), at(0, 2)), (colour(0.25), colour(0.0)));
        let bottom = canvas.height() - 1;
        assert_eq!((canvas.pixel(8, bottom), canvas.pixel(40, bottom)), (colour(1.0), PAPER));
    }

    #[test]
    fn tiles_stand_three_to_a_row_under_their_titles() {
        let clip = Clip::new(1, 4, 30, vec![0.5; 360]).unwrap();
        let titled: Vec<_> = (0..4).map(|i| (format!("{i}"), &clip)).collect();
        let canvas = side_by_side(&titled, 0);
        assert_eq!((canvas.width(), canvas.height()), (3 * 90 + 2 * LETTER, 2 * (12 + LINE)));
        assert_eq!(canvas.pixel(0, LINE), [128; 3]);
        assert_eq!(canvas.pixel(100, canvas.height() - 1), PAPER, "the second row has one tile");
    }

    #[test]
    fn losses_of_any_kind_can_be_drawn() {
        for losses_of in [vec![], vec![1.0], vec![0.0, 0.0], vec![1.0, 0.1, 0.01]] {
            let fit = Fit { method: Method::Sla, steps: losses_of.len(), seconds: 0.0, losses: losses_of };
            assert!(losses(&[fit]).to_png().is_ok());
        }
    }
}
