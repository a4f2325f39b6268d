//! What the checks of a launch depend on, less where its tensors lie and the values of its numbers: launches of one form have the same sizes, grid
//! and facts, so that a caller that repeats them need not [`bind`](super::bind) each.
//!
//! Where tensors lie matters to `bind` in three ways. Their place in 16 bytes is part of the form; that there is memory at all, and that what is
//! written overlaps nothing, is asked anew for each launch by [`Bound::places`](super::Bound::places).

use super::{Arg, Space, TensorArg};
use crate::ir::{Elem, Scalar};
use std::hash::{Hash, Hasher};

/// The form of a launch's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form(Vec<ArgForm>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ArgForm {
    Tensor { elem: Elem, space: Space, mutable: bool, place: usize, shape: Box<[usize]>, strides: Box<[i64]> },
    Scalar(ScalarForm),
}

/// What `bind` and specialisation ask of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ScalarForm {
    Float { positive: bool },
    Int { fits: Option<Elem> },
    Bool,
}

/// Facts about alignment are about so many bytes.
const UNIT: usize = 16;

fn place(t: &TensorArg<'_>) -> usize {
    t.address() % UNIT
}

impl ScalarForm {
    fn of(scalar: Scalar) -> ScalarForm {
        match scalar {
            Scalar::Float(v) => ScalarForm::Float { positive: v as f32 > 0.0 },
            Scalar::Int(v) => {
                let i32 = i32::try_from(v).ok().map(|_| Elem::I32);
                ScalarForm::Int { fits: i8::try_from(v).ok().map(|_| Elem::I8).or(i32) }
            }
            Scalar::Bool(_) => ScalarForm::Bool,
        }
    }
}

impl Form {
    /// The form of these arguments.
    pub fn of(args: &[Arg<'_>]) -> Form {
        let form = |arg: &Arg<'_>| match arg {
            Arg::Scalar(s) => ArgForm::Scalar(ScalarForm::of(*s)),
            Arg::Tensor(t) => ArgForm::Tensor {
                elem: t.elem(),
                space: t.space(),
                mutable: t.mutable(),
                place: place(t),
                shape: t.shape().into(),
                strides: t.strides().into(),
            },
        };
        Form(args.iter().map(form).collect())
    }

    /// Whether these arguments have it: as comparing with theirs, without making it.
    pub fn is_of(&self, args: &[Arg<'_>]) -> bool {
        let same = |(form, arg): (&ArgForm, &Arg<'_>)| match (form, arg) {
            (ArgForm::Scalar(form), Arg::Scalar(s)) => *form == ScalarForm::of(*s),
            (ArgForm::Tensor { elem, space, mutable, place: at, shape, strides }, Arg::Tensor(t)) => {
                (*elem, *space, *mutable, *at) == (t.elem(), t.space(), t.mutable(), place(t))
                    && shape[..] == *t.shape()
                    && strides[..] == *t.strides()
            }
            _ => false,
        };
        self.0.len() == args.len() && self.0.iter().zip(args).all(same)
    }

    /// Feeds a hash with arguments, such that those of one form give the same.
    pub fn hash(args: &[Arg<'_>], to: &mut impl Hasher) {
        for arg in args {
            match arg {
                Arg::Scalar(s) => ScalarForm::of(*s).hash(to),
                Arg::Tensor(t) => {
                    // What mostly tells launches apart; the rest is compared.
                    to.write_usize(place(t));
                    t.shape().iter().for_each(|&n| to.write_usize(n));
                    t.strides().iter().for_each(|&s| to.write_i64(s));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::DefaultHasher;

    fn tensor(shape: &[usize], address: usize, mutable: bool) -> Arg<'static> {
        let strides: Vec<i64> = shape.iter().map(|_| 1).collect();
        // SAFETY: the memory is only described.
        let t = unsafe { TensorArg::from_raw(Elem::F32, shape, &strides, address, Space::Host, mutable) };
        Arg::Tensor(t)
    }

    fn hash(args: &[Arg<'_>]) -> u64 {
        let mut hasher = DefaultHasher::new();
        Form::hash(args, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn places_and_values_do_not_matter() {
        let first = [tensor(&[2, 3], 64, true), Arg::Scalar(Scalar::Float(1.0)), Arg::Scalar(Scalar::Int(3))];
        let other =
            [tensor(&[2, 3], 128, true), Arg::Scalar(Scalar::Float(2.0)), Arg::Scalar(Scalar::Int(-4))];
        assert!(Form::of(&first).is_of(&other));
        assert_eq!(Form::of(&first), Form::of(&other));
        assert_eq!(hash(&first), hash(&other));
    }

    #[test]
    fn what_a_check_or_a_fact_depends_on_does() {
        let float = |v| Arg::Scalar(Scalar::Float(v));
        let int = |v| Arg::Scalar(Scalar::Int(v));
        let pairs = [
            [tensor(&[2, 3], 64, false), tensor(&[2, 4], 64, false)],
            [tensor(&[2, 3], 64, false), tensor(&[2, 3], 68, false)],
            [tensor(&[2, 3], 64, false), tensor(&[2, 3], 64, true)],
            [tensor(&[6], 64, false), tensor(&[2, 3], 64, false)],
            [tensor(&[6], 64, false), float(1.0)],
            [float(1.0), float(0.0)],
            [float(1.0), int(1)],
            [int(1), int(200)],
            [int(200), int(1 << 40)],
            [int(1), Arg::Scalar(Scalar::Bool(true))],
        ];
        for [one, other] in pairs {
            assert!(
                !Form::of(std::slice::from_ref(&one)).is_of(std::slice::from_ref(&other)),
                "{one:?} {other:?}"
            );
        }
        assert!(!Form::of(&[float(1.0)]).is_of(&[float(1.0), float(1.0)]));
    }
}
