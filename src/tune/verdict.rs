//! What a search's last turns say: who wins, by how much, and who comes next; and how many candidates met which fate.

use std::collections::BTreeMap;

use super::search::Finalist;
use crate::bench::stats::median;
use crate::tuned::record::RunnerUp;

/// A winner is faster than the default by more than this share, in three of four rounds at least; otherwise the default is as good.
const LEAST: f64 = 0.005;

/// Who wins among finalists, the first of which is the default.
pub(super) struct Verdict<'f> {
    /// Its place among them.
    pub(super) winner: usize,
    /// By what share it is faster than the default; 0 for the default itself.
    pub(super) margin: f64,
    next: Option<&'f Finalist>,
}

impl<'f> Verdict<'f> {
    pub(super) fn of(finalists: &'f [Finalist]) -> Verdict<'f> {
        let (winner, margin) = winner(finalists);
        let others = finalists.iter().enumerate().filter(|(i, _)| *i != winner).map(|(_, f)| f);
        Verdict { winner, margin, next: others.min_by(|a, b| a.ms().total_cmp(&b.ms())) }
    }

    /// The fastest of the others.
    pub(super) fn runner_up(&self) -> Option<RunnerUp> {
        self.next.map(|f| RunnerUp { set: f.set.clone(), ms: f.ms() })
    }
}

/// How often each fate was met.
pub(super) fn counted<'n>(fates: impl Iterator<Item = &'n str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for fate in fates {
        *counts.entry(fate.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// Which finalist wins, and by how much over the default, which is the first.
fn winner(finalists: &[Finalist]) -> (usize, f64) {
    let Some((default, others)) = finalists.split_first() else { return (0, 0.0) };
    let gains = |of: &Finalist| -> Vec<f64> {
        default.rounds.iter().zip(&of.rounds).map(|(default, ms)| default / ms - 1.0).collect()
    };
    let sure = |(i, of): (usize, &Finalist)| {
        let gains = gains(of);
        let gain = median(&gains)?;
        let ahead = gains.iter().filter(|&&gain| gain > 0.0).count();
        (gain > LEAST && 4 * ahead >= 3 * gains.len()).then_some((i + 1, gain))
    };
    let best = others.iter().enumerate().filter_map(sure).max_by(|a, b| a.1.total_cmp(&b.1));
    best.unwrap_or((0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuned::Made;

    fn finalist(set: &str, rounds: &[f64]) -> Finalist {
        Finalist { set: set.to_owned(), rounds: rounds.to_vec(), made: Made::default() }
    }

    #[test]
    fn a_winner_is_ahead_of_the_default_round_by_round() {
        let default = finalist("", &[1.0, 1.02, 1.01, 1.0]);
        let faster = finalist("a=1", &[0.98, 1.0, 0.99, 0.98]);
        let once = finalist("a=2", &[0.5, 1.03, 1.02, 1.01]);
        let barely = finalist("a=3", &[0.999, 1.019, 1.009, 0.999]);
        let all = [default.clone(), once.clone(), faster.clone()];
        let (at, margin) = winner(&all);
        assert!(at == 2 && (margin - 0.0203).abs() < 1e-3, "{at} {margin}");
        assert_eq!(winner(&[default.clone(), once, barely]), (0, 0.0), "no winner but the default");
        assert_eq!(winner(&[default]), (0, 0.0));
    }
}
