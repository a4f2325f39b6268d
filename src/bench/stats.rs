//! Order statistics of samples.

use serde::Serialize;

/// What is reported of a set of samples, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Number of samples.
    pub samples: usize,
    /// The least.
    pub best: f64,
    /// A tenth of the samples are below.
    pub p10: f64,
    /// Half of the samples are below.
    pub median: f64,
    /// A tenth of the samples are above.
    pub p90: f64,
}

impl Summary {
    /// Summarises samples; `None` where there are none.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile(&sorted, share);
        Some(Summary {
            samples: sorted.len(),
            best: *sorted.first()?,
            p10: at(0.1)?,
            median: at(0.5)?,
            p90: at(0.9)?,
        })
    }
}

/// The median; `None` where there is nothing.
pub fn median(samples: &[f64]) -> Option<f64> {
    Summary::of(samples).map(|s| s.median)
}

/// A quantile of sorted samples, between neighbours in proportion.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    Some(a + (b - a) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        let s = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((s.samples, s.best, s.median), (5, 1.0, 3.0));
        assert!((s.p10 - 1.4).abs() < 1e-12 && (s.p90 - 4.6).abs() < 1e-12, "{s:?}");
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }
}
