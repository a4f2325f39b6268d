//! Problems of the operator that are run on a device and held against the float64 reference. The tests of each device choose
//! from them; the tolerances are those of `sla check`.

mod extremes;
mod run;
mod views;

use sla::attention::compare::compare;
use sla::attention::module::Compiled;
use sla::attention::random::Random;
use sla::attention::{Data, Dims};
use sla::{
    Array, Blocks, Config, Device, Dtype, FeatureMap, Forced, Inputs, Operator, Request, Scope, Share,
};

pub use extremes::{large_logits, repeats};
pub use run::check_all;
pub use views::{strided_halves, strided_views};

/// Class of a block of the mask by its row and column.
type Class = fn(usize, usize) -> i8;

/// One problem; everything is drawn from a fixed seed.
pub struct Problem {
    pub dtype: Dtype,
    pub dims: Dims,
    pub config: Config,
    /// Replaces the router.
    pub mask: Option<Class>,
}

/// Sizes: batch entries, heads, queries, keys, head dimension.
pub fn dims([batch, heads, queries, keys, head_dim]: [usize; 5]) -> Dims {
    Dims { batch, heads, queries, keys, head_dim }
}

/// Three tenths of each row critical and two negligible.
pub fn config(scope: Scope, phi: FeatureMap, blocks: Blocks) -> Config {
    let share = |value| Share::new(value).unwrap();
    Config::new(scope, share(0.3), share(0.2)).with_phi(phi).with_blocks(blocks)
}

fn blocks(q: usize, k: usize) -> Blocks {
    Blocks::new(q, k).unwrap()
}

impl Problem {
    /// The problem with `q` and `k` of this standard deviation.
    pub fn request(&self, amplitude: f64) -> Request {
        let Dims { batch: b, heads: h, queries, keys, head_dim: d } = self.dims;
        let mut random = Random::new(queries as u64 * 1000 + keys as u64);
        let mut array = |dtype, shape: &[usize], deviation| {
            let values = random.normals(shape.iter().product(), deviation);
            Array::from_f64(dtype, shape.to_vec(), &values).unwrap()
        };
        let over_d = (d as f64).sqrt().recip();
        let mut inputs = Inputs::new(
            array(self.dtype, &[b, h, queries, d], amplitude),
            array(self.dtype, &[b, h, keys, d], amplitude),
            array(self.dtype, &[b, h, keys, d], 1.0),
        );
        inputs.proj_weight = Some(array(Dtype::F32, &[d, d], over_d));
        inputs.proj_bias = Some(array(Dtype::F32, &[d], 0.1));
        inputs.grad_out = Some(array(self.dtype, &[b, h, queries, d], 1.0));
        if self.config.phi() == FeatureMap::Hedgehog {
            inputs.phi_weight = Some(array(Dtype::F32, &[h, d, d], over_d));
        }
        inputs.mask = self.mask.map(|class| {
            let grid = self.dims.grid(self.config.blocks());
            let one = (0..grid.rows * grid.cols).map(|at| class(at / grid.cols, at % grid.cols));
            let all: Vec<i8> = one.collect::<Vec<_>>().repeat(grid.bh());
            Array::new(grid.shape().to_vec(), Data::I8(all)).unwrap()
        });
        Request::new(self.config.clone(), inputs, true).unwrap()
    }

    /// What is computed, in words.
    pub fn name(&self) -> String {
        let (config, what) = (&self.config, format!("{:?} {}", self.dtype, self.dims));
        format!("{what} scope {} phi {} blocks {}", config.scope(), config.phi(), config.blocks())
    }

    /// Runs forward and backward, and says what is not near enough.
    pub fn outcome(&self, operator: &Compiled) -> Result<(), String> {
        let (request, what) = (self.request(1.0), format!("{}: {}", operator.name(), self.name()));
        let answer = operator.run(&request).map_err(|e| format!("{what}: {e}"))?;
        let measured = compare(&request, &answer).map_err(|e| format!("{what}: {e}"))?;
        let beyond: Vec<_> = measured.iter().filter(|m| !m.passes()).collect();
        match (measured.len(), &beyond[..]) {
            (8, []) => Ok(()),
            (n, _) => Err(format!("{what}: of {n} outputs these are off: {beyond:?}")),
        }
    }
}

/// Every scope with every feature map and block shape; each such pair of the latter in one of the element types and head
/// dimensions, so that every two of these choices meet. Neighbours differ in their kernels, and those that take longest to compile come first.
pub fn every_choice() -> Vec<Problem> {
    let (dtypes, head_dims) = ([Dtype::F32, Dtype::Bf16, Dtype::F16], [64, 128]);
    let mut all = Vec::new();
    for &scope in Scope::EVERY {
        for (p, &phi) in FeatureMap::EVERY.iter().enumerate() {
            for (b, blocks) in Blocks::EVERY.into_iter().enumerate() {
                let (dtype, head_dim) = (dtypes[(p + b) % 3], head_dims[(p + b % 2) % 2]);
                let (dims, config) = (dims([1, 2, 200, 330, head_dim]), config(scope, phi, blocks));
                all.push(Problem { dtype, dims, config, mask: None });
            }
        }
    }
    all.sort_by_key(|p| (p.config.phi() != FeatureMap::Hedgehog, p.dims.head_dim < 128));
    all
}

