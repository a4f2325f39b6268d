//! Parsing inverts printing, says where a text is wrong, and never panics.

use super::print::sample;
use proptest::prelude::*;
use sla_dsl::ir::{ParseErrorKind, Scalar, parse};

#[test]
fn inverts_printing() {
    let kernel = sample();
    for text in [kernel.to_string(), kernel.to_text_with_locs()] {
        let again = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again.to_string(), kernel.to_string());
        assert_eq!(again.params, kernel.params);
        assert_eq!((&again.grid, &again.even, &again.dims), (&kernel.grid, &kernel.even, &kernel.dims));
    }
    assert_eq!(parse(&kernel.to_text_with_locs()).unwrap().to_text_with_locs(), kernel.to_text_with_locs());
    assert_eq!(parse(&kernel.to_string()).unwrap().to_text_with_locs(), kernel.to_string());
}

#[test]
fn reads_what_people_write() {
    let text = "kernel k { // a comment
        dims L
        grid m in ((L + 1) * -2).div_ceil(3).min(L), n in (L % 4)
        param %x = x : mut tensor<bf16, []>
        %zero = const {value=-0.0} : bf16   %tiny = const {value=1e-7} : tile<2x2xf32>
        %none = const {value=NaN} : f32 %low = const {value=-inf} : f32
        store %x[], %zero {box=[], check=[]}
    }";
    let k = parse(text).unwrap();
    let constants: Vec<f64> = k
        .ops
        .iter()
        .filter_map(|o| o.scalar())
        .map(|s| match s {
            Scalar::Float(v) => v,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(constants[0].to_bits(), (-0.0f64).to_bits());
    assert_eq!(constants[1], 1e-7);
    assert!(constants[2].is_nan());
    assert_eq!(constants[3], f64::NEG_INFINITY);
    assert_eq!(k.grid[0].extent.to_string(), "((L + 1) * -2).div_ceil(3).min(L)");
    let printed = k.to_string();
    assert_eq!(parse(&printed).unwrap().to_string(), printed);
}

#[test]
fn says_where_a_text_is_wrong() {
    let cases = [
        ("", "1:1: found the end of the text, needed `kernel`"),
        ("kernel k {", "1:11: found the end of the text, needed an op or `}`"),
        ("kernel k {} x", "1:13: found `x`, needed the end of the text"),
        ("kernel k {\n  %0 = cosine %1 : f32\n}", "2:8: there is no op `cosine`"),
        ("kernel k {\n  yield %1\n}", "2:9: there is no value `%1`"),
        ("kernel k {\n  %0 = const {valve=1} : i32\n}", "2:15: there is no attribute `valve`"),
        (
            "kernel k {\n  %0 = const {value=1, value=2} : i32\n}",
            "2:24: the attribute `value` is defined twice",
        ),
        ("kernel k {\n  %0 = const {value=1} : i33\n}", "2:26: there is no type `i33`"),
        ("kernel k {\n  %0 = const {value=1} : tile<4xf33>\n}", "2:31: there is no element type `f33`"),
        ("kernel k {\n  %0 = const {value=1}\n}", "3:1: found `}`, needed `:`"),
        (
            "kernel k {\n  %0 = const {value=1} : i32\n  %0 = const {value=1} : i32\n}",
            "3:3: %0 is defined twice",
        ),
        ("kernel k { param %0 = x : tile<4xf32> }", "1:27: found tile<4xf32>, needed a tensor or a scalar"),
        (
            "kernel k {\n  %0 = const {value=99999999999999999999} : i32\n}",
            "2:21: the number 99999999999999999999 is out of range",
        ),
        ("kernel k {\n  print {msg=\"x} }", "2:14: this text has no closing quote"),
        (
            "kernel k {\n  print {msg=\"\\x\"} }",
            "2:14: the escapes of a text are \\n, \\r, \\t, \\\" and \\\\",
        ),
        ("kernel k { ; }", "1:12: the character ';' begins nothing"),
        (
            "kernel k {\n  %0 = const {value=1.5} : i32\n}",
            "2:8: the constant Float(1.5) is not a value of type i32",
        ),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
    }
}

#[test]
fn refuses_endless_nesting() {
    let deep = |n: usize, open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(n), close.repeat(n))
    };
    let size = |e: String| format!("kernel k {{ dims L grid m in {e} }}");
    let texts = [
        size(deep(100_000, "(", "L", " + 1)")),
        size(deep(100_000, "", "L", ".min(1)")),
        size(deep(100_000, "L.min(", "L", ")")),
        format!(
            "kernel k {{ param %0 = c : bool {}",
            deep(100_000, "if %0 { ", "", "yield } else { yield }")
        ),
    ];
    for text in texts {
        let e = parse(&text).unwrap_err();
        assert!(matches!(e.0[0].kind, ParseErrorKind::TooDeep(_)), "{e}");
    }
    parse(&size(deep(40, "(", "L", " + 1)"))).unwrap();
}

/// Pieces that mean something, to be put in strange places.
const PIECES: &[&str] = &[
    "%0",
    "%7",
    "%12",
    "=",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    "..",
    "for",
    "if",
    "else",
    "yield",
    "load",
    "store",
    "const",
    "value=1",
    "box=[4]",
    "f32",
    "tile<4xf32>",
    "tile<0x4xi32>",
    "mut",
    "tensor<f32, [L]>",
    "-",
    "9223372036854775808",
    "\"",
    "@",
    "param",
    "grid",
    "dims",
    "in",
    "carry(",
    "1e",
    "1.",
    "x",
    "é",
    "\n",
    "//",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Valid text with words replaced, dropped, doubled or swapped: an error or a kernel that prints and parses alike.
    #[test]
    fn survives_mutations(edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<prop::sample::Index>()), 1..6)) {
        let text = sample().to_string();
        let mut words: Vec<&str> = text.split_inclusive(' ').collect();
        for (at, what, other) in &edits {
            let (i, j) = (at.index(words.len()), other.index(words.len()));
            match what {
                0 => words[i] = PIECES[other.index(PIECES.len())],
                1 => { words.remove(i); }
                2 => words.insert(i, words[j]),
                _ => words.swap(i, j),
            }
        }
        if let Ok(kernel) = parse(&words.concat()) {
            let printed = kernel.to_string();
            prop_assert_eq!(parse(&printed).map(|k| k.to_string()), Ok(printed));
        }
    }

    /// Any characters at all.
    #[test]
    fn survives_noise(text in "\\PC{0,60}", at in any::<prop::sample::Index>()) {
        let _ = parse(&text);
        let mut valid = sample().to_string();
        let at = at.index(valid.len());
        valid.insert_str(at, &text);
        let _ = parse(&valid);
        let _ = parse(&valid[..at]);
    }
}
