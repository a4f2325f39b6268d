//! The run: noise, fits on some frames, judgement on others, pictures.

use std::time::{Duration, Instant};

use sla_dsl::ir::Elem;
use sla_runtime::{Device, DynTensor, RuntimeError};

use super::clip::Clip;
use super::fit::{Lesson, Projection, fit};
use super::methods::{Method, Tensors, attend, dense, timed};
use super::problem::{HEAD_DIM, Problem, Recipe, STRENGTH};
use super::report::{Fit, Report, Row};
use super::score::{dense_work, operator_work, psnr, relative_error};
use super::{DemoError, NOISE, Progress, Settings, noise, pictures};
use crate::attention::mask::MARGINAL;
use crate::attention::module::Sla;
use crate::attention::random::Random;
use crate::attention::{BlockMask, Blocks, Config, Dims, FeatureMap, Forced, Scope};

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Numbers.
    pub report: Report,
    /// File names and PNG bytes; the names are those of [`Outcome::PICTURES`].
    pub pictures: Vec<(&'static str, Vec<u8>)>,
}

impl Outcome {
    /// The pictures that every run makes.
    pub const PICTURES: [&'static str; 9] = [
        "clean.png",
        "noisy.png",
        "dense.png",
        "sla.png",
        "sparse.png",
        "linear.png",
        "comparison.png",
        "mask.png",
        "loss.png",
    ];
}

/// Does everything but write files.
///
/// # Errors
/// [`DemoError`].
pub fn run(device: &Device, settings: &Settings, progress: &mut dyn Progress) -> Result<Outcome, DemoError> {
    let start = Instant::now();
    progress.begin("noise and patches", 1);
    let study = Study::new(device, settings)?;
    progress.step();

    progress.begin("dense attention to learn from", 1);
    let taught = study.teach()?;
    progress.step();
    let mut fits = Vec::new();
    let mut learn = |method: Method, progress: &mut dyn Progress| {
        progress.begin(&format!("fit of the projection: {}", method.name()), settings.steps);
        let (projection, fit) = study.learn(method, &taught, progress)?;
        fits.push(fit);
        Ok::<_, DemoError>(projection)
    };
    let projections = [learn(Method::Sla, progress)?, learn(Method::Linear, progress)?];

    progress.begin("denoising", Method::ALL.len());
    let mut results: Vec<Attended> = Vec::new();
    for method in Method::ALL {
        let projection = if method == Method::Linear { &projections[1] } else { &projections[0] };
        results.push(study.attend(method, projection)?);
        progress.step();
    }

    progress.begin("pictures", 1);
    let outcome = study.outcome(&results, fits, start)?;
    progress.step();
    Ok(outcome)
}

/// A noisy clip on a device, in two parts.
struct Study<'a> {
    device: &'a Device,
    settings: &'a Settings,
    clean: Clip,
    noisy: Clip,
    recipe: Recipe,
    fitted: Part,
    judged: Part,
}

/// Some frames as an attention problem.
struct Part {
    problem: Problem,
    tensors: Tensors,
}

/// Dense attention's output for some blocks of the fitted part.
struct Taught {
    blocks: Vec<usize>,
    q: Vec<f32>,
    dense: Vec<f32>,
}

/// What a method made of the judged part.
struct Attended {
    method: Method,
    out: Vec<f32>,
    mask: Option<BlockMask>,
    work: f64,
    time: Duration,
}

