//! Symbolic sizes: polynomials with rational coefficients over the user's names.
//!
//! Sums, differences, products and exact quotients have one normal form, so equality is equality of maps. What has none
//! (`div_ceil`, `min`, `max`, `%` and quotients that may round) is an opaque atom: equal to itself, unknown against anything else.
//! A name divided by a number counts as exact; the builder checks the numbers again.
//! This file knows nothing of tiles or expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Operations without a polynomial form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opaque {
    /// Quotient rounded down.
    Div,
    /// Quotient rounded up.
    DivCeil,
    /// Remainder.
    Rem,
    /// The smaller one.
    Min,
    /// The larger one.
    Max,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Name(String),
    Op(Opaque, Box<Poly>, Box<Poly>),
}

/// Powers of atoms; empty for the constant term.
type Mono = BTreeMap<Atom, u32>;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ratio(i128, i128);

/// A size over names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Poly(BTreeMap<Mono, Ratio>);

/// What is known of the equality of two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// For every value of the names.
    Yes,
    /// Their normal forms differ.
    No,
    /// An opaque part, or a name about which something was assumed, may make them equal.
    Maybe,
}

/// Sums beyond this many terms are given up on.
const MAX_TERMS: usize = 64;

/// Opaque parts that mention more names than this are given up on.
const MAX_NAMES: usize = 64;

impl Ratio {
    fn new(n: i128, d: i128) -> Option<Ratio> {
        let mut g = (n.checked_abs()?, d.checked_abs()?);
        while g.1 != 0 {
            g = (g.1, g.0 % g.1);
        }
        let sign = if d < 0 { -1 } else { 1 };
        (d != 0 && g.0 != 0).then(|| Ratio(sign * n / g.0, sign * d / g.0))
    }

    fn add(self, o: Ratio) -> Option<Ratio> {
        let n = self.0.checked_mul(o.1)?.checked_add(o.0.checked_mul(self.1)?)?;
        Ratio::new(n, self.1.checked_mul(o.1)?)
    }

    fn mul(self, o: Ratio) -> Option<Ratio> {
        Ratio::new(self.0.checked_mul(o.0)?, self.1.checked_mul(o.1)?)
    }

    fn inverse(self) -> Option<Ratio> {
        Ratio::new(self.1, self.0)
    }
}

impl From<i64> for Poly {
    fn from(v: i64) -> Poly {
        let mut p = Poly(BTreeMap::new());
        if v != 0 {
            p.0.insert(Mono::new(), Ratio(v.into(), 1));
        }
        p
    }
}

/// Arithmetic gives `None` where numbers overflow or sizes grow out of hand: then nothing is known.
impl Poly {
    /// A name.
    pub fn name(name: &str) -> Poly {
        Poly::atom(Atom::Name(name.to_string()))
    }

    fn atom(a: Atom) -> Poly {
        Poly([([(a, 1)].into(), Ratio(1, 1))].into())
    }

    /// The number this is, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.0.iter().next() {
            None => Some(0),
            Some((m, Ratio(n, 1))) if self.0.len() == 1 && m.is_empty() => i64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Sum.
    pub fn add(&self, o: &Poly) -> Option<Poly> {
        let mut out = self.clone();
        for (m, c) in &o.0 {
            let sum = match out.0.get(m) {
                Some(old) => old.add(*c)?,
                None => *c,
            };
            if sum.0 == 0 {
                out.0.remove(m);
            } else {
                out.0.insert(m.clone(), sum);
            }
        }
        (out.0.len() <= MAX_TERMS).then_some(out)
    }

    /// Negation.
    pub fn neg(&self) -> Option<Poly> {
        self.scale(Ratio(-1, 1))
    }

    /// Difference.
    pub fn sub(&self, o: &Poly) -> Option<Poly> {
        self.add(&o.neg()?)
    }

    fn scale(&self, by: Ratio) -> Option<Poly> {
        let terms: Option<BTreeMap<Mono, Ratio>> =
            self.0.iter().map(|(m, c)| Some((m.clone(), c.mul(by)?))).collect();
        terms.map(Poly)
    }

    /// Product.
    pub fn mul(&self, o: &Poly) -> Option<Poly> {
        let mut out = Poly::from(0);
        for (ma, ca) in &self.0 {
            for (mb, cb) in &o.0 {
                let mut m = ma.clone();
                for (a, e) in mb {
                    let power = m.entry(a.clone()).or_insert(0);
                    *power = power.checked_add(*e)?;
                }
                out = out.add(&Poly([(m, ca.mul(*cb)?)].into()))?;
            }
        }
        Some(out)
    }

    /// Quotient of integers, rounded toward zero.
    pub fn div(&self, o: &Poly) -> Option<Poly> {
        if let (Some(a), Some(b)) = (self.as_int(), o.as_int()) {
            return a.checked_div(b).map(Poly::from);
        }
        match self.exact(o) {
            Some(q) => Some(q),
            None => self.opaque(Opaque::Div, o),
        }
    }

