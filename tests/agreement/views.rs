//! Inputs that are views of other memory give what contiguous ones give, and nothing beside them is used.

use sla::attention::compare::relative_error;
use sla::attention::module::{Forward, Grads, Sla, Weights};
use sla::attention::random::Random;
use sla::{Blocks, Device, DynTensor, FeatureMap, Scope, Tensor};
use sla_dsl::ir::Elem;

/// `[B, H, L, D]`.
type Shape = [usize; 4];

/// A tensor of this type, shape and elements in row-major order, however it lies in memory.
type Lay = fn(&Device, Elem, Shape, &[f32]) -> DynTensor;

/// Every layout against the contiguous one, forward and backward, in f32.
pub fn strided_views(device: &Device) {
    agree(device, Elem::F32, 64, 1e-5);
}

/// The same in bf16, which on Hopper is copied by the hardware where addresses and strides allow it, and otherwise takes another schedule: what is added
/// up in another order is rounded differently.
pub fn strided_halves(device: &Device, dims: &[usize]) {
    dims.iter().for_each(|&dim| agree(device, Elem::BF16, dim, 2e-2));
}

fn agree(device: &Device, elem: Elem, dim: usize, most: f64) {
    let layouts: [(&str, Lay); 4] = [
        ("[B, L, H, D] seen as [B, H, L, D]", tokens_before_heads),
        ("the middle of a larger tensor, on 16 bytes", |device, elem, shape, data| {
            middle(device, elem, shape, data, 16 / elem.bytes())
        }),
        ("the middle of a larger tensor, off 16 bytes", |device, elem, shape, data| {
            middle(device, elem, shape, data, 3)
        }),
        ("[B, H, D, L] seen as [B, H, L, D]", features_before_tokens),
    ];
    let (forward, grads) = attend(device, elem, dim, contiguous);
    for (what, lay) in layouts {
        let (viewed, viewed_grads) = attend(device, elem, dim, lay);
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
            assert!(error < most, "{device}: {elem}, D = {dim}, {what}: {name} is off by {error:.1e}");
        }
    }
}

fn attend(device: &Device, elem: Elem, dim: usize, lay: Lay) -> (Forward, Grads) {
    let mut random = Random::new(5);
    let mut draw = |shape: Shape| {
        let values: Vec<f32> =
            random.normals(shape.iter().product(), 1.0).into_iter().map(|x| x as f32).collect();
        lay(device, elem, shape, &values)
    };
    let (queries, keys) = ([2, 3, 100, dim], [2, 3, 140, dim]);
    let (q, k, v, grad_out) = (draw(queries), draw(keys), draw(keys), draw(queries));
    let projection = Random::new(6).normals(dim * dim, 0.1).into_iter().map(|x| x as f32);
    let weights = Weights {
        projection: Some(Tensor::from_vec(device, &[dim; 2], projection.collect::<Vec<_>>()).unwrap().into()),
        ..Weights::default()
    };
    let blocks = Blocks::new(64, 64).unwrap();
    let sla = Sla::new(device, super::config(Scope::Complement, FeatureMap::Softmax, blocks));
    let forward = sla.forward(&q, &k, &v, &weights, None).unwrap();
    let grads = sla.backward(&q, &k, &v, &forward, &grad_out).unwrap();
    (forward, grads)
}

fn numbers(tensor: &DynTensor) -> Vec<f64> {
    tensor.to_f64().unwrap()
}

fn contiguous(device: &Device, elem: Elem, shape: Shape, data: &[f32]) -> DynTensor {
    DynTensor::from_f32(device, elem, &shape, data).unwrap()
}

fn tokens_before_heads(device: &Device, elem: Elem, [b, h, l, d]: Shape, data: &[f32]) -> DynTensor {
    let plain = contiguous(device, elem, [b, h, l, d], data);
    let moved = plain.transpose(1, 2).unwrap().to_f32().unwrap();
    contiguous(device, elem, [b, l, h, d], &moved).transpose(1, 2).unwrap()
}

fn features_before_tokens(device: &Device, elem: Elem, [b, h, l, d]: Shape, data: &[f32]) -> DynTensor {
    let plain = contiguous(device, elem, [b, h, l, d], data);
    let moved = plain.transpose(2, 3).unwrap().to_f32().unwrap();
    contiguous(device, elem, [b, h, d, l], &moved).transpose(2, 3).unwrap()
}

/// Inside a tensor that is NaN elsewhere: 5 rows and `left` columns from its edge. Rows start on 16 bytes.
fn middle(device: &Device, elem: Elem, [b, h, l, d]: Shape, data: &[f32], left: usize) -> DynTensor {
    let (rows, columns) = (l + 9, d + 16);
    let mut all = vec![f32::NAN; b * h * rows * columns];
    for (at, row) in data.chunks(d).enumerate() {
        let start = ((at / l) * rows + 5 + at % l) * columns + left;
        all[start..start + d].copy_from_slice(row);
    }
    let larger = contiguous(device, elem, [b, h, rows, columns], &all);
    larger.slice(2, 5..5 + l).unwrap().slice(3, left..left + d).unwrap()
}
