//! The few vector and matrix operations of the float64 reference, on row-major slices.

/// `sum_i a_i b_i`, in eight partial sums so that the compiler may use vectors.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; 8];
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// `y += a x`.
pub fn add_scaled(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `x W` for a row `x` and a matrix `W` of `x.len()` rows of `width`.
pub fn row_times(x: &[f64], w: &[f64], width: usize) -> Vec<f64> {
    let mut y = vec![0.0; width];
    for (&x, row) in x.iter().zip(w.chunks_exact(width)) {
        add_scaled(&mut y, x, row);
    }
    y
}

/// `W x` for a matrix `W` of rows of `x.len()`: each row's product with `x`.
pub fn times_column(w: &[f64], x: &[f64]) -> Vec<f64> {
    w.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// `A += a^T b`: the outer product of a column and a row, added to a matrix of `a.len()` rows of `b.len()`.
pub fn add_outer(matrix: &mut [f64], a: &[f64], b: &[f64]) {
    for (&a, row) in a.iter().zip(matrix.chunks_exact_mut(b.len())) {
        add_scaled(row, a, b);
    }
}
