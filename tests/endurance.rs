//! A thousand forwards and backwards on a GPU: no memory is left behind, and every result has the bits of the first. Skipped, with a printed reason,
//! where there is none.

use sla::attention::module::{Sla, Weights};
use sla::bench::inputs::normal;
use sla::{Config, Device, Scope, Share};
use sla_dsl::ir::Elem;
use sla_runtime::DynTensor;
use sla_runtime::testing::gpu_or_skip;

const SHAPE: [usize; 4] = [1, 2, 1500, 64];
const CALLS: usize = 500;
/// The results are read after each so many calls.
const EVERY: usize = 50;

/// The bytes of everything that a forward and a backward give.
fn bits(tensors: &[&DynTensor]) -> Vec<Vec<u8>> {
    tensors.iter().map(|t| t.to_bytes().unwrap()).collect()
}

#[test]
fn a_thousand_calls_leak_nothing_and_repeat_bit_for_bit() {
    let Some(device) = gpu_or_skip("a thousand calls") else { return };
    for scope in [Scope::All, Scope::Marginal] {
        repeat(&device, scope);
    }
}

fn repeat(device: &Device, scope: Scope) {
    let share = |share| Share::new(share).unwrap();
    let sla = Sla::new(device, Config::new(scope, share(0.1), share(0.1)));
    let [q, k, v, grad] = [1, 2, 3, 4].map(|seed| normal(device, &SHAPE, seed).unwrap());
    let d = SHAPE[3];
    let weight: Vec<f32> = (0..d * d).map(|i| ((i * 7 % 13) as f32 - 6.0) / 32.0).collect();
    let projection = Some(DynTensor::from_f32(device, Elem::F32, &[d, d], &weight).unwrap());
    let weights = Weights { projection, ..Weights::default() };
    let mut first = None;
    let mut settled = None;
    for call in 0..CALLS {
        let forward = sla.forward(&q, &k, &v, &weights, None).unwrap();
        let grads = sla.backward(&q, &k, &v, &forward, &grad).unwrap();
        if call % EVERY == 0 {
            let given =
                [&forward.out, &forward.lse, &grads.q, &grads.k, &grads.v, &grads.projection, &grads.bias];
            let found = bits(&given);
            assert!(first.get_or_insert_with(|| found.clone()) == &found, "{scope:?}: call {call} differs");
        }
        drop((forward, grads));
        // The first call leaves what is kept for good, as kernels' counters.
        let now = device.memory().expect("GPUs count").now;
        assert_eq!(*settled.get_or_insert(now), now, "{scope:?}: bytes left behind by call {call}");
    }
}
