//! The meaning of every op without effect, as a function of its operands' elements.
//!
//! The interpreter runs programs with it and passes fold constants with it, so that both agree by construction. Ops that read the
//! launch or memory (`dim`, `program_id`, `load`) are not here; those that change an order or a shape are in [`matrix`](super::matrix).

use super::data::{Data, round};
use super::matrix;
use crate::ir::{Class, Elem, Op, OpCode, Pred, Type};

/// Why an op has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Integer division or remainder by zero.
    #[error("integer division by zero")]
    DivisionByZero,
    /// A shift by something outside 0..32.
    #[error("a shift by {0}; it must be in 0..32")]
    Shift(i32),
    /// An op whose value depends on more than its operands, or one that does not verify.
    #[error("this op has no value of its own")]
    Malformed,
}

/// The elements of an op's result, for operands with the elements `args` and the types `operands`.
///
/// Element-wise ops take operands of any one length, so that a tile of one repeated constant can be evaluated as one element.
///
/// # Errors
/// An operation outside its domain; [`EvalError::Malformed`] for ops with effects and for operands that do not fit the op.
pub fn eval(op: &Op, operands: &[&Type], result: &Type, args: &[&Data]) -> Result<Data, EvalError> {
    let arg = |i: usize| args.get(i).copied().ok_or(EvalError::Malformed);
    let ty = |i: usize| operands.get(i).copied().ok_or(EvalError::Malformed);
    let elem = |t: &Type| t.elem().ok_or(EvalError::Malformed);
    match op.code.class() {
        Class::Const => {
            let value = op.scalar().ok_or(EvalError::Malformed)?;
            Data::fill(value, elem(result)?, result.count()).ok_or(EvalError::Malformed)
        }
        Class::Iota => matrix::iota(op.int("axis"), result),
        Class::Unary => unary(op.code, arg(0)?),
        Class::Binary => binary(op.code, arg(0)?, arg(1)?),
        Class::Fma => {
            let (a, b, c) = (arg(0)?.floats()?, arg(1)?.floats()?, arg(2)?.floats()?);
            let pairs = a.iter().zip(b).zip(c);
            Ok(Data::Float(pairs.map(|((a, b), c)| a.mul_add(*b, *c)).collect()))
        }
        Class::Cmp => cmp(op.pred().ok_or(EvalError::Malformed)?, arg(0)?, arg(1)?),
        Class::Select => select(arg(0)?.bools()?, arg(1)?, arg(2)?),
        Class::Cast => Ok(cast(arg(0)?, elem(result)?)),
        Class::Splat => {
            let value = arg(0)?.scalar(0).ok_or(EvalError::Malformed)?;
            Data::fill(value, elem(result)?, result.count()).ok_or(EvalError::Malformed)
        }
        Class::Broadcast => matrix::broadcast(arg(0)?, ty(0)?, result),
        Class::Reduce => matrix::reduce(op.code, op.int("axis"), arg(0)?, ty(0)?),
        Class::Pack => matrix::pack(arg(0)?, arg(1)?.bools()?, ty(0)?),
        Class::Reshape => Ok(arg(0)?.clone()),
        Class::Transpose => matrix::transpose(arg(0)?, ty(0)?),
        Class::Dot => {
            let flags = (op.flag("ta"), op.flag("tb"));
            matrix::dot((arg(0)?, ty(0)?), (arg(1)?, ty(1)?), args.get(2).copied(), flags)
        }
        Class::Fold => matrix::fold(op.code, arg(0)?, ty(0)?),
        Class::Concat => matrix::concat(op.int("axis"), (arg(0)?, ty(0)?), (arg(1)?, ty(1)?)),
        Class::Vote => Ok(Data::Bool(vec![arg(0)?.bools()?.contains(&true)])),
        _ => Err(EvalError::Malformed),
    }
}

fn unary(code: OpCode, x: &Data) -> Result<Data, EvalError> {
    let float = |f: fn(f32) -> f32| Ok(Data::Float(x.floats()?.iter().map(|&x| f(x)).collect()));
    let int = |f: fn(i32) -> i32| Ok(Data::Int(x.ints()?.iter().map(|&x| f(x)).collect()));
    match (code, x) {
        (OpCode::Neg, Data::Float(_)) => float(|x| -x),
        (OpCode::Neg, _) => int(i32::wrapping_neg),
        (OpCode::Abs, Data::Float(_)) => float(f32::abs),
        (OpCode::Abs, _) => int(i32::wrapping_abs),
        (OpCode::Exp2, _) => float(f32::exp2),
        (OpCode::Exp, _) => float(f32::exp),
        (OpCode::Log2, _) => float(f32::log2),
        (OpCode::Log, _) => float(f32::ln),
        (OpCode::Sqrt, _) => float(f32::sqrt),
        (OpCode::Rsqrt, _) => float(|x| (1.0 / (x as f64).sqrt()) as f32),
        (OpCode::Not, _) => Ok(Data::Bool(x.bools()?.iter().map(|x| !x).collect())),
        _ => Err(EvalError::Malformed),
    }
}