    /// The quotient, if it is exact for all values for which the parts of it are whole.
    fn exact(&self, o: &Poly) -> Option<Poly> {
        if let [(mo, co)] = o.0.iter().collect::<Vec<_>>()[..] {
            let mut out = Poly::from(0);
            for (m, c) in &self.0 {
                let mut m = m.clone();
                for (a, e) in mo {
                    let power = m.get_mut(a).filter(|p| **p >= *e)?;
                    *power -= e;
                    if *power == 0 {
                        m.remove(a);
                    }
                }
                let c = c.mul(co.inverse()?)?;
                if m.is_empty() && c.1 != 1 {
                    return None;
                }
                out.0.insert(m, c);
            }
            return Some(out);
        }
        let (m, c) = self.0.iter().next()?;
        let by = c.mul(o.0.get(m)?.inverse()?)?;
        (by.1 == 1 && o.scale(by)? == *self).then(|| Poly([(Mono::new(), by)].into()))
    }

    /// An operation without a polynomial form; folded where the answer is plain.
    pub fn opaque(&self, op: Opaque, o: &Poly) -> Option<Poly> {
        if let (Some(a), Some(b)) = (self.as_int(), o.as_int()) {
            let folded = match op {
                Opaque::Div => a.checked_div(b)?,
                Opaque::Rem => a.checked_rem(b)?,
                Opaque::DivCeil => {
                    let q = a.checked_div_euclid(b)?;
                    if a.checked_rem_euclid(b)? == 0 { q } else { q.checked_add(1)? }
                }
                Opaque::Min => a.min(b),
                Opaque::Max => a.max(b),
            };
            return Some(folded.into());
        }
        let whole = self.exact(o).filter(|q| q.0.values().all(|c| c.1 == 1));
        match (op, whole) {
            (Opaque::Div | Opaque::DivCeil, Some(q)) => Some(q),
            (Opaque::Rem, Some(_)) => Some(0.into()),
            (Opaque::Min | Opaque::Max, _) if self == o => Some(self.clone()),
            _ if self.names().len() + o.names().len() > MAX_NAMES => None,
            _ => Some(Poly::atom(Atom::Op(op, Box::new(self.clone()), Box::new(o.clone())))),
        }
    }

    /// Whether two sizes are equal; `doubted` are names that a condition in the source ties to something.
    ///
    /// The difference is taken as a polynomial over the other names: it may be zero only if doubt touches every coefficient.
    pub fn equal(&self, o: &Poly, doubted: &BTreeSet<String>) -> Equal {
        match self.sub(o) {
            None => Equal::Maybe,
            Some(d) if d.0.is_empty() => Equal::Yes,
            Some(d) if d.0.keys().any(|m| m.keys().any(|a| matches!(a, Atom::Op(..)))) => Equal::Maybe,
            Some(d) => {
                let unsure = |a: &Atom| matches!(a, Atom::Name(n) if doubted.contains(n));
                let mut coefficients: BTreeMap<Vec<(&Atom, u32)>, bool> = BTreeMap::new();
                for m in d.0.keys() {
                    let sure = m.iter().filter(|(a, _)| !unsure(a)).map(|(a, e)| (a, *e)).collect();
                    *coefficients.entry(sure).or_default() |= m.keys().any(unsure);
                }
                if coefficients.values().all(|unsure| *unsure) { Equal::Maybe } else { Equal::No }
            }
        }
    }

    /// Every name in it.
    pub fn names(&self) -> Vec<&str> {
        let mut out = Vec::new();
        for atom in self.0.keys().flat_map(|m| m.keys()) {
            match atom {
                Atom::Name(n) => out.push(n.as_str()),
                Atom::Op(_, a, b) => out.extend(a.names().into_iter().chain(b.names())),
            }
        }
        out
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paren = |p: &Poly| if p.0.len() > 1 { format!("({p})") } else { p.to_string() };
        match self {
            Atom::Name(n) => f.write_str(n),
            Atom::Op(op, a, b) => match op {
                Opaque::Div => write!(f, "({}/{})", paren(a), paren(b)),
                Opaque::Rem => write!(f, "({}%{})", paren(a), paren(b)),
                Opaque::DivCeil => write!(f, "{}.div_ceil({b})", paren(a)),
                Opaque::Min => write!(f, "{}.min({b})", paren(a)),
                Opaque::Max => write!(f, "{}.max({b})", paren(a)),
            },
        }
    }
}

/// One term without its sign.
fn term(m: &Mono, c: Ratio) -> String {
    let mut factors = Vec::new();
    if c.0.unsigned_abs() != 1 || m.is_empty() {
        factors.push(c.0.unsigned_abs().to_string());
    }
    for (a, e) in m {
        match e {
            1..=3 => factors.extend(std::iter::repeat_n(a.to_string(), *e as usize)),
            _ => factors.push(format!("{a}^{e}")),
        }
    }
    let product = factors.join("*");
    if c.1 == 1 { product } else { format!("({product}/{})", c.1) }
}

