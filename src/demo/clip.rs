//! The bundled clip, and clips in general: colour frames as numbers.
//!
//! The frames are inside the program, so that it runs from anywhere. What is done to them is the business of the other modules.

use std::ops::Range;

use super::DemoError;

/// Frames of one size; every value is red, green or blue in `[0, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    frames: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

/// Colours of a pixel.
pub const COLOURS: usize = 3;

macro_rules! bundled {
    ($($number:literal)+) => {
        [$(include_bytes!(concat!("../../examples/clip/frame", $number, ".png")).as_slice()),+]
    };
}

/// The frames of the bundled clip, as PNG.
static BUNDLED: [&[u8]; 16] =
    bundled!("01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14" "15" "16");

impl Clip {
    /// A clip from its values, `[frames, height, width, 3]`.
    ///
    /// # Errors
    /// [`DemoError::Clip`] when their number is another, or there is no pixel.
    pub fn new(frames: usize, height: usize, width: usize, values: Vec<f32>) -> Result<Clip, DemoError> {
        let needed = frames * height * width * COLOURS;
        if needed == 0 || values.len() != needed {
            let found = values.len();
            let what =
                format!("{frames} frames of {height}x{width} pixels have {found} values, needed {needed}");
            return Err(DemoError::Clip(what));
        }
        Ok(Clip { frames, height, width, values })
    }

    /// The bundled clip: 16 frames of 108x192 pixels.
    ///
    /// # Errors
    /// [`DemoError::Clip`] when the program was built with frames that are no pictures, or differ in size.
    pub fn bundled() -> Result<Clip, DemoError> {
        let mut values = Vec::new();
        let mut size = None;
        for png in BUNDLED {
            let (height, width, frame) = decode(png)?;
            if *size.get_or_insert((height, width)) != (height, width) {
                return Err(DemoError::Clip(format!(
                    "found a frame of {height}x{width} among others of another size"
                )));
            }
            values.extend(frame);
        }
        let (height, width) = size.unwrap_or_default();
        Clip::new(BUNDLED.len(), height, width, values)
    }

    /// Some of the frames, cut to the middle `height` by `width` pixels, or to fewer where there are fewer.
    ///
    /// # Errors
    /// [`DemoError::Clip`] when nothing is left.
    pub fn cut(&self, frames: Range<usize>, height: usize, width: usize) -> Result<Clip, DemoError> {
        let (height, width) = (height.min(self.height), width.min(self.width));
        let (top, left) = ((self.height - height) / 2, (self.width - width) / 2);
        let frames = frames.start.min(self.frames)..frames.end.min(self.frames);
        let mut values = Vec::with_capacity(frames.len() * height * width * COLOURS);
        for frame in frames.clone() {
            for row in top..top + height {
                let start = self.at(frame, row, left);
                values.extend_from_slice(&self.values[start..start + width * COLOURS]);
            }
        }
        Clip::new(frames.len(), height, width, values)
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Pixels of a column.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `[frames, height, width, 3]`, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values of one frame, `[height, width, 3]`.
    pub fn frame(&self, frame: usize) -> &[f32] {
        let start = self.at(frame, 0, 0);
        &self.values[start..start + self.height * self.width * COLOURS]
    }

    /// The colours of a pixel; outside of the frame those of its mirror image in the edge.
    pub fn pixel(&self, frame: usize, row: isize, column: isize) -> [f32; COLOURS] {
        let start = self.at(frame, mirror(row, self.height), mirror(column, self.width));
        [self.values[start], self.values[start + 1], self.values[start + 2]]
    }

    /// A clip of the same size whose values are `f` of these.
    pub fn map(&self, f: impl FnMut(&f32) -> f32) -> Clip {
        Clip { values: self.values.iter().map(f).collect(), ..*self }
    }

    fn at(&self, frame: usize, row: usize, column: usize) -> usize {
        ((frame * self.height + row) * self.width + column) * COLOURS
    }
}

/// Where `place` is when an axis of `size` pixels is continued by its mirror image, without the edge pixel twice.
fn mirror(place: isize, size: usize) -> usize {
    let size = size as isize;
    let period = (2 * size - 2).max(1);
    let place = place.rem_euclid(period);
    place.min(period - place).min(size - 1).max(0) as usize
}

/// Height, width and values of a picture with 8 bits a colour.
fn decode(bytes: &[u8]) -> Result<(usize, usize, Vec<f32>), DemoError> {
    let refused = |error: png::DecodingError| DemoError::Clip(error.to_string());
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().map_err(refused)?;
    let size = reader.output_buffer_size().unwrap_or_default();
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(refused)?;
    if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
        let what = format!(
            "found a frame of {:?} at {:?} bits, needed RGB at eight",
            info.color_type, info.bit_depth
        );
        return Err(DemoError::Clip(what));
    }
    let values = pixels.iter().map(|&value| f32::from(value) / 255.0).collect();
    Ok((info.height as usize, info.width as usize, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_clip_has_the_frames_it_promises() {
        let clip = Clip::bundled().unwrap();
        assert_eq!((clip.frames(), clip.height(), clip.width()), (16, 108, 192));
        assert_eq!(clip.values().len(), 16 * 108 * 192 * 3);
        assert!(clip.values().iter().all(|value| (0.0..=1.0).contains(value)));
        let different = clip.frame(0).iter().zip(clip.frame(15)).filter(|(a, b)| a != b).count();
        assert!(different > 10_000, "the clip moves");
    }

    #[test]
    fn a_cut_is_the_middle_and_never_more_than_there_is() {
        let clip = Clip::new(2, 4, 4, (0..96).map(|i| i as f32).collect()).unwrap();
        let cut = clip.cut(1..9, 2, 100).unwrap();
        assert_eq!((cut.frames(), cut.height(), cut.width()), (1, 2, 4));
        assert_eq!(cut.pixel(0, 0, 0), clip.pixel(1, 1, 0));
        assert!(clip.cut(2..3, 2, 2).is_err());
        assert!(Clip::new(1, 1, 1, vec![0.0; 4]).is_err());
    }

    #[test]
    fn edges_mirror() {
        let places: Vec<usize> = (-4..8).map(|place| mirror(place, 4)).collect();
        assert_eq!(places, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert!((-3..3).all(|place| mirror(place, 1) == 0));
    }
}
