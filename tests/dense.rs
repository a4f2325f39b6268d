//! Dense attention, forward and backward, through its kernels against the float64 reference: scope `none` with every block critical.

use sla::attention::reference::Reference;
use sla::attention::{Array, Blocks, Config, Dtype, Inputs, Operator, Request, Scope, Share};
use sla::kernels::delta::row_delta;
use sla::kernels::flash::flash_fwd;
use sla::kernels::flash_backward::{flash_bwd_dkdv, flash_bwd_dq};
use sla::kernels::fused_backward::{clear_sums, flash_bwd_fused, scale_sums};
use sla::{Device, Tensor};

const LQ: usize = 150;
const LK: usize = 200;
const D: usize = 64;
const HEADS: usize = 2;

fn values(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| (((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0) * 1.7).collect()
}

fn close(name: &str, found: &[f32], needed: &Array) {
    let needed = needed.to_f64();
    assert_eq!(found.len(), needed.len(), "{name}");
    let squares = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>();
    let off = squares(&mut found.iter().zip(&needed).map(|(f, n)| f64::from(*f) - n));
    let error = (off / squares(&mut needed.iter().copied())).sqrt();
    assert!(error <= 1e-5, "{name} is off by {error:.1e}");
}

#[test]
fn flash_attention_and_its_gradients_agree_with_float64() {
    let (q_shape, k_shape) = ([1, HEADS, LQ, D], [1, HEADS, LK, D]);
    let (qs, ks) = (HEADS * LQ * D, HEADS * LK * D);
    let host = |seed, shape: &[usize]| {
        let data: Vec<f64> = values(seed, shape.iter().product()).iter().map(|&v| f64::from(v)).collect();
        Array::from_f64(Dtype::F32, shape.to_vec(), &data).unwrap()
    };
    let mut inputs = Inputs::new(host(1, &q_shape), host(2, &k_shape), host(3, &k_shape));
    inputs.grad_out = Some(host(4, &q_shape));
    let config = Config::new(Scope::None, Share::new(1.0).unwrap(), Share::new(0.0).unwrap())
        .with_blocks(Blocks::new(64, 64).unwrap());
    let needed = Reference.run(&Request::new(config, inputs, true).unwrap()).unwrap();
    let grads = needed.gradients.unwrap();

    for device in [Device::cpu(), Device::interp()] {
        let tensor =
            |seed, shape: &[usize], n| Tensor::<f32>::from_vec(&device, shape, values(seed, n)).unwrap();
        let zeros = |shape: &[usize]| Tensor::<f32>::zeros(&device, shape).unwrap();
        let (q, k, v) = (tensor(1, &q_shape, qs), tensor(2, &k_shape, ks), tensor(3, &k_shape, ks));
        let grad = tensor(4, &q_shape, qs);
        let scale = 1.0 / (D as f32).sqrt();
        let (mut out, mut lse, mut delta) = (zeros(&q_shape), zeros(&q_shape[..3]), zeros(&q_shape[..3]));
        flash_fwd::<f32, 64, 64, D, false>::launch(&device, &q, &k, &v, &mut out, &mut lse, scale).unwrap();
        row_delta::<f32, 64, D>::launch(&device, &out, &grad, &mut delta).unwrap();
        let mut dq = zeros(&q_shape);
        flash_bwd_dq::<f32, 64, 64, D>::launch(&device, &q, &k, &v, &grad, &lse, &delta, &mut dq, scale)
            .unwrap();
        let (mut dk, mut dv) = (zeros(&k_shape), zeros(&k_shape));
        flash_bwd_dkdv::<f32, 64, 64, D>::launch(
            &device, &q, &k, &v, &grad, &lse, &delta, &mut dk, &mut dv, scale,
        )
        .unwrap();
        let (mut sum, mut fused_q) = (zeros(&q_shape), zeros(&q_shape));
        let (mut fused_k, mut fused_v) = (zeros(&k_shape), zeros(&k_shape));
        // Twice: what is added to is cleared.
        for _ in 0..2 {
            clear_sums::<64, D>::launch(&device, &mut sum).unwrap();
            flash_bwd_fused::<f32, 64, 64, D>::launch(
                &device,
                &q,
                &k,
                &v,
                &grad,
                &lse,
                &delta,
                &mut sum,
                &mut fused_k,
                &mut fused_v,
                scale,
            )
            .unwrap();
        }
        scale_sums::<f32, 64, D>::launch(&device, &sum, &mut fused_q, scale).unwrap();
        close("fused grad_q", &fused_q.to_vec().unwrap(), &grads.q);
        close("fused grad_k", &fused_k.to_vec().unwrap(), &grads.k);
        close("fused grad_v", &fused_v.to_vec().unwrap(), &grads.v);
        close("out", &out.to_vec().unwrap(), &needed.out);
        close("lse", &lse.to_vec().unwrap(), &needed.lse);
        close("grad_q", &dq.to_vec().unwrap(), &grads.q);
        close("grad_k", &dk.to_vec().unwrap(), &grads.k);
        close("grad_v", &dv.to_vec().unwrap(), &grads.v);
    }
}
