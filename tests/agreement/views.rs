//! Inputs that are views of other memory give what contiguous ones give, and nothing beside them is used.

use sla::attention::compare::relative_error;
use sla::attention::module::{Forward, Grads, Sla, Weights};
use sla::attention::random::Random;
use sla::{Blocks, Device, DynTensor, FeatureMap, Scope, Tensor};

/// `[B, H, L, D]`.
type Shape = [usize; 4];

/// A tensor of this shape and these elements in row-major order, however it lies in memory.
type Lay = fn(&Device, Shape, &[f32]) -> DynTensor;

/// Every layout against the contiguous one, forward and backward.
pub fn strided_views(device: &Device) {
    let layouts: [(&str, Lay); 4] = [
        ("[B, L, H, D] seen as [B, H, L, D]", tokens_before_heads),
        ("the middle of a larger tensor, on 16 bytes", |device, shape, data| middle(device, shape, data, 4)),
        ("the middle of a larger tensor, off 16 bytes", |device, shape, data| middle(device, shape, data, 3)),
        ("[B, H, D, L] seen as [B, H, L, D]", features_before_tokens),
    ];
    let (forward, grads) = attend(device, contiguous);
    for (what, lay) in layouts {
        let (viewed, viewed_grads) = attend(device, lay);
        assert_eq!(
            viewed.mask.to_bytes().unwrap(),
            forward.mask.to_bytes().unwrap(),
            "{device}: {what}: mask"
        );
        let pairs = [
            ("out", &viewed.out, &forward.out),
            ("lse", &viewed.lse, &forward.lse),
            ("grad_q", &viewed_grads.q, &grads.q),
            ("grad_k", &viewed_grads.k, &grads.k),
            ("grad_v", &viewed_grads.v, &grads.v),
            ("grad_proj_weight", &viewed_grads.projection, &grads.projection),
            ("grad_proj_bias", &viewed_grads.bias, &grads.bias),
        ];
        for (name, found, needed) in pairs {
            let error = relative_error(&numbers(found), &numbers(needed), 0.0);
            assert!(error < 1e-5, "{device}: {what}: {name} is off by {error:.1e}");
        }
    }
}

fn attend(device: &Device, lay: Lay) -> (Forward, Grads) {
    let mut random = Random::new(5);
    let mut draw = |shape: Shape| {
        let values: Vec<f32> =
            random.normals(shape.iter().product(), 1.0).into_iter().map(|x| x as f32).collect();
        lay(device, shape, &values)
    };
    let (queries, keys) = ([2, 3, 100, 64], [2, 3, 140, 64]);
    let (q, k, v, grad_out) = (draw(queries), draw(keys), draw(keys), draw(queries));
    let projection: Vec<f32> = Random::new(6).normals(64 * 64, 0.1).into_iter().map(|x| x as f32).collect();
    let weights = Weights {
        projection: Some(Tensor::from_vec(device, &[64, 64], projection).unwrap().into()),
        ..Weights::default()
    };
    let blocks = Blocks::new(64, 64).unwrap();
    let sla = Sla::new(device, super::config(Scope::Complement, FeatureMap::Softmax, blocks));
    let forward = sla.forward(&q, &k, &v, &weights, None).unwrap();
    let grads = sla.backward(&q, &k, &v, &forward, &grad_out).unwrap();
    (forward, grads)
}

fn numbers(tensor: &DynTensor) -> Vec<f64> {
    tensor.typed::<f32>().unwrap().to_vec().unwrap().into_iter().map(f64::from).collect()
}

fn contiguous(device: &Device, shape: Shape, data: &[f32]) -> DynTensor {
    Tensor::from_vec(device, &shape, data).unwrap().into()
}

fn tokens_before_heads(device: &Device, [b, h, l, d]: Shape, data: &[f32]) -> DynTensor {
    let plain = contiguous(device, [b, h, l, d], data);
    let moved = numbers(&plain.transpose(1, 2).unwrap()).into_iter().map(|x| x as f32).collect::<Vec<_>>();
    contiguous(device, [b, l, h, d], &moved).transpose(1, 2).unwrap()
}

fn features_before_tokens(device: &Device, [b, h, l, d]: Shape, data: &[f32]) -> DynTensor {
    let plain = contiguous(device, [b, h, l, d], data);
    let moved = numbers(&plain.transpose(2, 3).unwrap()).into_iter().map(|x| x as f32).collect::<Vec<_>>();
    contiguous(device, [b, h, d, l], &moved).transpose(2, 3).unwrap()
}

/// Inside a tensor that is NaN elsewhere: 5 rows and `left` columns from its edge.
fn middle(device: &Device, [b, h, l, d]: Shape, data: &[f32], left: usize) -> DynTensor {
    let (rows, columns) = (l + 9, d + 12);
    let mut all = vec![f32::NAN; b * h * rows * columns];
    for (at, row) in data.chunks(d).enumerate() {
        let start = ((at / l) * rows + 5 + at % l) * columns + left;
        all[start..start + d].copy_from_slice(row);
    }
    let larger = contiguous(device, [b, h, rows, columns], &all);
    larger.slice(2, 5..5 + l).unwrap().slice(3, left..left + d).unwrap()
}
