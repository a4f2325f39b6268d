//! Large logits, and the same launch again.

use super::{Problem, config, dims};
use sla::attention::compare::{compare, tolerance};
use sla::attention::module::Compiled;
use sla::{Blocks, Device, Dtype, FeatureMap, Operator, Scope};
use sla_dsl::launch::Space;

/// Standard deviation of `q` and `k` that makes logits of about 10^4.
const AMPLITUDE: f64 = 50.0;

fn problem(dtype: Dtype, scope: Scope) -> Problem {
    let config = config(scope, FeatureMap::Softmax, Blocks::new(64, 64).unwrap());
    Problem { dtype, dims: dims([1, 2, 200, 330, 64]), config, mask: None }
}

/// Logits of 10^4: softmax chooses one key in nearly every row, and nothing overflows. A logit `s` that is off in its last f32 bit makes a
/// probability wrong by the factor `1 + s 2^-24`, which no kernel that multiplies in f32 can avoid. And where one key has
/// it all, `P (dP - delta)` is a difference of nearly equal terms, one of them from the stored result: gradients of `q` and `k` lose three bits more.
/// On a GPU a reference may stand for the maximum; that key's weight is then not 1 but up to `2^8`, and rounded to 16 bits before it multiplies
/// `v`, so that the terms differ by a rounding of that type.
pub fn large_logits(device: &Device) {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for scope in [Scope::None, Scope::Marginal] {
            let problem = problem(dtype, scope);
            let what = format!("{device}: {}", problem.name());
            let request = problem.request(AMPLITUDE);
            let answer =
                Compiled::new(device.clone()).run(&request).unwrap_or_else(|e| panic!("{what}: {e}"));
            let largest = answer.lse.to_f64().into_iter().fold(0.0, f64::max);
            assert!(largest > 1e4, "{what}: the largest logit is about {largest}");
            let measured = compare(&request, &answer).unwrap();
            assert_eq!(measured.len(), 8, "{what}");
            for m in measured {
                let allowed = match m.name {
                    "out" | "grad_v" => tolerance(dtype).max(largest * 2f64.powi(-24)),
                    "grad_q" | "grad_k" => {
                        let weight = if device.space() == Space::Host { 0.0 } else { rounding(dtype) };
                        (8.0 * tolerance(dtype).max(largest * 2f64.powi(-24))).max(128.0 * weight)
                    }
                    _ => m.tolerance,
                };
                assert!(
                    m.error <= allowed,
                    "{what}: {} is off by {:.1e}, allowed {allowed:.1e}",
                    m.name,
                    m.error
                );
            }
        }
    }
}

/// How far rounding to a type is off, relatively; 0 where weights are not rounded.
fn rounding(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => 2f64.powi(-11),
        Dtype::Bf16 => 2f64.powi(-8),
        _ => 0.0,
    }
}

/// A second launch gives the same bits, forward and backward.
pub fn repeats(device: &Device) {
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let problem = problem(dtype, Scope::Marginal);
        let request = problem.request(1.0);
        let run = || Compiled::new(device.clone()).run(&request).unwrap();
        let first = run();
        for _ in 0..3 {
            let again = run();
            let what = format!("{device}: {}", problem.name());
            assert!(again.mask == first.mask, "{what}: another mask");
            assert!(again.out == first.out && again.lse == first.lse, "{what}: another result");
            assert!(again.gradients == first.gradients, "{what}: other gradients");
        }
    }
}
