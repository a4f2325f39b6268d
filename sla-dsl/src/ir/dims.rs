//! Sizes of tensors and grids: expressions over a kernel's named runtime dims.
//!
//! They are evaluated on the host at launch (shapes, grid) and compiled into kernels where an op needs a size.
//! Arithmetic is on non-negative integers; division rounds down unless it says otherwise.

use std::fmt;

/// A size, printed as the Rust expression a user would write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DimExpr {
    /// A number.
    Const(i64),
    /// A runtime dim.
    Name(String),
    /// Sum.
    Add(Box<DimExpr>, Box<DimExpr>),
    /// Difference.
    Sub(Box<DimExpr>, Box<DimExpr>),
    /// Product.
    Mul(Box<DimExpr>, Box<DimExpr>),
    /// Quotient, rounded down.
    Div(Box<DimExpr>, Box<DimExpr>),
    /// Quotient, rounded up.
    DivCeil(Box<DimExpr>, Box<DimExpr>),
    /// Remainder.
    Rem(Box<DimExpr>, Box<DimExpr>),
    /// The smaller one.
    Min(Box<DimExpr>, Box<DimExpr>),
    /// The larger one.
    Max(Box<DimExpr>, Box<DimExpr>),
}

macro_rules! fold {
    ($name:ident, $variant:ident, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(self, rhs: DimExpr) -> DimExpr {
            let e = DimExpr::$variant(Box::new(self), Box::new(rhs));
            match e.eval(&|_| None) {
                Some(v) => DimExpr::Const(v),
                None => e.identity(),
            }
        }
    };
}

#[allow(clippy::should_implement_trait)]
impl DimExpr {
    /// A runtime dim by name.
    pub fn name(name: &str) -> DimExpr {
        DimExpr::Name(name.to_string())
    }

    fold!(add, Add, "Sum, folded where both sides are numbers.");
    fold!(sub, Sub, "Difference, folded where both sides are numbers.");
    fold!(mul, Mul, "Product, folded where both sides are numbers.");
    fold!(div, Div, "Quotient rounded down, folded where both sides are numbers.");
    fold!(div_ceil, DivCeil, "Quotient rounded up, folded where both sides are numbers.");
    fold!(rem, Rem, "Remainder, folded where both sides are numbers.");
    fold!(min, Min, "The smaller one, folded where both sides are numbers.");
    fold!(max, Max, "The larger one, folded where both sides are numbers.");

    /// Removes `+ 0`, `- 0`, `* 1` and `/ 1`.
    fn identity(self) -> DimExpr {
        use DimExpr::*;
        match self {
            Add(a, b) | Sub(a, b) if *b == Const(0) => *a,
            Add(a, b) if *a == Const(0) => *b,
            Mul(a, b) | Div(a, b) | DivCeil(a, b) if *b == Const(1) => *a,
            Mul(a, b) if *a == Const(1) => *b,
            e => e,
        }
    }

    /// The number this is, if it is one.
    pub fn as_const(&self) -> Option<i64> {
        match self {
            DimExpr::Const(c) => Some(*c),
            _ => None,
        }
    }

    /// The value under an assignment of the names; `None` if a name has none, on overflow, or on division by zero.
    pub fn eval(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        use DimExpr::*;
        let both = |a: &DimExpr, b: &DimExpr| Some((a.eval(lookup)?, b.eval(lookup)?));
        match self {
            Const(c) => Some(*c),
            Name(n) => lookup(n),
            Add(a, b) => both(a, b).and_then(|(x, y)| x.checked_add(y)),
            Sub(a, b) => both(a, b).and_then(|(x, y)| x.checked_sub(y)),
            Mul(a, b) => both(a, b).and_then(|(x, y)| x.checked_mul(y)),
            Div(a, b) => both(a, b).and_then(|(x, y)| x.checked_div_euclid(y)),
            DivCeil(a, b) => both(a, b)
                .and_then(|(x, y)| if y <= 0 { None } else { Some(x.checked_add(y - 1)?.div_euclid(y)) }),
            Rem(a, b) => both(a, b).and_then(|(x, y)| x.checked_rem_euclid(y)),
            Min(a, b) => both(a, b).map(|(x, y)| x.min(y)),
            Max(a, b) => both(a, b).map(|(x, y)| x.max(y)),
        }
    }

