//! What others take for the same, measured by a Python script on the same GPU in the same run: its figures arrive as a line of JSON each.
//!
//! A peer that is not installed, or cannot run a case, is a figure that says so; nothing of that ends a run.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::case::{Case, Work};

/// The script, carried by the program.
const SCRIPT: &str = include_str!("../../benches/peers.py");

/// What one peer takes for one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The case's name.
    pub case: String,
    /// The peer's name.
    pub peer: String,
    /// What is different from the case.
    #[serde(default)]
    pub note: Option<String>,
    /// Milliseconds, the median.
    #[serde(default)]
    pub ms: Option<f64>,
    /// 10^12 operations per second.
    #[serde(default)]
    pub tflops: Option<f64>,
    /// Bytes that a forward and a backward take at most beyond inputs, output and gradients.
    #[serde(default)]
    pub extra_bytes: Option<u64>,
    /// Why there is no figure.
    #[serde(default)]
    pub absent: Option<String>,
}

/// Figures of all peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Peers {
    /// Versions of what was measured.
    pub versions: serde_json::Value,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Why there are none, or not all.
    pub failed: Option<String>,
}

/// Measures peers on the GPU with this ordinal.
pub fn measure(python: &Path, cases: &[Case], ordinal: usize, seed: u64) -> Peers {
    let described: Vec<_> = cases.iter().map(describe).collect();
    let mut command = Command::new(python);
    command.arg("-").arg("--cases").arg(json!(described).to_string());
    command.args(["--device", &ordinal.to_string(), "--seed", &seed.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |reason: String| Peers { failed: Some(reason), ..Peers::default() };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return failed(format!("{} cannot be started: {e}", python.display())),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its script will say why.
        let _ = stdin.write_all(SCRIPT.as_bytes());
    }
    let output = match child.wait_with_output() {
        Ok(output) => output,
        Err(e) => return failed(format!("{}: {e}", python.display())),
    };
    let mut peers = parse(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        peers.failed = Some(format!("{} ended with {}: {}", python.display(), output.status, last.trim()));
    }
    peers
}

/// A case in the words of the script.
fn describe(case: &Case) -> serde_json::Value {
    let what = case.what();
    let mut fields = json!({ "name": case.name, "pass": case.pass, "what": what });
    let mut add = |name: &str, value: serde_json::Value| fields[name] = value;
    if let Some(s) = case.work.shape() {
        add("shape", json!([s.batch, s.heads, s.length, s.dim]));
    }
    match case.work {
        Work::Matmul(sizes) => add("sizes", json!(sizes)),
        Work::Dense(_) => {}
        Work::Sparse(s, lists) => {
            let (few, many) = lists.counts(s.length.div_ceil(lists.bk));
            add("blocks", json!([lists.bq, lists.bk]));
            add("kept", json!([few, many]));
        }
        Work::Module(s, call) => {
            let config = call.config();
            let kept = config.counts(s.length.div_ceil(config.blocks().k())).critical;
            add("blocks", json!([config.blocks().q(), config.blocks().k()]));
            add("kept", json!([kept, kept]));
            add("call", json!(call));
        }
    }
    fields
}

/// Reads the script's lines; what is none of them is left out, since libraries print what they like.
fn parse(text: &str) -> Peers {
    let mut peers = Peers::default();
    for line in text.lines() {
        if let Ok(figure) = serde_json::from_str(line) {
            peers.figures.push(figure);
        } else if let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_str(line)
            && let Some(versions) = fields.remove("versions")
        {
            peers.versions = versions;
        }
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::super::cases::ALL;
    use super::*;

    #[test]
    fn lines_are_figures_versions_or_chatter() {
        let text = "\
warming up
{\"versions\": {\"torch\": \"2.11\"}}
{\"case\": \"dense\", \"peer\": \"cuDNN\", \"ms\": 10.4, \"tflops\": 633.0}
{\"case\": \"dense\", \"peer\": \"FA-CuTe\", \"absent\": \"not installed\"}
{\"case\": 7}
";
        let peers = parse(text);
        assert_eq!(peers.versions["torch"], "2.11");
        let shown: Vec<_> =
            peers.figures.iter().map(|f| (f.peer.as_str(), f.ms, f.absent.as_deref())).collect();
        assert_eq!(shown, [("cuDNN", Some(10.4), None), ("FA-CuTe", None, Some("not installed"))]);
    }

    #[test]
    fn cases_are_described_with_their_counts() {
        let found = |name: &str| describe(ALL.iter().find(|c| c.name == name).unwrap());
        let shape = [1, 12, 32768, 128];
        let needed = json!({
            "name": "sparse-uneven", "pass": "fwd", "what": "sparse", "shape": shape, "blocks": [128, 64], "kept": [5, 45]
        });
        assert_eq!(found("sparse-uneven"), needed);
        let needed = json!({
            "name": "module-all-bwd", "pass": "bwd", "what": "module", "call": "all", "shape": shape, "blocks": [128, 64], "kept": [25, 25]
        });
        assert_eq!(found("module-all-bwd"), needed);
    }

    #[test]
    fn a_python_that_is_not_there_is_said() {
        let peers = measure(Path::new("/nowhere/python"), ALL, 0, 1);
        assert!(peers.failed.unwrap().starts_with("/nowhere/python cannot be started: "));
    }
}
