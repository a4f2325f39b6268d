//! Principal components: an orthonormal basis in which the variance of samples falls from axis to axis.

use nalgebra::{DMatrix, SymmetricEigen};

/// A mean and some of the principal axes of samples.
#[derive(Clone, Debug)]
pub struct Basis {
    mean: Vec<f64>,
    /// `[components, width]`, orthonormal rows.
    axes: Vec<Vec<f64>>,
}

impl Basis {
    /// The first `components` principal axes of `samples` `[count, width]`, at most `width` of them. Each axis points so
    /// that its largest entry is positive.
    pub fn of(samples: &[f32], width: usize, components: usize) -> Basis {
        let rows = || samples.chunks_exact(width);
        let count = (rows().len().max(1)) as f64;
        let mut mean = vec![0f64; width];
        rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x) / count));
        let centred: Vec<f64> =
            rows().flat_map(|row| row.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m)).collect();
        // A column of this matrix is a sample: nalgebra stores columns one after the other.
        let centred = DMatrix::from_vec(width, centred.len() / width, centred);
        let covariance = (&centred * centred.transpose()) / count;
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let axis = |&column: &usize| {
            let axis: Vec<f64> = eigen.eigenvectors.column(column).iter().copied().collect();
            let largest = axis.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default();
            axis.iter().map(|x| x * largest.signum()).collect()
        };
        Basis { mean, axes: order.iter().take(components).map(axis).collect() }
    }

    /// Number of axes.
    pub fn components(&self) -> usize {
        self.axes.len()
    }

    /// Coordinates `[count, components]` of samples `[count, width]`.
    pub fn project(&self, samples: &[f32]) -> Vec<f32> {
        let mut coordinates = Vec::with_capacity(samples.len() / self.mean.len() * self.axes.len());
        for row in samples.chunks_exact(self.mean.len()) {
            let centred: Vec<f64> = row.iter().zip(&self.mean).map(|(&x, m)| f64::from(x) - m).collect();
            let along = |axis: &Vec<f64>| axis.iter().zip(&centred).map(|(a, x)| a * x).sum::<f64>() as f32;
            coordinates.extend(self.axes.iter().map(along));
        }
        coordinates
    }

    /// The samples that have these coordinates: the inverse of [`Basis::project`] when all axes were kept.
    pub fn restore(&self, coordinates: &[f32]) -> Vec<f32> {
        let mut samples = Vec::with_capacity(coordinates.len() / self.axes.len() * self.mean.len());
        for row in coordinates.chunks_exact(self.axes.len()) {
            let mut sample = self.mean.clone();
            for (axis, &along) in self.axes.iter().zip(row) {
                sample.iter_mut().zip(axis).for_each(|(x, a)| *x += f64::from(along) * a);
            }
            samples.extend(sample.iter().map(|&x| x as f32));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::random::Random;

    fn samples() -> Vec<f32> {
        let normals = Random::new(3).normals(400 * 5, 1.0);
        let stretched =
            normals.iter().enumerate().map(|(i, x)| (x * [1.0, 4.0, 2.0, 0.1, 0.5][i % 5] + 1.0) as f32);
        stretched.collect()
    }

    #[test]
    fn axes_are_orthonormal_and_ordered_by_variance() {
        let basis = Basis::of(&samples(), 5, 5);
        for (i, a) in basis.axes.iter().enumerate() {
            for (j, b) in basis.axes.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j}");
            }
        }
        let largest = |axis: &[f64]| (0..5).max_by(|&a, &b| axis[a].abs().total_cmp(&axis[b].abs()));
        let order: Vec<_> = basis.axes.iter().filter_map(|axis| largest(axis)).collect();
        assert_eq!(order, [1, 2, 0, 4, 3]);
    }

    #[test]
    fn all_axes_restore_the_samples_and_fewer_do_not() {
        let samples = samples();
        let off = |components| {
            let basis = Basis::of(&samples, 5, components);
            let again = basis.restore(&basis.project(&samples));
            samples.iter().zip(again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(off(5) < 1e-5);
        assert!(off(4) > 1e-2);
        assert_eq!(Basis::of(&samples, 5, 9).components(), 5);
    }
}