impl<'a> Study<'a> {
    fn new(device: &'a Device, settings: &'a Settings) -> Result<Study<'a>, DemoError> {
        let scene = &settings.scene;
        let clip = Clip::bundled()?;
        let noisy = noise::noisy(&clip, NOISE, settings.seed);
        let cut = |clip: &Clip, frames| clip.cut(frames, scene.height, scene.width);
        let to_fit = cut(&noisy, scene.fitted.clone())?;
        let recipe = Recipe::of(&to_fit);
        let part = |clip: &Clip| {
            let problem = recipe.problem(clip);
            let tensors = Tensors::upload(device, &problem)?;
            Ok::<_, RuntimeError>(Part { problem, tensors })
        };
        let (clean, noisy) = (cut(&clip, scene.judged.clone())?, cut(&noisy, scene.judged.clone())?);
        let (fitted, judged) = (part(&to_fit)?, part(&noisy)?);
        Ok(Study { device, settings, clean, noisy, recipe, fitted, judged })
    }

    /// The operator for a method; dense attention is none of its configurations. Every cube attends to itself, where the nearest patches are,
    /// beside those that the router chooses.
    fn operator(&self, method: Method) -> Sla {
        let scope = match method {
            Method::Linear => Scope::All,
            Method::Sparse => Scope::None,
            Method::Sla | Method::Dense => Scope::Complement,
        };
        let config = Config::new(scope, self.settings.critical, Config::default().negligible());
        let tokens = self.fitted.problem.tokens().max(self.judged.problem.tokens());
        let critical = (0..tokens.div_ceil(cubes().q())).map(|cube| (cube, cube)).collect();
        let forced = Forced { critical, ..Forced::default() };
        let config = config.with_phi(FeatureMap::Hedgehog).with_blocks(cubes()).with_forced(forced);
        Sla::new(self.device, config)
    }

    /// Dense attention of about half of the blocks of queries, which the seed determines.
    fn teach(&self) -> Result<Taught, RuntimeError> {
        let Part { problem, tensors } = &self.fitted;
        let (size, mut random) = (cubes().q() * HEAD_DIM, Random::new(self.settings.seed));
        let whole = problem.tokens() / cubes().q();
        let mut blocks: Vec<usize> = (0..whole).filter(|_| random.one_in(2)).collect();
        if blocks.is_empty() {
            blocks.extend(0..whole);
        }
        let rows = blocks.iter().flat_map(|&block| &problem.q[block * size..(block + 1) * size]);
        let q: Vec<f32> = rows.copied().collect();
        let shape = [1, 1, blocks.len() * cubes().q(), HEAD_DIM];
        let on_device = DynTensor::from_f32(self.device, Elem::F32, &shape, &q)?;
        let dense = dense(self.device, &on_device, tensors)?.to_f32()?;
        Ok(Taught { blocks, q, dense })
    }

    /// Fits a method's projection.
    fn learn(
        &self,
        method: Method,
        taught: &Taught,
        progress: &mut dyn Progress,
    ) -> Result<(Projection, Fit), DemoError> {
        let start = Instant::now();
        let (sla, Tensors { q, k, v }) = (self.operator(method), &self.fitted.tensors);
        let mask = match self.unrouted(method, &self.fitted)? {
            Some(mask) => mask,
            None => sla.route(q, k)?.mask,
        };
        let (columns, classes) = (mask.shape()[3], mask.to_bytes()?);
        let row = |&block: &usize| &classes[block * columns..(block + 1) * columns];
        let lesson = Lesson {
            q: taught.q.clone(),
            k: k.clone(),
            v: v.clone(),
            mask: taught.blocks.iter().flat_map(row).map(|&class| class as i8).collect(),
            dense: taught.dense.clone(),
        };
        let steps = self.settings.steps;
        let (rate, seed) = (first_step(method), self.settings.seed);
        let (projection, losses) = fit(&sla, &lesson, steps, rate, seed, |_| progress.step())?;
        Ok((projection, Fit { method, steps, seconds: start.elapsed().as_secs_f64(), losses }))
    }

    /// The mask of a method that does not route: nothing is critical to linear attention alone.
    fn unrouted(&self, method: Method, part: &Part) -> Result<Option<DynTensor>, DemoError> {
        if method != Method::Linear {
            return Ok(None);
        }
        let grid = dims(&part.problem).grid(cubes());
        let classes = vec![MARGINAL as u8; grid.rows * grid.cols];
        Ok(Some(DynTensor::from_bytes(self.device, Elem::I8, &grid.shape(), &classes)?))
    }

    /// Denoises the judged part.
    fn attend(&self, method: Method, projection: &Projection) -> Result<Attended, DemoError> {
        let Part { problem, tensors } = &self.judged;
        let dims = dims(problem);
        if method == Method::Dense {
            let (out, time) = timed(self.device, &tensors.q, |q| dense(self.device, q, tensors))?;
            return Ok(Attended { method, out: out.to_f32()?, mask: None, work: dense_work(dims), time });
        }
        let sla = self.operator(method);
        let weights = projection.upload(&sla)?;
        let given = self.unrouted(method, &self.judged)?;
        let work = |q: &DynTensor| attend(&sla, q, tensors, &weights, given.as_ref());
        let (forward, time) = timed(self.device, &tensors.q, work)?;
        let classes = forward.mask.to_bytes()?.into_iter().map(|class| class as i8).collect();
        let mask = BlockMask::new(dims.grid(cubes()), classes)?;
        let work = operator_work(sla.config(), dims, &mask.tally(), given.is_none());
        Ok(Attended { method, out: forward.out.to_f32()?, mask: Some(mask), work, time })
    }

    /// Scores and pictures.
    fn outcome(&self, results: &[Attended], fits: Vec<Fit>, start: Instant) -> Result<Outcome, DemoError> {
        let problem = &self.judged.problem;
        let clips: Vec<Clip> =
            results.iter().map(|result| self.recipe.clip(problem, &result.out, &self.noisy)).collect();
        let noisy_psnr = psnr(self.noisy.values(), self.clean.values());
        let row = |(result, clip): (&Attended, &Clip)| Row {
            method: result.method,
            psnr: psnr(clip.values(), self.clean.values()),
            error_to_dense: relative_error(&result.out, &results[0].out),
            work_percent: 100.0 * result.work / dense_work(dims(problem)),
            seconds: result.time.as_secs_f64(),
        };
        let methods: Vec<Row> = results.iter().zip(&clips).map(row).collect();

        let frame = self.clean.frames() / 2;
        let mut titled =
            vec![("clean".to_owned(), &self.clean), (format!("noisy {noisy_psnr:.2} dB"), &self.noisy)];
        for (row, clip) in methods.iter().zip(&clips) {
            titled.push((format!("{} {:.2} dB", row.method.name(), row.psnr), clip));
        }
        let mut canvases: Vec<_> =
            titled.iter().map(|titled| pictures::side_by_side(std::slice::from_ref(titled), frame)).collect();
        canvases.push(pictures::side_by_side(&titled, frame));
        let mask = results.iter().find(|result| result.method == Method::Sla).and_then(|r| r.mask.as_ref());
        let (tally, drawn) = mask.map(|mask| (mask.tally(), pictures::mask(mask))).unzip();
        canvases.extend(drawn);
        canvases.push(pictures::losses(&fits));
        let encoded =
            Outcome::PICTURES.into_iter().zip(canvases).map(|(name, canvas)| Ok((name, canvas.to_png()?)));
        let pictures = encoded.collect::<Result<_, DemoError>>()?;

        let scene = &self.settings.scene;
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            device: self.device.describe(),
            seed: self.settings.seed,
            noise: NOISE,
            strength: STRENGTH,
            judged: [scene.judged.start, scene.judged.end],
            fitted: [scene.fitted.start, scene.fitted.end],
            pixels: [self.clean.height(), self.clean.width()],
            tokens: problem.tokens(),
            config: self.operator(Method::Sla).config().clone(),
            mask: tally,
            noisy_psnr,
            methods,
            fits,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok(Outcome { report, pictures })
    }
}