fn binary(code: OpCode, a: &Data, b: &Data) -> Result<Data, EvalError> {
    match (a, b) {
        (Data::Float(a), Data::Float(b)) => {
            let f: fn(f32, f32) -> f32 = match code {
                OpCode::Add => |a, b| a + b,
                OpCode::Sub => |a, b| a - b,
                OpCode::Mul => |a, b| a * b,
                OpCode::Div => |a, b| a / b,
                OpCode::Min => f32::min,
                OpCode::Max => f32::max,
                _ => return Err(EvalError::Malformed),
            };
            Ok(Data::Float(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()))
        }
        (Data::Int(a), Data::Int(b)) => {
            let pairs = a.iter().zip(b);
            pairs.map(|(&a, &b)| int_binary(code, a, b)).collect::<Result<_, _>>().map(Data::Int)
        }
        (Data::Bool(a), Data::Bool(b)) => {
            let f: fn(bool, bool) -> bool = match code {
                OpCode::And => |a, b| a & b,
                OpCode::Or => |a, b| a | b,
                OpCode::Xor => |a, b| a ^ b,
                _ => return Err(EvalError::Malformed),
            };
            Ok(Data::Bool(a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()))
        }
        _ => Err(EvalError::Malformed),
    }
}

fn int_binary(code: OpCode, a: i32, b: i32) -> Result<i32, EvalError> {
    let shift = || u32::try_from(b).ok().filter(|s| *s < 32).ok_or(EvalError::Shift(b));
    let divisor = || if b == 0 { Err(EvalError::DivisionByZero) } else { Ok(b) };
    Ok(match code {
        OpCode::Add => a.wrapping_add(b),
        OpCode::Sub => a.wrapping_sub(b),
        OpCode::Mul => a.wrapping_mul(b),
        OpCode::Div => a.wrapping_div(divisor()?),
        OpCode::Rem => a.wrapping_rem(divisor()?),
        OpCode::Min => a.min(b),
        OpCode::Max => a.max(b),
        OpCode::And => a & b,
        OpCode::Or => a | b,
        OpCode::Xor => a ^ b,
        OpCode::Shl => a << shift()?,
        OpCode::Shr => a >> shift()?,
        _ => return Err(EvalError::Malformed),
    })
}

fn cmp(pred: Pred, a: &Data, b: &Data) -> Result<Data, EvalError> {
    fn all<T: PartialOrd>(pred: Pred, a: &[T], b: &[T]) -> Data {
        let holds = |(a, b): (&T, &T)| match pred {
            Pred::Eq => a == b,
            Pred::Ne => a != b,
            Pred::Lt => a < b,
            Pred::Le => a <= b,
            Pred::Gt => a > b,
            Pred::Ge => a >= b,
        };
        Data::Bool(a.iter().zip(b).map(holds).collect())
    }
    match (a, b) {
        (Data::Float(a), Data::Float(b)) => Ok(all(pred, a, b)),
        (Data::Int(a), Data::Int(b)) => Ok(all(pred, a, b)),
        (Data::Bool(a), Data::Bool(b)) => Ok(all(pred, a, b)),
        _ => Err(EvalError::Malformed),
    }
}

fn select(c: &[bool], a: &Data, b: &Data) -> Result<Data, EvalError> {
    fn pick<T: Copy>(c: &[bool], a: &[T], b: &[T]) -> Vec<T> {
        c.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c { a } else { b }).collect()
    }
    match (a, b) {
        (Data::Float(a), Data::Float(b)) => Ok(Data::Float(pick(c, a, b))),
        (Data::Int(a), Data::Int(b)) => Ok(Data::Int(pick(c, a, b))),
        (Data::Bool(a), Data::Bool(b)) => Ok(Data::Bool(pick(c, a, b))),
        _ => Err(EvalError::Malformed),
    }
}

/// Floats pass through f32, integers through i32, and anything but zero is true.
fn cast(x: &Data, to: Elem) -> Data {
    let narrow = |x: i32| if to == Elem::I8 { x as i8 as i32 } else { x };
    match (x, to) {
        (Data::Float(v), Elem::Bool) => Data::Bool(v.iter().map(|&x| x != 0.0).collect()),
        (Data::Int(v), Elem::Bool) => Data::Bool(v.iter().map(|&x| x != 0).collect()),
        (Data::Bool(v), Elem::Bool) => Data::Bool(v.clone()),
        (Data::Float(v), _) if to.is_float() => Data::Float(v.iter().map(|&x| round(x, to)).collect()),
        (Data::Int(v), _) if to.is_float() => Data::Float(v.iter().map(|&x| round(x as f32, to)).collect()),
        (Data::Bool(v), _) if to.is_float() => Data::Float(v.iter().map(|&x| x as u8 as f32).collect()),
        (Data::Float(v), _) => Data::Int(v.iter().map(|&x| narrow(x as i32)).collect()),
        (Data::Int(v), _) => Data::Int(v.iter().map(|&x| narrow(x)).collect()),
        (Data::Bool(v), _) => Data::Int(v.iter().map(|&x| x as i32).collect()),
    }
}
