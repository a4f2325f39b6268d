//! Large logits, and the same launch again.

use super::{Problem, config, dims};
use sla::attention::compare::{compare, tolerance};
use sla::attention::module::Compiled;
use sla::{Blocks, Device, Dtype, FeatureMap, Operator, Scope};

/// Standard deviation of `q` and `k` that makes logits of about 10^4.
const AMPLITUDE: f64 = 50.0;

fn problem(dtype: Dtype, scope: Scope) -> Problem {
    let config = config(scope, FeatureMap::Softmax, Blocks::new(64, 64).unwrap());
    Problem { dtype, dims: dims([1, 2, 200, 330, 64]), config, mask: None }
}

/// Logits of 10^4: softmax chooses one key in nearly every row, and nothing overflows. A logit `s` that is off in its last f32 bit makes a
/// probability wrong by the factor `1 + s 2^-24`, which no kernel that multiplies in f32 can avoid. And where one key has
/// it all, `P (dP - delta)` is a difference of nearly equal terms, one of them from the stored result: gradients of `q` and `k` lose three bits more.
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
                    "grad_q" | "grad_k" => 8.0 * tolerance(dtype).max(largest * 2f64.powi(-24)),
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