/// Size of the first step of a fit. What SLA's projection adds to the sparse part is small, and a large step overshoots it.
fn first_step(method: Method) -> f64 {
    if method == Method::Linear { 0.1 } else { 0.005 }
}

/// A block is a cube of tokens, for queries and for keys.
fn cubes() -> Blocks {
    Blocks::EVERY[0]
}

fn dims(problem: &Problem) -> Dims {
    Dims { batch: 1, heads: 1, queries: problem.tokens(), keys: problem.tokens(), head_dim: HEAD_DIM }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Share;
    use crate::demo::Scene;

    #[test]
    fn a_crop_is_denoised_by_every_method() {
        let critical = Share::new(0.25).unwrap();
        let settings = Settings { seed: 1, steps: 12, critical, scene: Scene::small() };
        let device = Device::cpu();
        let outcome = run(&device, &settings, &mut ()).unwrap();
        let report = &outcome.report;
        assert_eq!((report.tokens, report.methods.len()), (1024, 4));
        let [dense, sla, sparse, linear] = [0, 1, 2, 3].map(|at| &report.methods[at]);
        assert!(dense.psnr > report.noisy_psnr + 1.0, "{report}");
        assert!(sparse.psnr > report.noisy_psnr, "{report}");
        assert_eq!(dense.error_to_dense, 0.0);
        assert!(sla.error_to_dense < linear.error_to_dense, "{report}");
        assert!(sparse.work_percent > 25.0 && sparse.work_percent < sla.work_percent);
        let fit = report.fits.iter().find(|fit| fit.method == Method::Linear).unwrap();
        assert!(fit.losses[11] < fit.losses[0], "{:?}", fit.losses);
        // Of so few cubes the sparse part has nearly all; what the projection adds must do no harm.
        assert!(sla.error_to_dense < 1.1 * sparse.error_to_dense, "{report}");
        let names: Vec<_> = outcome.pictures.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, Outcome::PICTURES);

        let again = run(&device, &settings, &mut ()).unwrap();
        let scores =
            |outcome: &Outcome| outcome.report.methods.iter().map(|row| row.psnr).collect::<Vec<_>>();
        assert_eq!(scores(&outcome), scores(&again), "the seed determines the result");
    }
}