    /// The first proper part, innermost first, that is negative under an assignment of the names. Sizes are not, and compiled code divides
    /// them as unsigned numbers. Operands of `max` may be: `(L - 64).max(0)` is a size for every `L`.
    pub fn negative_part(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<&DimExpr> {
        use DimExpr::*;
        let (operands, signed) = match self {
            Const(_) | Name(_) => return None,
            Max(a, b) => ([a, b], true),
            Add(a, b) | Sub(a, b) | Mul(a, b) | Div(a, b) | DivCeil(a, b) | Rem(a, b) | Min(a, b) => {
                ([a, b], false)
            }
        };
        operands.into_iter().find_map(|e| {
            let whole = || (!signed && e.eval(lookup).is_some_and(|v| v < 0)).then_some(&**e);
            e.negative_part(lookup).or_else(whole)
        })
    }

    /// Every runtime dim mentioned, in order of first mention.
    pub fn names(&self) -> Vec<&str> {
        fn go<'a>(e: &'a DimExpr, out: &mut Vec<&'a str>) {
            use DimExpr::*;
            match e {
                Const(_) => {}
                Name(n) => {
                    if !out.contains(&n.as_str()) {
                        out.push(n);
                    }
                }
                Add(a, b)
                | Sub(a, b)
                | Mul(a, b)
                | Div(a, b)
                | DivCeil(a, b)
                | Rem(a, b)
                | Min(a, b)
                | Max(a, b) => {
                    go(a, out);
                    go(b, out);
                }
            }
        }
        let mut out = Vec::new();
        go(self, &mut out);
        out
    }
}

impl From<i64> for DimExpr {
    fn from(v: i64) -> Self {
        DimExpr::Const(v)
    }
}

impl fmt::Display for DimExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DimExpr::*;
        match self {
            Const(c) => write!(f, "{c}"),
            Name(n) => f.write_str(n),
            Add(a, b) => write!(f, "({a} + {b})"),
            Sub(a, b) => write!(f, "({a} - {b})"),
            Mul(a, b) => write!(f, "({a} * {b})"),
            Div(a, b) => write!(f, "({a} / {b})"),
            Rem(a, b) => write!(f, "({a} % {b})"),
            DivCeil(a, b) => write!(f, "{a}.div_ceil({b})"),
            Min(a, b) => write!(f, "{a}.min({b})"),
            Max(a, b) => write!(f, "{a}.max({b})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_and_prints_as_rust() {
        let l = DimExpr::name("L");
        assert_eq!(DimExpr::from(7).div_ceil(2.into()), DimExpr::Const(4));
        assert_eq!(l.clone().mul(1.into()), l);
        let e = l.div_ceil(64.into()).mul(2.into());
        assert_eq!(e.to_string(), "(L.div_ceil(64) * 2)");
        assert_eq!(e.eval(&|n| (n == "L").then_some(65)), Some(4));
        assert_eq!(e.eval(&|_| None), None);
    }

    #[test]
    fn negative_parts_are_found() {
        let short = || DimExpr::name("L").sub(64.into());
        let at = |e: &DimExpr, l: i64| e.negative_part(&|_| Some(l)).map(|p| p.to_string());
        let e = short().div(2.into()).add(40.into());
        assert_eq!(e.eval(&|_| Some(10)), Some(13));
        assert_eq!(at(&e, 10).as_deref(), Some("(L - 64)"));
        assert_eq!(at(&e, 64), None);
        assert_eq!(at(&short(), 10), None);
        let e = short().max(0.into()).add(1.into());
        assert_eq!(at(&e, 10), None);
        let e = short().rem(8.into()).max(0.into());
        assert_eq!(at(&e, 10).as_deref(), Some("(L - 64)"));
    }

    #[test]
    fn hostile_sizes_do_not_overflow() {
        let e = DimExpr::name("L").mul(DimExpr::name("L"));
        assert_eq!(e.eval(&|_| Some(i64::MAX)), None);
        assert_eq!(DimExpr::from(3).div(0.into()).eval(&|_| None), None);
    }
}
