//! The cases that are tried: how many rounds and steps loops take, and which way `if`s go, where memory decides that.
//!
//! A case answers questions. Which are asked depends on the kernel: one without unknown conditions asks for no way, and then cases that differ
//! only in their ways are one.

use super::program::Program;
use std::collections::BTreeSet;

/// What a simulation asks of its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// How many rounds the loop over programs takes.
    Rounds,
    /// How many steps the `n`th loop takes, of those that nothing decided before.
    Steps(usize),
    /// Which way the `n`th `if` goes, of those that nothing decided before.
    Way(usize),
    /// The number of this block of threads.
    Cta,
    /// The number of blocks of threads.
    Ctas,
    /// Whether the largest size with the wanted number of steps is taken, not the smallest.
    Large,
}

/// One way for everything unknown to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    rounds: u32,
    /// Of the first loops that are asked about, one after another.
    steps: Vec<u32>,
    /// One of [`PATTERNS`].
    pattern: usize,
}

/// Ways of `if`s, taken in turn: never, always, alternating, in pairs, and no rule.
const PATTERNS: [&[bool]; 6] = [
    &[false],
    &[true],
    &[true, false],
    &[false, true],
    &[true, true, false, false],
    &[true, false, false, true, true, true, false],
];

impl Case {
    /// The answer to a question.
    pub fn answer(&self, q: Question) -> i32 {
        match q {
            Question::Rounds => self.rounds as i32,
            // Behind the last the numbers start over as others, so that two lists never come out alike by chance.
            Question::Steps(n) => {
                (self.steps[n % self.steps.len()] as usize + n / self.steps.len() % 4) as i32
            }
            Question::Way(n) => PATTERNS[self.pattern][n % PATTERNS[self.pattern].len()] as i32,
            Question::Cta => self.rounds.is_multiple_of(2) as i32,
            Question::Ctas => 1 + self.rounds.is_multiple_of(2) as i32,
            Question::Large => (self.rounds % 2) as i32,
        }
    }
}

/// The questions that were asked in a case, with their answers.
#[derive(Clone, Debug, Default)]
pub struct Log(pub Vec<(Question, i32)>);

impl Log {
    /// Whether another case would have been asked the same and answered the same, so that it need not be tried.
    pub fn answered_alike_by(&self, case: &Case) -> bool {
        self.0.iter().all(|&(q, a)| case.answer(q) == a)
    }

    /// The case in words: `2 rounds, steps of loops: 0, 3`; empty where nothing was asked.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some((_, n)) = self.0.iter().find(|(q, _)| *q == Question::Rounds) {
            parts.push(format!("{n} round{}", if *n == 1 { "" } else { "s" }));
        }
        let mut steps: Vec<(usize, i32)> = Vec::new();
        for &(q, a) in &self.0 {
            if let Question::Steps(n) = q
                && !steps.iter().any(|s| s.0 == n)
            {
                steps.push((n, a));
            }
        }
        if !steps.is_empty() {
            let list: Vec<String> = steps.iter().map(|s| s.1.to_string()).collect();
            parts.push(format!("steps of loops: {}", list.join(", ")));
        }
        parts.join(", ")
    }
}

/// All cases, small ones first: 0, 1, 2, as many steps as a ring has stages, one more, and twice as many and one; rounds 0 to 3, with equal and
/// with different steps in successive rounds.
pub fn all(program: &Program) -> impl Iterator<Item = Case> {
    let mut steps = BTreeSet::from([0, 1, 2]);
    for &s in &program.stages {
        steps.extend([s, s.saturating_add(1), s.saturating_mul(2).saturating_add(1)]);
    }
    let steps: Vec<u32> = steps.into_iter().collect();
    let n = steps.len();
    let mut cases: Vec<(u32, Vec<u32>)> = vec![(0, vec![1])];
    cases.extend(steps.iter().map(|&s| (1, vec![s])));
    cases.extend(steps.iter().map(|&s| (2, vec![s, s])));
    for far in [1, n - 1] {
        for i in 0..n {
            cases.push((3, (0..3).map(|j| steps[(i + j * far) % n]).collect()));
        }
    }
    (0..PATTERNS.len()).flat_map(move |pattern| {
        // Ways depend little on numbers of rounds: with the later patterns every fifth case will do.
        let chosen = cases.iter().enumerate().filter(move |(i, _)| pattern == 0 || i % 5 == pattern % 5);
        let chosen =
            chosen.map(move |(_, (rounds, steps))| Case { rounds: *rounds, steps: steps.clone(), pattern });
        chosen.collect::<Vec<Case>>()
    })
}
