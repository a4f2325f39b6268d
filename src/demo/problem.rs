//! A noisy clip as an attention problem: non-local means.
//!
//! The clean value of a pixel is estimated by the mean of noisy ones, weighted by `exp(-|f_i - f_j|^2 / h^2)`, where `f` describes
//! a pixel's surroundings and `h^2` is the strength of the filter. Up to a factor that is the same for all `j` this is
//! `exp(2 f_i.f_j / h^2 - |f_j|^2 / h^2)`: softmax attention with `q = [2 f / h^2, 1]` and `k = [f, -|f|^2 / h^2]`. The operator's
//! scale `1/sqrt(D)` is made up for in `k`.

use super::basis::Basis;
use super::clip::Clip;
use super::patches::Patch;
use super::tokens::{Place, places};

/// Head dimension: 63 components of the features and the column that is appended to them.
pub const HEAD_DIM: usize = 64;
/// What describes a token: the patch around the first pixel of its cell.
const FEATURE: Patch = Patch { side: 7, before: 3 };
/// What is denoised: a token's cell and a pixel around it. Every pixel is in four patches, whose results are averaged.
const VALUE: Patch = Patch { side: 4, before: 1 };
/// `h^2` for noise of 25/255.
pub const STRENGTH: f64 = 0.6;
/// How the logits' scale is split: `q` is multiplied by it and `k` divided. Softmax attention does not depend on it, the feature
/// maps of the linear branch do.
const QUERY_SCALE: f64 = 0.35;

/// What turns noisy frames into attention problems and results into frames.
#[derive(Clone, Debug)]
pub struct Recipe {
    features: Basis,
    values: Basis,
    /// Mean of `|f|^2 / h^2`, added to the last column of `k`: softmax does not see it, and it keeps `k` around zero.
    offset: f64,
}

/// Queries, keys and values `[tokens, 64]` of a clip.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where the tokens are.
    pub places: Vec<Place>,
    /// Queries.
    pub q: Vec<f32>,
    /// Keys.
    pub k: Vec<f32>,
    /// Values: principal components of colours, then zeros.
    pub v: Vec<f32>,
}

impl Recipe {
    /// Principal components of the patches of a noisy clip.
    pub fn of(noisy: &Clip) -> Recipe {
        let places = places(noisy);
        let patches = FEATURE.take(noisy, &places);
        let features = Basis::of(&patches, FEATURE.numbers(), HEAD_DIM - 1);
        let values = Basis::of(&VALUE.take(noisy, &places), VALUE.numbers(), VALUE.numbers());
        let projected = features.project(&patches);
        let squares = projected.iter().map(|&f| f64::from(f).powi(2)).sum::<f64>();
        Recipe { offset: squares / places.len() as f64 / STRENGTH, features, values }
    }

    /// The problem of a noisy clip.
    pub fn problem(&self, noisy: &Clip) -> Problem {
        let places = places(noisy);
        let features = self.features.project(&FEATURE.take(noisy, &places));
        let (to_q, to_k) = (QUERY_SCALE, (HEAD_DIM as f64).sqrt() / QUERY_SCALE);
        let mut problem = Problem { places, q: Vec::new(), k: Vec::new(), v: Vec::new() };
        for f in features.chunks_exact(self.features.components()) {
            let square = f.iter().map(|&f| f64::from(f).powi(2)).sum::<f64>();
            let q = f.iter().map(|&f| 2.0 * f64::from(f) / STRENGTH).chain([1.0]);
            let k = f.iter().map(|&f| f64::from(f)).chain([self.offset - square / STRENGTH]);
            problem.q.extend(q.map(|x| (x * to_q) as f32));
            problem.k.extend(k.map(|x| (x * to_k) as f32));
        }
        let values = self.values.project(&VALUE.take(noisy, &problem.places));
        for v in values.chunks_exact(self.values.components()) {
            problem.v.extend_from_slice(v);
            problem.v.extend(std::iter::repeat_n(0.0, HEAD_DIM - v.len()));
        }
        problem
    }

    /// The clip that attention's output `[tokens, 64]` stands for, of the size of `like`.
    pub fn clip(&self, problem: &Problem, out: &[f32], like: &Clip) -> Clip {
        let used = self.values.components();
        let values: Vec<f32> = out.chunks_exact(HEAD_DIM).flat_map(|row| &row[..used]).copied().collect();
        VALUE.overlay(&self.values.restore(&values), &problem.places, like)
    }
}

impl Problem {
    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::noise::noisy;

    fn clip() -> Clip {
        let clip = Clip::bundled().unwrap().cut(0..4, 16, 40).unwrap();
        noisy(&clip, 25.0 / 255.0, 1)
    }

    #[test]
    fn logits_are_distances_of_features_up_to_a_number_per_query() {
        let clip = clip();
        let recipe = Recipe::of(&clip);
        let problem = recipe.problem(&clip);
        let features = recipe.features.project(&FEATURE.take(&clip, &problem.places));
        let row = |x: &[f32], i: usize, width: usize| -> Vec<f64> {
            x[i * width..(i + 1) * width].iter().map(|&x| f64::from(x)).collect()
        };
        let offset = |i: usize, j: usize| {
            let (q, k) = (row(&problem.q, i, HEAD_DIM), row(&problem.k, j, HEAD_DIM));
            let logit = q.iter().zip(&k).map(|(q, k)| q * k).sum::<f64>() / 8.0;
            let (f, g) = (row(&features, i, HEAD_DIM - 1), row(&features, j, HEAD_DIM - 1));
            logit + f.iter().zip(&g).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / STRENGTH
        };
        for i in [0, 17, 100] {
            for j in 0..problem.tokens() {
                assert!((offset(i, j) - offset(i, i)).abs() < 1e-3, "{i} {j}");
            }
        }
    }

    #[test]
    fn the_values_themselves_are_the_noisy_clip() {
        let clip = clip();
        let recipe = Recipe::of(&clip);
        let problem = recipe.problem(&clip);
        assert_eq!((problem.q.len(), problem.v.len()), (4 * 8 * 20 * 64, 4 * 8 * 20 * 64));
        let again = recipe.clip(&problem, &problem.v, &clip);
        let off = clip.values().iter().zip(again.values()).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-4);
    }
}
