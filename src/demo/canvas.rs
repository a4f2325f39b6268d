//! Pictures in memory: pixels, rectangles, enlarged frames and letters, and PNG bytes.

use font8x8::legacy::BASIC_LEGACY;

use super::DemoError;
use super::clip::{COLOURS, Clip};

/// Red, green and blue.
pub type Colour = [u8; COLOURS];

/// Pixels of a letter's side, before it is enlarged.
pub const LETTER: usize = 8;

/// A picture.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: Colour) -> Canvas {
        Canvas { width, height, pixels: vec![colour; width * height] }
    }

    /// A frame of a clip, every pixel `zoom` pixels wide and high.
    pub fn of(clip: &Clip, frame: usize, zoom: usize) -> Canvas {
        let mut canvas = Canvas::new(clip.width() * zoom, clip.height() * zoom, [0; COLOURS]);
        for (at, colour) in clip.frame(frame).as_chunks::<COLOURS>().0.iter().enumerate() {
            let colour = colour.map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8);
            canvas.fill(at % clip.width() * zoom, at / clip.width() * zoom, zoom, zoom, colour);
        }
        canvas
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The colour of a pixel that is there.
    #[cfg(test)]
    pub fn pixel(&self, x: usize, y: usize) -> Colour {
        self.pixels[y * self.width + x]
    }

    /// Colours a rectangle; what lies outside is left out.
    pub fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        let (right, bottom) = ((x + width).min(self.width), (y + height).min(self.height));
        for row in y.min(bottom)..bottom {
            self.pixels[row * self.width + x.min(right)..row * self.width + right].fill(colour);
        }
    }

    /// Copies another picture in, with its upper left corner at `x`, `y`; what lies outside is left out.
    pub fn paste(&mut self, other: &Canvas, x: usize, y: usize) {
        let columns = other.width.min(self.width.saturating_sub(x));
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let from = &other.pixels[row * other.width..row * other.width + columns];
            let start = (y + row) * self.width + x;
            self.pixels[start..start + columns].copy_from_slice(from);
        }
    }

    /// Writes a line of ASCII letters, each pixel of theirs enlarged `zoom` times.
    pub fn write(&mut self, text: &str, x: usize, y: usize, zoom: usize, colour: Colour) {
        for (place, letter) in text.chars().enumerate() {
            let rows = BASIC_LEGACY.get(letter as usize).copied().unwrap_or_default();
            for (down, row) in rows.into_iter().enumerate() {
                for right in (0..LETTER).filter(|right| row >> right & 1 == 1) {
                    let left = x + (place * LETTER + right) * zoom;
                    self.fill(left, y + down * zoom, zoom, zoom, colour);
                }
            }
        }
    }

    /// The picture as PNG.
    ///
    /// # Errors
    /// [`DemoError::Picture`] for a picture without pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, DemoError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_there_and_what_lies_outside_is_not() {
        let mut canvas = Canvas::new(20, 10, [0; 3]);
        canvas.fill(15, 5, 100, 100, [9; 3]);
        assert_eq!((canvas.pixel(14, 9), canvas.pixel(15, 5), canvas.pixel(19, 9)), ([0; 3], [9; 3], [9; 3]));
        canvas.fill(30, 30, 5, 5, [1; 3]);
        canvas.paste(&Canvas::new(4, 4, [7; 3]), 18, 8);
        assert_eq!((canvas.pixel(19, 9), canvas.pixel(17, 9)), ([7; 3], [9; 3]));
        canvas.write("I", 0, 0, 1, [5; 3]);
        assert!((0..64).any(|at| canvas.pixel(at % 8, at / 8) == [5; 3]));
    }

    #[test]
    fn a_frame_survives_enlargement_and_png() {
        let clip = Clip::bundled().unwrap();
        let canvas = Canvas::of(&clip, 3, 2);
        let bytes = canvas.to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (384, 216));
        assert_eq!(pixels, canvas.pixels.as_flattened());
        let first = f32::from(pixels[0]) / 255.0;
        assert_eq!(first, clip.frame(3)[0]);
        assert!(Canvas::new(0, 0, [0; 3]).to_png().is_err());
    }
}
