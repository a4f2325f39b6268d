//! How far two right implementations may differ in a float value.
//!
//! A value that is *whole* (an integer of small magnitude) is computed exactly in any order and with any fusing of products and
//! sums. Everything else gains a rounding per op.

use crate::ir::Elem;

/// What is known of a float value, or of every element of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Largest magnitude.
    pub max: f64,
    /// Largest difference between implementations.
    pub err: f64,
    /// Integers only.
    pub whole: bool,
}

/// Generous for one op in f32, approximate functions of GPUs included, relative to the largest magnitude.
const ROUNDING: f64 = 1.0 / (1 << 20) as f64;

/// Whole numbers up to this magnitude are exact in f32, sums of two included.
const WHOLE: f64 = (1 << 23) as f64;

impl Bound {
    /// Values that all implementations have alike.
    pub fn given(max: f64, whole: bool) -> Bound {
        Bound { max, err: 0.0, whole }
    }

    /// Whether all implementations agree.
    pub fn exact(self) -> bool {
        self.err == 0.0
    }

    /// Whether it is useful to go on with: neither huge nor vague.
    pub fn usable(self) -> bool {
        self.max <= 1e5 && self.err <= 0.02
    }

    /// A result of magnitude `max` that inherits the difference `err`, rounded unless it is whole.
    fn rounded(max: f64, err: f64, whole: bool) -> Bound {
        let whole = whole && err == 0.0 && max <= WHOLE;
        Bound { max, err: if whole { 0.0 } else { err + max * ROUNDING }, whole }
    }

    /// Sum or difference.
    pub fn add(self, o: Bound) -> Bound {
        Bound::rounded(self.max + o.max, self.err + o.err, self.whole && o.whole)
    }

    /// Product.
    pub fn mul(self, o: Bound) -> Bound {
        let err = self.err * o.max + o.err * self.max + self.err * o.err;
        Bound::rounded(self.max * o.max, err, self.whole && o.whole)
    }

    /// Sum of `n` of these, in any order.
    pub fn sum(self, n: usize) -> Bound {
        let n = n as f64;
        let b = Bound::rounded(self.max * n, self.err * n, self.whole);
        Bound { err: if b.whole { 0.0 } else { self.err * n + self.max * n * n.sqrt() * ROUNDING }, ..b }
    }

    /// Either of two values: `min`, `max`, `select`, the sides of a branch.
    pub fn either(self, o: Bound) -> Bound {
        Bound { max: self.max.max(o.max), err: self.err.max(o.err), whole: self.whole && o.whole }
    }

    /// A function with slope at most `slope` and values up to `max`.
    pub fn through(self, slope: f64, max: f64) -> Bound {
        Bound::rounded(max, self.err * slope, false)
    }

    /// A cast from f32 to a float type. A value that differs may be rounded to the other side.
    pub fn cast(self, to: Elem) -> Bound {
        let step = match to {
            Elem::BF16 => 1.0 / 128.0,
            Elem::F16 => 1.0 / 1024.0,
            _ => return self,
        };
        let max = self.max * (1.0 + step);
        if self.exact() {
            Bound { max, ..self }
        } else {
            Bound { max, err: self.err + max * step, whole: false }
        }
    }
}
