//! Exponentials and logarithms as arithmetic on vectors: no call leaves the loop.
//!
//! Each splits its argument into an integer, which becomes or comes from the exponent's bits, and a remainder in a short interval, on which
//! a polynomial (interpolated at Chebyshev nodes) is as exact as f32. They are right over the whole range: zeros, denormal numbers,
//! infinities and NaN.

use super::{Lower, vector};

/// 2^f on [-1/2, 1/2], lowest power first.
const EXP2: [f32; 7] =
    [1.0, std::f32::consts::LN_2, 2.402_265e-1, 5.550_327e-2, 9.618_057e-3, 1.340_042_8e-3, 1.546_144_5e-4];
/// e^r on [-ln 2 / 2, ln 2 / 2].
const EXP: [f32; 7] = [1.0, 1.0, 0.5, 1.666_641_5e-1, 4.166_635e-2, 8.375_128e-3, 1.394_111_1e-3];
/// (ln(1 + t) - t + t^2/2) / t^3 on [sqrt(1/2) - 1, sqrt(2) - 1].
const LOG: [f32; 9] = [
    3.333_333e-1,
    -2.499_999_7e-1,
    2.000_071_6e-1,
    -1.666_780_3e-1,
    1.424_905_8e-1,
    -1.242_568_7e-1,
    1.168_542e-1,
    -1.147_973_4e-1,
    6.971_611e-2,
];
/// Adding and subtracting it rounds to an integer: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has so few bits that its products with exponents are exact.
const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// Writes instructions of one vector length into one scope.
struct Emit<'a, 'k> {
    l: &'a mut Lower<'k>,
    lanes: usize,
    depth: usize,
}

impl Emit<'_, '_> {
    fn f(&mut self, op: &str, args: &[&str]) -> String {
        let ty = vector("f32", self.lanes);
        self.l.code.pure(self.depth, &format!("{op} {} : {ty}", args.join(", ")))
    }

    fn i(&mut self, op: &str, args: &[&str]) -> String {
        let ty = vector("i32", self.lanes);
        self.l.code.pure(self.depth, &format!("{op} {} : {ty}", args.join(", ")))
    }

    fn c(&mut self, v: f32) -> String {
        self.l.float(v, self.lanes)
    }

    fn n(&mut self, v: i32) -> String {
        self.l.int(v, self.lanes)
    }

    fn bits(&mut self, x: &str) -> String {
        let (f, i) = (vector("f32", self.lanes), vector("i32", self.lanes));
        self.l.code.pure(self.depth, &format!("arith.bitcast {x} : {f} to {i}"))
    }

    fn float_of_bits(&mut self, x: &str) -> String {
        let (f, i) = (vector("f32", self.lanes), vector("i32", self.lanes));
        self.l.code.pure(self.depth, &format!("arith.bitcast {x} : {i} to {f}"))
    }

    fn select(&mut self, cond: &str, a: &str, b: &str) -> String {
        let ty = vector("f32", self.lanes);
        let bits = if self.lanes == 1 { String::new() } else { format!("{}, ", vector("i1", self.lanes)) };
        self.l.code.pure(self.depth, &format!("arith.select {cond}, {a}, {b} : {bits}{ty}"))
    }

    /// `a * b + c`; rounded once where the processor can.
    fn fma(&mut self, a: &str, b: &str, c: &str) -> String {
        if self.l.host.fma {
            return self.f("math.fma", &[a, b, c]);
        }
        let p = self.f("arith.mulf", &[a, b]);
        self.f("arith.addf", &[&p, c])
    }

    fn polynomial(&mut self, x: &str, coefficients: &[f32]) -> String {
        let mut sum = self.c(coefficients[coefficients.len() - 1]);
        for &c in coefficients.iter().rev().skip(1) {
            let c = self.c(c);
            sum = self.fma(&sum, x, &c);
        }
        sum
    }

    /// Brings x into [lo, hi]; NaN stays.
    fn clamp(&mut self, x: &str, lo: f32, hi: f32) -> String {
        let (lo, hi) = (self.c(lo), self.c(hi));
        let below = self.f("arith.cmpf olt,", &[x, &lo]);
        let x = self.select(&below, &lo, x);
        let above = self.f("arith.cmpf ogt,", &[&x, &hi]);
        self.select(&above, &hi, &x)
    }

    /// The nearest integer of a small x, as a float and as an i32.
    fn round(&mut self, x: &str) -> (String, String) {
        let magic = self.c(ROUND);
        let up = self.f("arith.addf", &[x, &magic]);
        let whole = self.f("arith.subf", &[&up, &magic]);
        let bits = self.bits(&up);
        let base = self.n(ROUND.to_bits() as i32);
        (whole, self.i("arith.subi", &[&bits, &base]))
    }

    /// `m * 2^n` for n in -160..160, given as a float and as an i32; rounds once, to denormal numbers too.
    fn scale(&mut self, m: &str, whole: &str, n: &str) -> String {
        if self.l.host.scalef && self.lanes == 16 {
            let ty = vector("f32", 16);
            let (mask, rounding) = (self.l.code.constant("-1 : i16"), self.l.code.constant("4 : i32"));
            return self.l.code.pure(
                self.depth,
                &format!(
                    "llvm.call_intrinsic \"llvm.x86.avx512.mask.scalef.ps.512\"({m}, {whole}, {m}, {mask}, {rounding}) : \
                     ({ty}, {ty}, {ty}, i16, i32) -> {ty}"
                ),
            );
        }
        let (one, bias, place) = (self.n(1), self.n(127), self.n(23));
        let half = self.i("arith.shrsi", &[n, &one]);
        let rest = self.i("arith.subi", &[n, &half]);
        let mut m = m.to_string();
        for part in [half, rest] {
            let biased = self.i("arith.addi", &[&part, &bias]);
            let power = self.i("arith.shli", &[&biased, &place]);
            let power = self.float_of_bits(&power);
            m = self.f("arith.mulf", &[&m, &power]);
        }
        m
    }

