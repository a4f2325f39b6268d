//! What is to be removed: normal noise, added to a clip and cut to what a picture can hold.

use super::clip::Clip;
use crate::attention::random::Random;

/// The clip with noise of standard deviation `deviation` that the seed determines, in `[0, 1]` again.
pub fn noisy(clip: &Clip, deviation: f64, seed: u64) -> Clip {
    let mut noise = Random::new(seed).normals(clip.values().len(), deviation).into_iter();
    clip.map(|value| (value + noise.next().unwrap_or_default() as f32).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_reproducible_of_the_right_size_and_stays_in_range() {
        let grey = Clip::new(2, 50, 50, vec![0.5; 15_000]).unwrap();
        let once = noisy(&grey, 0.1, 7);
        assert_eq!(once, noisy(&grey, 0.1, 7));
        assert_ne!(once, noisy(&grey, 0.1, 8));
        let variance = once.values().iter().map(|v| (v - 0.5).powi(2)).sum::<f32>() / 15_000.0;
        assert!((variance.sqrt() - 0.1).abs() < 2e-3, "deviation {}", variance.sqrt());
        let white = noisy(&grey.map(|_| 1.0), 0.1, 7);
        assert!(white.values().iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(white.values().contains(&1.0));
    }
}