impl fmt::Display for Poly {
    /// As a user would write it: `BM*BN`, `(D/2)`, `2*BN + 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms: Vec<_> = self.0.iter().collect();
        terms.sort_by_key(|(m, c)| (c.0 < 0, std::cmp::Reverse(m.values().sum::<u32>())));
        if terms.is_empty() {
            return f.write_str("0");
        }
        for (i, (m, c)) in terms.into_iter().enumerate() {
            let sign = match (i, c.0 < 0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            write!(f, "{sign}{}", term(m, *c))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(s: &str) -> Poly {
        Poly::name(s)
    }

    fn eq(a: &Poly, b: &Poly) -> Equal {
        a.equal(b, &BTreeSet::new())
    }

    #[test]
    fn normal_form_decides_equality() {
        let (a, b) = (n("A"), n("B"));
        let sum = a.add(&b).unwrap();
        let square = sum.mul(&sum).unwrap();
        let spelled = a.mul(&a).unwrap().add(&a.mul(&b).unwrap().mul(&2.into()).unwrap()).unwrap();
        assert_eq!(eq(&square, &spelled), Equal::No);
        assert_eq!(eq(&square, &spelled.add(&b.mul(&b).unwrap()).unwrap()), Equal::Yes);
        assert_eq!(eq(&a.sub(&a).unwrap(), &0.into()), Equal::Yes);
        assert_eq!(eq(&n("A"), &64.into()), Equal::No);
    }

    #[test]
    fn exact_quotients_are_polynomials() {
        let (a, b) = (n("A"), n("B"));
        let half = a.div(&2.into()).unwrap();
        assert_eq!(half.mul(&2.into()).unwrap(), a);
        assert_eq!(half.to_string(), "(A/2)");
        assert_eq!(a.mul(&b).unwrap().div(&b).unwrap(), a);
        let sum = a.add(&1.into()).unwrap();
        assert_eq!(sum.mul(&3.into()).unwrap().div(&sum).unwrap(), 3.into());
        assert_eq!(sum.div(&2.into()).unwrap().to_string(), "((A + 1)/2)");
        assert_eq!(Poly::from(7).div(&2.into()), Some(3.into()));
        assert_eq!(Poly::from(7).div(&0.into()), None);
        assert_eq!(a.div(&0.into()).unwrap().to_string(), "(A/0)");
    }

    #[test]
    fn opaque_parts_leave_equality_open() {
        let (a, b) = (n("A"), n("B"));
        let up = a.opaque(Opaque::DivCeil, &b).unwrap();
        assert_eq!(up.to_string(), "A.div_ceil(B)");
        assert_eq!(eq(&up, &up.clone()), Equal::Yes);
        assert_eq!(eq(&up, &a), Equal::Maybe);
        assert_eq!(a.mul(&b).unwrap().opaque(Opaque::DivCeil, &b).unwrap(), a);
        assert_eq!(a.mul(&4.into()).unwrap().opaque(Opaque::Rem, &2.into()).unwrap(), 0.into());
        assert_eq!(a.opaque(Opaque::Rem, &2.into()).unwrap().to_string(), "(A%2)");
        assert_eq!(a.opaque(Opaque::Min, &a).unwrap(), a);
        assert_eq!(Poly::from(65).opaque(Opaque::DivCeil, &64.into()), Some(2.into()));
    }

    #[test]
    fn a_name_under_an_assumption_is_doubted() {
        let doubted = BTreeSet::from(["D".to_string()]);
        assert_eq!(n("D").equal(&64.into(), &doubted), Equal::Maybe);
        assert_eq!(n("D").equal(&n("D"), &doubted), Equal::Yes);
        assert_eq!(n("E").equal(&64.into(), &doubted), Equal::No);
        assert_eq!(n("D").equal(&n("E"), &doubted), Equal::No);
        assert_eq!(n("D").mul(&n("E")).unwrap().equal(&n("E"), &doubted), Equal::Maybe);
    }

    #[test]
    fn prints_in_the_users_words() {
        let (a, b) = (n("BM"), n("BN"));
        assert_eq!(a.mul(&b).unwrap().to_string(), "BM*BN");
        assert_eq!(a.mul(&b.div(&2.into()).unwrap()).unwrap().to_string(), "(BM*BN/2)");
        assert_eq!(Poly::from(1).add(&b.mul(&2.into()).unwrap()).unwrap().to_string(), "2*BN + 1");
        assert_eq!(b.sub(&a).unwrap().to_string(), "BN - BM");
        assert_eq!(Poly::from(-3).to_string(), "-3");
    }

    #[test]
    fn repeated_squares_and_minima_stay_small() {
        let (mut power, mut nested) = (n("A"), Some(n("A")));
        for _ in 0..31 {
            power = power.mul(&power).unwrap();
            nested = nested.and_then(|p| p.opaque(Opaque::Min, &p.add(&1.into())?));
        }
        assert_eq!(power.to_string(), "A^2147483648");
        assert_eq!(power.mul(&power), None);
        assert_eq!(nested, None);
    }

    #[test]
    fn huge_sizes_are_given_up_on() {
        let mut p = Poly::from(i64::MAX);
        for _ in 0..2 {
            let Some(q) = p.mul(&p) else { return };
            p = q;
        }
        panic!("2^252 does not fit");
    }
}
