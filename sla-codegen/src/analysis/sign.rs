//! Whether an f32 value is surely above 0: constants, parameters that were positive at launch, and what is made of them.
//!
//! Rounding is looked away from: a product of positive numbers counts as positive although it may be too small to be told from 0.

use sla_dsl::ir::{Elem, Kernel, OpCode, OpId, ParamKind, Scalar, Value};

/// How far back a value is followed.
const DEPTH: u32 = 16;

/// Whether every element of `v` is above 0 whatever the launch; `defs` are [`Kernel::defs`].
pub fn is_positive(kernel: &Kernel, defs: &[Option<OpId>], v: Value) -> bool {
    at(kernel, defs, v, DEPTH)
}

fn at(kernel: &Kernel, defs: &[Option<OpId>], v: Value, depth: u32) -> bool {
    if depth == 0 || kernel.ty(v).elem() != Some(Elem::F32) {
        return false;
    }
    let Some(op) = defs.get(v.index()).copied().flatten().map(|id| kernel.op(id)) else {
        let param = kernel.param_of(v).map(|p| &kernel.params[p]);
        return param.is_some_and(|p| p.kind == ParamKind::Scalar(Elem::F32) && p.memory.positive);
    };
    let of = |i: usize| at(kernel, defs, op.operands[i], depth - 1);
    match op.code {
        OpCode::Const => matches!(op.scalar(), Some(Scalar::Float(c)) if c as f32 > 0.0),
        OpCode::Mul | OpCode::Div | OpCode::Add | OpCode::Min => of(0) && of(1),
        OpCode::Max => of(0) || of(1),
        OpCode::Select => of(1) && of(2),
        OpCode::Fma => of(0) && of(1) && of(2),
        OpCode::Splat | OpCode::Broadcast | OpCode::Reshape | OpCode::Sqrt | OpCode::Rsqrt => of(0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_positive;
    use sla_dsl::ir::parse;

    /// Whether the value that the kernel stores is positive.
    fn stored(body: &str) -> bool {
        let text = format!(
            "kernel k {{\n  param %y = y : mut tensor<f32, [1]>\n  param %a = a : f32\n  param %s = s : f32 signed\n  \
             %z = const {{value=0}} : i32\n  {body}\n  store %y[%z], %v {{box=[1], check=[0]}}\n}}\n"
        );
        let kernel = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let store = kernel.op(*kernel.block(kernel.body).ops.last().unwrap());
        is_positive(&kernel, &kernel.defs(), store.operands[1])
    }

    #[test]
    fn products_of_positive_numbers_are_positive() {
        assert!(stored("%c = const {value=1.5} : f32\n  %v = mul %a, %c : f32"));
        assert!(stored("%c = sqrt %a : f32\n  %v = div %a, %c : f32"));
        assert!(stored("%v = max %s, %a : f32"));
        assert!(!stored("%c = const {value=-1.5} : f32\n  %v = mul %a, %c : f32"));
        assert!(!stored("%v = mul %a, %s : f32"));
        assert!(!stored("%v = min %s, %a : f32"));
        assert!(!stored("%v = sub %a, %a : f32"));
        // Nothing is below the smallest f32 but 0.
        assert!(!stored("%v = const {value=1e-60} : f32"));
    }
}
