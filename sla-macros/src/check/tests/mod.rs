//! Tests of the checker: functions from text, in which `«»` marks the tokens of each expected mistake.

mod control;
mod memory;
mod ops;
mod signature;
mod valid;

use super::{check_func, check_impl, check_kernel};
use crate::sig::{Errors, FuncFn, FuncImpl, KernelFn};
use syn::{Item, Meta};

/// Mistakes as (line, column of the first character, line, column after the last, message), by place.
type Found = Vec<((usize, usize), (usize, usize), String)>;

fn check(source: &str) -> Found {
    let item: Item = syn::parse_str(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let mut errors = Errors::default();
    let mut found = match item {
        Item::Fn(mut f) => {
            let attr = f.attrs.pop().expect("an attribute");
            if attr.path().is_ident("kernel") {
                let Meta::List(list) = attr.meta else { panic!("kernel(..)") };
                check_kernel(&KernelFn::parse(list.tokens, f, &mut errors))
            } else {
                check_func(&FuncFn::parse(f.attrs, f.vis, &f.sig, *f.block, &[], &mut errors))
            }
        }
        Item::Impl(i) => check_impl(&FuncImpl::parse(i, &mut errors)),
        _ => panic!("a function or an impl"),
    };
    found.extend(errors.into_vec());
    let place = |p: proc_macro2::LineColumn| (p.line, p.column);
    let mut found: Found =
        found.iter().map(|e| (place(e.span().start()), place(e.span().end()), e.to_string())).collect();
    found.sort();
    found
}

/// Asserts that the marked tokens are reported with these messages, in order, and nothing else is.
#[track_caller]
fn expect(marked: &str, messages: &[&str]) {
    let (mut source, mut starts, mut ends) = (String::new(), Vec::new(), Vec::new());
    let (mut line, mut column) = (1, 0);
    for c in marked.chars() {
        match c {
            '«' => starts.push((line, column)),
            '»' => ends.push((line, column)),
            c => {
                source.push(c);
                (line, column) = if c == '\n' { (line + 1, 0) } else { (line, column + 1) };
            }
        }
    }
    let found = check(&source);
    let got: Vec<_> = found.iter().map(|f| f.2.as_str()).collect();
    assert_eq!(got, messages, "\n{marked}");
    for (i, (start, end, message)) in found.iter().enumerate() {
        assert_eq!((*start, *end), (starts[i], ends[i]), "the place of `{message}` in\n{marked}");
    }
}

/// The same for a body in a kernel with tensors of several types.
#[track_caller]
fn expect_in(body: &str, messages: &[&str]) {
    expect(&in_kernel(body), messages);
}

fn in_kernel(body: &str) -> String {
    format!(
        "#[kernel(dims(B, H, L, TOPK), grid(m in L.div_ceil(BM), h in H, b in B))]
pub fn f<T: Float, const BM: usize, const BN: usize, const D: usize, const CAUSAL: bool>(
    q: &Tensor<T, {{ [B, H, L, D] }}>,
    k: &Tensor<T, {{ [B, H, L, D] }}>,
    x: &Tensor<f32, {{ [L, D] }}>,
    bias: &Tensor<f32, {{ [D] }}>,
    lut: &Tensor<i32, {{ [B, H, TOPK] }}>,
    out: &mut Tensor<T, {{ [B, H, L, D] }}>,
    lse: &mut Tensor<f32, {{ [B, H, L] }}>,
    scale: f32,
    n: i32,
) {{
    let qt = q.at(b, h).block::<BM>(m).load();
    let ks = k.at(b, h).blocks::<BN>();
    let acc = zeros::<f32>([BM, D]);
    let s = zeros::<f32>([BM, BN]);
    let row = zeros::<f32>([BM, 1]);
    let idx = iota([BM, 1], 0);
    {body}
}}"
    )
}
