//! Chooses unknowns so that a loop takes the steps a case wants, or an `if` its way.
//!
//! One unknown of an expression is searched for, the others get numbers of no meaning; bounds grow with what they are made of in all but odd
//! kernels, so doubling and halving finds it. Where no number gives what is wanted, the case is another than wanted, and still one that can be.

use super::cases::Question;
use super::numbers::{Num, Numbers};

/// Odd bounds, which do not grow, are looked for among the first numbers.
const ODD: i32 = 64;

/// Blocks of a size that is larger than wanted: enough for all rounds of a case.
const MANY: i32 = 16;

impl Numbers<'_> {
    /// Decides the bounds of a loop: its first counter and how many steps it takes. `rounds` says that it goes over programs.
    pub fn trips(&mut self, lo: Num, hi: Num, step: i64, rounds: bool) -> (i32, i64) {
        let missing = self.missing(&[lo, hi]);
        if !missing.is_empty() {
            let want = if rounds {
                self.ask(Question::Rounds)
            } else {
                self.loops += 1;
                self.ask(Question::Steps(self.loops - 1))
            };
            self.searching = true;
            self.steer(&missing, want.into(), &|n| n.count(lo, hi, step));
            self.searching = false;
        }
        (self.eval(lo).unwrap_or(0), self.count(lo, hi, step))
    }

    fn count(&mut self, lo: Num, hi: Num, step: i64) -> i64 {
        let (lo, hi) = (self.eval(lo).unwrap_or(0) as i64, self.eval(hi).unwrap_or(0) as i64);
        if hi <= lo { 0 } else { (hi - lo + step - 1) / step.max(1) }
    }

    /// Decides a condition.
    pub fn truth(&mut self, n: Num) -> bool {
        let missing = self.missing(&[n]);
        if !missing.is_empty() {
            self.searching = true;
            self.lead(&missing, n);
            self.searching = false;
        }
        self.eval(n).unwrap_or(0) != 0
    }

    /// Gives numbers to all that is missing, so that the condition goes its way where it can.
    fn lead(&mut self, missing: &[u32], n: Num) {
        self.ways += 1;
        let way = self.ask(Question::Way(self.ways - 1));
        let steps = self.ask(Question::Steps(self.loops));
        self.fill(missing);
        for &unknown in missing {
            let (before, (unit, most)) = (self.value[unknown as usize], self.domain(unknown));
            // A loop over the same unknown may follow, so a number that it would want goes first.
            let scale = if self.is_size(unknown) { self.program.block } else { 1 };
            let near = self.program.constants.iter().flat_map(|&c| [c, c.wrapping_sub(1), c.wrapping_add(1)]);
            let first = [steps.wrapping_mul(scale), 0, 1, 2, 3];
            for x in first.into_iter().chain(near).filter(|&x| x >= 0) {
                let x = (x.saturating_add(unit - 1) / unit * unit).min(most);
                self.value[unknown as usize] = Some(x);
                if self.eval(n).unwrap_or(0) == way {
                    return;
                }
            }
            self.value[unknown as usize] = before;
        }
    }

    fn fill(&mut self, missing: &[u32]) {
        for &m in missing {
            self.value[m as usize] = Some(self.default(m));
        }
    }

    /// Gives numbers to all that is missing, with `f` as wanted where that can be.
    fn steer(&mut self, missing: &[u32], want: i64, f: &dyn Fn(&mut Self) -> i64) {
        self.fill(missing);
        let large = self.ask(Question::Large) != 0;
        for &unknown in missing {
            let before = self.value[unknown as usize];
            if self.search(unknown, want, large, f) {
                return;
            }
            self.value[unknown as usize] = before;
        }
        // Either it cannot be so small, or something known keeps it smaller: then this unknown should not do so in later rounds.
        if let Some(&first) = missing.first() {
            self.value[first as usize] = Some(0);
            if f(self) > want {
                return;
            }
            let (unit, most) = self.domain(first);
            let scale = if self.is_size(first) { self.program.block } else { 1 };
            let many = MANY.saturating_mul(scale.max(unit)) / unit * unit;
            self.value[first as usize] = Some(many.min(most));
        }
    }

    /// Finds a number for one unknown, the smallest or the largest; whether there is one.
    fn search(&mut self, unknown: u32, want: i64, large: bool, f: &dyn Fn(&mut Self) -> i64) -> bool {
        let (unit, most) = self.domain(unknown);
        let most = most / unit;
        let mut at = |y: i32| {
            self.value[unknown as usize] = Some(y * unit);
            f(self)
        };
        let mut first_above = |want: i64| -> Option<i32> {
            if at(0) >= want {
                return Some(0);
            }
            let mut above = 1;
            while at(above) < want {
                if above >= most {
                    return None;
                }
                above = above.saturating_mul(2).min(most);
            }
            let mut below = above / 2;
            while above - below > 1 {
                let middle = below + (above - below) / 2;
                if at(middle) >= want { above = middle } else { below = middle }
            }
            Some(above)
        };
        if let Some(smallest) = first_above(want) {
            let largest = first_above(want + 1).map(|y| y - 1).filter(|&y| y >= smallest && large);
            let y = largest.unwrap_or(smallest);
            if at(y) == want {
                return true;
            }
        }
        (0..=ODD.min(most)).any(|y| at(y) == want)
    }
}