/// States in halves, in every scope, with every feature map that has them, and with every block shape; then few keys, whose gradients all but cancel.
pub fn half_states(device: &Device) {
    let operator = Compiled::new(device.clone()).with_half_states(true);
    let phis = [FeatureMap::Softmax, FeatureMap::Elu, FeatureMap::Relu];
    let scopes = [Scope::All, Scope::Marginal, Scope::Complement];
    for (i, &scope) in scopes.iter().enumerate() {
        for (j, &phi) in phis.iter().enumerate() {
            let blocks = Blocks::EVERY.into_iter().nth((i + j) % Blocks::EVERY.len()).unwrap();
            let (config, head_dim) = (config(scope, phi, blocks), [64, 128][(i + j) % 2]);
            for dims in [dims([1, 2, 200, 330, head_dim]), dims([1, 1, 70, 64, 64]), dims([1, 1, 3, 1, 64])] {
                let problem = Problem { dtype: Dtype::Bf16, dims, config: config.clone(), mask: None };
                problem.outcome(&operator).unwrap_or_else(|e| panic!("{e}"));
            }
        }
    }
}

/// All gradients by one kernel, with every block shape, at lengths that no block divides.
pub fn fused_gradients(device: &Device) {
    let operator = Compiled::new(device.clone()).with_fused_gradients(true);
    for (i, blocks) in Blocks::EVERY.into_iter().enumerate() {
        let config = config(Scope::None, FeatureMap::Softmax, blocks);
        let dtype = [Dtype::F32, Dtype::F16, Dtype::Bf16][i];
        for dims in
            [dims([1, 2, 200, 330, [64, 64, 128][i]]), dims([2, 1, 150, 128, 64]), dims([1, 1, 3, 1, 64])]
        {
            let problem = Problem { dtype, dims, config: config.clone(), mask: None };
            problem.outcome(&operator).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// What a forward gives does not depend on whether a backward follows.
pub fn inference(device: &Device) {
    let config = config(Scope::Marginal, FeatureMap::Softmax, blocks(64, 64));
    let problem = Problem { dtype: Dtype::Bf16, dims: dims([1, 2, 200, 150, 64]), config, mask: None };
    let request = problem.request(1.0);
    let alone = Request::new(request.config().clone(), request.inputs().clone(), false).unwrap();
    let operator = Compiled::new(device.clone());
    let [both, alone] = [&request, &alone].map(|r| operator.run(r).unwrap_or_else(|e| panic!("{e}")));
    assert_eq!(both.out.to_le_bytes(), alone.out.to_le_bytes());
    assert_eq!(both.lse.to_le_bytes(), alone.lse.to_le_bytes());
    assert!(alone.gradients.is_none());
}

/// Lengths below a block, at its edge and beyond; more queries than keys and fewer; several batch entries.
pub fn every_kind_of_length() -> Vec<Problem> {
    let mut all = Vec::new();
    for [b, h, queries, keys] in [[1, 1, 1, 1], [1, 2, 37, 150], [2, 2, 128, 64], [3, 1, 65, 63]] {
        for &scope in Scope::EVERY {
            let config = config(scope, FeatureMap::Softmax, blocks(64, 64));
            let dims = dims([b, h, queries, keys, 64]);
            all.push(Problem { dtype: Dtype::F32, dims, config, mask: None });
        }
    }
    all
}

/// Masks with rows that lack a class, and with one class throughout.
pub fn every_kind_of_mask() -> Vec<Problem> {
    let masks: [Class; 5] = [
        // Rows of one class, in turn, and then one with all three.
        |row, col| [1, 0, -1, [1, 0, -1][col % 3]][row % 4],
        // Rows without marginal blocks.
        |row, col| if row % 2 == 0 && col % 2 == 0 { 1 } else { -1 },
        |_, _| 1,
        |_, _| 0,
        |_, _| -1,
    ];
    let mut all = Vec::new();
    for mask in masks {
        for &scope in Scope::EVERY {
            let config = config(scope, FeatureMap::Softmax, blocks(64, 64));
            let dims = dims([1, 2, 250, 200, 64]);
            all.push(Problem { dtype: Dtype::F32, dims, config, mask: Some(mask) });
        }
    }
    all
}

/// Blocks forced in and out of what the router selects.
pub fn forced_blocks() -> Vec<Problem> {
    let kinds = [
        Forced { sink_keys: 1, ..Forced::default() },
        Forced { dense_queries: 1, critical: vec![(2, 3)], ..Forced::default() },
        Forced { excluded: (0..9).map(|col| (1, col)).collect(), ..Forced::default() },
    ];
    let mut all = Vec::new();
    for forced in kinds {
        for &scope in Scope::EVERY {
            let config = config(scope, FeatureMap::Softmax, blocks(64, 64)).with_forced(forced.clone());
            let dims = dims([1, 1, 250, 300, 64]);
            all.push(Problem { dtype: Dtype::F32, dims, config, mask: None });
        }
    }
    all
}
