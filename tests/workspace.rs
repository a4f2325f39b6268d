//! Calls of the operator in memory that their caller keeps, against calls without.

use sla::attention::module::{Operands, Sla, Weights, Workspace};
use sla::{Config, Device, Scope, Share};
use sla_dsl::ir::Elem;
use sla_runtime::{DynTensor, Tensor};

/// A call in a workspace gives what a call without gives, again and again, in the same memory; what was cloned stays as it was.
#[test]
fn a_workspace_is_used_again() {
    let device = Device::cpu();
    let share = |x| Share::new(x).unwrap();
    let values = |f: f32| (0..2 * 300 * 64).map(|i| ((i as f32) * f).sin()).collect::<Vec<_>>();
    let tensor =
        |f| -> DynTensor { Tensor::<f32>::from_vec(&device, &[1, 2, 300, 64], values(f)).unwrap().into() };
    let (q, k, v) = (tensor(0.37), tensor(0.71), tensor(0.13));
    let matrix: Vec<f32> = (0..64 * 64).map(|i| (i as f32).cos() * 0.1).collect();
    let projection = Some(Tensor::<f32>::from_vec(&device, &[64, 64], matrix).unwrap().into());
    let weights = Weights { projection, ..Weights::default() };
    let operands = Operands { q: &q, k: &k, v: &v, weights: &weights, mask: None };
    let mut workspace = Workspace::new(&device);
    for scope in [Scope::All, Scope::Marginal, Scope::None, Scope::All] {
        let sla = Sla::new(&device, Config::new(scope, share(0.4), share(0.2)));
        let plain = sla.forward(&q, &k, &v, &weights, None).unwrap();
        let bytes = [plain.out.to_bytes().unwrap(), plain.mask.to_bytes().unwrap()];
        let mut places = Vec::new();
        for _ in 0..3 {
            let forward = sla.forward_in(&mut workspace, operands).unwrap();
            assert_eq!([forward.out.to_bytes().unwrap(), forward.mask.to_bytes().unwrap()], bytes);
            places.push((
                forward.out.lend().address(),
                forward.lse.lend().address(),
                forward.mask.lend().address(),
            ));
        }
        assert!(places.iter().all(|p| *p == places[0]), "{places:x?}");
        let inferred = sla.infer_in(&mut workspace, operands).unwrap();
        assert_eq!([inferred.out.to_bytes().unwrap(), inferred.mask.to_bytes().unwrap()], bytes);
        assert_eq!(inferred.out.lend().address(), places[0].0);
        sla.forward_in(&mut workspace, operands).unwrap();
        let kept = workspace.forward().unwrap().out.clone();
        let forward = sla.forward_in(&mut workspace, Operands { q: &k, k: &q, ..operands }).unwrap();
        assert_ne!(forward.out.lend().address(), kept.lend().address());
        assert_eq!(kept.to_bytes().unwrap(), bytes[0]);
    }
}

/// A training step in workspaces gives what plain calls give, and allocates once.
#[test]
fn a_step_keeps_its_memory() {
    let share = |x| Share::new(x).unwrap();
    for (device, length) in [(Device::cpu(), 300), (Device::interp(), 70)] {
        let tensor = |step: f32, shape: &[usize]| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * step).sin()).collect();
            DynTensor::from_f32(&device, Elem::F32, shape, &values).unwrap()
        };
        let [q, k, v, grad] = [0.37, 0.71, 0.13, 0.29].map(|step| tensor(step, &[1, 2, length, 32]));
        let projected = Weights { projection: Some(tensor(0.59, &[32, 32])), ..Weights::default() };
        let plain = Weights::default();
        let [mut there, mut back] = [(); 2].map(|()| Workspace::new(&device));
        let cases = [
            (Scope::All, &projected),
            (Scope::Marginal, &projected),
            (Scope::Marginal, &plain),
            (Scope::None, &plain),
        ];
        for (scope, weights) in cases {
            let sla = Sla::new(&device, Config::new(scope, share(0.4), share(0.2)));
            let operands = Operands { q: &q, k: &k, v: &v, weights, mask: None };
            let forward = sla.forward(&q, &k, &v, weights, None).unwrap();
            let needed = sla.backward(&q, &k, &v, &forward, &grad).unwrap();
            let mut made = None;
            for _ in 0..3 {
                let forward = sla.forward_in(&mut there, operands).unwrap();
                let found = sla.backward_in(&mut back, &q, &k, &v, forward, &grad).unwrap();
                let pairs = [
                    (&found.q, &needed.q),
                    (&found.k, &needed.k),
                    (&found.v, &needed.v),
                    (&found.projection, &needed.projection),
                    (&found.bias, &needed.bias),
                ];
                for (found, needed) in pairs {
                    assert_eq!(found.to_bytes().unwrap(), needed.to_bytes().unwrap(), "{device} {scope:?}");
                }
                let now = (there.made(), back.made());
                assert_eq!(*made.get_or_insert(now), now, "{device} {scope:?}");
            }
        }
    }
}
