//! Element types: casts between them, and between memory and registers.
//!
//! 16-bit floats are f32 in registers, already rounded. bf16 is the upper half of an f32, so its conversions are shifts. f16 uses the
//! processor's conversions where it has them; elsewhere the same is done with integers, because LLVM would call a library once per element.

use super::{Lower, register, vector};
use sla_dsl::ir::Elem;

impl Lower<'_> {
    fn pure_as(&mut self, depth: usize, op: &str, args: &[&str], ty: &str) -> String {
        self.code.pure(depth, &format!("{op} {} : {ty}", args.join(", ")))
    }

    fn convert(&mut self, depth: usize, op: &str, x: &str, from: &str, to: &str, lanes: usize) -> String {
        let (from, to) = (vector(from, lanes), vector(to, lanes));
        self.code.pure(depth, &format!("{op} {x} : {from} to {to}"))
    }

    fn select(&mut self, depth: usize, cond: &str, a: &str, b: &str, ty: &str, lanes: usize) -> String {
        let cond_ty = if lanes == 1 { String::new() } else { format!("{}, ", vector("i1", lanes)) };
        self.code.pure(depth, &format!("arith.select {cond}, {a}, {b} : {cond_ty}{}", vector(ty, lanes)))
    }

    /// Another element type, both as in registers.
    pub(super) fn cast(&mut self, from: Elem, to: Elem, x: &str, lanes: usize, depth: usize) -> String {
        let (f, i) = (vector("f32", lanes), vector("i32", lanes));
        if to == Elem::Bool {
            let zero = self.zero(register(from), lanes);
            return match register(from) {
                "f32" => self.pure_as(depth, "arith.cmpf une,", &[x, &zero], &f),
                "i32" => self.pure_as(depth, "arith.cmpi ne,", &[x, &zero], &i),
                _ => x.to_string(),
            };
        }
        match (register(from), register(to)) {
            ("f32", "f32") => self.round_to(to, x, lanes, depth),
            ("i32", "f32") => {
                let y = self.convert(depth, "arith.sitofp", x, "i32", "f32", lanes);
                self.round_to(to, &y, lanes, depth)
            }
            (_, "f32") => self.convert(depth, "arith.uitofp", x, "i1", "f32", lanes),
            ("f32", _) => {
                let y = self.truncate(x, lanes, depth);
                self.wrap_to(to, &y, lanes, depth)
            }
            ("i32", _) => self.wrap_to(to, x, lanes, depth),
            _ => self.convert(depth, "arith.extui", x, "i1", "i32", lanes),
        }
    }

    /// An i32 reduced to the range of an integer type.
    fn wrap_to(&mut self, to: Elem, x: &str, lanes: usize, depth: usize) -> String {
        if to != Elem::I8 {
            return x.to_string();
        }
        let (ty, by) = (vector("i32", lanes), self.int(24, lanes));
        let up = self.pure_as(depth, "arith.shli", &[x, &by], &ty);
        self.pure_as(depth, "arith.shrsi", &[&up, &by], &ty)
    }

    /// f32 to i32: toward zero, saturated, NaN to 0.
    fn truncate(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let f = vector("f32", lanes);
        let (low, high) = (self.float(-2_147_483_648.0, lanes), self.float(2_147_483_648.0, lanes));
        let over = self.pure_as(depth, "arith.cmpf oge,", &[x, &high], &f);
        let fits_low = self.pure_as(depth, "arith.cmpf oge,", &[x, &low], &f);
        let under = self.pure_as(depth, "arith.cmpf olt,", &[x, &low], &f);
        let zero = self.zero("f32", lanes);
        let safe = self.select(depth, &fits_low, x, &zero, "f32", lanes);
        let safe = self.select(depth, &over, &zero, &safe, "f32", lanes);
        let y = self.convert(depth, "arith.fptosi", &safe, "f32", "i32", lanes);
        let (least, most) = (self.int(i32::MIN, lanes), self.int(i32::MAX, lanes));
        let y = self.select(depth, &over, &most, &y, "i32", lanes);
        self.select(depth, &under, &least, &y, "i32", lanes)
    }

    /// An f32 rounded to nearest even in a float type, as an f32.
    fn round_to(&mut self, to: Elem, x: &str, lanes: usize, depth: usize) -> String {
        match to {
            Elem::BF16 => self.round_bf16(x, lanes, depth),
            Elem::F16 if self.host.f16c => {
                let half = self.convert(depth, "arith.truncf", x, "f32", "f16", lanes);
                self.convert(depth, "arith.extf", &half, "f16", "f32", lanes)
            }
            Elem::F16 => self.round_f16(x, lanes, depth),
            _ => x.to_string(),
        }
    }

    /// Rounds the bits of an f32 to a multiple of `2^drop`, to nearest even. Carries run into the exponent, as they should.
    fn round_bits(&mut self, x: &str, drop: i32, lanes: usize, depth: usize) -> String {
        let i = vector("i32", lanes);
        let bits = self.convert(depth, "arith.bitcast", x, "f32", "i32", lanes);
        let (place, one) = (self.int(drop, lanes), self.int(1, lanes));
        let odd = self.pure_as(depth, "arith.shrui", &[&bits, &place], &i);
        let odd = self.pure_as(depth, "arith.andi", &[&odd, &one], &i);
        let below_half = self.int((1 << (drop - 1)) - 1, lanes);
        let up = self.pure_as(depth, "arith.addi", &[&bits, &below_half], &i);
        let up = self.pure_as(depth, "arith.addi", &[&up, &odd], &i);
        let keep = self.int(-(1 << drop), lanes);
        let cut = self.pure_as(depth, "arith.andi", &[&up, &keep], &i);
        self.convert(depth, "arith.bitcast", &cut, "i32", "f32", lanes)
    }

    fn round_bf16(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let rounded = self.round_bits(x, 16, lanes, depth);
        // A NaN whose bits are all low would round to infinity.
        let nan = self.float(f32::NAN, lanes);
        let is_nan = self.pure_as(depth, "arith.cmpf uno,", &[x, x], &vector("f32", lanes));
        self.select(depth, &is_nan, &nan, &rounded, "f32", lanes)
    }

    fn round_f16(&mut self, x: &str, lanes: usize, depth: usize) -> String {
        let f = vector("f32", lanes);
        let size = self.pure_as(depth, "math.absf", &[x], &f);
        let normal = self.round_bits(&size, 13, lanes, depth);
        // Below 2^-14 the numbers are multiples of 2^-24, which are also the steps of f32 just above 1/2.
        let half = self.float(0.5, lanes);
        let up = self.pure_as(depth, "arith.addf", &[&size, &half], &f);
        let small = self.pure_as(depth, "arith.subf", &[&up, &half], &f);
        let least = self.float(f32::from_bits(0x3880_0000), lanes);
        let is_small = self.pure_as(depth, "arith.cmpf olt,", &[&size, &least], &f);
        let y = self.select(depth, &is_small, &small, &normal, "f32", lanes);
        let (most, inf) = (self.float(65504.0, lanes), self.float(f32::INFINITY, lanes));
        let over = self.pure_as(depth, "arith.cmpf ogt,", &[&y, &most], &f);
        let y = self.select(depth, &over, &inf, &y, "f32", lanes);
        let y = self.pure_as(depth, "math.copysign", &[&y, x], &f);
        let is_nan = self.pure_as(depth, "arith.cmpf uno,", &[x, x], &f);
        self.select(depth, &is_nan, x, &y, "f32", lanes)
    }

    /// f32 from the bits of a 16-bit float, an i16.
    pub(super) fn widen_bits(&mut self, elem: Elem, bits: &str, lanes: usize) -> String {
        let i = vector("i32", lanes);
        let depth = self.code.depth();
        let wide = self.convert(depth, "arith.extui", bits, "i16", "i32", lanes);
        let shift = |l: &mut Self, x: &str, by: i32| {
            let by = l.int(by, lanes);
            l.pure_as(depth, "arith.shli", &[x, &by], &i)
        };
        if elem == Elem::BF16 {
            let up = shift(self, &wide, 16);
            return self.convert(depth, "arith.bitcast", &up, "i32", "f32", lanes);
        }
        let low = self.int(0x7fff, lanes);
        let size = self.pure_as(depth, "arith.andi", &[&wide, &low], &i);
        let sign = self.int(0x8000, lanes);
        let sign = self.pure_as(depth, "arith.andi", &[&wide, &sign], &i);
        let sign = shift(self, &sign, 16);
        // As an f32 with the same exponent bits the number is 2^112 times too small, denormal ones included.
        let up = shift(self, &size, 13);
        let small = self.convert(depth, "arith.bitcast", &up, "i32", "f32", lanes);
        let f = vector("f32", lanes);
        let scale = self.float(f32::from_bits(0x7780_0000), lanes);
        let value = self.pure_as(depth, "arith.mulf", &[&small, &scale], &f);
        let value = self.convert(depth, "arith.bitcast", &value, "f32", "i32", lanes);
        let top = self.int(0x7c00, lanes);
        let special = self.pure_as(depth, "arith.cmpi sge,", &[&size, &top], &i);
        let exponent = self.int(0x7f80_0000, lanes);
        let ends = self.pure_as(depth, "arith.ori", &[&up, &exponent], &i);
        let value = self.select(depth, &special, &ends, &value, "i32", lanes);
        let value = self.pure_as(depth, "arith.ori", &[&value, &sign], &i);
        self.convert(depth, "arith.bitcast", &value, "i32", "f32", lanes)
    }

    /// The bits, an i16, of an f32 that is a 16-bit float's value.
    fn narrow_bits(&mut self, elem: Elem, x: &str, lanes: usize) -> String {
        let (i, f) = (vector("i32", lanes), vector("f32", lanes));
        let depth = self.code.depth();
        let bits = self.convert(depth, "arith.bitcast", x, "f32", "i32", lanes);
        let shift = |l: &mut Self, x: &str, by: i32| {
            let by = l.int(by, lanes);
            l.pure_as(depth, "arith.shrui", &[x, &by], &i)
        };
        if elem == Elem::BF16 {
            let top = shift(self, &bits, 16);
            return self.convert(depth, "arith.trunci", &top, "i32", "i16", lanes);
        }
        // The opposite of `widen_bits`: scaled by 2^-112 the upper bits are those of an f16.
        let size = self.pure_as(depth, "math.absf", &[x], &f);
        let scale = self.float(f32::from_bits(0x0780_0000), lanes);
        let small = self.pure_as(depth, "arith.mulf", &[&size, &scale], &f);
        let small = self.convert(depth, "arith.bitcast", &small, "f32", "i32", lanes);
        let small = shift(self, &small, 13);
        let (inf, nan) = (self.int(0x7c00, lanes), self.int(0x7e00, lanes));
        let most = self.float(f32::INFINITY, lanes);
        let is_inf = self.pure_as(depth, "arith.cmpf oeq,", &[&size, &most], &f);
        let is_nan = self.pure_as(depth, "arith.cmpf uno,", &[x, x], &f);
        let value = self.select(depth, &is_inf, &inf, &small, "i32", lanes);
        let value = self.select(depth, &is_nan, &nan, &value, "i32", lanes);
        let sign = shift(self, &bits, 16);
        let mask = self.int(0x8000, lanes);
        let sign = self.pure_as(depth, "arith.andi", &[&sign, &mask], &i);
        let value = self.pure_as(depth, "arith.ori", &[&value, &sign], &i);
        self.convert(depth, "arith.trunci", &value, "i32", "i16", lanes)
    }

    /// Elements as they are in a tensor's memory, as in registers.
    pub(super) fn unpack(&mut self, elem: Elem, x: &str, lanes: usize) -> String {
        let depth = self.code.depth();
        match elem {
            Elem::F32 | Elem::I32 => x.to_string(),
            Elem::F16 if self.host.f16c => self.convert(depth, "arith.extf", x, "f16", "f32", lanes),
            Elem::F16 | Elem::BF16 => self.widen_bits(elem, x, lanes),
            Elem::I8 => self.convert(depth, "arith.extsi", x, "i8", "i32", lanes),
            Elem::Bool => {
                let zero = self.zero("i8", lanes);
                self.pure_as(depth, "arith.cmpi ne,", &[x, &zero], &vector("i8", lanes))
            }
        }
    }

    /// The opposite of [`Lower::unpack`].
    pub(super) fn pack(&mut self, elem: Elem, x: &str, lanes: usize) -> String {
        let depth = self.code.depth();
        match elem {
            Elem::F32 | Elem::I32 => x.to_string(),
            Elem::F16 if self.host.f16c => self.convert(depth, "arith.truncf", x, "f32", "f16", lanes),
            Elem::F16 | Elem::BF16 => self.narrow_bits(elem, x, lanes),
            Elem::I8 => self.convert(depth, "arith.trunci", x, "i32", "i8", lanes),
            Elem::Bool => self.convert(depth, "arith.extui", x, "i1", "i8", lanes),
        }
    }
}