    /// x = (1 + t) * 2^e with 1 + t in [sqrt(1/2), sqrt(2)); returns t, e and ln(1 + t) - t. For x that are not positive and finite the
    /// results mean nothing.
    fn split(&mut self, x: &str) -> (String, String, String) {
        let tiny = self.c(f32::MIN_POSITIVE);
        let small = self.f("arith.cmpf olt,", &[x, &tiny]);
        let two23 = self.c(8_388_608.0);
        let grown = self.f("arith.mulf", &[x, &two23]);
        let x = self.select(&small, &grown, x);
        let bits = self.bits(&x);
        // Where the bits exceed those of sqrt(1/2), counted in exponents, is e.
        let base = self.n(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32);
        let above = self.i("arith.subi", &[&bits, &base]);
        let place = self.n(23);
        let e = self.i("arith.shrsi", &[&above, &place]);
        let cut = self.i("arith.shli", &[&e, &place]);
        let m = self.i("arith.subi", &[&bits, &cut]);
        let m = self.float_of_bits(&m);
        let one = self.c(1.0);
        let t = self.f("arith.subf", &[&m, &one]);
        let (fi, ff) = (vector("i32", self.lanes), vector("f32", self.lanes));
        let e = self.l.code.pure(self.depth, &format!("arith.sitofp {e} : {fi} to {ff}"));
        let less = self.c(-23.0);
        let lowered = self.f("arith.addf", &[&e, &less]);
        let e = self.select(&small, &lowered, &e);
        let q = self.polynomial(&t, &LOG);
        let square = self.f("arith.mulf", &[&t, &t]);
        let cube = self.f("arith.mulf", &[&square, &t]);
        let cubic = self.f("arith.mulf", &[&cube, &q]);
        let minus_half = self.c(-0.5);
        let y = self.fma(&square, &minus_half, &cubic);
        (t, e, y)
    }

    /// The ends of a logarithm's range: -inf at 0, NaN below, +inf and NaN as they are.
    fn log_ends(&mut self, x: &str, y: &str) -> String {
        let (zero, inf) = (self.c(0.0), self.c(f32::INFINITY));
        let (low, nan) = (self.c(f32::NEG_INFINITY), self.c(f32::NAN));
        let is_zero = self.f("arith.cmpf oeq,", &[x, &zero]);
        let y = self.select(&is_zero, &low, y);
        let below = self.f("arith.cmpf olt,", &[x, &zero]);
        let y = self.select(&below, &nan, &y);
        let finite = self.f("arith.cmpf olt,", &[x, &inf]);
        self.select(&finite, &y, x)
    }
}

impl<'k> Lower<'k> {
    fn emit(&mut self, lanes: usize, depth: usize) -> Emit<'_, 'k> {
        Emit { l: self, lanes, depth }
    }

    /// 2^x.
    pub(super) fn exp2(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let mut e = self.emit(lanes, depth);
        let x = e.clamp(x, -151.0, 129.0);
        let (whole, n) = e.round(&x);
        let f = e.f("arith.subf", &[&x, &whole]);
        let p = e.polynomial(&f, &EXP2);
        e.scale(&p, &whole, &n)
    }

    /// e^x.
    pub(super) fn exp(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let mut e = self.emit(lanes, depth);
        let x = e.clamp(x, -105.0, 90.0);
        let log2e = e.c(std::f32::consts::LOG2_E);
        let quotient = e.f("arith.mulf", &[&x, &log2e]);
        let (whole, n) = e.round(&quotient);
        let mut r = x;
        for part in LN2 {
            let part = e.c(-part);
            r = e.fma(&whole, &part, &r);
        }
        let p = e.polynomial(&r, &EXP);
        e.scale(&p, &whole, &n)
    }

    /// ln x.
    pub(super) fn log(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let mut e = self.emit(lanes, depth);
        let (t, exponent, y) = e.split(x);
        let (high, low) = (e.c(LN2[0]), e.c(LN2[1]));
        let y = e.fma(&exponent, &low, &y);
        let z = e.f("arith.addf", &[&t, &y]);
        let z = e.fma(&exponent, &high, &z);
        e.log_ends(x, &z)
    }

    /// log2 x.
    pub(super) fn log2(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let mut e = self.emit(lanes, depth);
        let (t, exponent, y) = e.split(x);
        // (t + y) log2(e), with the 1 of log2(e) = 1 + 0.4427 kept out of the products.
        let more = e.c(std::f32::consts::LOG2_E - 1.0);
        let z = e.f("arith.mulf", &[&y, &more]);
        let z = e.fma(&t, &more, &z);
        let z = e.f("arith.addf", &[&z, &y]);
        let z = e.f("arith.addf", &[&z, &t]);
        let z = e.f("arith.addf", &[&z, &exponent]);
        e.log_ends(x, &z)
    }
}
