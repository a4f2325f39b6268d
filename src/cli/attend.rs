//! `sla attend`: the operator on a user's tensors.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sla_runtime::DeviceName;

use super::error::CliError;
use super::report::{Report, Seconds};
use crate::attention::{Answer, Array, Blocks, Config, Data, FeatureMap, Inputs, Request, Scope, Share, run};
use crate::files::{self, PendingFile};

/// Apply the operator to the tensors of a safetensors file.
///
/// Reads q, k, v [B,H,L,D] in bf16, f16 or f32, with D 64 or 128; k and v may have another L than q. Optional:
/// proj_weight [D,D], proj_bias [D], grad_out [B,H,L,D], mask i8 [B,H,M,N] in {1,0,-1} which replaces the router, and
/// phi_weight [H,D,D] for hedgehog. Writes out, lse (f32, base 2) and mask; with --backward also grad_q, grad_k, grad_v,
/// grad_proj_weight and grad_proj_bias.
#[derive(Args)]
pub struct Attend {
    /// Tensors to read.
    #[arg(value_name = "IN.safetensors")]
    input: PathBuf,
    /// Tensors to write.
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Tokens of a query block and of a key block: 64,64 or 128,64 or 128,128.
    #[arg(long, value_name = "BQ,BK", default_value_t = Blocks::default(), allow_hyphen_values = true)]
    blocks: Blocks,
    /// Share of the key blocks of a row that softmax attention takes; at least one block.
    #[arg(long, value_name = "SHARE", default_value = "0.05", allow_hyphen_values = true)]
    critical: Share,
    /// Share of the key blocks of a row that scope marginal leaves out.
    #[arg(long, value_name = "SHARE", default_value = "0.10", allow_hyphen_values = true)]
    negligible: Share,
    /// What the linear branch sums over: marginal, complement, all or none.
    #[arg(long, default_value_t = Scope::default())]
    scope: Scope,
    /// Feature map of the linear branch: softmax, elu, relu or hedgehog.
    #[arg(long, default_value_t = FeatureMap::default())]
    phi: FeatureMap,
    /// Added to the denominator of the linear branch [default: 1e-5 for scope all, 0 otherwise].
    #[arg(long, allow_hyphen_values = true)]
    eps: Option<f64>,
    /// Where to run: auto, cpu, cuda, cuda:N or interp.
    #[arg(long, default_value_t = DeviceName::Auto)]
    device: DeviceName,
    /// Also compute gradients; needs grad_out.
    #[arg(long)]
    backward: bool,
    /// Write settings, realised counts and times as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
}

impl Attend {
    /// Does the work; the outputs appear only when all of it is done.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn run(self) -> Result<(), CliError> {
        let config = Config::new(self.scope, self.critical, self.negligible)
            .with_eps(self.eps)?
            .with_phi(self.phi)
            .with_blocks(self.blocks);
        if self.report.as_ref() == Some(&self.output) {
            return Err(CliError::SameFile { path: self.output });
        }
        let start = Instant::now();
        let named = files::read(&self.input)?;
        let refused = |source| CliError::Input { path: self.input.clone(), source };
        let inputs = Inputs::from_named(named).map_err(refused)?;
        let request = Request::new(config, inputs, self.backward).map_err(refused)?;
        let read = start.elapsed();
        let output = PendingFile::create(&self.output)?;
        let report = self.report.as_deref().map(PendingFile::create).transpose()?;

        let (answer, operator) = run(self.device, &request)?;

        let start = Instant::now();
        output.commit(&encode(&answer)?)?;
        let backward = self.backward.then_some(answer.backward_time);
        let seconds = Seconds::new(read, answer.forward_time, backward, start.elapsed());
        let report_of = self.report_of(&request, &answer, &operator, seconds);
        if let Some(report) = report {
            let json = serde_json::to_vec_pretty(&report_of)
                .map_err(|error| CliError::Make { what: "the report", reason: error.to_string() })?;
            report.commit(&json)?;
        }
        // A closed standard output takes nothing from the work.
        let _ = writeln!(
            std::io::stdout(),
            "{}: {} {}, {:.1} % of the blocks critical, {operator}, {:.3} s",
            self.output.display(),
            report_of.dtype,
            report_of.dims,
            100.0 * report_of.density,
            (answer.forward_time + answer.backward_time).as_secs_f64(),
        );
        Ok(())
    }

    fn report_of<'a>(
        &self,
        request: &'a Request,
        answer: &Answer,
        operator: &'a str,
        seconds: Seconds,
    ) -> Report<'a> {
        let (grid, realised) = (request.grid(), answer.mask.tally());
        let mask_given = request.mask().is_some();
        Report {
            version: env!("CARGO_PKG_VERSION"),
            device: self.device.to_string(),
            operator,
            dtype: request.inputs().q.dtype(),
            dims: request.dims(),
            grid,
            config: request.config(),
            mask_given,
            asked: (!mask_given).then(|| request.config().counts(grid.cols)),
            realised,
            density: realised.density(),
            backward: self.backward,
            seconds,
        }
    }
}

/// The output file's bytes.
fn encode(answer: &Answer) -> Result<Vec<u8>, CliError> {
    let failed = |reason: String| CliError::Make { what: "the output", reason };
    let mask = Array::new(answer.mask.grid().shape().to_vec(), Data::I8(answer.mask.data().to_vec()))
        .map_err(|error| failed(error.to_string()))?;
    let mut arrays = vec![("out", &answer.out), ("lse", &answer.lse), ("mask", &mask)];
    if let Some(gradients) = &answer.gradients {
        arrays.extend([
            ("grad_q", &gradients.q),
            ("grad_k", &gradients.k),
            ("grad_v", &gradients.v),
            ("grad_proj_weight", &gradients.proj_weight),
            ("grad_proj_bias", &gradients.proj_bias),
        ]);
    }
    files::encode(arrays).map_err(|error| failed(error.to_string()))
}
